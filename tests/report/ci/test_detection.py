"""The CI system is detected, and gets its outputs by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.model.outcomes import Outcome
from pytest_energy.report.ci.detection import add_job_summary, for_this_ci, repository_folder
from pytest_energy.report.text.markdown import STEP_SUMMARY_BYTES
from pytest_energy.settings import Settings

GITHUB = {"GITHUB_ACTIONS": "true"}


@pytest.mark.parametrize(
    ("option", "environ", "expected"),
    [
        ("auto", GITHUB, "on"),
        ("auto", {}, "off"),
        ("on", {}, "on"),
        ("off", GITHUB, "off"),
    ],
)
def test_annotations_follow_the_option_then_the_system(option, environ, expected):
    """The option takes precedence over the detected system."""
    assert for_this_ci(Settings(annotations=option), environ).annotations == expected


def test_gitlab_gets_its_reports_beside_the_results():
    """In GitLab CI both reports have a default path; a path that the user set stays."""
    files = {"json": Path("out/results.json"), "openmetrics": Path("m.txt")}
    detected = for_this_ci(Settings(output=files), {"GITLAB_CI": "true"})
    assert detected.output == {**files, "code-quality": Path("out/gl-code-quality-report.json")}


def test_outside_of_ci_nothing_is_added():
    """Outside of CI no output has a default path."""
    assert for_this_ci(Settings(), {}).output.keys() == {"json", "html"}


def test_summary_stays_within_what_is_left(tmp_path, make_run, make_result):
    """The text of other tools in the job summary counts towards its limit."""
    summary = tmp_path / "summary.md"
    summary.write_text("x" * (STEP_SUMMARY_BYTES - 600))
    run = make_run(*(make_result(Outcome.NEW, id=f"a.py::test_{n}") for n in range(20)))
    add_job_summary(run, {"GITHUB_STEP_SUMMARY": str(summary)})
    assert STEP_SUMMARY_BYTES - 600 < summary.stat().st_size <= STEP_SUMMARY_BYTES
    assert "Too long for this summary" in summary.read_text()


def test_paths_start_at_the_root_of_the_checkout(tmp_path):
    """Annotations need paths from the root of the checkout, not from the tests' root folder."""
    (tmp_path / "python").mkdir()
    environ = {"GITHUB_WORKSPACE": str(tmp_path)}
    assert repository_folder(tmp_path / "python", environ) == "python"
    assert repository_folder(tmp_path / "python", {}) == ""
    assert repository_folder(tmp_path.parent, environ) == ""
