"""What a benchmark can see."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.gate.detectability import detectable, sensitivity
from tests.gate_data import TEST, store_with

STEADY = (1.0, 1.002, 0.998, 1.001, 0.999)
NOISY = (1.0, 1.05, 0.96, 1.04, 0.95)


def test_more_visits_see_smaller_changes(tmp_path: Path) -> None:
    """The last look of a schedule sees less than half of what the first one needs."""
    baseline = store_with(tmp_path, *STEADY).load(TEST, "nvidia-h200")
    assert baseline is not None
    assert detectable(baseline, 8) < detectable(baseline, 1)


def test_scatter_hides_changes(tmp_path: Path) -> None:
    """Where runs scatter by 4 %, a change of 3 % is not to be seen; where by 0.2 %, it is."""
    steady = store_with(tmp_path / "steady", *STEADY).load(TEST, "nvidia-h200")
    noisy = store_with(tmp_path / "noisy", *NOISY).load(TEST, "nvidia-h200")
    assert steady is not None
    assert noisy is not None
    seen, hidden = sensitivity(steady, 0.03), sensitivity(noisy, 0.03)
    assert seen is not None
    assert hidden is not None
    assert seen.rounds is not None
    assert seen.energy_j == pytest.approx(10 * seen.rounds)
    assert hidden.rounds is None
    assert hidden.last > 0.03


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a benchmark under its machine; without baselines it says how to record some."""
    folder = str(store_with(tmp_path, *STEADY).folder)
    assert main(["sensitivity", "--baselines", folder]) == 0
    out = capsys.readouterr().out
    assert out.startswith("nvidia-h200\n")
    assert f"\n{TEST} " in out
    assert main(["sensitivity", "--baselines", str(tmp_path / "none")]) == 0
    assert "pytest --energy --energy-update" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["-1", "0", "nan", "inf"])
def test_a_change_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """Only a rise of more than nothing can be seen."""
    folder = str(store_with(tmp_path, *STEADY).folder)
    assert main(["sensitivity", "--baselines", folder, f"--change={change}"]) == 2
    assert f"--change {change}: a number above 0 is expected" in capsys.readouterr().err
