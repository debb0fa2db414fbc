"""Every command of the documentation runs in a test, or stands here with the reason why it cannot.

A command runs as it is written: a small project has the settings that make it short. Commands of a
page that has a test module of its own run there.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path
from typing import Final

import pytest

from pytest_energy.cli import main
from pytest_energy.model.json_files import load_run, save_run
from tests.against.conftest import Repository, git
from tests.gate_data import result, run_of
from tests.power import latency, simulate
from tests.power.latency import Compared
from tests.test_doc_blocks import ROOT, commands

HERE: Final = ("README.md", "against.md", "baselines.md", "gate.md")
"""The pages whose commands run here, but for those below."""
ELSEWHERE: Final = {
    "against.md: pytest benchmarks/ --energy --energy-against=main -n auto": (
        "against/test_two_cards.py"
    ),
    "against.md: pytest benchmarks/ --energy --energy-against=main --energy-meter=none": (
        "against/test_time_alone.py"
    ),
    "against.md: pytest benchmarks/ --energy --energy-against=self"
    " --energy-against-python=old/bin/python": "against/test_layouts.py",
    "README.md: uv run pytest benchmarks/ --energy -m quick": "suite/test_paper_figures.py",
    "ci.md: pytest benchmarks --energy -n 3": "plugin/test_ci_outputs.py",
    "fleet.md: pytest-energy fleet run benchmarks --accelerator H100 --accelerator A100:2"
    " --engine ray -- -k inference": "fleet/test_ray.py",
    "fleet.md": "fleet/test_local.py",
    "history.md: pytest-energy history bisect bench.py::test_decode v1.2 main"
    " --setup 'pip install -e .' -- -x": "history/test_bisect.py",
    "history.md": "history/test_command.py",
    "logs.md": "logs/test_logs_page.py",
    "recipes.md": "plugin/test_recipes_page.py",
    "sensors.md": "accuracy/test_card.py",
    "simulate.md": "cli/test_simulate.py",
    "suite.md: torchrun --nproc-per-node=2 -m pytest benchmarks/today --energy -k data_parallel": (
        "suite/test_data_parallel.py"
    ),
    "suite.md": "suite/test_checklist.py",
}
"""The modules that run a command, or all others of a page."""
NOT_RUN: Final = {
    r"pip install .*": "needs a network; the extras that it names are looked up below",
    r"uv sync .*": "needs a network; its group is looked up below",
    r"uv run pre-commit install": "writes into the clone that the tests run in",
    r"uv run --group test pytest -n 3 .*": "these tests",
    r"sudo chmod .*": "changes the machine, as root",
    r"nvidia-smi .* > train\.csv": "needs a GPU; a test reads the log that the page shows",
    r"(LOG_MUTATIONS|PARSER_FUZZ_EXAMPLES)=\d+ .*": "minutes of tests that run here for seconds",
    r"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 uv run --group plugins pytest tests/compat": (
        "needs a network for twenty plugins; the step `plugins` of .ci/run"
    ),
    r"python tests/accuracy/card\.py > card\.json": (
        "ten minutes of an idle GPU; accuracy/test_card.py asks a simulated card"
    ),
    r"pytest-energy simulate h100 .* --energy-against=HEAD": (
        "two minutes, in which each side imports torch; cli/test_simulate.py with EVERY_COMMAND=1"
    ),
}
"""Commands, as patterns, that no test runs, and why."""
SETTINGS: Final = """
[pytest]
pythonpath = .
addopts = -p no:cacheprovider -p no:hypothesispytest -p no:anyio -p no:xdist -p no:benchmark
energy_meter = scripted
energy_passes = 4
energy_scale = small
energy_baseline_runs = 2
energy_against_blocks = 4
energy_output = html:none
"""
"""Of the project: they make each command short, and its words stay as the page has them."""


def all_commands() -> list[tuple[str, str]]:
    """The page and the text of each command of the documentation, without variables it sets."""
    found = []
    for page, words in commands():
        text = " ".join(word if word in (">", "&&") else shlex.quote(word) for word in words)
        if words and words[0] != "export":
            found.append((page, text))
    return found


def of_page(page: str) -> list[list[str]]:
    """The words of the commands of a page that run here."""
    return [
        shlex.split(text) for name, text in all_commands() if name == page and is_here(name, text)
    ]


def is_here(page: str, text: str) -> bool:
    """Whether a command runs in this module."""
    return page in HERE and f"{page}: {text}" not in ELSEWHERE and not reason(text)


def reason(text: str) -> str | None:
    """Why no test runs a command; ``None`` if one does."""
    return next((why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, text)), None)


def test_each_command_runs_in_a_test_or_has_a_reason() -> None:
    """A new command is found here, and so is an entry that no page has any more."""
    found = all_commands()
    for page, text in found:
        known = f"{page}: {text}" in ELSEWHERE or page in (*ELSEWHERE, *HERE) or reason(text)
        assert known, f"{page}: no test runs `{text}`"
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, text) for _, text in found), f"no page has {pattern}"
    whole = {page for page, _ in found} | {f"{page}: {text}" for page, text in found}
    assert set(ELSEWHERE) <= whole


@pytest.mark.parametrize(("command", "module"), ELSEWHERE.items())
def test_the_other_module_has_what_the_command_sets(command: str, module: str) -> None:
    """It names the page whose commands it runs, or has each option of the one command."""
    source = (ROOT / "tests" / module).read_text("utf-8")
    page, _, text = command.partition(": ")
    set_by = re.compile(r"--energy-[a-z-]+|-[mn](?= )")
    options = set_by.findall(text)
    for option in options:  # on a command line, or as a field of the settings
        field = option.removeprefix("--energy-").replace("-", "_")
        always = field == "against" and module.startswith("against/")
        assert always or f'"{option}' in source or f"{field}=" in source, f"{module}: {option}"
    assert options or page in source or page.removesuffix(".md") in source


def test_extras_and_groups_of_the_commands_exist() -> None:
    """Each extra that a page installs, and each group that it runs with."""
    extras = set(metadata("pytest-energy").get_all("Provides-Extra") or [])
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    named = []
    for _, text in all_commands():
        for extra in re.findall(r"pytest-energy\[(\w+)\]", text):
            assert extra in extras
            named.append(extra)
        for group in re.findall(r"--group (\w+)", text):
            assert group in groups
            named.append(group)
    assert {"history", "ray", "test", "dev", "plugins"} <= {*named}


class Reader:
    """Somebody who types the commands of a page, in a repository with one benchmark."""

    def __init__(self, folder: Path) -> None:
        library = folder / "library"
        library.mkdir()
        self.repository = Repository(folder / "project", library)
        self.repository.write("pytest.ini", SETTINGS)
        self.repository.write(".gitignore", "__pycache__\n.energy\n")
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.repository.commit()

    def program(self, name: str, text: str) -> None:
        """Put a script on the path, in the place of a program that needs a network or a person."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        path.chmod(0o755)

    def type(self, words: list[str]) -> str:
        """Run a command; return what it prints."""
        if words[0] == "pytest":
            words = [sys.executable, "-m", *words]
        variables = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.repository.library),
            "GIT_EDITOR": "editor",
            **{f"GIT_{who}_NAME": "Somebody" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "somebody@example.org" for who in ("AUTHOR", "COMMITTER")},
        }
        done = subprocess.run(
            words,
            cwd=self.repository.folder,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}"
        return done.stdout


@pytest.fixture
def reader(tmp_path: Path, forks: None) -> Reader:
    """A reader; the sessions are forks."""
    return Reader(tmp_path)


def test_the_readmes_commands_record_commit_and_compare(reader: Reader) -> None:
    """Its baselines are committed, and then screen the comparison with the branch."""
    reader.program("editor", 'echo baselines > "$1"')
    record, add, commit, compare = of_page("README.md")
    for words in (record, add, commit):
        reader.type(words)
    committed = git(reader.repository.folder, "ls-files", "baselines")
    assert "test_it.json" in committed
    assert "1 committed baseline screens first" in reader.type(compare)
    assert reader.repository.outcome() == "unchanged"


def test_the_commands_of_the_page_on_revisions(reader: Reader) -> None:
    """A branch, and trees that a command has prepared: an unchanged benchmark is unchanged."""
    log = reader.repository.folder.parent / "trees"
    reader.program("uv", f'echo "$@" >> {log}')
    for words in of_page("against.md"):
        assert "within tolerance" in reader.type(words)
        assert reader.repository.outcome() == "unchanged"
    assert log.read_text("utf-8").splitlines() == ["sync --frozen"] * 2
    assert len(reader.repository.worktrees()) == 1


def test_the_sessions_of_the_gates_page(reader: Reader) -> None:
    """Each visit of a recording, and of a later session, has a process of its own."""
    record, again = (words for words in of_page("gate.md") if words[0] == "pytest")
    reader.type(record)
    (baseline,) = (reader.repository.folder / "baselines").glob("scripted*/**/*.json")
    assert len(json.loads(baseline.read_text("utf-8"))["accepted"]) == 2
    reader.type(again)
    assert reader.repository.outcome() == "unchanged"


def test_the_studies_of_the_gates_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One suite in the place of 2,000; ten comparisons, of a minute each, are those of the file."""
    gates, revisions = (words for words in of_page("gate.md") if words[0] == "python")
    monkeypatch.chdir(tmp_path)
    assert gates[gates.index("--suites") + 1] == "2000"
    monkeypatch.setattr(sys, "argv", ["simulate", *gates[3:], "--suites", "1"])
    simulate.main()
    printed = capsys.readouterr().out
    assert printed.count("| unequal, 0.2 to 5 % | ") == 2
    compared = Compared({"unchanged": 20}, {"regressed": 2}, 0.01, 5, 60.0, 2.0)  # type: ignore[arg-type]
    file = Path(revisions[revisions.index("--results") + 1])
    file.write_text(10 * f"{compared.dump()}\n", "utf-8")
    monkeypatch.setattr(sys, "argv", ["latency", *revisions[3:]])
    latency.main()
    assert "0 of 10 comparisons with a false alarm\n20 of 20 rises" in capsys.readouterr().out


def test_the_commands_of_the_page_on_baselines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shards become one file of results, whose benchmarks become baselines."""
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        save_run(run_of(result(1.0, f"t.py::test_{number}")), Path(f"shard-{number}/results.json"))
    merge, accept = of_page("baselines.md")
    assert main(merge[1:]) == 0
    assert len(load_run(Path("results.json")).benchmarks) == 2
    assert main(accept[1:]) == 0
    assert len([*Path("baselines").rglob("test_*.json")]) == 2
