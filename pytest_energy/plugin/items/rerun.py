"""Run tests again after the others, and report only the last run.

The test to run again goes to the end of the session's list, or to the end of the tests that share
its wider fixtures, so that they are not made anew. A pytest-xdist worker runs it again at once,
because its list belongs to the controller. Until the last run only pytest's own terminal shows the
test, as ``suspect`` or ``recording``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, cast

import pytest

from pytest_energy.gate.decision import RevisitReason
from pytest_energy.plugin.items.held_reports import HeldReports
from pytest_energy.plugin.items.shared_fixtures import shares_fixtures

RERUN_REASON = pytest.StashKey[RevisitReason | None]()
"""Why the test that has just run must run again; ``None`` if it need not."""
LETTERS: Final[Mapping[str, str]] = {"suspect": "?", "recording": "r"}
"""What the terminal shows for a run that is not the last one, by its reason."""


class Reruns:
    """Run the tests that measure again if needed, whichever plugin runs them.

    Args:
        measures: Whether a test measures, and may therefore need another run.
    """

    def __init__(self, measures: Callable[[pytest.Item], bool]) -> None:
        self._measures = measures
        self._position = -1
        """Of the running test in the session's list."""
        self._placed: int | None = None
        """The position of its next run."""
        self._following: pytest.Item | None = None
        """The test that follows if there is no next run."""
        self._nested = False

    # The outermost wrapper: others, such as the one of pytest-timeout, are then around one run.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, Any, Any]:
        """Hold the reports of a test back while another run is needed."""
        self._position += not self._nested
        if not self._measures(item):
            return (yield)
        item.stash[RERUN_REASON] = self._placed = None
        place = self._place(item)
        held = HeldReports(item, lambda: bool(item.stash[RERUN_REASON]), place)
        with held.hold():
            returned = yield
        reason = item.stash[RERUN_REASON]
        if reason is None:
            self._unplace(item.session)
            return returned
        held.interim(reason)
        item.user_properties.clear()  # this run has left its joules here
        if not _in_worker(item):
            if self._placed is None:  # it ran in a process of its own, which tore it down
                place(nextitem)
            return returned
        nested, self._nested = self._nested, True
        try:
            return item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        finally:
            self._nested = nested

    def _place(self, item: pytest.Item) -> Callable[[pytest.Item | None], pytest.Item | None]:
        """What puts another run of a test into the session's list, and says what really follows."""
        # pytest keeps set up what follows needs. The parent needs all but the test itself.
        parent = cast("pytest.Item", item.parent)

        def place(following: pytest.Item | None) -> pytest.Item | None:
            session = item.session
            if _in_worker(item):
                return parent
            if session.shouldfail or session.shouldstop or self._placed is not None:
                return following
            if session.items[self._position : self._position + 1] != [item]:
                # Another plugin runs the list in its own order.
                session.items.append(item)
                self._placed, self._following = len(session.items) - 1, following
                return following or parent
            position = self._position + 1
            while position < len(session.items) and shares_fixtures(item, session.items[position]):
                position += 1
            session.items.insert(position, item)
            self._placed, self._following = position, following
            following = session.items[self._position + 1]
            return parent if following is item else following

        return place

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Tear down what only the next run would need, if there is none as the teardown failed."""
        try:
            return (yield)
        except BaseException:
            if self._placed is not None:
                self._unplace(item.session)
                item.session._setupstate.teardown_exact(self._following)
            raise

    def _unplace(self, session: pytest.Session) -> None:
        """Take the next run of the running test back."""
        if self._placed is not None:
            del session.items[self._placed]
            self._placed = None

    @pytest.hookimpl
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show that a test will run again."""
        letter = LETTERS.get(report.outcome)
        if letter is None:
            return None
        return report.outcome, letter, f"{report.outcome.upper()} (will be measured again)"


def _in_worker(item: pytest.Item) -> bool:
    return hasattr(item.config, "workerinput")
