"""The tests of a suite, as pytest itself selects them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.session.collection import NO_TESTS, run_collection


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
    # With --energy, since options of the plugin are refused without. The tests come first, since
    # the value of an option such as --energy-update may be left out.
    done = run_collection([*tests, "--energy", *options])
    selection = " ".join([*tests, *options]) or "this folder"
    if done.status == NO_TESTS:
        raise UsageError(f"no tests collected from {selection}; {' '.join(done.output[-1:])}")
    if done.status != 0:
        raise EnergyError(f"collecting {selection} failed: {done.errors}")
    collected = done.record
    configuration = collected["configuration"]
    return Suite(
        Path(collected["root"]),
        Path(configuration) if configuration else None,
        tuple(collected["selected"]),
        tuple(collected["asked"]),
    )
