"""The hooks of a process that measures."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pytest
from filelock import FileLock

from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.fixture.arguments import is_plain
from pytest_energy.gate.selection import tightness, too_tight
from pytest_energy.marker import MarkerSettings, MeterChoice
from pytest_energy.measuring.assemble import Place
from pytest_energy.measuring.protocol import Forecast, Progress
from pytest_energy.measuring.torchrun import Ranks
from pytest_energy.model.measurement import Facts, Measurement
from pytest_energy.model.result import Result, Run
from pytest_energy.plugin.benchmark_bridge import (
    install_replay_timer,
    needs_replay_timer,
    publish_latencies,
    uses_latencies,
)
from pytest_energy.plugin.gpu_locks import (
    HeldLocks,
    Reservation,
    Waiting,
    device_lock,
    device_names,
    lock_folder,
    lock_names,
)
from pytest_energy.plugin.items.phases import BY_VERDICT, SettledPhases, Visit
from pytest_energy.plugin.items.requests import (
    MARKER,
    check_markers,
    requested_at_run_time,
    uses_energy,
)
from pytest_energy.plugin.items.rerun import RERUN_REASON, Reruns
from pytest_energy.plugin.items.runners import refuse_runners
from pytest_energy.plugin.items.unpassed import unpassed_tests
from pytest_energy.plugin.progress import (
    WorkerProgress,
    forecast_line,
    terminal_progress,
    uncaptured,
)
from pytest_energy.plugin.reporter import fail_session, ran_all
from pytest_energy.plugin.uncompared import UncomparedBaselines
from pytest_energy.report.ci.junit import properties
from pytest_energy.report.labels import meter_words
from pytest_energy.report.numbers import machine_fact
from pytest_energy.report.text.failure import explain
from pytest_energy.session.conclude import (
    Conclusion,
    conclude,
    conclude_failed,
    settle,
    withdraw,
)
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.session.measuring_energy import MeasuringEnergy, Pause, as_planned
from pytest_energy.settings import Settings, as_text

CONCLUSIONS = pytest.StashKey[list[Conclusion]]()
"""The judgement on the benchmarks of a test that is running."""
LONG_S: Final = 60.0
"""What takes longer is said before it begins."""
NAMED: Final = 5
"""How many tests with a too small tolerance the header names."""
PREFERRED = ("GPU meter", "CPU counter")
"""What each meter that ``auto`` prefers to an estimate would be, in the order of its attempts."""


class EnergyPlugin(SettledPhases):
    """Opens the session if a test measures, and gates each test at its end.

    Args:
        config: The configuration of pytest.
        settings: The options in force.
        report: Takes the run at the end, and why its results could not be saved.
        reservation: The GPU of a worker.
        ranks: The rank of this process, if torchrun started several.
        progress: Sends the progress of a worker; by default it is shown on the terminal.
        announce: Sends the header lines of a worker, whose terminal nobody sees.
    """

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        report: Callable[[Run, str | None], None],
        reservation: Reservation | None = None,
        ranks: Ranks | None = None,
        progress: WorkerProgress | None = None,
        announce: Callable[[list[str]], None] | None = None,
    ) -> None:
        self._config = config
        self._settings = settings
        self._session: EnergySession | None = None
        self._report = report
        self._reservation = reservation  # holds the lock of the worker's GPU while it lives
        self._ranks = ranks
        self._progress = progress or terminal_progress(config)
        self._announce = announce
        self._forecasts: set[str] = set()
        self._waited = False
        self._locks: HeldLocks | None = None
        self._made_locks: dict[Path, FileLock] = {}
        """Those of this process, which each test takes again: to make one takes longer."""
        self._uncompared = UncomparedBaselines(config)
        config.pluginmanager.register(Reruns(uses_energy), "energy-reruns")
        config.pluginmanager.register(self._uncompared, "energy-uncompared")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Let pytest-benchmark select the tests that measure, and install its replay timer."""
        timed = [item for item in items if uses_energy(item) and needs_replay_timer(item)]
        if config.getoption("benchmark_only", None) or config.getoption("benchmark_skip", None):
            for item in timed:
                # A new list, since the cases of a parametrized test share one.
                names = [*item.fixturenames, "benchmark"]  # type: ignore[attr-defined]
                item.fixturenames = names  # type: ignore[attr-defined]
        yield
        # The timer comes with a marker, which must not exist while ``-m`` and ``-k`` select.
        for item in timed if self._uses_latencies else ():
            install_replay_timer(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Check all markers, read the baselines and open the meter, before any test runs."""
        measuring = check_markers(session.items)
        refuse_runners(measuring, against=self._settings.against)
        if not will_run(session, measuring):
            return
        try:
            self._session = self._open({item.nodeid: item.stash[MARKER] for item in measuring})
        except EnergyError as error:
            raise pytest.UsageError(str(error)) from None
        if self._announce:
            self._announce(self.pytest_report_collectionfinish())

    def _open(self, markers: Mapping[str, MarkerSettings]) -> EnergySession:
        """Open the session of the tests that measure.

        Args:
            markers: The markers of the tests, by id.

        Raises:
            EnergyError: See :meth:`EnergySession.open`.
        """
        return self._open_on(self._settings, markers, self._reservation)

    def _open_on(
        self,
        settings: Settings,
        markers: Mapping[str, MarkerSettings],
        reservation: Reservation | None,
    ) -> EnergySession:
        boards = [reservation.gpu.board] if reservation else []
        # Opening the meter measures the idle power, so no other worker may use the GPU.
        with device_lock(boards, self._lock_folder, self._waiting("the start of a session")):
            return EnergySession.open(
                settings,
                self._config.rootpath,
                markers,
                self._amend_identity,
                self._ranks,
                _count_shards(self._config, os.environ),
            )

    def pytest_report_collectionfinish(self) -> list[str]:
        """Return the header: what measures, or why nothing does, and too small tolerances."""
        if self._session is None:
            return []
        header = [line for card in self._sessions for line in _header(card)]
        return [*dict.fromkeys(header), *_warnings(self._session)]

    def fixture(self, item: pytest.Item) -> MeasuringEnergy:
        """Return the ``energy`` fixture of one test."""
        __tracebackhide__ = True
        if self._session is None or MARKER not in item.stash:
            raise requested_at_run_time(item.nodeid)
        file, line, _ = item.location
        workload: Facts = self._ranks.workload if self._ranks else {}
        for facts in self._config.hook.pytest_energy_workload(item=item):
            workload |= check_facts("pytest_energy_workload", facts)
        marker = item.stash[MARKER]
        energy = MeasuringEnergy(
            self._session.of(marker),
            Place(item.nodeid, file, None if line is None else line + 1),
            marker,
            workload,
            self._show,
            self._pause,
            self._say,
        )
        item.stash[RERUN_REASON] = None  # another plugin may run the test once more
        item.stash[CONCLUSIONS] = []
        item.user_properties[:] = [
            (name, value) for name, value in item.user_properties if not name.startswith("energy.")
        ]
        return energy

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Hold the locks on the devices while a test that measures and its fixtures run."""
        if self._session is None or not uses_energy(item):
            return (yield)
        with ExitStack() as stack:
            self._lock_devices(stack, item.nodeid)
            return (yield)

    @cached_property
    def _lock_folder(self) -> Path:
        """The folder of the locks, which each test needs."""
        return lock_folder()

    def _waiting(self, test: str) -> Waiting:
        """How this process waits for locks while it begins ``test``."""

        def say(sentence: str) -> None:
            if not self._waited:  # workers on one device wait for each other all the time
                (self._announce or self._write)([f"energy: {sentence}"])
            self._waited = True

        def show(state: str) -> None:
            if self._progress and state:
                self._progress.show(state)
            elif self._progress:
                self._progress.clear()

        return Waiting(test, say, self._settings.wait_lock, show)

    def _lock_devices(self, stack: ExitStack, test: str) -> None:
        """Hold the locks on the devices of this process until ``stack`` is closed."""
        try:
            # A worker's load on the processors would be in the joules of a part.
            sessions = [part for card in self._sessions for part in (card, *card.parts.values())]
            names = {name for session in sessions for name in lock_names(session.meter)}
            lock = device_lock(names, self._lock_folder, self._waiting(test), self._made_locks)
            self._locks = stack.enter_context(lock)
        except EnergyError as error:
            raise pytest.UsageError(str(error)) from None

    @property
    def _sessions(self) -> tuple[EnergySession, ...]:
        """The session, and those of further cards."""
        return (self._session, *self._session.cards) if self._session else ()

    def leave_body(self, item: pytest.Item) -> None:
        """Remove the live progress."""
        if self._progress:
            self._progress.clear()

    def end_body(self, item: pytest.Item, visit: Visit, *, failed: bool) -> None:
        """Judge what the body has measured.

        Raises:
            EnergyError: The fixture was misused.
            pytest.fail.Exception: The verdict fails the test.
        """
        __tracebackhide__ = True
        assert isinstance(visit.energy, MeasuringEnergy)
        measurements = visit.energy.finish()
        try:
            super().end_body(item, visit, failed=failed)
        except EnergyError:
            self._conclude(item, measurements, failed=True)
            raise
        results = self._conclude(item, measurements, failed=failed)
        if not failed:
            visit.verdict_fails = any(result.verdict.fails for result in results)
            fail_if_regressed(results)

    def _conclude(
        self, item: pytest.Item, measurements: list[Measurement], *, failed: bool
    ) -> list[Result]:
        """Return the results of a test; none if it will run again."""
        if not self._reports or self._session is None:
            return []
        conclusions = _judge(measurements, self._session, item.stash[MARKER], failed=failed)
        item.stash[CONCLUSIONS] = conclusions
        reasons = {conclusion.again for conclusion in conclusions} - {None}
        if reasons:
            item.stash[RERUN_REASON] = "suspect" if "suspect" in reasons else "recording"
            return []
        results = [conclusion.result for conclusion in conclusions]
        for result in results:
            item.user_properties.extend(properties(result, self._session.environment))
        if results and not failed:
            self._publish_latency(item, results)
        return results

    @cached_property
    def _uses_latencies(self) -> bool:
        return uses_latencies(self._config, shows_table=self._settings.latency_table)

    def _publish_latency(self, item: pytest.Item, results: list[Result]) -> None:
        if self._uses_latencies or "benchmark" in item.funcargs:  # type: ignore[attr-defined]
            _publish_latency(item, results)

    def settle(self, item: pytest.Item, visit: Visit) -> None:
        """Accept results or ask for another visit, unless the test has failed.

        Raises:
            pytest.fail.Exception: A baseline cannot be written.
        """
        again = item.stash[RERUN_REASON]
        try:
            keep = withdraw if visit.failed else settle
            results = [keep(conclusion) for conclusion in item.stash[CONCLUSIONS]]
            del item.stash[CONCLUSIONS]
        except EnergyError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        for result in () if again else results:
            self._config.hook.pytest_energy_result(config=self._config, result=result)

    def cancel(self, item: pytest.Item) -> None:
        """Take back that a test runs again, as it has failed."""
        item.stash[RERUN_REASON] = None

    def _show(self, benchmark: str, now: Progress) -> None:
        if self._progress:
            self._progress.update(
                benchmark, now.round, now.rounds, now.passes, now.energy_j, now.left_s
            )

    def _say(self, benchmark: str, forecast: Forecast) -> None:
        """Say what a benchmark will cost, once, if it will take long, and to those who wait."""
        if self._locks:
            self._locks.expect(forecast.duration_s)
        if forecast.duration_s < LONG_S or benchmark in self._forecasts:
            return
        self._forecasts.add(benchmark)
        line = f"energy: {forecast_line(benchmark, forecast.duration_s, forecast.energy_j)}"
        if self._progress:
            self._progress.clear()
        (self._announce or self._write)([line])

    def _write(self, lines: list[str]) -> None:
        """Write lines on the terminal while a test runs, whose own output pytest captures."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:
            return
        with uncaptured(self._config):
            terminal.ensure_newline()
            for line in lines:
                terminal.write_line(line)

    @property
    def _pause(self) -> Pause:
        """Called between windows; nobody else measures meanwhile, so it does nothing."""
        return as_planned

    def _amend_identity(self, identity: Facts) -> Facts:
        amendments = self._config.hook.pytest_energy_identity(
            config=self._config, identity=dict(identity)
        )
        for facts in amendments:
            identity = {**identity, **check_facts("pytest_energy_identity", facts)}
        return identity

    @property
    def _reports(self) -> bool:
        return self._ranks is None or self._ranks.reports

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Save the results and write the reports."""
        if self._session is None:
            return
        if self._reports:
            measured = self._session.record.results
            missing = self._uncompared.find(self._session.baseline_ids, measured)
            is_worker = hasattr(self._config, "workerinput")
            self._session.record.note_tests(unpassed_tests(self._config), int(exitstatus))
            run = self._session.close(
                complete=ran_all(session, exitstatus), missing=missing, is_part=is_worker
            )
            if not is_worker:
                fail_session(session, run)
            self._report(run, self._session.record.unsaved)
        else:
            self._session.release()

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Let go of the results: pytest and Python search all that is alive when they end."""
        self._session = None


def check_facts(hook: str, returned: object) -> Facts:
    """The facts that an implementation of a hook has returned.

    Raises:
        UsageError: They are none.
    """
    if returned is None:
        return {}
    if (
        not isinstance(returned, Mapping)
        or not all(isinstance(name, str) for name in returned)
        or not all(map(is_plain, returned.values()))
    ):
        raise UsageError(
            f"{hook} in a conftest.py or plugin returned {as_text(returned)}: expected names and"
            " plain values, such as {'batch': 8}, or None"
        )
    return dict(returned)


def will_run(session: pytest.Session, measuring: list[pytest.Item]) -> bool:
    """Whether one of the tests that measure will run, as far as it is known after collection."""
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        return False  # pytest ends the session here
    return any(item.get_closest_marker("skip") is None for item in measuring)


SHARDS: Final = ("CI_NODE_TOTAL", "CIRCLE_NODE_TOTAL", "BUILDKITE_PARALLEL_JOB_COUNT")
"""Where GitLab, CircleCI and Buildkite say in how many jobs a suite is divided."""
SHARD_OPTIONS: Final = ("num_shards", "splits")
"""Where pytest-shard and pytest-split say it."""


def _count_shards(config: pytest.Config, environ: Mapping[str, str]) -> int:
    """Return the number of sessions that share the suite, as far as it is announced."""
    announced = [config.getoption(name, None) for name in SHARD_OPTIONS]
    announced += [environ.get(name) for name in SHARDS]
    texts = [str(count) for count in announced]
    return max([1, *(int(text) for text in texts if text.isdecimal())])


def fail_if_regressed(results: Iterable[Result]) -> None:
    """Fail the test if the policy says so for one of its results."""
    __tracebackhide__ = True
    failures = [explain(result) for result in results if result.verdict.fails]
    if failures:
        failure = pytest.fail.Exception("\n\n".join(failures), pytrace=False)
        setattr(failure, BY_VERDICT, True)
        raise failure


def _judge(
    measurements: list[Measurement],
    session: EnergySession,
    marker: MarkerSettings,
    *,
    failed: bool,
) -> list[Conclusion]:
    """Judge each benchmark of a test, unless an earlier run of the test has settled it."""
    record, own = session.record, session.of(marker)
    awaited = record.revisits.keys() & {measured.id for measured in measurements}
    judge = conclude_failed if failed else conclude
    return [
        judge(measured, own, marker)
        if not awaited or measured.id in awaited
        else Conclusion(record.results[measured.id], own, marker)
        for measured in measurements
    ]


def _publish_latency(item: pytest.Item, results: list[Result]) -> None:
    """Report the latencies of the first benchmark of a test to pytest-benchmark."""
    extra: Mapping[str, Any] = {
        result.id: {
            "status": result.status,
            **{name: quantity.value for name, quantity in result.metrics.items()},
        }
        for result in results
    }
    latencies_s = [measured.duration_s / measured.passes for measured in results[0].rounds]
    request: pytest.FixtureRequest = item._request  # type: ignore[attr-defined]
    publish_latencies(request, latencies_s, {"energy": extra})


def _warnings(session: EnergySession) -> list[str]:
    """Return the lines on tolerances that are too small for their baselines."""
    limits = session.schedule, session.suite, session.settings.retry_time
    found = too_tight(session.selected, *limits)
    lines = [f"energy: {tightness(entry, *limits)}" for entry in found[:NAMED]]
    if more := len(found) - len(lines):
        lines.append(f"energy: and {more} more; see pytest-energy sensitivity")
    return lines


def _header(session: EnergySession) -> list[str]:
    if session.meter is None:
        why = session.unmeasured.message if session.unmeasured else "no meter"
        return [f"energy: will measure no joules here ({why})"]
    info = session.meter.info
    verb = "estimate" if info.estimated else "measure"
    device = machine_fact(session.environment.identity.get("device", "unknown device"))
    selected = session.settings.devices
    names = device_names(session.environment.context.get("board"), selected)
    listed = f" ({', '.join(names)})" if names else ""
    lines = [
        f"energy: will {verb} with {meter_words(info.name, info.source)} on {device}{listed};"
        f" channels {', '.join(session.meter.channels)}; scale {session.scale}"
    ]
    if len(names) > 1 and selected is None:
        lines.append(
            f"energy: the joules of all {len(names)} GPUs are added, those of idle GPUs included;"
            f" --energy-devices={names[0]} measures one"
        )
    if session.revision.remark:
        lines.append(f"energy: {session.revision.remark}")
    lines += [f"energy: {_part_line(choice, part)}" for choice, part in session.parts.items()]
    missing = zip(PREFERRED, session.passed_over, strict=False)
    lines += [f"energy: no {meter}: {reason.message}" for meter, reason in missing]
    return lines


def _part_line(choice: MeterChoice, part: EnergySession) -> str:
    """What measures the tests whose marker names another meter, or channels."""
    if part.meter is None:
        why = part.unmeasured.message if part.unmeasured else "no meter"
        return f"tests with {choice} are not measured here ({why})"
    device = machine_fact(part.environment.identity.get("device", "unknown device"))
    return f"tests with {choice}: channels {', '.join(part.meter.channels)} of {device}"
