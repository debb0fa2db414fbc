"""What a command says about a file that it cannot open."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.cli import main

COMMANDS = ("baseline diff", "baseline accept", "history add", "import", "merge", "report")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["missing.json", "folder", "file/results.json"])
def test_a_file_that_cannot_be_opened_is_named_first(
    command: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line on stderr: the command, the file as it was given, and what is wrong with it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    faults = {
        "missing.json": "there is no such file; check the path",
        "folder": "this is a folder; name a file in it",
        "file/results.json": "a part of the path is a file, not a folder",
    }

    assert main([*command.split(), name]) == 2

    shown = command if command == "history add" else command.split()[0]
    errors = capsys.readouterr().err
    assert errors == f"pytest-energy {shown}: error: {name}: {faults[name]}\n"
