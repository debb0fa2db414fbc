"""The documented matrix of shards: its scripts, run unchanged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.plugin.conftest import QUICK, Project
from tests.test_workflows import documents, scripts

pytestmark = pytest.mark.slow

JOBS: dict[str, Any] = yaml.safe_load(documents()[".github/workflows/energy-shards.yml"])["jobs"]
SHARDS: list[dict[str, str]] = JOBS["joules"]["strategy"]["matrix"]["include"]


class Shards:
    """The jobs of the workflow, one after the other in one checkout."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.pytester.makeini("[pytest]")
        for shard in SHARDS:
            file = project.path(shard["tests"])
            file.parent.mkdir(exist_ok=True)
            name = f"test_{shard['shard']}"
            file.write_text(
                f"from scripted_meter import work\ndef {name}(energy): energy(work, 0.01)\n"
            )

    def measure(self, shard: dict[str, str]) -> int:
        """Run the script of a shard's job, and keep its output as its artifact."""
        (script,) = [
            script
            for script in scripts(JOBS["joules"])
            if "pytest" in script and "pip" not in script
        ]
        options = ("--energy-meter=scripted", "--energy-passes=20", *QUICK)
        job = self._bash(script, TESTS=shard["tests"], PYTEST_ADDOPTS=" ".join(options))
        assert job.returncode < 2, job.stdout + job.stderr
        self.keep(shard)
        return job.returncode

    def keep(self, shard: dict[str, str]) -> None:
        """Make the output of the last session the artifact of a shard."""
        artifact = self.project.path(f"shards/energy-{shard['shard']}")
        artifact.parent.mkdir(exist_ok=True)
        self.project.path(".energy").rename(artifact)

    def report(self) -> subprocess.CompletedProcess[str]:
        """Run the script of the last job, without its installations."""
        (script,) = scripts(JOBS["report"])
        return self._bash("\n".join(line for line in script.splitlines() if "pip" not in line))

    def _bash(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-e", "-c", script],  # as GitHub runs it
            cwd=self.project.path("."),
            env={**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": "added.md", **variables},
            capture_output=True,
            text=True,
            check=False,
        )


def test_two_shards_become_one_report(project: Project) -> None:
    """A shard fails by itself; the last job merges and reports both."""
    shards = Shards(project)
    good, worse = SHARDS
    tests = [shard["tests"] for shard in SHARDS]
    assert project.run(*tests, "--energy-update=all", "--energy-baseline-runs=1").ret == 0
    shutil.rmtree(project.path(".energy"))
    assert shards.measure(good) == 0
    shards.project.script(power_w=115.0)
    assert shards.measure(worse) == 1
    job = shards.report()
    assert job.returncode == 0, job.stderr
    merged = json.loads(shards.project.path("results.json").read_text())
    assert {row["id"]: row["verdict"]["outcome"] for row in merged["benchmarks"]} == {
        f"{good['tests']}::test_{good['shard']}": "unchanged",
        f"{worse['tests']}::test_{worse['shard']}": "regressed",
    }
    for file in ("added.md", "metrics.txt", "benchmark.json"):
        assert f"test_{worse['shard']}" in shards.project.path(file).read_text()
    page = shards.project.path("report.html").read_text()
    assert f"test_{good['shard']}" in page
    assert f"test_{worse['shard']}" in page


def test_a_benchmark_in_two_shards_is_a_conflict(project: Project) -> None:
    """The output names it with its files, the job fails, and nothing is written."""
    shards = Shards(project)
    first = SHARDS[0]
    for shard in SHARDS:  # each in a session of this process: the test above runs the script
        assert project.run(first["tests"]).ret == 0
        shards.keep(shard)
    job = shards.report()
    assert job.returncode == 2
    assert f"{first['tests']}::test_{first['shard']} on one machine in shards/" in job.stderr
    assert not shards.project.path("results.json").exists()
    assert not shards.project.path("report.html").exists()
