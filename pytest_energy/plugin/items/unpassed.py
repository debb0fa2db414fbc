"""Record the tests of a session that fail or are skipped, for its verdict.

Whoever reads that a gate has passed takes it for the whole run, so a run is not described by its
joules alone.
"""

from __future__ import annotations

from typing import Final, Literal

import pytest

from pytest_energy.model.result import UnpassedTest
from pytest_energy.plugin.items.phases import BY_VERDICT

UNPASSED: Final = "energy-unpassed"
"""The name of the plugin."""
LONGEST: Final = 10_000
"""At most so many characters of a failure, and of its output, are kept."""

Report = pytest.CollectReport | pytest.TestReport


class UnpassedTests:
    """Records failures and skips, also those of tests that do not measure."""

    def __init__(self) -> None:
        self._tests: dict[str, UnpassedTest] = {}

    @property
    def tests(self) -> list[UnpassedTest]:
        """Each test once, in the order in which they ended."""
        return list(self._tests.values())

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file or class that could not be collected, or that skipped itself."""
        if report.failed:
            self._keep(report, "error")
        elif report.skipped:
            self._keep(report, "skipped")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a phase of a test that did not pass."""
        if report.failed and not hasattr(report, BY_VERDICT):
            self._keep(report, "error" if report.when in ("setup", "teardown") else "failed")
        elif report.skipped and not hasattr(report, "context"):  # a subtest is no test
            self._keep(report, "xfailed" if hasattr(report, "wasxfail") else "skipped")

    def _keep(
        self, report: Report, outcome: Literal["failed", "error", "skipped", "xfailed"]
    ) -> None:
        test = UnpassedTest(id=report.nodeid, outcome=outcome, reason=skip_reason(report))
        if report.failed:
            update = {
                "reason": _crash(report),
                "text": report.longreprtext[-LONGEST:],
                "output": _output(report)[-LONGEST:],
            }
            test = test.model_copy(update=update)
        self._tests[test.id] = self._tests.get(test.id, test).or_failure(test)


def unpassed_tests(config: pytest.Config) -> list[UnpassedTest]:
    """The tests of the session that did not pass; in a worker none, as its controller has them."""
    plugin: UnpassedTests | None = config.pluginmanager.get_plugin(UNPASSED)
    return plugin.tests if plugin else []


def skip_reason(report: Report) -> str:
    """Why a test was skipped, in words: ``skipped: no GPU``."""
    if isinstance(report.longrepr, tuple):
        message = report.longrepr[2].removeprefix("Skipped: ")
        return f"skipped: {message}" if message != "Skipped" else "skipped"
    reason = getattr(report, "wasxfail", "")
    return f"failed as expected: {reason}" if reason else "skipped"


def _crash(report: Report) -> str:
    """What was raised, on one line; pytest marks the lines of an error in a file with ``E``."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash:
        return str(crash.message).partition("\n")[0]
    lines = report.longreprtext.strip().splitlines() or ["failed"]
    marked = [line.removeprefix("E").strip() for line in lines if line.startswith("E  ")]
    return (marked or lines[:1])[-1]


def _output(report: Report) -> str:
    """The captured output of the phases up to this one."""
    return "\n".join(f"{title}\n{text}" for title, text in report.sections)
