"""Collect the tests of a suite by pytest itself, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_energy.errors import EnergyError, UsageError

NO_TESTS = 5
"""Pytest's exit status if it collects no test."""


@dataclass(frozen=True)
class Suite:
    """The tests that pytest selects."""

    root: Path
    """Pytest's root folder."""
    configuration: Path | None
    """The file that pytest is configured by."""
    tests: tuple[str, ...]
    """Their ids, in the order of pytest."""
    asked: tuple[str, ...]
    """The ids on the command line; none: all."""

    def modules(self) -> Mapping[str, int]:
        """The number of tests by module, which is the part of an id before its first ``::``."""
        return Counter(module_of(test) for test in self.tests)

    def arguments(self, module: str, folder: Path) -> list[str]:
        """What makes pytest, started in ``folder``, select the same tests of a module.

        The module is named as a whole unless the command line asks for single tests of it. So a
        shard notices that a test of the module is gone, just as the whole session does.
        """
        inside = [test for test in self.asked if "::" in test and module_of(test) == module]
        wider = any(
            "::" not in path and (path in (".", module) or module.startswith(f"{path}/"))
            for path in self.asked
        )
        names = [module] if wider or not inside else inside
        return [_from(folder, self.root, name) for name in names]


def module_of(test: str) -> str:
    """The module of a test's id, or of a benchmark's."""
    return test.partition("::")[0]


def _from(folder: Path, root: Path, test: str) -> str:
    path, separator, inside = test.partition("::")
    return os.path.relpath(root / path, folder) + separator + inside


def collect(tests: Sequence[str], options: Sequence[str]) -> Suite:
    """Collect tests, as pytest in the current folder does.

    Args:
        tests: Files, folders or ids.
        options: Of pytest.

    Raises:
        UsageError: No test is selected.
        EnergyError: The collection failed; the text has the errors.
    """
    with TemporaryDirectory(prefix="pytest-energy-") as folder:
        answer = Path(folder, "collected.json")
        plugin = ["-p", "pytest_energy.plugin.collect", f"--collected={answer}"]
        # With --energy, since options of the plugin are refused without.
        command = [sys.executable, "-m", "pytest", "--collect-only", "--energy"]
        pytest_run = subprocess.run(
            [*command, *plugin, *options, *tests],
            capture_output=True,
            text=True,
            check=False,
        )
        collected = json.loads(answer.read_text("utf-8")) if answer.exists() else {}
    output = [*pytest_run.stdout.strip().splitlines(), *pytest_run.stderr.strip().splitlines()]
    selection = " ".join([*tests, *options]) or "this folder"
    if pytest_run.returncode == NO_TESTS:
        raise UsageError(f"no tests collected from {selection}; {' '.join(output[-1:])}")
    if pytest_run.returncode != 0:
        errors = [line for line in output if line.startswith("ERROR")] or output[-1:]
        raise EnergyError(f"collecting {selection} failed: {'; '.join(errors)}")
    configuration = collected["configuration"]
    return Suite(
        Path(collected["root"]),
        Path(configuration) if configuration else None,
        tuple(collected["selected"]),
        tuple(collected["asked"]),
    )
