"""The hooks of a process that is one side of a comparison: it runs what the session asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from pytest_energy.against.comparing import missing
from pytest_energy.against.imports import counterparts, imported_elsewhere, project_names
from pytest_energy.against.messages import Channel, SideConfig, SideRun, Started
from pytest_energy.model.measurement import Environment, Measurement
from pytest_energy.model.result import Result
from pytest_energy.plugin.items.phases import Visit
from pytest_energy.plugin.items.requests import uses_energy
from pytest_energy.plugin.measuring_hooks import EnergyPlugin
from pytest_energy.session.measuring_energy import Pause
from pytest_energy.settings import Settings


class SidePlugin(EnergyPlugin):
    """Collects as any session does, then runs one test at a time when it is asked to.

    Args:
        config: The configuration of pytest.
        settings: The options in force.
        side: What the session said when it started this side.
    """

    def __init__(self, config: pytest.Config, settings: Settings, side: SideConfig) -> None:
        super().__init__(config, settings, lambda run, unsaved: None)
        self._side = side
        self._channel = Channel.inherited(side.socket)
        elsewhere = counterparts(side.paths, Path(side.tree), Path(side.other))
        names = project_names([*side.paths, *elsewhere]) if side.checks_imports else frozenset()
        self._names = names
        self._uncollected: dict[str, str] = {}
        self._skipped: dict[str, str] = {}
        self._measurements: list[Measurement] = []
        self._failed = False

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note why a file could not be imported, or skipped itself."""
        file = report.nodeid.partition("::")[0]
        if report.failed:
            self._uncollected[file] = _last_line(report.longreprtext)
        elif report.skipped:
            self._skipped[file] = _text(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Open the meter when the session lets it: the other side may be opening its own."""
        self._channel.send({"collected": True})
        self._expect()
        super().pytest_collection_finish(session)
        if self._session is not None:
            self._session = replace(self._session, alternating=self._side.alternates)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run what the session asks for until it asks for nothing more."""
        tests = {item.nodeid: item for item in session.items if uses_energy(item)}
        started = Started(
            tests=tuple(tests),
            uncollected=self._uncollected,
            elsewhere=self._elsewhere(),
            environment=self._session.environment if self._session else Environment(),
        )
        self._config.get_terminal_writer().flush()  # an error shows what is written from here on
        self._channel.send(started.model_dump(mode="json"))
        while (question := self._channel.receive()) is not None and "run" in question:
            item = tests.get(question["run"])
            following = tests.get(question["next"])
            if self._session is not None:
                self._session.record.note_earlier_visits(question["visit"] - 1)
            done = self._run(item, following) if item else self._missing(question["run"])
            self._channel.send({"finished": done.model_dump(mode="json")})
        return True

    def _missing(self, test: str) -> SideRun:
        file = test.partition("::")[0]
        if file in self._skipped:
            return SideRun(outcome="skipped", text=self._skipped[file])
        return missing(self._uncollected.get(file, ""))

    def _run(self, item: pytest.Item, following: pytest.Item | None) -> SideRun:
        self._measurements, self._failed = [], False
        reports = runtestprotocol(item, log=False, nextitem=following)
        unlike = [report for report in reports if report.outcome != "passed"]
        first = unlike[0] if unlike else None
        if self._failed and first is None:
            return SideRun(outcome="failed", text="a subtest failed", error="a subtest failed")
        return SideRun(
            outcome=first.outcome if first else "passed",
            text=_text(first) if first else "",
            error=_last_line(first.longreprtext) if first and first.failed else "",
            measurements=tuple(self._measurements),
            elsewhere=self._elsewhere(),
        )

    def _conclude(
        self, item: pytest.Item, measurements: list[Measurement], *, failed: bool
    ) -> list[Result]:
        """Keep what a test measured; the session judges it."""
        self._measurements = measurements
        return []

    def settle(self, item: pytest.Item, visit: Visit) -> None:
        """Note a failed subtest, which the reports of the test do not show."""
        self._failed = visit.failed

    @property
    def _pause(self) -> Pause:
        return self._wait

    def _wait(self, passes: int) -> int:
        """Let the other side work; return the passes of both when it is this side's turn."""
        self._channel.send({"waiting": passes})
        return int(self._expect()["go"])

    def _expect(self) -> dict[str, Any]:
        """Wait for a word of the session, and end with it if it has ended."""
        message = self._channel.receive()
        if message is None:
            pytest.exit("the session that compares has ended", returncode=1)
        return message

    def _elsewhere(self) -> dict[str, str]:
        side = self._side
        environment = Path(side.environment) if side.environment else None
        return imported_elsewhere(Path(side.tree), environment, Path(side.other), self._names)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Close the meter; a side writes no files."""
        if self._session is not None:
            self._session.release()


def _text(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):  # of a skip: file, line, reason
        return str(report.longrepr[2])
    return report.longreprtext or str(getattr(report, "wasxfail", ""))


def _last_line(text: str) -> str:
    """The line that names the exception: the last one that pytest marks with ``E``."""
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (marked or list(lines) or [""])[-1 if not marked else 0]
