"""The fixture in a project that uses it."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import pytest

from pytest_energy import testing
from pytest_energy.simulation import build
from tests.virtual import virtual_machine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(pytester):
    """A project that names the module in its conftest, as in the docs."""
    pytester.makeconftest('pytest_plugins = ["pytest_energy.testing"]')
    return pytester


def run(project, *arguments):
    """A separate session inside this one."""
    return project.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


IMPORTS = """
import os, subprocess, sys
from dataclasses import replace
import pytest
from pytest_energy.testing import PROFILES, SimulatedNvml
"""


def test_the_blocks_of_the_docs_run(project, monkeypatch):
    """All Python of docs/testing.md: the example, other cards, child processes, and a meter.

    A reader's machines run on the real clock, for seconds.
    """
    monkeypatch.setattr(testing, "SimulatedNvml", virtual_machine)
    text = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    conftest, example, cards, attached, virtual, contract = blocks
    project.makeconftest(conftest)
    child = "import time\nwork = lambda: time.sleep(0.01)\n" + attached
    project.path.joinpath("study.py").write_text(child)
    inside = textwrap.indent(IMPORTS + virtual, "    ")
    project.path.joinpath("my_package.py").write_text(
        "from pytest_energy.meters.nvml import open_meter\n"
    )
    project.makepyfile(
        test_budget=example,
        test_cards=IMPORTS + cards,
        test_children=f"def test_study():\n{inside}\n    assert machine.now_s() > 0\n",
        test_contract=contract.replace("contract():", "contract(nvml_sim):"),
    )
    run(project).assert_outcomes(passed=6)


def test_cards_are_chosen_by_parametrization(project):
    """By name, by profile, or several cards."""
    project.makepyfile("""
        from dataclasses import replace
        import pynvml, pytest
        from pytest_energy.testing import PROFILES

        @pytest.mark.parametrize(
            "nvml_sim, names",
            [
                ("ada", ["NVIDIA GeForce RTX 4090"]),
                (replace(PROFILES["volta"], name="Mine"), ["Mine"]),
                (("ga100", "hopper"), ["NVIDIA A100-SXM4-40GB", "NVIDIA H100 80GB HBM3"]),
            ],
            indirect=["nvml_sim"],
        )
        def test_names(nvml_sim, names):
            pynvml.nvmlInit()
            handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
            assert [pynvml.nvmlDeviceGetName(handle) for handle in handles] == names
    """)
    run(project).assert_outcomes(passed=3)


def test_without_a_compiler_a_test_fails_in_one_line(project, monkeypatch):
    """The test fails: a skip would leave a budget unchecked. There is no traceback."""
    build.build_libraries.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    project.makepyfile("def test_budget(nvml_sim): pass")
    result = run(project, "-rE")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*needs a C compiler*no-such-compiler*apt-get install gcc*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_sources_compile_without_a_warning():
    """Without warnings, also with stricter compiler options."""
    sources = sorted(map(str, build.SOURCES.glob("*.c")))
    flags = ["-Werror", "-Wshadow", "-Wpointer-arith", "-Wwrite-strings", "-fsyntax-only"]
    command = ["cc", "-std=c11", "-Wall", "-Wextra", *flags, *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
