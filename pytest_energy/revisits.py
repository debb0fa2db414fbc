"""Tests that are run again, after the others, before anything is said of them.

A test that asks for it is put at the end of the session's list; a worker of pytest-xdist, whose
list is the controller's, runs it again at once. Until then its only report is one of the outcome
``suspect``, which no other plugin counts as passed, failed or skipped.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from _pytest.runner import runtestprotocol

SUSPECT = "suspect"
AGAIN = pytest.StashKey[bool]()
"""Whether the run of a test that has just ended asks for another one."""


class Revisits:
    """Runs tests, and runs some of them again.

    Args:
        measures: Whether a test measures, and may therefore ask for another run.
    """

    def __init__(self, measures: Callable[[pytest.Item], bool]) -> None:
        self._measures = measures

    @pytest.hookimpl
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Run a test; hold its reports back until no further run is wanted."""
        if not self._measures(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = _run(item, nextitem)
        while item.stash.get(AGAIN, False) and hasattr(item.config, "workerinput"):
            reports = _run(item, nextitem)
        if item.stash.get(AGAIN, False):
            item.session.items.append(item)
            reports = [_suspect(report) for report in reports if report.when == "call"]
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """A suspect is shown as one, and counted as nothing else."""
        if report.outcome == SUSPECT:
            return SUSPECT, "?", "SUSPECT (measured again at the end)"
        return None


def _run(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    item.stash[AGAIN] = False
    item.user_properties.clear()
    return runtestprotocol(item, log=False, nextitem=nextitem)


def _suspect(report: pytest.TestReport) -> pytest.TestReport:
    report.outcome = SUSPECT  # type: ignore[assignment]
    report.longrepr = None
    return report
