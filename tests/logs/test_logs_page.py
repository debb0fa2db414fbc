"""The page on logs is complete, and its commands are accepted."""

from __future__ import annotations

import argparse
import random
import re
import shlex
from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.cli.import_ import configure
from pytest_energy.logs.formats import FORMATS
from pytest_energy.model.json_files import save_run
from pytest_energy.model.measurement import Environment, Measurement, Quantity, Round
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, RunInfo, Verdict

PAGE = (Path(__file__).parents[2] / "docs" / "logs.md").read_text("utf-8")
COMMANDS = re.findall(r"^\$ pytest-energy import (.*)$", PAGE, re.M)


def parser() -> argparse.ArgumentParser:
    """The command's own arguments."""
    arguments = argparse.ArgumentParser(exit_on_error=False)
    configure(arguments)
    return arguments


def test_every_option_is_on_the_page() -> None:
    """No option goes without its line."""
    options = {option for action in parser()._actions for option in action.option_strings}
    missing = {option for option in options - {"-h", "--help"} if f"`{option}" not in PAGE}
    assert missing == set()


def test_every_format_is_on_the_page() -> None:
    """Each format has a row that says how to log it."""
    assert {name for name in FORMATS if f"\n| `{name}` |" not in PAGE} == set()


TABLES = {
    "--power-column P": ("time,P", "{epoch},100"),
    "--energy-column total": ("time,total", "{epoch},{kwh:.9f}"),
    "--energy-per-row": ("", "{second}.0,100.00,Joules,power/energy-pkg/,1001,100.00,,"),
}
"""By words of a command, the header and the rows of a log of 100 W in 60 s."""


@pytest.mark.parametrize("words", TABLES)
def test_the_commands_for_any_table_read_it(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has the columns that it names, and gives the energy of a constant power."""
    (command,) = (command for command in COMMANDS if words in command)
    header, row = TABLES[words]
    rows = [
        row.format(second=second, epoch=START + second, kwh=5 + 100 * second / 3.6e6)
        for second in range(1, 62)
    ]
    monkeypatch.chdir(tmp_path)
    Path(command.split()[0]).write_text("\n".join([*([header] if header else []), *rows, ""]))

    assert main(["import", *shlex.split(command)]) == 0

    kj = float(re.search(r"measured, ([\d.]+)", capsys.readouterr().out)[1])  # type: ignore[index]
    assert kj == pytest.approx(6.1 if "per-row" in words else 6.0, abs=0.01)


def test_each_command_of_the_page_runs() -> None:
    """The tests of this module run them all."""
    assert len(COMMANDS) == len(TABLES) + len(("train.csv", "--over"))


def test_the_first_example_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log on the page gives the lines on the page."""
    log, command, printed = re.search(
        r"^\$ cat train\.csv\n(.*?)^\$ pytest-energy (.*?)\n(.*?)^```", PAGE, re.M | re.S
    ).groups()  # type: ignore[union-attr]
    (tmp_path / "train.csv").write_text(log, "utf-8")
    monkeypatch.chdir(tmp_path)

    assert main(shlex.split(command)) == 0

    assert capsys.readouterr().out == printed


def test_the_comparison_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lines on the page are those of a wattmeter over the results of four benchmarks."""
    command, printed = re.search(
        r"^\$ pytest-energy (import wall\.csv [^\n]*--over \S+)\n(.*?)^```", PAGE, re.M | re.S
    ).groups()  # type: ignore[union-attr]
    ours = {"linear": 92.4, "conv": 141.8, "attention": 150.3, "training": 262.0}
    wall_w = (139.7, 216.5, 211.2, 371.9)
    draw = random.Random(0)
    monkeypatch.chdir(tmp_path)
    save_run(run_of(ours), Path(".energy/results.json"))
    rows = [
        f"{START + 60 * place + second},{watts + draw.uniform(-3, 3):.1f}"
        for place, watts in enumerate(wall_w)
        for second in range(60)
    ]
    Path("wall.csv").write_text("\n".join(["time,power [W]", *rows, ""]), "utf-8")

    assert main(shlex.split(command)) == 0

    assert capsys.readouterr().out == printed


START = 1_700_000_000.0


def run_of(watts: dict[str, float]) -> Run:
    """Results of benchmarks a minute apart, with one round of 40 s each."""
    results = [
        Result.of(
            Measurement(
                id=f"test_models.py::test_{name}",
                kind="inference",
                workload={},
                status="measured",
                metrics={"energy_j": Quantity(value=power_w / 5, unit="J/pass")},
                rounds=[
                    Round(
                        start=START + 60 * place + 10,
                        duration_s=40,
                        passes=200,
                        energy_j=40 * power_w,
                    )
                ],
            ),
            Verdict(outcome=Outcome.NEW),
        )
        for place, (name, power_w) in enumerate(watts.items())
    ]
    return Run(
        created="2023-11-14T22:20:00Z",
        environment=Environment(),
        run=RunInfo(),
        benchmarks=results,
    )
