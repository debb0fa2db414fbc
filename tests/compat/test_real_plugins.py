"""Other plugins of pytest beside this one: as many results, the same joules, and their own job.

The plugins are those of the dependency group ``plugins``; a test whose plugin is not installed is
skipped. Each session loads pytest-energy, pytest-benchmark and one plugin. The page docs/plugins.md
has the table of these rows.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest

from tests.plugin.conftest import Project, project

__all__ = ["project"]

PAGE: Final = Path(__file__).parents[2] / "docs" / "plugins.md"
WATTS: Final = 100.0
"""What the scripted card draws."""
MEASURED: Final = """
import pytest
from scripted_meter import work

@pytest.mark.parametrize("seconds", [1, 2])
def test_call(energy, seconds):
    energy(work, seconds)

def test_window(energy):
    with energy.window("decode"):
        work(3)

def test_plain():
    assert True
"""
SECONDS: Final = {"test_call[1]": 1, "test_call[2]": 2, "test_window::decode": 3}
"""By benchmark, what it runs."""


def nothing(result: pytest.RunResult, folder: Path) -> None:
    """Nothing further to check."""


def printed(pattern: str) -> Callable[[pytest.RunResult, Path], None]:
    """Check that the session printed something."""

    def check(result: pytest.RunResult, folder: Path) -> None:
        assert re.search(pattern, result.stdout.str()), pattern

    return check


@dataclass(frozen=True)
class Neighbour:
    """A plugin, how it is used, and what it must still do."""

    package: str
    job: str
    """What is checked of the plugin itself, for the page."""
    check: Callable[[pytest.RunResult, Path], None] = nothing
    options: tuple[str, ...] = ()
    source: str = ""
    """A further test file that needs the plugin."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By benchmark of this file, what it runs."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """Outcomes of this file's tests."""
    each: tuple[str, ...] = ("",)
    """What it adds to the ids of all tests, if it runs each several times."""
    needs: tuple[str, ...] = ()
    """Plugins of pytest that it needs itself."""
    counts: bool = True
    """Whether the session ends with pytest's own counts of outcomes."""


def json_report(result: pytest.RunResult, folder: Path) -> None:
    """The report has each test once."""
    report = json.loads((folder / ".report.json").read_text())
    assert report["summary"]["passed"] == report["summary"]["total"] == 4


def allure_files(result: pytest.RunResult, folder: Path) -> None:
    """Each test has one file."""
    names = [json.loads(path.read_text())["name"] for path in folder.glob("allure/*-result.json")]
    assert sorted(names) == ["test_call[1]", "test_call[2]", "test_plain", "test_window"]


def html_rows(result: pytest.RunResult, folder: Path) -> None:
    """Each test has one row."""
    page = html.unescape((folder / "report.html").read_text())
    for name in ("test_call[1]", "test_call[2]", "test_plain", "test_window"):
        assert page.count(f'"test_measured.py::{name}": [') == 1, name


def nunit_cases(result: pytest.RunResult, folder: Path) -> None:
    """Each test has one case."""
    cases = ElementTree.parse(folder / "nunit.xml").findall(".//test-case")
    assert len(cases) == 4


FAILS_ONCE: Final = """
from scripted_meter import work
{imports}
runs = []
{decorator}
def test_shaky(energy):
    runs.append(1)
    energy(work, 4)
    assert len(runs) == 2
"""
SCENARIO: Final = '''
import pytest
from pathlib import Path
from scripted_meter import work
from pytest_bdd import given, scenarios, then, when
Path(__file__).with_name("answers.feature").write_text("""Feature: Answers
  Scenario: One answer
    Given a prompt
    When it is answered
    Then it took joules
""")
pytestmark = pytest.mark.usefixtures("energy")
scenarios("answers.feature")
@given("a prompt", target_fixture="prompt")
def prompt(): return 4
@when("it is answered")
def answered(energy, prompt): energy(work, prompt)
@then("it took joules")
def took(energy): assert energy.measurement is None or energy.measurement.metrics["energy_j"]
'''
NEIGHBOURS: Final = [
    Neighbour("allure-pytest", "one file a test", allure_files, ("--alluredir=allure",)),
    Neighbour(
        "anyio",
        "runs an async test, whose call is measured by `await energy.acall(…)`",
        source="""
import pytest
from scripted_meter import work
@pytest.fixture
def anyio_backend(): return "asyncio"
async def answer(): work(4)
@pytest.mark.anyio
async def test_async(energy): await energy.acall(answer)
""",
        seconds={"test_async": 4},
        outcomes={"passed": 1},
    ),
    Neighbour(
        "flaky",
        "a failed test runs again; the run that passes has the result",
        printed(r"test_shaky failed \(1 runs remaining out of 2\)"),
        source=FAILS_ONCE.format(imports="from flaky import flaky", decorator="@flaky"),
        seconds={"test_shaky": 4},
        outcomes={"passed": 1},
    ),
    Neighbour(
        "hypothesis",
        "tries its examples",
        source="""
from hypothesis import given, strategies
@given(strategies.integers())
def test_law(number): assert number + 0 == number
""",
        outcomes={"passed": 1},
    ),
    Neighbour(
        "pytest-asyncio",
        "runs an async test, whose call is measured by `await energy.acall(…)`",
        source="""
import pytest
from scripted_meter import work
async def answer(): work(4)
@pytest.mark.asyncio
async def test_async(energy): await energy.acall(answer)
""",
        seconds={"test_async": 4},
        outcomes={"passed": 1},
    ),
    Neighbour(
        "pytest-azurepipelines",
        "publishes one file of results",
        printed(r"##vso\[results\.publish type="),
        needs=("nunit",),
    ),
    Neighbour(
        "pytest-bdd",
        "runs a scenario, whose step is measured",
        source=SCENARIO,
        seconds={"test_one_answer": 4},
        outcomes={"passed": 1},
    ),
    Neighbour(
        "pytest-codspeed",
        "runs its benchmarks as tests; with `--codspeed` it runs them alone",
        source="""
import pytest
@pytest.mark.benchmark
def test_sorting(): sorted(range(9))
""",
        outcomes={"passed": 1},
    ),
    Neighbour(
        "pytest-cov",
        "counts the lines of the tests",
        printed(r"TOTAL .* 100%"),
        ("--cov=test_measured",),
    ),
    Neighbour(
        "pytest-html",
        "one row a test",
        html_rows,
        ("--html=report.html", "--self-contained-html"),
        needs=("metadata",),
    ),
    Neighbour(
        "pytest-instafail",
        "shows a failure at once",
        printed(r"(?s)AssertionError: at once.*test_window"),
        ("--instafail", "-v", "test_neighbour.py", "test_measured.py"),
        source="""
from scripted_meter import work
def test_fails(energy):
    energy(work, 4)
    raise AssertionError("at once")
""",
        seconds={"test_fails": 4},
        outcomes={"failed": 1},
    ),
    Neighbour("pytest-json-report", "each test once", json_report, ("--json-report",)),
    Neighbour("pytest-nunit", "one case a test", nunit_cases, ("--nunit-xml=nunit.xml",)),
    Neighbour(
        "pytest-random-order",
        "shuffles",
        printed("random-order-seed=5"),
        ("--random-order", "--random-order-seed=5"),
    ),
    Neighbour(
        "pytest-randomly",
        "shuffles",
        printed("--randomly-seed=5"),
        ("-p", "randomly", "--randomly-seed=5"),
    ),
    Neighbour(
        "pytest-repeat",
        "each repetition is a benchmark of its own",
        options=("--count=2",),
        each=("1-2", "2-2"),
    ),
    Neighbour(
        "pytest-rerunfailures",
        "a failed test runs again; the run that passes has the result",
        printed("1 rerun"),
        ("--reruns=2",),
        source=FAILS_ONCE.format(imports="", decorator=""),
        seconds={"test_shaky": 4},
        outcomes={"passed": 1, "rerun": 1},
    ),
    Neighbour(
        "pytest-retry",
        "a failed test runs again; the run that passes has the result",
        printed("1 retried"),
        ("--retries=2",),
        source=FAILS_ONCE.format(imports="", decorator=""),
        seconds={"test_shaky": 4},
        outcomes={"passed": 1, "retried": 1},
    ),
    Neighbour(
        "pytest-subtests",
        "a failed subtest fails the test",
        printed("test_parts .*third"),
        source="""
from scripted_meter import work
def test_parts(energy, subtests):
    energy(work, 4)
    with subtests.test("third"):
        assert False
""",
        seconds={"test_parts": 4},
    ),
    Neighbour("pytest-sugar", "its own progress", printed("✓"), ("--force-sugar",), counts=False),
    Neighbour(
        "pytest-timeout",
        "ends a test that hangs while it is measured; the others go on",
        printed("Timeout.*0.5"),
        source="""
import time
import pytest
@pytest.mark.timeout(0.5)
def test_hangs(energy):
    energy(time.sleep, 60)
""",
        outcomes={"failed": 1},
    ),
    Neighbour("pytest-tldr", "its own summary", printed("Ran 4 tests"), counts=False),
    Neighbour("pytest-xdist", "two workers", printed("2/2 workers|2 workers"), ("-n2",)),
    Neighbour(
        "syrupy",
        "compares with its snapshot",
        printed("1 snapshot generated"),
        ("--snapshot-update",),
        source="def test_text(snapshot): assert snapshot == 'text'",
        outcomes={"passed": 1},
    ),
]
BUILT_IN: Final = [
    "cacheprovider",
    "faulthandler",
    "junitxml",
    "logging",
    "recwarn",
    "skipping",
    "stepwise",
    "subtests",
    "terminalreporter",
    "threadexception",
    "tmpdir",
    "unittest",
    "unraisableexception",
    "warnings",
    "benchmark",
]
"""What ``-p no:NAME`` may take away."""


def names_of(package: str) -> list[str]:
    """The names under which pytest loads a package; skips the test if it is not installed."""
    try:
        points = distribution(package).entry_points
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed: uv run --group plugins pytest tests/compat")
    return [point.name for point in points if point.group == "pytest11"]


def measured(folder: Path) -> dict[str, float]:
    """Joules by the end of the benchmark's id."""
    results = json.loads((folder / ".energy" / "results.json").read_text())
    return {
        benchmark["id"].partition("::")[2]: benchmark["metrics"]["energy_j"]["value"]
        for benchmark in results["benchmarks"]
        if benchmark["status"] == "measured"
    }


def expected(neighbour: Neighbour) -> dict[str, object]:
    """Joules of all benchmarks."""
    seconds = neighbour.seconds | {
        _named(name, more): length for name, length in SECONDS.items() for more in neighbour.each
    }
    return {name: pytest.approx(WATTS * length) for name, length in seconds.items()}


def _named(name: str, more: str) -> str:
    """The id of a benchmark after a plugin has added a parameter to its test."""
    if not more:
        return name
    if "[" in name:
        return name.replace("]", f"-{more}]")
    test, separator, window = name.partition("::")
    return f"{test}[{more}]{separator}{window}"


@pytest.fixture
def measuring(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the tests, where pytest loads no plugin without ``-p``."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS")
    project.pytester.makepyfile(test_measured=MEASURED)
    return project


def run(project: Project, *arguments: str) -> pytest.RunResult:
    """Run one session in a process of its own, which imports the plugin.

    That is a fork of one that has imported no others than :data:`tests.forks.PLUGINS`.
    """
    return project.pytester.runpytest_subprocess(
        "-p", "energy", "--energy", "--energy-meter=scripted", "--energy-passes=2", *arguments
    )


@pytest.mark.parametrize("neighbour", NEIGHBOURS, ids=[row.package for row in NEIGHBOURS])
def test_a_plugin_and_this_one_do_their_jobs(measuring: Project, neighbour: Neighbour) -> None:
    """All benchmarks have their joules, all tests their outcomes."""
    names = [*names_of(neighbour.package), *neighbour.needs]
    loaded = [option for name in names for option in ("-p", name)]
    if neighbour.source:
        measuring.pytester.makepyfile(test_neighbour=neighbour.source)
    result = run(measuring, "-p", "benchmark", *loaded, *neighbour.options)
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert measured(measuring.pytester.path) == expected(neighbour)
    outcomes = result.parseoutcomes()
    if neighbour.counts:
        passed = 4 * len(neighbour.each) + neighbour.outcomes.get("passed", 0)
        assert outcomes["passed"] == passed
    for outcome in neighbour.outcomes.keys() - {"passed"}:
        assert outcomes[outcome] == neighbour.outcomes[outcome]
    neighbour.check(result, measuring.pytester.path)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_part_of_pytest_may_be_missing(measuring: Project, name: str) -> None:
    """``-p no:NAME`` takes away what it names, and no joules."""
    others = () if name == "benchmark" else ("-p", "benchmark")
    result = run(measuring, *others, "-p", f"no:{name}")
    assert result.ret == 0
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert measured(measuring.pytester.path) == expected(Neighbour(name, ""))


def test_the_page_lists_every_plugin() -> None:
    """The table of the docs has the rows of this module, and no others."""
    rows = re.findall(r"^\| ([\w-]+) \| ([^|]+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows[1:] == [(row.package, row.job) for row in NEIGHBOURS]
