"""A run in words: the verdict in one sentence, the counts, the largest rises and falls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from pytest_energy.model.environment import slug
from pytest_energy.model.measurement import test_of
from pytest_energy.model.metrics import ENERGIES, LATENCY
from pytest_energy.model.outcomes import FAILING_BY_DEFAULT, Outcome
from pytest_energy.model.result import MetricVerdict, Result, Run, UnpassedTest
from pytest_energy.report.labels import in_a_sentence
from pytest_energy.report.numbers import MISSING, counted, percent, tolerance

PASSED = "Gate passed"
NOTHING_COMPARED = "Nothing compared"
FACTS: Final = "facts"
"""The folder of exact metrics, which hold on any machine."""
TESTS_FAILED: Final = 1
"""pytest's exit status if a test has failed, or a plugin says that the session has."""


@dataclass(frozen=True)
class Headline:
    """The verdict on a run."""

    symbol: str
    title: str
    """``Gate failed``, ``Gate passed``, ``1 test failed``, ``Nothing compared``, …"""
    text: str
    failed: bool
    mark: str = ":"
    """What stands between title and text."""

    def __str__(self) -> str:
        return f"{self.title}{self.mark} {self.text}"


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
    """The verdict on the whole run in one sentence, with what was not measured or not run.

    It says that the run has failed if, and only if, pytest does.
    """
    failing = failing_results(run)
    whole = [*([_failure(failing, run)] if failing else []), *run.run.failures]
    tests = failed_tests(run)
    if whole:
        also = f" Also: {_tests(tests)}." if tests else ""
        sentences = " ".join(f"{each.removesuffix('.')}." for each in whole)
        return Headline("✗", "Gate failed", sentences + also + _ending(run), failed=True)
    if tests:
        text = f"{_energies_beside(run)}.{_ending(run)}"
        return Headline("✗", _tests(tests), text, failed=True, mark=";")
    if run.run.exit_status == TESTS_FAILED:
        text = f"no test did, so another plugin failed the session; {_energies_beside(run)}."
        return Headline("✗", "pytest failed", text + _ending(run), failed=True)
    return _without_failure(run)


def _without_failure(run: Run) -> Headline:
    judged = run.model_copy(update={"benchmarks": _not_expected_to_fail(run)})
    if not judged.benchmarks:
        text = f"the run holds no benchmarks.{_ending(run)}"
        return Headline("∅", "Nothing measured", text, failed=False)
    title, text = _success(judged)
    if not run.run.complete:
        return Headline("∅", "Incomplete", text + _ending(run), failed=False)
    if title != PASSED and (accepted := _accepted(run)) == len(judged.benchmarks):
        symbol = "≈" if estimated(run) else "✓"
        text = f"commit {baseline_folder(run)}.{_ending(run, recorded=False)}"
        return Headline(symbol, _recorded(accepted), text, failed=False, mark=";")
    text += _ending(run)
    if title == PASSED and estimated(run):
        return Headline("≈", "Estimates only", text, failed=False)
    return Headline("✓" if title == PASSED else "∅", title, text, failed=False)


def _not_expected_to_fail(run: Run) -> list[Result]:
    expected = {test.id for test in run.run.unpassed if test.outcome == "xfailed"}
    if not expected:
        return run.benchmarks
    return [each for each in run.benchmarks if expected.isdisjoint((each.id, test_id(each)))]


def _accepted(run: Run) -> int:
    return sum(result.verdict.accepted for result in run.benchmarks)


def _recorded(number: int) -> str:
    return f"Recorded {counted(number, 'baseline')}"


def baseline_folder(run: Run) -> str:
    """The folder of the baselines that a run has written, as its paths give it: ``baselines/``."""
    machines = {slug(run.environment.identity), FACTS}
    machines |= {slug(each.measured_in(run.environment).identity) for each in run.benchmarks}
    for path in map(PurePath, run.run.accepted):
        for folder in path.parents:
            if folder.name in machines:
                return f"{folder.parent}/"
    return "them"


def failing_results(run: Run) -> list[Result]:
    """The benchmarks that fail the run: not those of tests that are expected to fail."""
    return [result for result in _not_expected_to_fail(run) if result.verdict.fails]


def failed_tests(run: Run) -> list[UnpassedTest]:
    """The tests that failed for a reason of their own."""
    return [test for test in run.run.unpassed if test.failed]


def skipped_tests(run: Run) -> list[UnpassedTest]:
    """The tests that were skipped."""
    return [test for test in run.run.unpassed if test.outcome == "skipped"]


def test_id(result: Result) -> str:
    """The test's node id, without the name of a window or candidate in it."""
    return test_of(result.id, result.kind)


def _tests(tests: Sequence[UnpassedTest]) -> str:
    """``2 tests failed, 1 error``: an error is a failure outside the test's body."""
    failed = sum(test.outcome == "failed" for test in tests)
    errors = len(tests) - failed
    texts = [f"{counted(failed, 'test')} failed"] if failed else []
    texts += [counted(errors, "error")] if errors else []
    return ", ".join(texts)


def _energies_beside(run: Run) -> str:
    """``energy within tolerance (12), improved (2)``: what the other tests have measured."""
    others: dict[Outcome, int] = {
        outcome: number
        for outcome, number in counts(run).items()
        if outcome not in (Outcome.TEST_FAILED, Outcome.INVALID)
    }
    if not others:
        return "no other benchmark was measured"
    if not joules_compared(run):
        return f"no joules were compared ({_listed(others)})"
    listed = ", ".join(f"{outcome.label} ({number})" for outcome, number in others.items())
    kind = "estimate" if estimated(run) else "energy"
    return f"{kind} {listed}"


def _ending(run: Run, *, recorded: bool = True) -> str:
    """What a reader of the verdict must know of the rest: each a sentence of its own."""
    sentences = []
    if recorded and (accepted := _accepted(run)):
        sentences.append(f"{_recorded(accepted)}; commit {baseline_folder(run)}")
    if invalid := counts(run).get(Outcome.INVALID):
        sentences.append(_could_not_measure(invalid, run))
    if run.run.uncompared and not run.run.failures:
        sentences.append(not_compared(run))
    if skipped := len(skipped_tests(run)):
        sentences.append(f"{skipped} test{' was' if skipped == 1 else 's were'} skipped")
    if expected := sum(test.outcome == "xfailed" for test in run.run.unpassed):
        sentences.append(f"{counted(expected, 'test')} failed as expected")
    if not run.run.complete:
        sentences.append("The run did not finish; later benchmarks are missing")
    return "".join(f" {sentence}." for sentence in sentences)


def _could_not_measure(invalid: int, run: Run) -> str:
    text = f"{_benchmarks(invalid)} could not be measured"
    if failing_results(run) or run.run.failures or run.run.exit_status == TESTS_FAILED:
        return text  # the run has failed already, so the advice would only distract
    # What fails today is to fail with the advice, too.
    failing = run.run.settings.get("fail_on", ",".join(FAILING_BY_DEFAULT))
    option = f'--energy-fail-on="{failing},{Outcome.INVALID}"'
    return f"{text}; in CI {option} would fail {'it' if invalid == 1 else 'them'}"


def estimated(run: Run) -> bool:
    """Whether all joules of a run are estimates."""
    with_joules = [result for result in run.benchmarks if result.has_joules]
    return bool(with_joules) and all(result.status == "estimated" for result in with_joules)


def not_compared(run: Run) -> str:
    """``2 baselines were not compared``."""
    count = len(run.run.uncompared)
    return f"{count} baseline{' was' if count == 1 else 's were'} not compared"


def _failure(failing: Sequence[Result], run: Run) -> str:
    share = _share(len(failing), len(run.benchmarks))
    regressed = [result for result in failing if result.verdict.outcome is Outcome.REGRESSED]
    verdicts = [verdict for verdict in map(deciding_metric, regressed) if verdict]
    if len(verdicts) < len(failing) or any(v.metric not in ENERGIES for v in verdicts):
        return f"{share} {_how_it_failed(failing)}."
    exceeds = "exceeds its baseline" if len(failing) == 1 else "exceed their baselines"
    if against := failing[0].comparison:
        exceeds = f"{'exceeds' if len(failing) == 1 else 'exceed'} {against.label}"
    return f"{share} {exceeds} by more than {_limit(verdicts)}."


FAILED_BY: Final = {
    Outcome.NEW: ("has no baseline", "have no baseline"),
    Outcome.INCONCLUSIVE: ("is undecided", "are undecided"),
    Outcome.OVER_BUDGET: ("is over its budget", "are over their budgets"),
    Outcome.INCOMPARABLE: (
        "is not comparable with its baseline",
        "are not comparable with their baselines",
    ),
}
"""What is said of one benchmark, or of several, that fail the run by the same outcome."""


def _how_it_failed(failing: Sequence[Result]) -> str:
    outcomes = {result.verdict.outcome for result in failing}
    if len(outcomes) == 1 and (words := FAILED_BY.get(*outcomes)):
        return words[len(failing) > 1]
    kinds = _kinds(failing)
    (kind,) = kinds if len(kinds) == 1 else ("",)
    return kind if kind.startswith(f"{Outcome.REGRESSED} in") else f"failed ({_listed(kinds)})"


def _kinds(failing: Iterable[Result]) -> Counter[str]:
    """By kind, the number: ``regressed in energy``, ``invalid``."""
    numbers: Counter[str] = Counter()
    for result in failing:
        decisive = deciding_metric(result)
        regressed = result.verdict.outcome is Outcome.REGRESSED and decisive
        label = f" in {in_a_sentence(decisive.metric)}" if regressed and decisive else ""
        numbers[f"{result.verdict.outcome}{label}"] += 1
    return numbers


def _success(run: Run) -> tuple[str, str]:
    """Title and text where nothing fails."""
    by_outcome, total = counts(run), len(run.benchmarks)
    compared = sum(map(_was_compared, run.benchmarks))
    # The end of the sentence counts those that could not be measured.
    others: Counter[Outcome] = Counter(
        result.verdict.outcome
        for result in run.benchmarks
        if not result.verdict.outcome.traits.decided
        and result.verdict.outcome is not Outcome.INVALID
    )
    if not compared:
        listed = f" ({_listed(others)})" if others else ""
        none = f"none of {_benchmarks(total)} could" if total > 1 else "the benchmark could not"
        return NOTHING_COMPARED, f"{none} be compared{listed}."
    if regressed := by_outcome.get(Outcome.REGRESSED, 0):
        text = f"{_share(regressed, total)} regressed, which the policy allows"
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
    all_are = f"{_all(total)}{compared} {'is' if total == 1 else 'are'}"
    if within == total:
        return f"{all_are} within {limit}"
    if undecided == total:
        return f"{all_are} undecided"
    if improved == total:
        return f"{_all(total)}{compared} improved by more than {limit}"
    are = "is" if within == 1 or total == 1 else "are"
    parts = [f"{within} of {_benchmarks(total)}{compared} {are} within {limit}"]
    parts += [f"{improved} improved"] if improved else []
    parts += [f"{undecided} {'is' if undecided == 1 else 'are'} undecided"] if undecided else []
    return ", ".join(parts)


def _compared_energies(run: Run) -> list[MetricVerdict]:
    usable = [each for each in run.benchmarks if each.verdict.outcome is not Outcome.TEST_FAILED]
    verdicts = map(energy_verdict, usable)
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
    return counted(number, "benchmark")


def _all(number: int) -> str:
    return {1: "the benchmark", 2: "both benchmarks"}.get(number, f"all {number} benchmarks")


def _share(number: int, total: int) -> str:
    """``3 of 10 benchmarks``, ``both benchmarks``."""
    return _all(total) if number == total else f"{number} of {_benchmarks(total)}"


def _limit(verdicts: Iterable[MetricVerdict]) -> str:
    """``5 %``, or words where the benchmarks have several tolerances."""
    limits = {verdict.tolerance for verdict in verdicts if verdict.tolerance is not None}
    return tolerance(limits.pop()) if len(limits) == 1 else "the tolerance"


def counted_outcome(outcome: Outcome, number: int) -> str:
    """``2 regressed``, ``2 tests failed``."""
    if outcome is Outcome.TEST_FAILED:
        return f"{counted(number, 'test')} failed"
    return f"{number} {outcome.label}"


def _listed(numbers: Mapping[Outcome, int] | Mapping[str, int]) -> str:
    return ", ".join(
        counted_outcome(name, number) if isinstance(name, Outcome) else f"{number} {name}"
        for name, number in numbers.items()
    )


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
    if result.verdict.cause or result.comparison:  # blocks tell whether power and time are known
        return result.verdict.cause or MISSING
    changes = {verdict.metric: verdict.change for verdict in result.verdict.metrics}
    power, time = changes.get("power_w"), changes.get("latency_s")
    if power is None and time is None:
        return MISSING
    return f"mean power {percent(power)} × time {percent(time)}"
