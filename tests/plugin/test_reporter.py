"""The files and lines at the end of a session."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

CALL = """
@pytest.mark.parametrize("n", [1, 2, 3])
def test_it(energy, n):
    energy(work, 0.01)
"""


def test_reports_are_written_and_named(project: Project) -> None:
    """The HTML report is always written, Markdown on request; the terminal names both."""
    project.write(CALL)
    result = project.run("--energy-output=markdown:out/summary.md")
    result.stdout.fnmatch_lines(["*.energy/report.html*"])
    assert "test_it" in project.path(".energy/report.html").read_text()
    assert "test_it" in project.path("out/summary.md").read_text()


def test_an_output_that_cannot_be_written_takes_no_other_along(project: Project) -> None:
    """One line names the file; the other outputs are written."""
    project.write("""
from pathlib import Path

def test_it(energy):
    energy(work, 0.01)
    Path("taken").mkdir()
""")
    result = project.run("--energy-output=html:taken", "--energy-output=markdown:summary.md")
    result.stdout.fnmatch_lines(["*could not write *taken: *directory*"])
    assert project.path("summary.md").exists()
    assert result.ret == 1


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "xdist"])
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--energy-html=taken", "html:*taken: *directory; name a file"),
        ("--energy-markdown=a_file/out.md", "markdown:*a_file/out.md: *name a file that can"),
        ("--energy-json=test_project.py", "json:*.py: *ends with .py is code"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_measured(
    project: Project, option: str, words: str, workers: tuple[str, ...]
) -> None:
    """A folder, a path below a file, and a test file behind an option that takes a file."""
    project.write(CALL)
    (tests,) = project.path(".").glob("test_*.py")
    project.path("taken").mkdir()
    project.path("a_file").touch()
    option = option.replace("test_project.py", tests.name)
    result = project.run(option, *(("-p", "xdist", *workers) if workers else ()))
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*--energy-output={words}*"])
    assert "energy(work" in tests.read_text()


def test_results_that_can_no_longer_be_written_cost_nothing_else(project: Project) -> None:
    """If the path is lost while measuring, the summary says so, as for any other output."""
    project.write("""
from pathlib import Path

def test_it(energy):
    energy(work, 0.01)
    Path(".energy").touch()
""")
    result = project.run("--energy-output=html:report.html")
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*wrote report.html*", "*could not write *results.json: *"])
    result.stdout.no_fnmatch_line("*wrote *results.json*")
