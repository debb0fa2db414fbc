"""The recipes of docs/recipes.md, run as a reader would run them."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.plugin.conftest import Project

pytestmark = pytest.mark.usefixtures("torch_forks")

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
QUICK = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
MEASURING = (
    "--energy",
    "--energy-meter=timed",
    "--energy-scale=small",
    "--energy-window=0.02",
)
WITH_JAX, DATA_PARALLEL = "test_with_jax.py", "test_data_parallel.py"
PROCESSES = ("-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "pytest")


def recipes() -> dict[str, str]:
    """The file of each recipe by its name, with the meter of this test."""
    text = PAGE.read_text("utf-8").replace('meter="rapl"', 'meter="timed"')
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {block.splitlines()[0].removeprefix("# "): block for block in blocks}


def run(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    *arguments: str,
    start: Sequence[str] = ("-m", "pytest"),
) -> pytest.RunResult:
    """Run recipes in a process of their own, with the plugin for async tests."""
    monkeypatch.delenv("PYTEST_ADDOPTS")
    for name, text in files.items():
        project.path(name).write_text(text, "utf-8")
    return project.pytester.run(sys.executable, *start, *QUICK, *arguments)


@pytest.mark.parametrize("measured", [True, False], ids=["measured", "plain"])
def test_each_recipe_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch, measured: bool
) -> None:
    """With --energy each test has joules, by unit where it counts one; without, it just passes."""
    files = {name: text for name, text in recipes().items() if name != WITH_JAX}
    tests = sum(text.count("def test_") for text in files.values())
    result = run(project, monkeypatch, files, *(MEASURING if measured else ()))
    result.assert_outcomes(passed=tests - 1, skipped=1)
    if measured:
        benchmarks = project.results()["benchmarks"]
        assert len(benchmarks) == tests  # one test has two windows, one needs torchrun
        assert {found["status"] for found in benchmarks} == {"measured"}
        assert all(any("_per_" in name for name in found["metrics"]) for found in benchmarks)


def test_torchrun_sums_what_two_processes_use(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes of torchrun give one result, with the samples of both."""
    files = {DATA_PARALLEL: recipes()[DATA_PARALLEL]}
    result = run(project, monkeypatch, files, *MEASURING, start=PROCESSES)
    assert result.ret == 0
    benchmark = project.benchmark("test_step")
    assert benchmark["workload"]["processes"] == 2
    assert benchmark["metrics"]["energy_j_per_sample"]["value"] > 0


def test_jax_is_measured(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe for JAX has joules a sample."""
    pytest.importorskip("jax", reason="jax is not installed")
    result = run(project, monkeypatch, {WITH_JAX: recipes()[WITH_JAX]}, *MEASURING)
    result.assert_outcomes(passed=1)
