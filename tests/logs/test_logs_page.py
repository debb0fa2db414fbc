"""The page on logs is complete, and its commands are accepted."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.cli.import_ import configure
from pytest_energy.logs.formats import FORMATS

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


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_are_accepted(command: str) -> None:
    """The arguments of each example are those of the command."""
    arguments = parser().parse_args(shlex.split(command))
    assert arguments.log.suffix == ".csv"
    assert len(COMMANDS) > 4


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
