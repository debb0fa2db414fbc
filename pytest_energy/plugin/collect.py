"""Write what pytest collects into a file, for another process.

Load it with ``pytest -p pytest_energy.plugin.collect``. It records the tests, also those that are
deselected later, and the files that were read to find them, except those that skipped themselves.
What is selected in the end is recorded apart, in its order.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_energy.gate.acceptance import Collected


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the file to write."""
    parser.addoption("--collected", metavar="FILE", help="write what was collected, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Record the collection, if there is a file to write."""
    if file := config.getoption("collected"):
        config.pluginmanager.register(CollectionWriter(config, Path(file)), "energy-collection")


class CollectionRecorder:
    """Records the tests and the files."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._tests: set[str] = set()
        self._files: set[str] = set()
        self._skipped: set[str] = set()

    @property
    def collected(self) -> Collected:
        """What was collected so far."""
        root = self._config.rootpath
        return Collected(root, self._arguments(), frozenset(self._files), frozenset(self._tests))

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Record a test before anything deselects it."""
        self._tests.add(item.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file that was read or that skipped itself."""
        if (self._config.rootpath / report.nodeid).is_file():
            (self._skipped if report.skipped else self._files).add(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record the final ids as well, since a plugin may have renamed tests."""
        self._tests |= {item.nodeid for item in session.items}

    def _arguments(self) -> list[str]:
        """Return the command line's arguments as ids, which start at the root directory."""
        if self._config.args_source is not pytest.Config.ArgsSource.ARGS:
            return []  # the arguments come from ``testpaths`` or are the current folder
        return [self._as_id(argument) for argument in self._config.args]

    def _as_id(self, argument: str) -> str:
        path, separator, inside = argument.partition("::")
        absolute = self._config.invocation_params.dir / path
        relative = Path(os.path.relpath(absolute, self._config.rootpath))
        return relative.as_posix() + separator + inside


class CollectionWriter(CollectionRecorder):
    """Writes at the end what was recorded."""

    def __init__(self, config: pytest.Config, output: Path) -> None:
        super().__init__(config)
        self._output = output
        self._selected: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record what would run."""
        super().pytest_collection_finish(session)
        self._selected = [item.nodeid for item in session.items]

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        collected = {
            "root": str(self._config.rootpath),
            "configuration": str(self._config.inipath or ""),
            "selected": self._selected,
            "asked": self._arguments(),
            "files": sorted(self._files),
            "skipped": sorted(self._skipped),
            "tests": sorted(self._tests),
        }
        self._output.write_text(json.dumps(collected), "utf-8")
