"""The energy fixture beside pytest-benchmark: latencies, selection, markers."""

from __future__ import annotations

import json

import pytest

from tests.plugin.conftest import Project

CALL = """
@pytest.mark.parametrize("n", [1, 2, 3])
def test_it(energy, n):
    energy(work, 0.01)
"""


def test_latency_goes_to_pytest_benchmark(project: Project) -> None:
    """The table, JSON and comparison of pytest-benchmark work; the joules are extra information."""
    project.write(CALL)
    options = ["--benchmark-json=b.json", "--benchmark-autosave", "--energy-rounds=4"]
    result = project.run(*options)
    result.stdout.no_fnmatch_line("*Name (time in *")
    assert project.path(".energy/.gitignore").read_text().endswith("*\n")
    shown = project.run(*options, "--energy-latency-table")
    shown.stdout.fnmatch_lines(["*Name (time in *", "test_it*"])
    recorded = json.loads(project.path("b.json").read_text())["benchmarks"]
    assert [item["stats"]["rounds"] for item in recorded] == [4, 4, 4]
    ours = project.benchmark("test_it[1]")
    assert recorded[0]["stats"]["mean"] == pytest.approx(ours["metrics"]["latency_s"]["value"])
    extra = recorded[0]["extra_info"]["energy"]["test_it.py::test_it[1]"]
    assert extra["energy_j"] == pytest.approx(1.0)
    compared = project.run("--benchmark-compare", "--benchmark-compare-fail=mean:1000")
    assert compared.ret == 0


@pytest.mark.filterwarnings("ignore:Can't compare")
@pytest.mark.parametrize(
    ("arguments", "is_set_up"),
    [
        ([], False),
        (["--energy-latency-table"], True),
        (["--benchmark-only"], True),
        (["--benchmark-json=b.json"], True),
        (["--benchmark-save=name"], True),
        (["--benchmark-autosave"], True),
        (["--benchmark-compare"], True),
        (["--benchmark-compare-fail=mean:5%"], True),
    ],
)
def test_latencies_are_handed_over_where_they_are_used(
    project: Project, arguments: list[str], is_set_up: bool
) -> None:
    """The fixture of pytest-benchmark is not set up if nobody sees what comes of it."""
    project.write("def test_it(energy):\n    energy(work, 0.01)\n")
    result = project.run("--setup-show", *arguments)
    assert ("SETUP    F benchmark" in result.stdout.str()) == is_set_up


@pytest.mark.parametrize(
    "arguments", [["--benchmark-disable"], ["-p", "no:benchmark"], ["-n", "2"]]
)
def test_measuring_goes_on_without_pytest_benchmark(project: Project, arguments: list[str]) -> None:
    """Joules are measured if it is disabled, absent, or off under xdist."""
    project.write(CALL)
    result = project.run(*arguments)
    result.assert_outcomes(passed=3)
    assert [item["status"] for item in project.results()["benchmarks"]] == ["measured"] * 3
    assert "not used at all" not in result.stdout.str()


def test_benchmark_only_keeps_energy_tests(project: Project) -> None:
    """Its selection treats an energy test as a benchmark."""
    project.write(CALL + "\ndef test_other(): pass\n")
    result = project.run("--benchmark-only", "--benchmark-json=b.json")
    result.assert_outcomes(passed=3, skipped=1)
    recorded = json.loads(project.path("b.json").read_text())["benchmarks"]
    assert [item["stats"]["rounds"] for item in recorded] == [3, 3, 3]
    project.run("--benchmark-skip").assert_outcomes(passed=1, skipped=3)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize(
    ("arguments", "selected"),
    [
        (["-k", "mark"], ["test_marketing", "test_own"]),
        (["-k", "bench"], ["test_bench", "test_own"]),
        (["-m", "benchmark"], ["test_own"]),
        (["-m", "not benchmark"], ["test_marketing", "test_bench"]),
    ],
)
def test_measuring_does_not_change_the_selection(
    project: Project, arguments: list[str], selected: list[str], measured: bool
) -> None:
    """A test keeps the names and markers of its author, with and without --energy."""
    project.write(
        """
def test_marketing(energy):
    energy(work, 0.01)

def test_bench(energy):
    energy(work, 0.01)

@pytest.mark.benchmark(group="own")
def test_own(energy):
    energy(work, 0.01)
"""
    )
    run = project.run if measured else project.pytester.runpytest_inprocess
    result = run("-v", *arguments)
    result.assert_outcomes(passed=len(selected), deselected=3 - len(selected))
    result.stdout.fnmatch_lines([f"*::{name} PASSED*" for name in selected])


def test_an_own_benchmark_marker_still_groups(project: Project) -> None:
    """The replay timer is added to the options of the marker."""
    project.write("@pytest.mark.benchmark(group='own')" + CALL)
    project.run("--benchmark-json=b.json").assert_outcomes(passed=3)
    recorded = json.loads(project.path("b.json").read_text())["benchmarks"]
    assert [item["group"] for item in recorded] == ["own"] * 3


def test_both_fixtures_may_be_used(project: Project) -> None:
    """The test's own use of the benchmark fixture is unchanged."""
    project.write(
        "def test_it(energy, benchmark):\n    benchmark(lambda: 1)\n    energy(work, 0.01)\n"
    )
    project.run("--benchmark-max-time=0.01").assert_outcomes(passed=1)
    assert project.benchmark()["status"] == "measured"
