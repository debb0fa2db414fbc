"""Misuses of the fixture, each refused with the thing, its value and the remedy.

Each row has what is wrong, a test that does it, what the error says and what the error proposes.
The page docs/fixture.md has the table of these rows, by their first column.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.plugin.conftest import MEASURING, QUICK, Project

PAGE: Final = Path(__file__).parents[2] / "docs" / "fixture.md"
PREPARED: Final = """
import asyncio, concurrent.futures, threading, time
from concurrent.futures import ThreadPoolExecutor
from pytest_energy import Metric
async def answer(): work(1)
def stream(): yield work(1)
def pending(): return concurrent.futures.Future()
"""


class Misuse(NamedTuple):
    """A mistake, and what the error says."""

    mistake: str
    body: str
    fault: str
    remedy: str


MISUSES: Final = [
    # what is measured
    Misuse(
        "a coroutine function", "energy(answer)", "energy(answer): answer is a coroutine", "acall"
    ),
    Misuse(
        "a generator function",
        "energy(stream)",
        "stream is a generator function",
        "list(stream(…))",
    ),
    Misuse(
        "a pending future", "energy(pending)", "a future that is not done", "pending(…).result()"
    ),
    Misuse(
        "an iterator such as map",
        "energy(lambda: map(work, [1]))",
        "energy(<lambda>): <lambda> returned an iterator (map)",
        "measure lambda: list(…)",
    ),
    Misuse(
        "a thread or process that still works",
        "def start():\n        thread = threading.Thread(target=time.sleep, args=(0.1,))\n"
        "        thread.start()\n        return thread\n    energy(start)",
        "energy(start): start returned an unfinished Thread",
        "measure lambda: start(…).join()",
    ),
    Misuse(
        "a value in place of a function",
        "energy(work(1))",
        "energy(None): expected a function",
        "without calling it",
    ),
    Misuse(
        "an async call without await",
        "energy.acall(answer)",
        "energy.acall(answer) was not awaited to its end",
        "write await energy.acall(answer)",
    ),
    Misuse(
        "an async call that is cancelled",
        "async def body(): asyncio.create_task(energy.acall(asyncio.sleep, 9))\n"
        "    asyncio.run(body())",
        "energy.acall(sleep) was not awaited to its end",
        "write await energy.acall(sleep)",
    ),
    Misuse(
        "two async calls of one function",
        "async def body():\n        call = energy.acall(answer)\n"
        "        await energy.acall(answer)\n    asyncio.run(body())",
        "energy.acall(answer) was not awaited to its end",
        "write await energy.acall(answer)",
    ),
    Misuse(
        "acall of a plain function",
        "asyncio.run(energy.acall(work, 1))",
        "energy.acall(work): expected an async function",
        "measure it with energy(work)",
    ),
    Misuse(
        "acall without an asyncio loop",
        "energy.acall(answer).send(None)",
        "energy.acall() needs a running asyncio loop",
        "use energy.window(name)",
    ),
    Misuse(
        "an accuracy in per cent",
        "energy.training(lambda: work(1), epochs=1, evaluate=lambda: 87)",
        "energy.training: evaluate returned 87",
        "between 0 and 1",
    ),
    # how often
    Misuse(
        "two measurements in a test",
        "energy(work, 1)\n    energy(work, 1)",
        "measures one benchmark a test",
        "use energy.window(name)",
    ),
    Misuse(
        "a measurement after a window",
        "with energy.window('a'): work(1)\n    energy(work, 1)",
        "measures one benchmark a test",
        "use energy.window(name)",
    ),
    Misuse(
        "a window after a measurement",
        "energy(work, 1)\n    with energy.window('a'): work(1)",
        "energy.window() after another measurement",
        "as windows",
    ),
    Misuse(
        "nested windows",
        "with energy.window('a'):\n        with energy.window('b'): work(1)",
        "test_it::b: energy.window() inside another measurement",
        "one after the other",
    ),
    Misuse(
        "a window inside a call",
        "def inner():\n        with energy.window('b'): work(1)\n    energy(inner)",
        "energy.window() inside another measurement",
        "one after the other",
    ),
    Misuse(
        "a window inside another one, in a thread",
        "def inner():\n        with energy.window('b'): work(1)\n"
        "    with energy.window('a'), ThreadPoolExecutor() as pool: pool.submit(inner)",
        "test_it::b: energy.window() inside another measurement",
        "one after the other",
    ),
    Misuse(
        "a refusal in a thread",
        "thread = threading.Thread(target=energy, args=(3,))\n    thread.start()\n"
        "    thread.join()",
        "energy(3): expected a function",
        "without calling it",
    ),
    # windows
    Misuse(
        "a window without with",
        "energy.window('a')\n    work(1)",
        "energy.window('a') was never entered",
        "write with energy.window('a'):",
    ),
    Misuse(
        "a window that is never left",
        "energy.window('a').__enter__()\n    work(1)",
        "energy.window('a') was never left",
        "write with energy.window('a'):",
    ),
    Misuse(
        "a window that is entered twice",
        "w = energy.window('a')\n    with w: work(1)\n    with w: work(1)",
        "energy.window('a') was entered twice",
        "call it anew for each with statement",
    ),
    Misuse(
        "a window as a decorator",
        "inner = energy.window('a')(work)\n    inner(1)",
        "energy.window('a') is no decorator",
        "write with energy.window('a'): … around the call",
    ),
    Misuse(
        "energy.repeat in zip, enumerate or list",
        "for w, x in zip(energy.repeat('a'), [1]): work(1)",
        "energy.repeat('a') was passed to a function such as zip",
        "write for w in energy.repeat('a'): …",
    ),
    Misuse(
        "energy.repeat in two loops",
        "loop = energy.repeat('a')\n    for w in loop: work(1)\n    for w in loop: work(1)",
        "energy.repeat('a') was looped over twice",
        "call it anew for each for statement",
    ),
    Misuse(
        "a break out of energy.repeat",
        "for w in energy.repeat('a'):\n        work(1)\n        if w is None:\n            break",
        "energy.repeat('a'): the break in line ",
        "neither by break nor by return",
    ),
    Misuse(
        "a pause without with",
        "with energy.window('a') as w:\n        w.paused()\n        work(1)",
        "w.paused() was never entered",
        "write with w.paused():",
    ),
    Misuse(
        "a pause that is never left",
        "with energy.window('a') as w:\n        w.paused().__enter__()\n        work(1)",
        "w.paused() was never left",
        "write with w.paused():",
    ),
    Misuse(
        "a pause that is entered twice",
        "with energy.window('a') as w:\n        pause = w.paused()\n"
        "        with pause: work(1)\n        with pause: work(1)",
        "w.paused() was entered twice",
        "call it anew for each with statement",
    ),
    Misuse(
        "a name of several lines",
        "with energy.window('a\\nb'): work(1)",
        "energy.window('a\\nb')",
        "expected a name of one line",
    ),
    Misuse(
        "a value read too early",
        "with energy.window('a') as w:\n        w.energy",
        "energy.window('a'): energy was read before",
        "read it after the with statement",
    ),
    Misuse(
        "energy.measurement after windows",
        "with energy.window('a'): work(1)\n    energy.measurement",
        "energy.measurement after energy.window('a')",
        "then w.energy",
    ),
    # arguments
    Misuse(
        "a count of zero",
        "energy.pedantic(work, (1,), rounds=0)",
        "energy.pedantic(rounds=0)",
        "a whole number of at least 1",
    ),
    Misuse(
        "seconds below zero",
        "for w in energy.repeat('a', seconds=-1): work(1)",
        "energy.repeat('a'): seconds=-1",
        "expected a finite number above 0",
    ),
    Misuse(
        "a unit that is no number",
        "energy(work, 1, units={'token': 'many'})",
        "energy: token='many'",
        "expected a finite number above 0",
    ),
    Misuse(
        "a unit that is no name",
        "energy(work, 1, units={'per token': 1})",
        "unit 'per token'",
        "a name such as token",
    ),
    Misuse(
        "units of only some windows",
        "for n in (1, 2):\n        with energy.window('a') as w: work(1)\n    w.units(token=8)",
        "test_it::a: 1 of 2 windows have the unit 'token'",
        "w.units(token=n)",
    ),
    Misuse(
        "units told twice in a run",
        "for w in energy.repeat('a'):\n        w.units(token=8)\n        w.units(token=9)",
        "energy.repeat('a'): calls of w.units(token=…): ",
        "call it once in each run",
    ),
    Misuse(
        "a fact that no file holds",
        "energy.describe(model=object())",
        "'model' is <object",
        "expected a string, a finite number",
    ),
    Misuse(
        "facts after the measurement",
        "energy(work, 1)\n    energy.describe(images=8)",
        "energy.describe() after a measurement",
        "call it before",
    ),
    # own metrics
    Misuse(
        "a metric that is not finite",
        "energy(work, 1)\n    energy.record(loss=float('nan'))",
        "energy.record: 'loss' is nan",
        "expected a finite number",
    ),
    Misuse(
        "a metric that is measured",
        "energy(work, 1)\n    energy.record(energy_j=1)",
        "'energy_j' is measured",
        "another name",
    ),
    Misuse(
        "a metric that is no Metric",
        "energy(work, 1)\n    energy.record(0.87)",
        "energy.record(0.87): expected a Metric",
        "accuracy=0.87",
    ),
    Misuse(
        "metrics without a measurement",
        "energy.record(tokens=512)",
        "energy.record(tokens=…) in a test that measures nothing",
        "measure a call or a window",
    ),
    Misuse(
        "two directions of one metric",
        "energy(work, 1)\n    for b in ('higher', 'lower'):\n"
        "        energy.record(Metric('gain', 1.0, better=b))",
        "'gain' has better='lower' here",
        "'higher' before",
    ),
    Misuse(
        "an empty remark",
        "energy(work, 1)\n    energy.remark(' ')",
        "energy.remark(' ')",
        "expected a sentence",
    ),
    # the fixture
    Misuse(
        "request.getfixturevalue",
        "def test_it(request):\n    request.getfixturevalue('energy')",
        "requested by request.getfixturevalue()",
        "add energy to the arguments of the test",
    ),
    Misuse(
        "a measurement in a teardown",
        "@pytest.fixture\ndef late(energy):\n    yield\n    energy(work, 1)\n"
        "def test_it(energy, late):\n    assert energy.scale",
        "used after the test's body had ended",
        "inside the test",
    ),
    Misuse(
        "a budget per unit that nothing has",
        "@pytest.mark.energy(max_joules={'token': 1})\ndef test_it(energy):\n    energy(work, 1)",
        "max_joules={'token': …}",
        "units={'token': n}",
    ),
]
REFUSED_AT_ONCE: Final = [
    Misuse(
        "a marker without the fixture",
        "@pytest.mark.energy\ndef test_it():\n    work(1)",
        "test_it: @pytest.mark.energy on a test that does not request",
        "add the argument energy",
    ),
    Misuse(
        "a misspelt keyword of the marker",
        "@pytest.mark.energy(tolerence=0.1)\ndef test_it(energy):\n    energy(work, 1)",
        "unknown keyword 'tolerence'",
        "known are tolerance",
    ),
    Misuse(
        "a positional argument of the marker",
        "@pytest.mark.energy(0.1)\ndef test_it(energy):\n    energy(work, 1)",
        "@pytest.mark.energy(0.1): takes keywords only",
        "tolerance=0.05",
    ),
    Misuse(
        "a tolerance of unknown direction",
        "@pytest.mark.energy(tolerances={'reward': 0.1})\ndef test_it(energy):\n"
        "    energy(work, 1)",
        "tolerances['reward']",
        "better={'reward': 'higher'}",
    ),
]
"""These stop the session before any test runs."""
REPORTS: Final = """
import json
from pathlib import Path
failures = {}
def pytest_runtest_logreport(report):
    if report.failed:
        failures[report.nodeid.partition("::")[0]] = report.longreprtext
def pytest_sessionfinish():
    Path("failures.json").write_text(json.dumps(failures))
"""
MEASURES: Final = pytest.mark.parametrize("options", [QUICK, MEASURING], ids=["without", "with"])


def source(misuse: Misuse) -> str:
    """A test file with the mistake."""
    whole = misuse.body.startswith(("@", "def test"))
    test = misuse.body if whole else f"def test_it(energy):\n    {misuse.body}"
    return f"import pytest\nfrom scripted_meter import work\n{PREPARED}\n{test}\n"


@MEASURES
def test_a_misuse_is_refused(project: Project, options: tuple[str, ...]) -> None:
    """The same with and without ``--energy``; no line of the package is shown."""
    files = {f"test_misuse_{number}": source(misuse) for number, misuse in enumerate(MISUSES)}
    project.pytester.makepyfile(**files)
    project.pytester.makeconftest(REPORTS)
    project.pytester.runpytest_inprocess(*options)
    failures = json.loads(project.path("failures.json").read_text())
    for number, misuse in enumerate(MISUSES):
        text = failures.pop(f"test_misuse_{number}.py", "it passed")
        assert misuse.fault in text, misuse.mistake
        assert misuse.remedy in text, misuse.mistake
        assert not re.search(r"^\S*pytest_energy/\S+:\d+: ", text, re.MULTILINE), misuse.mistake
    assert not failures


@MEASURES
@pytest.mark.parametrize("misuse", REFUSED_AT_ONCE, ids=[row.mistake for row in REFUSED_AT_ONCE])
def test_a_misuse_stops_the_session(
    project: Project, misuse: Misuse, options: tuple[str, ...]
) -> None:
    """One line on the error stream, with and without ``--energy``."""
    project.pytester.makepyfile(source(misuse))
    result = project.pytester.runpytest_inprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line.startswith("ERROR: ")]
    assert misuse.fault in line
    assert misuse.remedy in line


@pytest.mark.parametrize("option", ["--energy-update", "--energy-tolerance=0.1", "--energy-strict"])
def test_an_option_that_has_no_effect_is_refused(project: Project, option: str) -> None:
    """An ini file and ``addopts`` may well hold it for the sessions that measure."""
    project.write("def test_it(energy):\n    energy(work, 1)")
    result = project.pytester.runpytest_inprocess(*QUICK, option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    flag = option.partition("=")[0]
    result.stderr.fnmatch_lines([f"ERROR: {flag} without --energy: *; add --energy, or leave out*"])
    project.pytester.makeini(f"[pytest]\naddopts = {option}\nenergy_rounds = 4\n")
    project.pytester.runpytest_inprocess(*QUICK).assert_outcomes(passed=1)


@MEASURES
def test_an_unused_fixture_is_a_warning(project: Project, options: tuple[str, ...]) -> None:
    """It says that nothing was measured; a test that asks whether it measures is left alone."""
    project.write(
        """
def test_it(energy): pass
def test_caught(energy):
    with pytest.raises(LookupError): energy({}.popitem)
def test_left(energy):
    with pytest.raises(LookupError), energy.window("a"): raise LookupError
def test_other(energy): assert energy.enabled in (True, False)
def test_skipped(energy): pytest.skip("no model")
"""
    )
    result = project.pytester.runpytest_inprocess(*options, "-W", "default")
    result.assert_outcomes(passed=4, skipped=1, warnings=3)
    for name in ("it", "caught", "left"):
        result.stdout.fnmatch_lines([f"*EnergyWarning: test_it.py::test_{name}: *nothing was*"])


@MEASURES
def test_a_fixture_of_the_same_name_is_left_alone(
    project: Project, options: tuple[str, ...]
) -> None:
    """A project may have an ``energy`` of its own, or wrap that of the plugin."""
    project.pytester.makepyfile(
        test_own="import pytest\n@pytest.fixture\ndef energy(): return 3.0\n"
        "def test_it(energy): assert energy == 3.0",
        test_wrapped="import pytest\nfrom scripted_meter import work\n@pytest.fixture\n"
        "def energy(energy):\n    energy.describe(images=8)\n    return energy\n"
        "def test_it(energy): energy(work, 1)",
    )
    result = project.pytester.runpytest_inprocess(*options)
    result.assert_outcomes(passed=2)
    if options is MEASURING:
        (only,) = project.results()["benchmarks"]
        assert only["workload"]["images"] == 8


def test_marked_fixtures_may_be_requested_at_run_time(project: Project) -> None:
    """A step of a scenario takes the fixture that the test was marked with."""
    project.write(
        """
@pytest.mark.usefixtures("energy")
def test_it(request):
    request.getfixturevalue("energy")(work, 1)
"""
    )
    project.run().assert_outcomes(passed=1)
    assert project.benchmark()["status"] == "measured"


def test_the_page_lists_every_misuse() -> None:
    """The table of the docs has the rows of this module, and no others."""
    table = re.findall(r"^\| ([^|]+?) \| [^|]+ \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    rows = [row for row in table if row not in ("mistake",)]
    assert rows == [misuse.mistake for misuse in [*MISUSES, *REFUSED_AT_ONCE]]
