"""`pytest-energy history` as people use it."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from pytest_energy.cli import history as command
from pytest_energy.cli import main
from pytest_energy.history.points import COLUMNS
from pytest_energy.model.json_files import save_run
from tests.history.runs import history

STEP = {(0, 30): 0.10}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """results.json of 36 nights; the first benchmark rises by 10 % in the last six."""
    monkeypatch.chdir(tmp_path)
    names = []
    for night, run in enumerate(history(36, 2, scatter=0.003, steps=STEP)):
        save_run(run, Path(f"night-{night:02}.json"))
        names.append(f"night-{night:02}.json")
    return names


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit status and output of a command."""
    status = main(["history", *arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_add_is_idempotent(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is not added is named."""
    assert ask(capsys, "add", *files) == (0, "energy-history: 36 of 36 runs added\n", "")
    status, out, _ = ask(capsys, "add", files[0])
    assert status == 0
    assert out.splitlines() == [
        "night-00.json: not added, since the store has it already or it has no benchmarks",
        "energy-history: 0 of 1 runs added",
    ]


PAGE = (Path(__file__).parents[2] / "docs" / "history.md").read_text("utf-8")
DOCUMENTED = re.findall(r"^\$ pytest-energy history (.*)$", PAGE, re.MULTILINE)
STAND_INS = {"s3://bucket/energy": "shared", ".energy/results.json": "night-00.json"}
STAND_INS |= {"test_decode": "test_1", "v1.2": "2026-01-20"}
"""A folder for the bucket, and names that the made-up runs have."""


def test_the_commands_of_the_page_run(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """All of docs/history.md, in order, but for the bisection, which has a test module."""
    ask(capsys, "add", *files[1:])
    answers = {}
    for line in DOCUMENTED:
        if not line.startswith("bisect"):
            for word, stand_in in STAND_INS.items():
                line = line.replace(word, stand_in)
            answers[line] = ask(capsys, *shlex.split(line))
    assert {line: status for line, (status, _, _) in answers.items() if status} == {"changes": 1}
    assert len(answers) == len(DOCUMENTED) - 1 > 7
    assert Path("site/index.html").exists()
    assert Path("points.parquet").exists()


def test_a_bad_file_costs_no_other_run(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and the status says so."""
    Path("bad.json").write_text("{", "utf-8")
    status, out, err = ask(capsys, "add", files[0], "bad.json", "gone.json", files[1])
    assert status == 2
    assert "2 of 4 runs added" in out
    assert "bad.json" in err
    assert "gone.json" in err


def test_list_show_query_and_export(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Tab-separated where a program reads them."""
    ask(capsys, "add", *files)
    _, out, _ = ask(capsys, "list", "-n", "2")
    assert out.splitlines()[1].startswith("2026-02-05 02:00:00\t")
    assert len(out.splitlines()) == 3
    _, out, _ = ask(capsys, "show", "test_1", "-n", "3")
    assert len(out.splitlines()) == 4
    _, out, _ = ask(capsys, "query", "SELECT count(*) AS n, any_value(machine) m FROM points")
    assert out == "n\tm\n72\tnvidia-h100-80gb-hbm3\n"
    status, out, _ = ask(capsys, "export", "points.csv")
    assert (status, out) == (0, "points.csv: 72 rows\n")
    rows = list(csv.DictReader(Path("points.csv").read_text("utf-8").splitlines()))
    assert [*rows[0]] == [column.name for column in COLUMNS]
    ask(capsys, "export", "few.json", "--query", "SELECT test, energy_j FROM points LIMIT 2;")
    assert len(json.loads(Path("few.json").read_text("utf-8"))) == 2


def test_changes_fail_while_a_rise_is_recent(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Six runs after it; later it is an older change."""
    ask(capsys, "add", *files)
    status, out, _ = ask(capsys, "changes")
    assert status == 1
    assert out.startswith("✗ bench.py::test_0 on nvidia-h100-80gb-hbm3: +9.9 % [")
    assert out.endswith("in the last 10 runs: rises 1, falls 0; older changes 0\n")
    status, out, _ = ask(capsys, "changes", "--recent", "5")
    assert (status, out) == (
        0,
        "in the last 5 runs: rises 0, falls 0; older changes 1 (--all shows them)\n",
    )
    assert "✗" in ask(capsys, "changes", "--recent", "5", "--all")[1]
    assert ask(capsys, "changes", "--test", "bench.py::test_1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["list"], "no runs in energy-history"),
        (["query", "SELEKT 1"], "no runs in energy-history"),
        (["list", "--store", "nothing://x"], "--store=nothing://x"),
        (["report", "--since", "yesterdays"], "no runs"),
    ],
)
def test_an_empty_store_says_how_to_fill_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    text: str,
) -> None:
    """With exit status 2."""
    monkeypatch.chdir(tmp_path)
    status, _, err = ask(capsys, *arguments)
    assert status == 2
    assert text in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["query", "SELEKT 1"], "the query failed"),
        (["show", "nothing"], "no test in energy-history has 'nothing' in its id"),
        (["export", "points.xls"], "points.xls: a name that ends in"),
        (["report", "--since", "yesterdays"], "neither a date such as 2026-11-01 nor"),
    ],
)
def test_faults_are_named(
    files: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    """With exit status 2."""
    ask(capsys, "add", *files[:2])
    status, _, err = ask(capsys, *arguments)
    assert status == 2
    assert text in err


def test_a_missing_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the extra that brings it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "duckdb" else object())
    status, _, err = ask(capsys, "list")
    assert status == 2
    assert 'duckdb is not installed; run pip install "pytest-energy[history]"' in err


def test_a_terminal_gets_a_table(
    files: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With aligned columns."""
    ask(capsys, "add", *files[:2])
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _, out, _ = ask(capsys, "query", "SELECT test, energy_j FROM points ORDER BY 1 LIMIT 1")
    head, rule, row = out.splitlines()
    assert head == "test              energy_j"
    assert set(rule) == {"─", " "}
    assert row.startswith("bench.py::test_0  ")


def test_the_dashboard_is_pages_that_link_each_other(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every link of a page leads to a page, and a report's link is kept."""
    ask(capsys, "add", *files, "--report", "https://ci.example/1")
    status, out, _ = ask(capsys, "report", "-o", "site", "--since", "2026-01-20")
    assert (status, out) == (0, "site/index.html: 3 pages\n")
    index = Path("site/index.html").read_text("utf-8")
    links = set(re.findall(r'href="(benchmarks/[^"]+)"', index))
    assert links == {f"benchmarks/{path.name}" for path in Path("site/benchmarks").iterdir()}
    pages = [Path("site", link).read_text("utf-8") for link in links]
    assert all("https://ci.example/1" in page for page in pages)
    assert sum("Rise: bench.py::test_0" in page for page in pages) == 1
    assert "Largest rises since 2026-01-20" in index
    assert all("<script" not in page for page in [index, *pages])


def test_a_page_marks_releases_and_what_changed_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tags of the repository, and versions; ``--since`` names a tag, or the first runs count."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-08T00:00:00Z")
    commits = []
    for arguments in (["init", "-q"], *[["commit", "-q", "--allow-empty", "-m", "work"]] * 2):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *arguments], check=True)
    for revision in ("HEAD~1", "HEAD"):
        found = subprocess.run(
            ["git", "rev-parse", revision], check=True, capture_output=True, text=True
        )
        commits.append(found.stdout.strip())
    for tag in ("v1.2", "next\u2028line"):
        subprocess.run(["git", "tag", tag, commits["." in tag]], check=True)
    torch = {True: "2.9.0", False: "2.10.0"}
    runs = history(12, 1, scatter=0.001, context=lambda night: {"torch": torch[night < 8]})
    for night, run in enumerate(runs):
        info = run.run.model_copy(update={"commit": commits[night >= 6]})
        save_run(run.model_copy(update={"run": info}), Path(f"night-{night:02}.json"))
    ask(capsys, "add", *sorted(map(str, Path().glob("night-*.json"))))
    for since, told in (([], "since the first runs"), (["--since", "v1.2"], "since v1.2")):
        status, out, err = ask(capsys, "report", "-o", "site", *since)
        assert (status, out) == (0, "site/index.html: 2 pages\n"), err
        assert told in Path("site/index.html").read_text("utf-8")
        (page,) = Path("site/benchmarks").iterdir()
        text = page.read_text("utf-8")
        assert "v1.2" in text
        assert "torch 2.9.0 → 2.10.0" in text
