"""The hooks of a session with ``--energy``."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

import pytest

from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.gate.selection import too_tight
from pytest_energy.measuring.assemble import Place
from pytest_energy.measuring.protocol import Progress
from pytest_energy.measuring.torchrun import Ranks
from pytest_energy.model.measurement import Facts, Measurement, Reason, ReasonCode
from pytest_energy.model.result import Result, Run
from pytest_energy.plugin import benchmark_bridge as latency
from pytest_energy.plugin.gpu_locks import Claim, boards_of, lock_folder, names_of, turn
from pytest_energy.plugin.progress import Sent, on_terminal
from pytest_energy.plugin.reporter import ran_all
from pytest_energy.plugin.rerun import AGAIN, Revisits
from pytest_energy.report.ci.junit import properties
from pytest_energy.report.text.failure import explain
from pytest_energy.session.conclude import conclude
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.session.measuring_energy import MeasuringEnergy
from pytest_energy.settings import MarkerSettings, Settings, read_marker

FIXTURE = pytest.StashKey[MeasuringEnergy]()
MARKER = pytest.StashKey[MarkerSettings]()
NAMED: Final = 5
"""How many tests a warning names."""


class EnergyPlugin:
    """Opens the session when something is to be measured, and gates each test at its end."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        report: Callable[[Run, str | None], None],
        claim: Claim | None = None,
        ranks: Ranks | None = None,
        progress: Sent | None = None,
        announce: Callable[[list[str]], None] | None = None,
    ) -> None:
        self._config = config
        self._settings = settings
        self._session: EnergySession | None = None
        self._report = report
        self._claim = claim  # a worker's GPU is its own as long as this lives
        self._ranks = ranks
        self._progress = progress or on_terminal(config)
        self._announce = announce  # a worker's terminal is seen by nobody
        config.pluginmanager.register(Revisits(_uses_energy), "energy-revisits")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Let pytest-benchmark select our tests, and lend them a clock.

        The clock comes by a marker, and so only when ``-k`` and ``-m`` have selected, too.
        """
        lent = [item for item in items if _uses_energy(item) and latency.lacks_clock(item)]
        if config.getoption("benchmark_only", None) or config.getoption("benchmark_skip", None):
            for item in lent:
                # a list of its own: pytest gives one to all cases of a parametrized test
                named = [*item.fixturenames, "benchmark"]  # type: ignore[attr-defined]
                item.fixturenames = named  # type: ignore[attr-defined]
        yield
        for item in lent:
            latency.prepare(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Check all markers, read the baselines and open the meter, before anything runs."""
        measuring = [item for item in session.items if _uses_energy(item)]
        for item in measuring:
            item.stash[MARKER] = _read_marker(item)
        if self._config.option.collectonly or not measuring:
            return
        boards = [self._claim.gpu.board] if self._claim else []
        try:
            with turn(boards, lock_folder()):  # idle power is measured
                markers = {item.nodeid: item.stash[MARKER] for item in measuring}
                self._session = EnergySession.open(
                    self._settings,
                    self._config.rootpath,
                    markers,
                    self._amend_identity,
                    self._ranks,
                )
        except EnergyError as error:
            raise pytest.UsageError(str(error)) from None
        if self._announce:
            self._announce(self.pytest_report_collectionfinish(measuring))

    def pytest_report_collectionfinish(self, items: Sequence[pytest.Item]) -> list[str]:
        """Say what measures, or why nothing does, and which tolerances ask for too much."""
        if self._session is None:
            return []
        return [*_header(self._session), *_warnings(self._session)]

    def fixture(self, request: pytest.FixtureRequest) -> MeasuringEnergy:
        """The ``energy`` fixture of one test."""
        item = request.node
        if self._session is None or MARKER not in item.stash:
            raise pytest.UsageError(f"{item.nodeid}: name energy among the test's arguments")
        file, line, _ = item.location
        workload: Facts = self._ranks.workload if self._ranks else {}
        for facts in self._config.hook.pytest_energy_workload(item=item):
            workload |= facts or {}
        energy = MeasuringEnergy(
            self._session,
            Place(item.nodeid, file, None if line is None else line + 1),
            item.stash[MARKER],
            workload,
            self._show,
        )
        item.stash[FIXTURE] = energy
        return energy

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Run a test that measures, its fixtures included, when nobody else uses its devices."""
        if self._session is None or not _uses_energy(item):
            return (yield)
        with ExitStack() as stack:
            try:
                stack.enter_context(turn(boards_of(self._session.meter), lock_folder()))
            except EnergyError as error:
                raise pytest.UsageError(str(error)) from None
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        """Gate the test when its body has ended."""
        try:
            returned = yield
        except pytest.skip.Exception:
            raise
        except (Exception, pytest.fail.Exception):
            self._conclude(pyfuncitem, failed=True)
            raise
        finally:
            if self._progress:
                self._progress.clear()
        try:
            results = self._conclude(pyfuncitem, failed=False)
        except EnergyError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        failures = [explain(result) for result in results if result.verdict.fails]
        if failures:
            pytest.fail("\n\n".join(failures), pytrace=False)
        return returned

    def _conclude(self, item: pytest.Function, *, failed: bool) -> list[Result]:
        energy = item.stash.get(FIXTURE, None)
        if energy is None or self._session is None:
            return []
        del item.stash[FIXTURE]  # a rerun of the same item makes a new one
        finished = energy.finish()
        if not failed:
            energy.check_used()
        if not self._reports:
            return []
        awaited = self._session.record.revisits.keys() & {measured.id for measured in finished}
        results = [
            conclude(
                _test_failed(measured) if failed else measured, self._session, item.stash[MARKER]
            )
            if not awaited or measured.id in awaited
            else self._session.record.results[measured.id]  # settled before; only others came again
            for measured in finished
        ]
        again = self._session.record.revisits
        reasons = {again[result.id] for result in results if result.id in again and not failed}
        item.stash[AGAIN] = max(reasons, default=None)  # a suspect before a recording
        if item.stash[AGAIN]:
            return []  # nothing is said of it before it was measured again
        for result in results:
            item.user_properties.extend(properties(result))
            self._config.hook.pytest_energy_result(config=self._config, result=result)
        if results and not failed:
            _publish_latency(item, results)
        return results

    def _show(self, benchmark: str, now: Progress) -> None:
        if self._progress:
            self._progress.update(benchmark, now.round, now.rounds, now.passes, now.energy_j)

    def _amend_identity(self, identity: Facts) -> Facts:
        told = self._config.hook.pytest_energy_identity(config=self._config, identity=identity)
        for facts in told:
            identity = {**identity, **(facts or {})}
        return identity

    @property
    def _reports(self) -> bool:
        return self._ranks is None or self._ranks.reports

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Save the results and write the reports."""
        if self._session is not None:
            if self._reports:
                complete = ran_all(session, exitstatus)
                run = self._session.close(complete=complete)
                self._report(run, self._session.record.unsaved)
            elif self._session.meter:
                self._session.meter.close()


def _uses_energy(item: pytest.Item) -> bool:
    return "energy" in getattr(item, "fixturenames", ())


def _read_marker(item: pytest.Item) -> MarkerSettings:
    """The keywords of all energy markers of a test, the closest one first."""
    keywords: dict[str, Any] = {}
    for marker in item.iter_markers("energy"):
        if marker.args:
            raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.energy takes keywords only")
        keywords = {**marker.kwargs, **keywords}
    try:
        return read_marker(keywords, item.nodeid)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _test_failed(measured: Measurement) -> Measurement:
    message = "the test failed after this was measured"
    reason = Reason(code=ReasonCode.TEST_FAILED, message=message, fatal=False)
    return measured.model_copy(update={"reasons": [*measured.reasons, reason]})


def _publish_latency(item: pytest.Function, results: list[Result]) -> None:
    """Show the test's latencies in pytest-benchmark's table: those of its first benchmark."""
    extra: Mapping[str, Any] = {
        result.id: {
            "status": result.status,
            **{name: quantity.value for name, quantity in result.metrics.items()},
        }
        for result in results
    }
    rounds = [measured.duration_s / measured.passes for measured in results[0].rounds]
    latency.publish(item._request, rounds, {"energy": extra})


def _warnings(session: EnergySession) -> list[str]:
    """Which tolerances are too tight; the first few by name."""
    sentences = too_tight(session.selected, session.schedule)
    lines = [f"energy: {sentence}" for sentence in sentences[:NAMED]]
    if more := len(sentences) - len(lines):
        lines.append(f"energy: and {more} more; see pytest-energy sensitivity")
    return lines


def _header(session: EnergySession) -> list[str]:
    if session.meter is None:
        told = session.unmeasured.message if session.unmeasured else "no meter"
        return [f"energy: nothing measures joules here ({told})"]
    info = session.meter.info
    how = "estimated" if info.estimated else "measured"
    device = session.environment.identity.get("device", "unknown device")
    asked = session.settings.devices
    names = names_of(session.environment.context.get("board"), asked)
    which = f" ({', '.join(names)})" if names else ""
    lines = [
        f"energy: {how} by {info.name} ({info.source}) on {device}{which};"
        f" channels {', '.join(session.meter.channels)}; scale {session.scale}"
    ]
    if len(names) > 1 and asked is None:
        lines.append(
            f"energy: the joules of these {len(names)} GPUs are added up, used or idle;"
            f" --energy-devices={names[0]} measures one"
        )
    lines += [f"energy: passed over: {reason.message}" for reason in session.passed_over]
    return lines
