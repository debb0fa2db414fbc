"""Sentences on one benchmark's verdict, for the terminal, Markdown and CI."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from pytest_energy.gate.pooling import FIRST
from pytest_energy.model.environment import is_simulated
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.model.metrics import metric
from pytest_energy.model.outcomes import FAILING_BY_DEFAULT, Outcome
from pytest_energy.model.result import (
    Budget,
    ControlCheck,
    Difference,
    MetricVerdict,
    Result,
    Run,
    SuiteShift,
    Undecided,
)
from pytest_energy.report import numbers
from pytest_energy.report.labels import METERS, name_and_unit, short_names
from pytest_energy.report.summary import deciding_metric, skipped_tests, test_id
from pytest_energy.uncertainty.pairs import WITHIN_REASON

REPORTED_SHIFT: Final = 0.015
"""A smaller shift of the whole suite, as a fraction, is not worth a sentence."""
SHORTENED: Final = 3
"""At most so many benchmarks that ran less than planned are named."""


def severity(result: Result) -> tuple[bool, float]:
    """A sort key, worst last: failures, then the distance beyond the tolerance."""
    decisive = deciding_metric(result)
    beyond = abs(decisive.change or 0.0) - (decisive.tolerance or 0.0) if decisive else 0.0
    return result.verdict.fails, beyond


def comparison(result: Result, verdict: MetricVerdict) -> str:
    """``Energy 0.900 → 0.980 ± 0.004 J/pass, +8.9 % [+7.0, +10.8] (95 % sure), tolerance 5 %``."""
    quantity = result.metrics.get(verdict.metric)
    uncertainty = quantity.uncertainty if quantity else None
    text = f"{metric(verdict.metric).label} {numbers.before_after(verdict, uncertainty)}"
    if verdict.change is not None:
        text += f", {change(verdict)}"
    if verdict.tolerance is not None:
        text += f", {allowed(verdict)}"
    return text


def allowed(verdict: MetricVerdict) -> str:
    """``tolerance 5 %``; a baseline of zero has no share that could be tolerated."""
    if verdict.baseline == 0:
        return "where the baseline is zero, any difference beyond the uncertainty counts"
    return f"tolerance {numbers.tolerance(verdict.tolerance)}"


def change(verdict: MetricVerdict) -> str:
    """``+8.9 % [+7.0, +10.8] (95 % sure)``; exact metrics have no interval.

    A shift of the suite that was taken off is named, since the values before and after have it.
    """
    text = numbers.change(verdict)
    text = text if verdict.low == verdict.high else f"{text} (95 % sure)"
    if verdict.suite_shift is None or abs(verdict.suite_shift) < REPORTED_SHIFT:
        return text
    return f"{text} beyond the suite's {numbers.percent(verdict.suite_shift)}"


def sentence(result: Result) -> str:
    """The verdict: the deciding metric, or the reason why there is none."""
    verdict = result.verdict
    decisive = deciding_metric(result)
    if over := [budget for budget in verdict.budgets if budget.outcome is verdict.outcome]:
        return "; ".join(map(budget_sentence, over))
    if verdict.outcome is Outcome.INCOMPARABLE and verdict.differences:
        return "; ".join(map(difference, verdict.differences))
    if verdict.outcome.traits.has_joules and decisive is not None and not is_disturbed(result):
        return comparison(result, decisive)
    reasons = [reason.message for reason in result.reasons if reason.fatal] or verdict.notes
    return "; ".join(dict.fromkeys(reasons)) or verdict.outcome.value


def is_disturbed(result: Result) -> bool:
    """Whether an outcome about joules has none: others used the device, or kept it from opening.

    Exact metrics decide without joules.
    """
    decisive = deciding_metric(result)
    unknown = decisive is None or decisive.change is None
    return result.status == "invalid" or (result.status == "unmeasured" and unknown)


def budget_sentence(budget: Budget) -> str:
    """``Energy 12.3 ± 0.1 J/call, budget 10 J/call (max_joules)``."""
    value = numbers.measured(budget.value, budget.uncertainty, budget.unit)
    limit = f"{budget.limit:g} {budget.unit}"
    return f"{metric(budget.metric).label} {value}, budget {limit} (max_joules)"


def difference(change: Difference) -> str:
    """``torch 2.9 → 2.10``; ``power limit 400 → 700 W``."""
    name = change.name.removeprefix("context.").removeprefix("identity.")
    words, unit = name_and_unit(name)
    text = numbers.fact if name == change.name else numbers.machine_fact
    before, after = text(change.before), text(change.after)
    return f"{words} {before} → {after}{unit}"


def cut_short(run: Run) -> str | None:
    """Which benchmarks ran less than planned; ``None`` if all ran as planned."""
    cut = [
        result.id
        for result in run.benchmarks
        if any(reason.code is ReasonCode.TIME_LIMIT for reason in result.reasons)
    ]
    if not cut:
        return None
    names = short_names([result.id for result in run.benchmarks])
    more = f" and {len(cut) - SHORTENED} more" if len(cut) > SHORTENED else ""
    named = ", ".join(names[benchmark] for benchmark in cut[:SHORTENED])
    return f"shortened to stay within --energy-max-time ({len(cut)}): {named}{more}"


def remarks(result: Result) -> list[str]:
    """What would decide it, the likely cause, and what changed since the baseline."""
    return [
        remark for remark in (undecided(result), likely_cause(result), changed(result)) if remark
    ]


LIMITS: Final = {
    "time": "stopped by the limit of time (--energy-retry-time)",
    "energy": "stopped by the limit of joules (--energy-retry-energy)",
    "visits": "stopped after the largest number of visits",
    "protocol": "measured in one visit",
    "blocks": "stopped by the limit of blocks (--energy-against-blocks)",
    "comparison-time": "stopped by the limit of time (--energy-against-time)",
    "interruption": "stopped before the comparison was complete",
}
"""What ended the measuring of an undecided benchmark."""
RETRY_OPTIONS: Final = {"time": "--energy-retry-time", "energy": "--energy-retry-energy"}
"""By limit: the option that raises it."""
COMPARE: Final = "compare with the other revision on this machine, --energy-against=REF"


def undecided(result: Result) -> str | None:
    """``stopped by the limit of time …; about 6 more visits (90 s, 27 kJ) would decide: …``."""
    record = result.verdict.undecided
    if record is None:
        return None
    limit = LIMITS[record.limit]
    unit = "block" if result.comparison else "visit"
    number = record.blocks if result.comparison else record.visits
    if number is None and result.comparison and len(result.comparison.blocks) < 2:
        return f"{limit}; a single block does not tell how many would decide"
    if number is None:
        most = f" up to {WITHIN_REASON}" if result.comparison else ""
        return f"{limit}; no number of {unit}s{most} would decide: {_why_none(result)}"
    known = [numbers.seconds(record.duration_s)]
    known += [numbers.energy(record.energy_j)] if record.energy_j is not None else []
    would = f"about {number} more {unit}{'s'[: number != 1]} ({', '.join(known)}) would decide"
    cut = [reason for reason in result.reasons if reason.code is ReasonCode.TIME_LIMIT]
    longer = ", and longer ones fewer: raise --energy-max-time" if cut else ""
    return f"{limit}; {would}{longer}: {_remedy(result, record)}"


def _why_none(result: Result) -> str:
    """Why no number of visits or blocks decides, and what may."""
    if result.comparison is None:
        return (
            "the baseline is too uncertain to tell the change from the tolerance;"
            f" {COMPARE}, or record more runs"
        )
    return (
        "the change is too close to the tolerance for the scatter of the blocks; longer rounds"
        " scatter less (--energy-passes, --energy-window), or set another tolerance"
    )


def _remedy(result: Result, record: Undecided) -> str:
    """What lets one undecided benchmark have the visits or blocks that it needs."""
    if options := needed_limits([record]):
        return options
    if result.comparison:
        return "compare again"
    if record.limit in RETRY_OPTIONS:
        return COMPARE
    if result.status == "estimated":
        default = ",".join(FAILING_BY_DEFAULT)
        return (
            "estimates are measured again only if they can fail: add estimated to the list of"
            f' --energy-fail-on, by default "{default}"'
        )
    if record.limit == "protocol":
        return "measure it again with --energy-protocol=adaptive"
    return f"no option allows more; {COMPARE}, or record more runs"


def needed_limits(records: Iterable[Undecided]) -> str | None:
    """The options that let all of these benchmarks be decided in one session.

    ``--energy-retry-time=690``; ``None`` if no limit that an option sets ended their measuring.
    """
    records = list(records)
    options = [*_retry_limits(records), *_comparison_limits(records)]
    return " ".join(options) or None


def _retry_limits(records: Iterable[Undecided]) -> Iterator[str]:
    ended = [record for record in records if record.visits is not None]
    for limit, option in RETRY_OPTIONS.items():
        allowed = [one.allowed for one in ended if one.limit == limit and one.allowed is not None]
        if allowed:
            # Whatever the other limit ended needs its share of this one, too.
            of_limit = [one for one in ended if one.limit in RETRY_OPTIONS]
            costs = [one.duration_s if limit == "time" else one.energy_j for one in of_limit]
            needed = max(allowed) + math.fsum(cost or 0.0 for cost in costs)
            yield f"{option}={numbers.rounded_up(needed)}"


def _comparison_limits(records: Iterable[Undecided]) -> Iterator[str]:
    ended = [record for record in records if record.blocks is not None]
    if blocks := [one.needed_blocks for one in ended if one.needed_blocks is not None]:
        yield f"--energy-against-blocks={max(blocks)}"
    allowed = [one.allowed for one in ended if one.allowed is not None]
    if allowed:
        own_s = math.fsum((one.duration_s or 0.0) - (one.shared_s or 0.0) for one in ended)
        once_s = max(one.shared_s or 0.0 for one in ended)
        needed_s = max(one.spent_s or 0.0 for one in ended) + once_s + own_s
        if needed_s > max(allowed):
            yield f"--energy-against-time={numbers.rounded_up(needed_s)}"


def in_common(run: Run) -> list[str]:
    """What is said once of a run and concerns several of its benchmarks."""
    sentences = (
        simulated(run),
        cut_short(run),
        suite_shift(run),
        control(run),
        first_visits(run),
        retries(run),
    )
    return [sentence for sentence in sentences if sentence]


def first_visits(run: Run) -> str | None:
    """``1 benchmark was measured without its first visit, which was far off: t.py::test_a``."""
    found = [
        result.id
        for result in run.benchmarks
        if any(reason.message.startswith(FIRST) for reason in result.reasons)
    ]
    if not found:
        return None
    was, its = ("was", "its") if len(found) == 1 else ("were", "their")
    more = ", …" if len(found) > 3 else ""
    return (
        f"{_benchmarks(len(found))} {was} measured without {its} first visit, which was far off:"
        f" {', '.join(found[:3])}{more}"
    )


def retries(run: Run) -> str | None:
    """``to decide 3 benchmarks by further visits: --energy-retry-time=1200``."""
    return "; ".join(filter(None, (_further_visits(run), _further_blocks(run)))) or None


def _further_visits(run: Run) -> str | None:
    records = [result.verdict.undecided for result in run.benchmarks]
    ended = [one for one in records if one and one.visits and one.limit in RETRY_OPTIONS]
    options = needed_limits(ended)
    return f"to decide {_benchmarks(len(ended))} by further visits: {options}" if options else None


def _further_blocks(run: Run) -> str | None:
    """One command for all: ``to decide 3 benchmarks by further blocks: pytest …``."""
    ended = [
        (result, record)
        for result in run.benchmarks
        if (record := result.verdict.undecided) and record.blocks is not None
    ]
    if not ended:
        return None
    options = needed_limits(record for _, record in ended)
    command = rerun_command(*(result for result, _ in ended))
    whole = f"{command} {options}" if options else command
    return f"to decide {_benchmarks(len(ended))} by further blocks: {whole}"


def _benchmarks(number: int) -> str:
    return f"{number} benchmark{'s'[: number != 1]}"


def reference(result: Result) -> str:
    """What a result was compared with: ``the baseline``, or ``main (1a2b3c4d5)``."""
    return result.comparison.label if result.comparison else "the baseline"


def likely_cause(result: Result) -> str | None:
    """``likely cause: power +8.0 % × time +0.9 %``."""
    return f"likely cause: {result.verdict.cause}" if result.verdict.cause else None


def changed(result: Result) -> str | None:
    """``changed since the baseline: torch 2.9 → 2.10``."""
    differences = ", ".join(map(difference, result.verdict.context))
    return f"changed since {reference(result)}: {differences}" if differences else None


def suite_shift(run: Run) -> str | None:
    """``the whole suite shifted by +2.6 % [+2.3, +2.9] (median of 50); changed since …``."""
    shift = run.run.suite_shift
    if shift is None or (abs(shift.change) < REPORTED_SHIFT and not run.run.failures):
        return None
    text = (
        f"the whole suite shifted by {numbers.percent(shift.change)} {_interval(shift)} (median of"
        f" {shift.benchmarks}); each benchmark is judged without it"
    )
    causes = ", ".join(map(difference, shift.context))
    because = f"since most baselines, these changed: {causes}" if causes else "no fact changed"
    return f"{text}; {because}; {_cause_of_shift(run, shift)}"


def _interval(change: SuiteShift | ControlCheck) -> str:
    """In per cent: ``[+2.3, +2.9]``."""
    return f"[{100 * change.low:+.1f}, {100 * change.high:+.1f}]".replace("-", numbers.MINUS)


def _cause_of_shift(run: Run, shift: SuiteShift) -> str:
    check = run.run.control
    if check and check.machine == "moved" and check.change * shift.change > 0:
        return "the control moved as well, so it is the machine"
    if check and check.machine == "steady" and not check.low <= shift.change <= check.high:
        return "the control did not move with it, so it is a change that hits everything"
    return "it is the machine, or a change that hits everything"


CONTROL: Final = {
    "moved": "the machine is not as it was",
    "steady": "the machine is as it was, so a change is the code's",
    "unclear": "too uncertain to say whether the machine changed",
}
"""What the control says of the machine."""


def control(run: Run) -> str | None:
    """``control +0.3 % [−0.9, +1.5] since its baselines (4 benchmarks): …``."""
    check = run.run.control
    if check is None:
        return None
    plural = "" if check.benchmarks == 1 else "s"
    text = (
        f"control {numbers.percent(check.change)} {_interval(check)} since its baselines"
        f" ({check.benchmarks} benchmark{plural}): {CONTROL[check.machine]}"
    )
    if check.drift is not None and abs(check.drift) >= REPORTED_SHIFT:
        text += f"; from the beginning of the session to its end {numbers.percent(check.drift)}"
    return text


def rerun_command(*results: Result) -> str:
    """The command that measures only these benchmarks."""
    ids = dict.fromkeys(shlex.quote(test_id(result)) for result in results)
    command = f"pytest {' '.join(ids)} --energy"
    if against := results[0].comparison:
        options = [f"--energy-against={against.reference}", *against.options]
        command += f" {shlex.join(options)}"
    return command


def accept_command(result: Result) -> str | None:
    """The command that makes a result the baseline; ``None`` where it would not, or need not."""
    verdict = result.verdict
    is_over = any(budget.outcome is Outcome.OVER_BUDGET for budget in verdict.budgets)
    settled = verdict.outcome in (Outcome.UNCHANGED, Outcome.OVER_BUDGET, Outcome.TEST_FAILED)
    # A comparison with another revision knows no baselines, and disturbed joules become none.
    if settled or is_over or result.comparison or not verdict.outcome.traits.has_joules:
        return None
    if is_disturbed(result):
        return None
    return f"{rerun_command(result)} --energy-update"


def mark_simulated(result: Result, run: Run) -> str:
    """``simulated: `` before what is said of a result of a simulated device, else nothing."""
    machine = result.measured_in(run.environment)
    return "simulated: " if is_simulated(machine.identity) else ""


def estimates(run: Run) -> str | None:
    """A banner for joules that are no measurement; ``None`` where none are estimated.

    ``ESTIMATED, small scale: these are not joules of a GPU; they are estimated by CodeCarbon …``.
    """
    number, meter = sum(result.status == "estimated" for result in run.benchmarks), run.run.meter
    if not number and not (meter and meter.estimated):
        return None
    scale = f", {run.run.settings['scale']} scale" if "scale" in run.run.settings else ""
    of_all = f" ({number} of {len(run.benchmarks)})" if 0 < number < len(run.benchmarks) else ""
    model = METERS.get(meter.name, meter.name) if meter and meter.estimated else "a meter"
    return (
        f"ESTIMATED{of_all}{scale}: these are not joules of a GPU; they are estimated by {model}"
        " from a model of the hardware"
    )


WHAT_TO_MEASURE_WITH: Final = (
    "to measure instead of estimating: a GPU with its driver, or a processor with readable RAPL"
    " counters; pytest-energy doctor says what is missing here"
)
"""The next step after a run of estimates."""


def skipped(run: Run) -> list[tuple[str, int]]:
    """The reasons of skipped tests, each with the number of tests, the most frequent first."""
    reasons = Counter(test.reason.removeprefix("skipped: ") for test in skipped_tests(run))
    return reasons.most_common()


def simulated(run: Run) -> str | None:
    """A warning that joules are those of simulated devices; ``None`` for real ones."""
    machines = [run.environment, *(each.measured_in(run.environment) for each in run.benchmarks)]
    if not any(is_simulated(machine.identity) for machine in machines):
        return None
    return "the GPUs are simulated: no device used these joules"
