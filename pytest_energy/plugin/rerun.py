"""Tests that are run again, after the others, before anything is said of them.

A test that asks for it is put at the end of the session's list; a worker of pytest-xdist, whose
list is the controller's, runs it again at once. Until then its only report is one of an outcome of
its own, which no other plugin counts as passed, failed or skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pytest
from _pytest.runner import runtestprotocol

from pytest_energy.gate.decision import RevisitReason

AGAIN = pytest.StashKey[RevisitReason | None]()
"""Why the run of a test that has just ended asks for another one; ``None``: it does not."""
LETTERS: Final[Mapping[str, str]] = {"suspect": "?", "recording": "r"}


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
        while item.stash[AGAIN] and hasattr(item.config, "workerinput"):
            reports = _run(item, nextitem)
        if why := item.stash[AGAIN]:
            item.session.items.append(item)
            reports = [_held_back(report, why) for report in reports if report.when == "call"]
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """What is run again is shown as that, and counted as nothing else."""
        letter = LETTERS.get(report.outcome)
        if letter is None:
            return None
        return report.outcome, letter, f"{report.outcome.upper()} (measured again at the end)"


def _run(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    item.stash[AGAIN] = None
    item.user_properties.clear()
    return runtestprotocol(item, log=False, nextitem=nextitem)


def _held_back(report: pytest.TestReport, why: RevisitReason) -> pytest.TestReport:
    report.outcome = why  # type: ignore[assignment]
    report.longrepr = None
    return report
