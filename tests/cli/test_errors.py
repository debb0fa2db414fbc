"""What a command says about a file that it cannot open."""

from __future__ import annotations

import os
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("import log.csv --output log.csv", "--output log.csv: this file is read"),
        ("import log.csv --output link.csv", "--output link.csv: this file is read"),
        ("report run.json -o run.json", "--output run.json: this file is read"),
        ("report new.json run.json --markdown run.json", "--markdown run.json: this file is read"),
        ("report run.json --markdown a --openmetrics ./a", "--markdown and --openmetrics both"),
    ],
)
def test_no_command_replaces_what_it_reads(
    command: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A log or results that were measured for hours are not lost by a slip of the keyboard."""
    monkeypatch.chdir(tmp_path)
    for name in ("log.csv", "run.json", "new.json"):
        (tmp_path / name).write_text("kept")
    (tmp_path / "link.csv").symlink_to("log.csv")

    assert main(command.split()) == 2
    assert words in capsys.readouterr().err
    for name in ("log.csv", "run.json", "new.json"):
        assert (tmp_path / name).read_text() == "kept"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_without_the_signs_gets_their_escapes(encoding: str, tmp_path: Path) -> None:
    """Windows redirects to a file in its code page, and a locale may be ASCII: no traceback."""
    rows = [f"{1_700_000_000 + n},{-0.001 * (200 + n % 3)}" for n in range(8)]
    name = os.fsdecode(b"a\xffb.csv")
    (tmp_path / name).write_text("\n".join(["time,power [W]", *rows, ""]))
    command = [sys.executable, "-c", "from pytest_energy.cli import main; main()"]
    done = subprocess.run(
        [*command, "import", name, "--one-device"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    text = done.stdout.decode(encoding)
    assert b"Traceback" not in done.stderr
    assert "invalid, " in text
    assert ("−1.4" if encoding == "utf-8" else "\\u22121.4") in text
