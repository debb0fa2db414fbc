"""What a comparison in alternation can tell apart, in the terminal and by the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.model.comparison import Against, Block, Comparison
from pytest_energy.model.json_files import save_run
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Run, Verdict
from pytest_energy.report.text.terminal import summary_lines
from pytest_energy.session.journal import Entry, Journal
from tests.gate_data import measurement, run_of


def compared(test: str, rise: float) -> Result:
    """A benchmark of a tree against itself."""
    metric = MetricVerdict(metric="energy_j", outcome=Outcome.UNCHANGED, tolerance=0.05)
    verdict = Verdict(outcome=Outcome.UNCHANGED, metrics=[metric])
    blocks = [
        Block(number=number, first="base", differences={"energy_j": difference})
        for number, difference in ((1, 0.01), (2, -0.01))
    ]
    comparison = Comparison(
        reference="self", seed=1, blocks=blocks, visible={"energy_j": rise}, visible_blocks=12
    )
    return Result.of(measurement(1.0, f"t.py::{test}"), verdict, comparison)


def qualified(*results: Result, reference: str = "self") -> Run:
    """A run that compared a tree with this reference."""
    run = run_of(*results)
    against = Against(reference=reference, seed=1, blocks=2)
    return run.model_copy(update={"run": run.run.model_copy(update={"against": against})})


def test_a_machine_is_qualified_in_the_summary() -> None:
    """The least sensitive benchmark comes first."""
    run = qualified(compared("test_calm", 0.061), compared("test_noisy", 0.094))
    lines = [line.text for line in summary_lines(run, 100)]
    begin = lines.index("smallest rises that are called regressed here, with a probability of 95 %")
    rows = [" ".join(line.split()) for line in lines[begin + 2 : begin + 4]]
    assert rows == [
        "test_noisy Energy 1.4 % 5.0 % +9.4 % 12",
        "test_calm Energy 1.4 % 5.0 % +6.1 % 12",
    ]


def test_a_long_list_is_cut_and_says_so() -> None:
    """The others are shown by the command."""
    run = qualified(*(compared(f"test_{number}", 0.06) for number in range(13)))
    assert any("and 3 more: pytest-energy sensitivity" in x.text for x in summary_lines(run, 100))


def test_two_revisions_are_not_listed_in_the_summary() -> None:
    """There the verdicts are asked for; the command shows it all the same."""
    run = qualified(compared("test_calm", 0.061), reference="main")
    assert not any("smallest rises" in line.text for line in summary_lines(run, 100))


def test_the_command_shows_what_a_run_can_tell_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All benchmarks of results.json."""
    path = tmp_path / "results.json"
    save_run(qualified(*(compared(f"test_{n}", 0.06 + n / 100) for n in range(13))), path)
    assert main(["sensitivity", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 14
    assert lines[1].startswith("test_12 ")


def test_the_command_refuses_a_run_without_blocks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the file and the option that measures blocks."""
    path = tmp_path / "results.json"
    save_run(run_of(), path)
    assert main(["sensitivity", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert "--energy-against=self" in error


@pytest.mark.parametrize("killed", [False, True])
def test_without_results_the_command_shows_the_last_comparison(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    killed: bool,
) -> None:
    """Also that of a session that was killed, which has left a journal."""
    monkeypatch.chdir(tmp_path)
    path = Path(".energy/results.json")
    path.parent.mkdir()
    run = qualified(compared("test_calm", 0.061))
    if killed:
        head = run.model_copy(update={"benchmarks": []})
        Journal(path).write(Entry(result=run.benchmarks[0]), lambda: head)
    else:
        save_run(run, path)
    assert main(["sensitivity"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"The comparison in {path}, by its blocks:"
    assert lines[2].startswith("test_calm ")


def test_without_results_and_baselines_the_command_says_how_to_record_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No last run is no fault."""
    monkeypatch.chdir(tmp_path)
    assert main(["sensitivity"]) == 0
    assert "no energy baselines in baselines; record some" in capsys.readouterr().out
