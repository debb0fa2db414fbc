"""The tests in the README, run as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_energy.model.measurement import Environment, Quantity
from pytest_energy.model.outcomes import Outcome
from pytest_energy.report.text.terminal import summary_lines
from tests.plugin.conftest import MEASURING, QUICK, Project
from tests.report import handmade

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
FORGETTING = """
import sys

for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
    del sys.modules[name]
"""
"""Lets the tests import :data:`MODELS` also in a process that has imported torchvision."""


def example() -> str:
    """The tests under "A first energy test", with work that the scripted clock sees."""
    section = README.read_text().partition("## A first energy test")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    text = "\n\n".join(blocks)
    for line in WINDOWS:
        assert f"        {line}" in text
        text = text.replace(f"        {line}", f"        work(0.01); {line}")
    return text


def write(project: Project, seconds: float) -> None:
    """Write the tests, with a sort that takes this long."""
    project.pytester.mkpydir("torchvision").joinpath("models.py").write_text(MODELS)
    project.pytester.makeconftest(FORGETTING)
    project.write(SLOW.format(seconds=seconds) + example())


@pytest.mark.usefixtures("torch_forks")
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


def test_the_output_is_what_a_run_prints() -> None:
    """The README's section on energy is that of a run with its figures, word by word."""
    metrics = {
        "energy_j": Quantity(value=375.1, unit="J/call", uncertainty=0.06),
        "latency_s": Quantity(value=1.1, unit="s"),
        "power_w": Quantity(value=341.0, unit="W"),
    }
    calm = [handmade.result(id=f"benchmarks/test_models.py::{x}", metrics=metrics) for x in "ab"]
    id = "benchmarks/test_models.py::test_inference[resnet50]"
    worse = handmade.result(Outcome.REGRESSED, id, 0.1, 0.077, 0.123, metrics=metrics)
    figures = {"baseline": 341.0, "value": 375.1, "unit": "J/call"}
    judged = [each.model_copy(update=figures) for each in worse.verdict.metrics]
    cause = "power +10.0 % × time +0.0 %"
    verdict = worse.verdict.model_copy(update={"metrics": judged, "cause": cause})
    run = handmade.run(worse.model_copy(update={"verdict": verdict}), *calm)
    machine = Environment(identity={"device": "simulated NVIDIA H100 80GB HBM3"})
    run = run.model_copy(update={"environment": machine})
    printed = README.read_text().partition("= energy =")[2].partition("\n")[2]
    expected = printed.partition("\n```")[0].splitlines()
    assert [line.text for line in summary_lines(run, 100)] == expected


def test_the_budget_of_the_first_tests_is_enforced(project: Project) -> None:
    """The assertion fails if a call uses more than its budget."""
    write(project, seconds=0.01)
    project.run("-k", "sorting").assert_outcomes(failed=1, deselected=2)
