"""What pytest collects, told to another process: ``pytest -p pytest_energy.plugin.collect``.

The tests, also those that are deselected later; and the files that were read to find them, apart
from those that skipped themselves.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the file to write."""
    parser.addoption("--collected", metavar="FILE", help="write what was collected, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Listen, where there is somebody to tell."""
    if file := config.getoption("collected"):
        config.pluginmanager.register(Listener(config, Path(file)), "energy-collecting")


class Listener:
    """Notes the tests and the files, and writes them at the end."""

    def __init__(self, config: pytest.Config, output: Path) -> None:
        self._config = config
        self._output = output
        self._tests: set[str] = set()
        self._files: set[str] = set()
        self._skipped: set[str] = set()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note a test, before anything deselects it."""
        self._tests.add(item.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that was read, or skipped itself."""
        if (self._config.rootpath / report.nodeid).is_file():
            (self._skipped if report.skipped else self._files).add(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the tests as they are called in the end, should a plugin have renamed them."""
        self._tests |= {item.nodeid for item in session.items}

    def pytest_sessionfinish(self) -> None:
        """Write."""
        told = {
            "root": str(self._config.rootpath),
            "asked": self._asked(),
            "files": sorted(self._files),
            "skipped": sorted(self._skipped),
            "tests": sorted(self._tests),
        }
        self._output.write_text(json.dumps(told), "utf-8")

    def _asked(self) -> list[str]:
        """The arguments, spelt as ids are: from the root directory; none where none were given."""
        if self._config.args_source is not pytest.Config.ArgsSource.ARGS:
            return []
        return [self._spelt_as_id(argument) for argument in self._config.args]

    def _spelt_as_id(self, argument: str) -> str:
        path, separator, inside = argument.partition("::")
        there = self._config.invocation_params.dir / path
        return Path(os.path.relpath(there, self._config.rootpath)).as_posix() + separator + inside
