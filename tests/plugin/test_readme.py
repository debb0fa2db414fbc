"""The tests in the README, run as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.plugin.conftest import MEASURING, QUICK, Project

README = Path(__file__).parents[2] / "README.md"
SLOW = """
def sorted(values, sort=sorted):
    work({seconds})
    return sort(values)
"""
"""In the place of Python's own, which takes no time on the scripted clock."""
WINDOWS = ("prompt = ", "answer = ")
MODELS = """
from scripted_meter import work

class resnet50:
    def to(self, device):
        return lambda batch: work(0.01)
"""
"""In torchvision's place, whose model takes longer than the rest of the test."""


def example() -> str:
    """The tests under "A first energy test", with work that the scripted clock sees."""
    section = README.read_text().partition("## A first energy test")[2]
    block = re.search(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert block
    text = block[1]
    for line in WINDOWS:
        assert f"        {line}" in text
        text = text.replace(f"        {line}", f"        work(0.01); {line}")
    return text


def write(project: Project, seconds: float) -> None:
    """Write the tests, with a sort that takes this long."""
    project.pytester.mkpydir("torchvision").joinpath("models.py").write_text(MODELS)
    project.write(SLOW.format(seconds=seconds) + example())


@pytest.mark.parametrize(
    ("arguments", "meter"),
    [(QUICK, True), (MEASURING, True), (MEASURING, False)],
    ids=["plain", "measured", "no-meter"],
)
def test_the_first_tests_pass(project: Project, arguments: tuple[str, ...], meter: bool) -> None:
    """They pass without --energy, with it, and with it on a machine without a meter."""
    project.script(unavailable="" if meter else "no card")
    write(project, seconds=0.001)
    small = ("--energy-passes=1", "--energy-epochs=1", "--energy-scale=small")
    limits = small if "--energy" in arguments else ()
    meters = ("--energy-meter=auto",) if not meter else ()
    result = project.pytester.runpytest_subprocess(*arguments, *limits, *meters)
    result.assert_outcomes(passed=3)


def test_the_budget_of_the_first_tests_is_enforced(project: Project) -> None:
    """The assertion fails if a call uses more than its budget."""
    write(project, seconds=0.01)
    project.run("-k", "sorting").assert_outcomes(failed=1, deselected=2)
