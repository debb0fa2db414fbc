"""A run in words: the verdict in one sentence, the counts, the largest rises and falls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_energy.model.metrics import ENERGIES, LATENCY, metric
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
    """A benchmark that became worse or better, and why."""

    result: Result
    verdict: MetricVerdict
    cause: str


def counts(run: Run) -> dict[Outcome, int]:
    """The number of benchmarks by outcome, without outcomes that no benchmark has."""
    numbers = Counter(result.verdict.outcome for result in run.benchmarks)
    return {outcome: numbers[outcome] for outcome in Outcome if numbers[outcome]}


def headline(run: Run) -> Headline:
    """The verdict in one sentence."""
    if not run.benchmarks:
        return _nothing_measured(run)
    failing = [result for result in run.benchmarks if result.verdict.fails]
    ending = "" if run.run.complete else " The run did not finish; later benchmarks are missing."
    if run.run.uncompared and not run.run.failures:
        ending = f" {not_compared(run)}.{ending}"
    if accepted := sum(result.verdict.accepted for result in run.benchmarks):
        ending = f" Accepted as baseline: {_benchmarks(accepted)}.{ending}"
    whole = "".join(f" {failure}." for failure in run.run.failures)
    if failing:
        text = _failure(failing, run) + whole + ending
        return Headline("✗", "Gate failed", text, failed=True)
    if whole:
        return Headline("✗", "Gate failed", whole.strip() + ending, failed=True)
    title, text = _success(run)
    if not run.run.complete:
        return Headline("∅", "Incomplete", text + ending, failed=False)
    return Headline("✓" if title == PASSED else "∅", title, text + ending, failed=False)


def _nothing_measured(run: Run) -> Headline:
    failures = "".join(f" {failure}." for failure in run.run.failures)
    missing = f" {not_compared(run)}." if run.run.uncompared and not failures else ""
    text = f"the run holds no benchmarks.{missing}{failures}"
    symbol, title = ("✗", "Gate failed") if failures else ("∅", "Nothing measured")
    return Headline(symbol, title, text, failed=bool(failures))


def not_compared(run: Run) -> str:
    """``2 baselines were not compared``."""
    count = len(run.run.uncompared)
    return f"{count} baseline{' was' if count == 1 else 's were'} not compared"


def _failure(failing: Sequence[Result], run: Run) -> str:
    share = f"{len(failing)} of {_benchmarks(len(run.benchmarks))}"
    regressed = [result for result in failing if result.verdict.outcome is Outcome.REGRESSED]
    verdicts = [verdict for verdict in map(deciding_metric, regressed) if verdict]
    if len(verdicts) < len(failing) or any(v.metric not in ENERGIES for v in verdicts):
        return f"{share} failed ({_kinds(failing)})."
    exceeds = "exceeds its baseline" if len(failing) == 1 else "exceed their baselines"
    if against := failing[0].comparison:
        exceeds = f"{'exceeds' if len(failing) == 1 else 'exceed'} {against.label}"
    return f"{share} {exceeds} by more than {_limit(verdicts)}."


def _kinds(failing: Iterable[Result]) -> str:
    """``2 Energy regressed, 1 invalid``."""
    numbers: Counter[str] = Counter()
    for result in failing:
        decisive = deciding_metric(result)
        regressed = result.verdict.outcome is Outcome.REGRESSED and decisive
        label = f"{metric(decisive.metric).label} " if regressed and decisive else ""
        numbers[f"{label}{result.verdict.outcome}"] += 1
    return _listed(numbers)


def _success(run: Run) -> tuple[str, str]:
    """Title and text where nothing fails."""
    by_outcome, total = counts(run), len(run.benchmarks)
    compared = sum(map(_was_compared, run.benchmarks))
    if not compared:
        text = f"none of {_benchmarks(total)} could be compared ({_listed(by_outcome)})."
        return NOTHING_COMPARED, text
    others = Counter({o: n for o, n in by_outcome.items() if not o.traits.decided})
    if regressed := by_outcome.get(Outcome.REGRESSED, 0):
        text = f"{regressed} of {_benchmarks(total)} regressed, which the policy allows"
    elif joules_compared(run):
        text = _energies(run)
        # The sentence about the energies counts these already.
        others[Outcome.INCONCLUSIVE] -= len(_undecided(run))
    else:
        text = f"exact metrics match in {_benchmarks(compared)}; no joules were compared"
        if Outcome.IMPROVED in by_outcome:
            text = f"{_benchmarks(compared)} compared by exact metrics; no joules were compared"
        if latencies := _latencies(run):
            compared_by = f"{_benchmarks(len(latencies))} compared by time alone"
            text = f"{compared_by}: none is slower by more than {_limit(latencies)}"
    listed = _listed(+others)  # unary plus drops counts of zero
    return PASSED, f"{text} ({listed})." if listed else f"{text}."


def _energies(run: Run) -> str:
    """How the energies compare with their baselines, where none of them regressed.

    Within the tolerance are those whose whole interval is; undecided ones are counted apart.
    """
    verdicts = _compared_energies(run)
    limit, total = _limit(verdicts), len(verdicts)
    within = sum(verdict.outcome is Outcome.UNCHANGED for verdict in verdicts)
    improved = sum(verdict.outcome is Outcome.IMPROVED for verdict in verdicts)
    undecided = total - within - improved
    compared = " compared" if total < len(run.benchmarks) else ""
    if within == total:
        return f"{_all(total)}{compared} {'is' if total == 1 else 'are'} within {limit}"
    if improved == total:
        return f"{_all(total)}{compared} improved by more than {limit}"
    are = "is" if within == 1 or total == 1 else "are"
    parts = [f"{within} of {_benchmarks(total)}{compared} {are} within {limit}"]
    parts += [f"{improved} improved"] if improved else []
    parts += [f"{undecided} {'is' if undecided == 1 else 'are'} undecided"] if undecided else []
    return ", ".join(parts)


def _compared_energies(run: Run) -> list[MetricVerdict]:
    verdicts = map(energy_verdict, run.benchmarks)
    return [verdict for verdict in verdicts if verdict and verdict.change is not None]


def _undecided(run: Run) -> list[Result]:
    """The inconclusive benchmarks whose energy was compared and not decided."""
    inconclusive = [r for r in run.benchmarks if r.verdict.outcome is Outcome.INCONCLUSIVE]
    verdicts = [(result, energy_verdict(result)) for result in inconclusive]
    return [r for r, v in verdicts if v and v.change is not None and not v.outcome.traits.decided]


def _latencies(run: Run) -> list[MetricVerdict]:
    """The gated latencies that a comparison with another revision decided."""
    return [
        verdict
        for result in run.benchmarks
        if result.comparison
        for verdict in result.verdict.gated
        if verdict.metric == LATENCY and verdict.outcome.traits.decided
    ]


def joules_compared(run: Run) -> int:
    """The number of benchmarks whose joules were compared with a baseline."""
    return len(_compared_energies(run))


def _was_compared(result: Result) -> bool:
    """By joules or by exact metrics; a benchmark without baseline may have the latter, too."""
    return any(
        verdict.change is not None or verdict.outcome.traits.decided
        for verdict in result.verdict.gated
    )


def _benchmarks(number: int) -> str:
    return f"{number} benchmark{'' if number == 1 else 's'}"


def _all(number: int) -> str:
    return {1: "the benchmark", 2: "both benchmarks"}.get(number, f"all {number} benchmarks")


def _limit(verdicts: Iterable[MetricVerdict]) -> str:
    """``5 %``, or words where the benchmarks have several tolerances."""
    limits = {verdict.tolerance for verdict in verdicts if verdict.tolerance is not None}
    return tolerance(limits.pop()) if len(limits) == 1 else "the tolerance"


def _listed(numbers: Mapping[Outcome, int] | Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in numbers.items())


def deciding_metric(result: Result) -> MetricVerdict | None:
    """The metric behind the outcome: an energy with this outcome, else the largest change.

    Metrics without a tolerance are reported, and decide nothing.
    """
    gated = result.verdict.gated
    decisive = [verdict for verdict in gated if verdict.outcome is result.verdict.outcome]
    energies = [verdict for verdict in decisive if verdict.metric in ENERGIES]
    return next(iter(energies), None) or max(decisive, key=_size, default=None)


def energy_verdict(result: Result) -> MetricVerdict | None:
    """The verdict on the joules of a pass, or of the full schedule where only that is known."""
    verdicts = {verdict.metric: verdict for verdict in result.verdict.metrics}
    return next((verdicts[name] for name in ENERGIES if name in verdicts), None)


def _size(verdict: MetricVerdict) -> float:
    return abs(verdict.change or 0.0)


def worst(run: Run, most: int = 5) -> list[Standout]:
    """The regressed ones, largest change first."""
    return _standouts(run, Outcome.REGRESSED, most)


def best(run: Run, most: int = 5) -> list[Standout]:
    """The improved ones, largest change first."""
    return _standouts(run, Outcome.IMPROVED, most)


def _standouts(run: Run, outcome: Outcome, most: int) -> list[Standout]:
    results = [result for result in run.benchmarks if result.verdict.outcome is outcome]
    pairs = [(result, deciding_metric(result)) for result in results]
    standouts = [Standout(result, verdict, cause(result)) for result, verdict in pairs if verdict]
    return sorted(standouts, key=lambda standout: _size(standout.verdict), reverse=True)[:most]


def cause(result: Result) -> str:
    """The likely cause of a change in energy: the gate's, or power × time."""
    if result.verdict.cause:
        return result.verdict.cause
    changes = {verdict.metric: verdict.change for verdict in result.verdict.metrics}
    power, time = changes.get("power_w"), changes.get("latency_s")
    if power is None and time is None:
        return MISSING
    return f"mean power {percent(power)} × time {percent(time)}"
