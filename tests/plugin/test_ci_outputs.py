"""The files and lines that a run writes for a CI system."""

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
    """In GitHub Actions the run is added to the job summary, and the line of the test annotated."""
    summary = worse.path("summary.md")
    summary.write_text("# of another tool\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(worse.path("..").resolve()))
    result = worse.run("--junitxml=junit.xml")
    assert result.ret == 1
    folder = worse.path(".").resolve().name
    command = f"::error file={folder}/test_it.py,title=energy regressed*,line=3::*"
    result.stdout.fnmatch_lines([command])
    text = summary.read_text()
    assert text.startswith("# of another tool\n## ✗ Gate failed")
    assert "| `test_it.py::test_it` |" in text or "| `test_it` |" in text
    junit = worse.path("junit.xml").read_text()
    assert '<property name="energy.outcome" value="regressed"' in junit
    assert '<property name="energy.energy_j" value="110.0"' in junit
    files = {path.name for path in worse.path(".energy").iterdir()}
    assert files == {"results.json", "report.html", ".gitignore"}


def test_a_summary_that_cannot_be_written_is_reported(worse, monkeypatch):
    """One line names it; the verdict and the other outputs are unchanged."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(worse.path(".")))
    result = worse.run("--energy-output=markdown:a.md")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["energy: could not add to GITHUB_STEP_SUMMARY=*: Is a directory"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert worse.path("a.md").exists()


def test_a_comment_is_written_only_if_asked_for(worse, monkeypatch):
    """Without the option nothing is sent; with it, a failure is one line and no verdict."""
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    plain = worse.run()
    assert "no comment" not in plain.stdout.str()
    asked = worse.run("--energy-comment")
    assert asked.ret == plain.ret == 1
    asked.stdout.fnmatch_lines(["energy: --energy-comment: no comment was written: GITHUB_REPO*"])


def test_workers_outputs_are_one_run(worse, monkeypatch):
    """Under pytest-xdist in GitLab CI there is one run and one exit status, with all outputs."""
    monkeypatch.setenv("GITLAB_CI", "true")
    result = worse.run(
        "-n2",
        "--energy-output=markdown:out/a.md",
        "--energy-output=openmetrics:out/b.txt",
        "--energy-output=github-benchmark:out/c.json",
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*Gate failed: the benchmark*", "energy: wrote out/c.json"])
    assert "::error" not in result.stdout.str()
    assert worse.benchmark()["verdict"]["outcome"] == "regressed"
    assert worse.path("out/a.md").read_text().startswith("## ✗ Gate failed")
    assert worse.path("out/b.txt").read_text().endswith("# EOF\n")
    assert json.loads(worse.path("out/c.json").read_text())[0]["name"].startswith("test_it.py::")
    (entry,) = json.loads(worse.path(".energy/gl-code-quality-report.json").read_text())
    assert entry["location"]["path"] == "test_it.py"
    assert not worse.path(".energy/metrics.txt").exists()  # it has another path
