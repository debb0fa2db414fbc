"""What a run leaves for a CI system, noticed or asked for."""

from __future__ import annotations

import json

import pytest

BODY = "def test_it(energy):\n    energy.pedantic(work, (1.0,), rounds=3)\n"


@pytest.fixture
def worse(project):
    """A project whose energy has risen by 10 % since its baseline."""
    project.write(BODY)
    assert project.run("--energy-update").ret == 0
    project.script(power_w=110.0)
    return project


def test_github_gets_summary_and_annotations(worse, monkeypatch):
    """In GitHub Actions the job summary is added to, and the test's line is annotated."""
    summary = worse.path("summary.md")
    summary.write_text("# of another tool\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(worse.path("..").resolve()))
    done = worse.run("--junitxml=junit.xml")
    assert done.ret == 1
    folder = worse.path(".").resolve().name
    command = f"::error file={folder}/test_it.py,title=energy regressed*,line=3::*"
    done.stdout.fnmatch_lines([command])
    text = summary.read_text()
    assert text.startswith("# of another tool\n## ✗ Gate failed")
    assert "| `test_it.py::test_it` |" in text or "| `test_it` |" in text
    junit = worse.path("junit.xml").read_text()
    assert '<property name="energy.outcome" value="regressed"' in junit
    assert '<property name="energy.energy_j" value="110.0"' in junit
    left = {path.name for path in worse.path(".energy").iterdir()}
    assert left == {"results.json", "report.html"}


def test_a_summary_that_cannot_be_written_is_told(worse, monkeypatch):
    """One line names it; the verdict and the other outputs are as without it."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(worse.path(".")))
    done = worse.run("--energy-markdown=a.md")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["energy: could not add to GITHUB_STEP_SUMMARY=*: Is a directory"])
    assert "Traceback" not in done.stdout.str() + done.stderr.str()
    assert worse.path("a.md").exists()


def test_workers_outputs_are_one_run(worse, monkeypatch):
    """Under pytest-xdist in GitLab CI: one run, one exit status, each output where it was asked."""
    monkeypatch.setenv("GITLAB_CI", "true")
    done = worse.run(
        "-n2",
        "--energy-markdown=out/a.md",
        "--energy-openmetrics=out/b.txt",
        "--energy-github-benchmark=out/c.json",
    )
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*Gate failed: 1 of 1 benchmark*", "energy: wrote out/c.json"])
    assert "::error" not in done.stdout.str()
    assert worse.benchmark()["verdict"]["outcome"] == "regressed"
    assert worse.path("out/a.md").read_text().startswith("## ✗ Gate failed")
    assert worse.path("out/b.txt").read_text().endswith("# EOF\n")
    assert json.loads(worse.path("out/c.json").read_text())[0]["name"].startswith("test_it.py::")
    (entry,) = json.loads(worse.path(".energy/gl-code-quality-report.json").read_text())
    assert entry["location"]["path"] == "test_it.py"
    assert not worse.path(".energy/metrics.txt").exists()  # asked for elsewhere
