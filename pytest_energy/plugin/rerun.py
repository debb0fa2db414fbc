"""Run tests again after the others, and report only the last run.

The test to run again goes to the end of the session's list. A pytest-xdist worker runs it again at
once, because its list belongs to the controller. Until the last run a test is only reported with
the outcome ``suspect`` or ``recording``, which no plugin counts as passed, failed or skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pytest
from _pytest.runner import runtestprotocol

from pytest_energy.gate.decision import RevisitReason

Runner = Callable[[pytest.Item, pytest.Item | None], list[pytest.TestReport]]
RERUN_REASON = pytest.StashKey[RevisitReason | None]()
"""Why the test that has just run must run again; ``None`` if it need not."""
LETTERS: Final[Mapping[str, str]] = {"suspect": "?", "recording": "r"}
"""What the terminal shows for a run that is not the last one, by its reason."""


class Reruns:
    """Run the tests that measure, some of them several times.

    Args:
        measures: Whether a test measures, and may therefore need another run.
        run: Runs a test, given the next one, and returns its reports.
    """

    def __init__(self, measures: Callable[[pytest.Item], bool], run: Runner) -> None:
        self._measures = measures
        self._runner = run

    @pytest.hookimpl
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Run a test; withhold its reports while another run is needed."""
        if not self._measures(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = self._run(item, nextitem)
        while item.stash[RERUN_REASON] and hasattr(item.config, "workerinput"):
            reports = self._run(item, nextitem)
        if reason := item.stash[RERUN_REASON]:
            item.session.items.append(item)
            reports = [_withheld(report, reason) for report in reports if report.when == "call"]
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _run(self, item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
        item.stash[RERUN_REASON] = None
        item.user_properties.clear()  # the run before may have left its joules here
        return self._runner(item, nextitem)

    @pytest.hookimpl
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show that a test will run again."""
        letter = LETTERS.get(report.outcome)
        if letter is None:
            return None
        return report.outcome, letter, f"{report.outcome.upper()} (will be measured again)"


def run_here(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Run a test in this process."""
    return runtestprotocol(item, log=False, nextitem=nextitem)


def _withheld(report: pytest.TestReport, reason: RevisitReason) -> pytest.TestReport:
    report.outcome = reason  # type: ignore[assignment] # pytest types only its own outcomes
    report.longrepr = None
    return report
