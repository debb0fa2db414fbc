"""Find the baselines of selected tests that get no result, and why."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.gate.acceptance import Collected
from pytest_energy.model.result import NOT_RUN, Uncompared
from pytest_energy.plugin.collect import CollectionRecorder
from pytest_energy.plugin.items.unpassed import skip_reason
from pytest_energy.plugin.keyword_expression import matching_ids


class UncomparedBaselines(CollectionRecorder):
    """Records what is collected, what a conftest file deselects, and how tests end.

    What ``-k``, ``-m``, a path or another plugin leaves out is not missed: the user chose it.
    """

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self._selected: dict[str, None] = {}
        self._left_out: set[str] = set()
        self._skipped_files: dict[str, str] = {}
        self._ended: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file, and why it skipped itself."""
        super().pytest_collectreport(report)
        if report.skipped and report.nodeid in self._skipped:
            self._skipped_files[report.nodeid] = skip_reason(report)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Record the tests that the user, not a conftest file, left out."""
        if not _called_by_conftest():
            self._left_out |= {item.nodeid for item in items}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record the tests that will run."""
        super().pytest_collection_finish(session)
        self._selected = dict.fromkeys(item.nodeid for item in session.items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record how a test ended, if it left no result."""
        if report.skipped:
            self._ended[report.nodeid] = skip_reason(report)
        elif report.failed:
            self._ended[report.nodeid] = "failed before it had measured"
        elif report.when == "call":
            # A test that measured and passed has a result, but perhaps not of each window.
            self._ended[report.nodeid] = "no longer measured by its test"

    def find(self, baselines: Iterable[str], measured: Iterable[str]) -> list[Uncompared]:
        """The baselines that got no result, though the command line includes them.

        Args:
            baselines: The ids of the baselines.
            measured: The ids of the results.
        """
        collected = self.collected
        reasons = {
            test_id: self._reason(test_id, collected)
            for test_id in sorted(set(baselines) - set(measured))
        }
        return [
            Uncompared(id=test_id, reason=reason) for test_id, reason in reasons.items() if reason
        ]

    def _reason(self, test_id: str, collected: Collected) -> str | None:
        """Why a baseline got no result; ``None`` if the user left it out."""
        if test := _test_of(test_id, self._selected):
            return self._ended.get(test, NOT_RUN)
        if test := _test_of(test_id, collected.tests):
            silently = test not in self._left_out and self._conftest_selects()
            return "deselected by a conftest file" if silently else None
        if not collected.was_asked_for(test_id):
            return None
        if reason := self._skipped_files.get(test_id.partition("::")[0]):
            return reason
        narrowed = collected.was_unread(test_id) or not self._expressions_select(test_id)
        return None if narrowed else "no such test: renamed or removed"

    def _conftest_selects(self) -> bool:
        """Whether a conftest file may remove tests: most other plugins remove them for the user."""
        hook = self._config.hook.pytest_collection_modifyitems
        return any(
            _is_conftest(getattr(call.plugin, "__file__", "")) for call in hook.get_hookimpls()
        )

    def _expressions_select(self, test_id: str) -> bool:
        """Whether ``-k`` and the like would have selected a test that does not exist."""
        option = self._config.option
        if option.markexpr or getattr(option, "lf", False):
            return False  # nobody knows its markers, nor whether it failed
        try:
            return bool(matching_ids(option.keyword, [test_id]))
        except UsageError:  # refers to markers
            return False


def _test_of(test_id: str, tests: Iterable[str]) -> str | None:
    """The test with this id, or with this window."""
    present = set(tests)
    return next((test for test in (test_id, test_id.rpartition("::")[0]) if test in present), None)


def _called_by_conftest() -> bool:
    """Whether the code of a conftest file is among the callers.

    pytest tells a hook which tests were deselected, but not by whom.
    """
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment] # ends with None
        if _is_conftest(frame.f_code.co_filename):
            return True
    return False


def _is_conftest(file: str | None) -> bool:
    return Path(file or "").name == "conftest.py"
