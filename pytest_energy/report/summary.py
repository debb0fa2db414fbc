"""What a run comes to, in words: the verdict sentence, the counts, the worst and the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_energy.model.metrics import ENERGIES, metric
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Run
from pytest_energy.report.numbers import MISSING, percent, tolerance

PASSED = "Gate passed"
NOTHING_COMPARED = "Nothing compared"


@dataclass(frozen=True)
class Headline:
    """The verdict on a run."""

    symbol: str
    title: str
    """``Gate failed``, ``Gate passed``, ``Nothing compared``, …"""
    text: str
    failed: bool

    def __str__(self) -> str:
        return f"{self.title}: {self.text}"


@dataclass(frozen=True)
class Standout:
    """A benchmark that changed for the worse or the better, and why."""

    result: Result
    verdict: MetricVerdict
    cause: str


def counts(run: Run) -> dict[Outcome, int]:
    """How many benchmarks ended how; outcomes in their order, absent ones left out."""
    found = Counter(result.verdict.outcome for result in run.benchmarks)
    return {outcome: found[outcome] for outcome in Outcome if found[outcome]}


def headline(run: Run) -> Headline:
    """The verdict in one sentence."""
    if not run.benchmarks:
        return Headline("∅", "Nothing measured", "the run holds no benchmarks.", failed=False)
    failing = [result for result in run.benchmarks if result.verdict.fails]
    ending = "" if run.run.complete else " The run did not finish; this is what was done."
    if accepted := sum(result.verdict.accepted for result in run.benchmarks):
        ending = f" Accepted as baseline: {_plural(accepted)}.{ending}"
    if failing:
        return Headline("✗", "Gate failed", _failure(failing, run) + ending, failed=True)
    title, text = _success(run)
    if not run.run.complete:
        return Headline("∅", "Incomplete", text + ending, failed=False)
    return Headline("✓" if title == PASSED else "∅", title, text + ending, failed=False)


def _failure(failing: Sequence[Result], run: Run) -> str:
    total = len(run.benchmarks)
    regressed = [result for result in failing if result.verdict.outcome is Outcome.REGRESSED]
    deciding = [one for one in map(deciding_metric, regressed) if one]
    if len(deciding) == len(failing) and all(one.metric in ENERGIES for one in deciding):
        uses = "uses" if len(failing) == 1 else "use"
        return (
            f"{_of(len(failing), total)} {uses} more energy than the baseline {_beyond(deciding)}."
        )
    return f"{_of(len(failing), total)} failed ({_kinds(failing)})."


def _kinds(failing: Iterable[Result]) -> str:
    found: Counter[str] = Counter()
    for result in failing:
        worst = deciding_metric(result)
        regressed = result.verdict.outcome is Outcome.REGRESSED and worst
        what = f"{metric(worst.metric).label} " if regressed and worst else ""
        found[f"{what}{result.verdict.outcome}"] += 1
    return ", ".join(f"{number} {what}" for what, number in found.items())


def _success(run: Run) -> tuple[str, str]:
    found, total = counts(run), len(run.benchmarks)
    by_joules, compared = joules_compared(run), sum(map(_was_compared, run.benchmarks))
    if not compared:
        return (
            NOTHING_COMPARED,
            f"of {_plural(total)} none could be compared ({_listed(found)}).",
        )
    judged = [
        v for result in run.benchmarks for v in result.verdict.metrics if v.metric in ENERGIES
    ]
    regressed = found.get(Outcome.REGRESSED, 0)
    if regressed:
        text = f"{_of(regressed, total)} regressed, which the policy in force lets pass"
    elif by_joules:
        text = f"none of {_plural(by_joules)} compared uses more energy {_beyond(judged)}"
    else:
        text = f"{_plural(compared)} compared by exact facts, no joules"
    others = {outcome: number for outcome, number in found.items() if outcome not in _FINE}
    return PASSED, f"{text} ({_listed(others)})." if others else f"{text}."


_FINE = frozenset({Outcome.UNCHANGED, Outcome.IMPROVED, Outcome.REGRESSED})


def joules_compared(run: Run) -> int:
    """Of how many benchmarks the joules were held against a baseline."""
    found = map(energy_verdict, run.benchmarks)
    return sum(verdict is not None and verdict.change is not None for verdict in found)


def _was_compared(result: Result) -> bool:
    """By its joules, or by counted facts, which a benchmark that is new here may have, too."""
    gated = (one for one in result.verdict.metrics if one.tolerance is not None)
    return any(one.change is not None or one.outcome in _FINE for one in gated)


def _of(number: int, total: int) -> str:
    return f"{number} of {_plural(total)}"


def _plural(number: int) -> str:
    return f"{number} benchmark{'' if number == 1 else 's'}"


def _beyond(verdicts: Iterable[MetricVerdict]) -> str:
    limits = {verdict.tolerance for verdict in verdicts if verdict.tolerance is not None}
    return f"beyond {tolerance(limits.pop())}" if len(limits) == 1 else "beyond the tolerance"


def _listed(found: dict[Outcome, int]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in found.items())


def deciding_metric(result: Result) -> MetricVerdict | None:
    """The metric behind the outcome: of those with it the first energy, else the largest change.

    Metrics without a tolerance are told, and decide nothing.
    """
    outcome = result.verdict.outcome
    gated = [one for one in result.verdict.metrics if one.tolerance is not None]
    having = [one for one in gated if one.outcome is outcome]
    energies = [one for one in having if one.metric in ENERGIES]
    return next(iter(energies), None) or max(having, key=_size, default=None)


def energy_verdict(result: Result) -> MetricVerdict | None:
    """The verdict on joules: a pass, or of the full schedule where that is what there is."""
    found = {verdict.metric: verdict for verdict in result.verdict.metrics}
    return next((found[name] for name in ENERGIES if name in found), None)


def _size(verdict: MetricVerdict) -> float:
    return abs(verdict.change or 0.0)


def worst(run: Run, most: int = 5) -> list[Standout]:
    """The regressed ones, largest change first."""
    return _standouts(run, Outcome.REGRESSED, most)


def best(run: Run, most: int = 5) -> list[Standout]:
    """The improved ones, largest change first."""
    return _standouts(run, Outcome.IMPROVED, most)


def _standouts(run: Run, outcome: Outcome, most: int) -> list[Standout]:
    pairs = [(r, deciding_metric(r)) for r in run.benchmarks if r.verdict.outcome is outcome]
    found = [Standout(result, verdict, cause(result)) for result, verdict in pairs if verdict]
    return sorted(found, key=lambda one: _size(one.verdict), reverse=True)[:most]


def cause(result: Result) -> str:
    """The likely cause of a change in energy: what the gate says, else power × time."""
    if result.verdict.cause:
        return result.verdict.cause
    found = {verdict.metric: verdict.change for verdict in result.verdict.metrics}
    power, time = found.get("power_w"), found.get("latency_s")
    if power is None and time is None:
        return MISSING
    return f"mean power {percent(power)} × time {percent(time)}"
