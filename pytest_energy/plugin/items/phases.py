"""The phases of a test that uses the fixture: its body ends, and at last its outcome is known.

The body is judged as soon as it ends, while its fixtures live and the test can still fail. What the
judgement changes outside the session, such as an accepted baseline, waits for the teardown: only
then it is known whether the test has passed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.plugin.items.requests import (
    NAME,
    EnergyWarning,
    is_own,
    requested_at_run_time,
)

if TYPE_CHECKING:
    from pytest_energy.fixture import Energy


@dataclass(eq=False, slots=True)
class Visit:
    """One run of a test."""

    energy: Energy
    body_has_ended: bool = False
    failed: bool = False
    """Whether a subtest failed, or a phase; a verdict that fails the test is no such failure."""
    verdict_fails: bool = False


VISIT = pytest.StashKey[Visit]()
"""The run of a test, from its setup to its teardown."""


BY_VERDICT: Final = "energy_verdict"
"""The attribute of an exception, and of its report, that fails a test by the verdict alone."""


_SET_UP: Final[ContextVar[tuple[Phases, pytest.Item] | None]] = ContextVar("set_up", default=None)
"""The plugin that makes the fixture, and the test. A hook notes them, since for a fixture that asks
for ``request`` pytest takes longer than all of this plugin does for a test."""


def begin_visit() -> Energy:
    """Begin a run of the test whose fixture is set up.

    Raises:
        UsageError: No test of the session has requested the fixture before it ran.
    """
    __tracebackhide__ = True
    set_up = _SET_UP.get()
    if set_up is None:
        raise requested_at_run_time(os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0])
    _SET_UP.set(None)
    plugin, item = set_up
    return plugin.visit(item)


class Phases:
    """Makes the fixtures of tests, and ends their bodies."""

    def fixture(self, item: pytest.Item) -> Energy:
        """Return the ``energy`` fixture of one test."""
        raise NotImplementedError

    def visit(self, item: pytest.Item) -> Energy:
        """Begin a run of a test with its fixture."""
        __tracebackhide__ = True
        energy = self.fixture(item)
        item.stash[VISIT] = Visit(energy)
        return energy

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> None:
        """Note for which test pytest is about to call the fixture's function."""
        if fixturedef.argname == NAME and is_own(fixturedef):
            _SET_UP.set((self, request.node))

    @pytest.hookimpl(wrapper=True, trylast=True)  # close to the body, whose output is captured
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Judge a test as soon as its body has ended; every item passes here."""
        visit = item.stash.get(VISIT, None)
        if visit is None:
            return (yield)
        raised: BaseException | None = None
        excepthook = threading.excepthook
        threading.excepthook = _noting_refusals(visit.energy.usage.note_refusal, excepthook)
        try:
            yield
            raised = _kept_by_unittest(item)
        except BaseException as error:
            raised = error
            raise
        finally:
            threading.excepthook = excepthook
            visit.body_has_ended = True
            self.leave_body(item)
            # A test that skips itself, or that is interrupted, leaves no result. Candidates have
            # results also where a claim on them skips the test.
            if raised is None or _is_unmeasured(raised):
                self._end(item, visit, None)
            elif _is_failure(raised):
                self._end(item, visit, raised)
            visit.energy.usage.end()
        return None

    def _end(self, item: pytest.Item, visit: Visit, raised: BaseException | None) -> None:
        """End the body.

        Raises:
            pytest.fail.Exception: The fixture was misused, or the verdict fails the test.
        """
        __tracebackhide__ = True
        failed = visit.failed or raised is not None
        try:
            self.end_body(item, visit, failed=failed)
        except EnergyError as error:
            if raised is None:
                raise pytest.fail.Exception(str(error), pytrace=False) from None

    def leave_body(self, item: pytest.Item) -> None:
        """Clean up after a body, however it ended."""

    def end_body(self, item: pytest.Item, visit: Visit, *, failed: bool) -> None:
        """Check what the body did with the fixture; ``failed`` says whether the test has failed.

        Raises:
            EnergyError: It was misused.
        """
        usage = visit.energy.usage
        usage.end()
        if failed:
            return
        usage.check()
        if not (usage.measures or usage.asked):
            item.warn(
                EnergyWarning(
                    f"{item.nodeid}: the test requests the energy fixture, but nothing was"
                    " measured; measure with energy(function), or request energy_device if only"
                    " the device is needed"
                )
            )


class SettledPhases(Phases):
    """Ends the bodies of tests, and settles each test after its teardown."""

    def settle(self, item: pytest.Item, visit: Visit) -> None:
        """Keep what the test has measured, now that its outcome is known."""

    def cancel(self, item: pytest.Item) -> None:
        """Take back that a test runs again, as it has failed."""

    # First of all wrappers: only then the report has its final outcome.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note failures, those of subtests included, and settle the test after its teardown."""
        report = yield
        if call.excinfo is not None and hasattr(call.excinfo.value, BY_VERDICT):
            setattr(report, BY_VERDICT, True)  # also in the report that xdist sends
        visit = item.stash.get(VISIT, None)
        if visit is None:
            return report
        own = call.when == "call" and visit.body_has_ended and visit.verdict_fails
        if report.failed and not own:
            visit.failed = True
            self.cancel(item)
        if call.when != "teardown":
            return report
        del item.stash[VISIT]
        settling = pytest.CallInfo.from_call(lambda: self.settle(item, visit), when="teardown")
        if settling.excinfo is None:
            return report
        return pytest.TestReport.from_item_and_call(item, settling)


ExceptHook = Callable[["threading.ExceptHookArgs"], object]
"""What Python calls with the exception that ended a thread."""


def _noting_refusals(note: Callable[[EnergyError], None], otherwise: ExceptHook) -> ExceptHook:
    """Pass on what the plugin refuses in threads of a test, which nobody but Python sees."""

    def take(ended: threading.ExceptHookArgs) -> None:
        if isinstance(ended.exc_value, EnergyError):
            note(ended.exc_value)
        else:
            otherwise(ended)

    return take


def _is_unmeasured(raised: BaseException) -> bool:
    from pytest_energy.fixture.comparison import NotMeasuredError  # pytest starts without it

    return isinstance(raised, NotMeasuredError)


def _is_failure(raised: BaseException) -> bool:
    if isinstance(raised, pytest.skip.Exception):
        return False
    unittest: Any = sys.modules.get("unittest")  # who raises its exception has imported it
    if unittest is not None and isinstance(raised, unittest.SkipTest):
        return False
    return isinstance(raised, Exception | pytest.fail.Exception)


def _kept_by_unittest(item: pytest.Item) -> BaseException | None:
    """What the method of a ``TestCase`` raised: unittest catches it, and pytest keeps it."""
    kept = getattr(item, "_excinfo", None)
    return kept[0].value if kept else None
