"""A results file compared with an older one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.model.json_files import save_run
from pytest_energy.model.measurement import Environment
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run
from pytest_energy.report.comparison import Reference, compare, headline_against, newest

from .examples import ENVIRONMENT, MODELS, example_run, run_of, unmeasured_run

OLDER = example_run(MODELS[:2], ("baseline",), baseline=False, rounds=5).model_copy(
    update={"created": "2026-10-01T08:00:00Z"}
)
REFERENCE = Reference("main.json", OLDER)


def scaled(run: Run, factor: float) -> Run:
    """``run`` with all energies multiplied by a factor."""

    def more(result: Result) -> Result:
        energy = result.metrics["energy_j"]
        grown = energy.model_copy(update={"value": energy.value * factor})
        return result.model_copy(update={"metrics": {**result.metrics, "energy_j": grown}})

    return run.model_copy(update={"benchmarks": [more(result) for result in run.benchmarks]})


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [(1.5, Outcome.REGRESSED), (0.5, Outcome.IMPROVED), (1.045, Outcome.INCONCLUSIVE)],
)
def test_results_without_a_baseline_are_judged_against_the_older_file(
    factor: float, outcome: Outcome
) -> None:
    """The verdict is that of the gate, with change and interval, but no test fails."""
    for result in compare(scaled(OLDER, factor), REFERENCE).benchmarks:
        energy = result.verdict.metrics[0]
        assert (result.verdict.outcome, result.verdict.fails) == (outcome, False)
        assert energy.change == pytest.approx(factor - 1)
        assert energy.low is not None
        assert energy.high is not None
        assert energy.low < factor - 1 < energy.high
        assert "main.json (commit 3f2a91c0d4e5, 2026-10-01 08:00:00 UTC)" in result.verdict.notes[0]


def test_verdicts_of_the_gate_stay() -> None:
    """A benchmark with a committed baseline keeps the verdict of the gate."""
    run = example_run(MODELS[:2], ("baseline",))
    assert compare(run, REFERENCE) == run


def test_another_machine_is_incomparable_and_named() -> None:
    """Joules of an older file from another card are not compared."""
    identity = {**ENVIRONMENT.identity, "device": "NVIDIA A100"}
    elsewhere = OLDER.model_copy(update={"environment": Environment(identity=identity)})
    result = compare(OLDER, Reference("a100.json", elsewhere)).benchmarks[0]
    assert result.verdict.outcome is Outcome.INCOMPARABLE
    assert [difference.name for difference in result.verdict.differences] == ["identity.device"]


def test_facts_are_compared_without_a_meter() -> None:
    """More parameters are a regression on a machine without a meter, too."""
    now = unmeasured_run()
    first = now.benchmarks[0]
    params = first.metrics["params"]
    grown = params.model_copy(update={"value": params.value + 1})
    results = [first.model_copy(update={"metrics": {**first.metrics, "params": grown}})]
    compared = compare(run_of(results), Reference("old.json", now)).benchmarks[0]
    verdicts = {metric.metric: metric.outcome for metric in compared.verdict.metrics}
    assert verdicts["params"] is Outcome.REGRESSED
    assert verdicts["flops"] is Outcome.UNCHANGED


def test_a_benchmark_that_the_older_file_lacks_stays_new() -> None:
    """It has nothing to be compared with."""
    run = example_run(MODELS[:3], ("baseline",), baseline=False)
    outcomes = [result.verdict.outcome for result in compare(run, REFERENCE).benchmarks]
    assert outcomes == [Outcome.UNCHANGED, Outcome.UNCHANGED, Outcome.NEW]


def test_the_headline_names_the_file_and_claims_no_gate() -> None:
    """Without a gate the headline is neither passed nor failed; otherwise it is the gate's."""
    after = compare(scaled(OLDER, 1.5), REFERENCE)
    headline = headline_against(OLDER, after, REFERENCE)
    assert headline.title.startswith("Compared with main.json (commit 3f2a91c0d4e5")
    assert headline.text.startswith("2 regressed.")
    assert (headline.symbol, headline.failed) == ("▲", False)
    gated = example_run(MODELS[:2])
    assert headline_against(gated, gated, REFERENCE).title == "Gate failed"


def test_the_newest_file_is_the_reference() -> None:
    """The order of the files on the command line does not matter."""
    latest = Reference("new.json", OLDER.model_copy(update={"created": "2026-11-01T00:00:00Z"}))
    assert newest([latest, REFERENCE]) is latest
    assert newest([REFERENCE, latest]) is latest
    assert newest([]) is None


def test_command_compares_with_the_older_file(tmp_path: Path) -> None:
    """``pytest-energy report new.json old.json``: the page shows changes and names the file."""
    save_run(scaled(OLDER, 1.5), tmp_path / "new.json")
    save_run(OLDER, tmp_path / "old.json")
    assert main(["report", str(tmp_path / "new.json"), str(tmp_path / "old.json")]) == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Compared with old.json (commit 3f2a91c0d4e5, 2026-10-01 08:00:00 UTC)" in page
    assert "Change against the baseline" in page
    assert "+50" in page
