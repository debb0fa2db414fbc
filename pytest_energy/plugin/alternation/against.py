"""The hooks of a session that compares two revisions; its sides measure (``side.py``)."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest

from pytest_energy.against.campaign import Campaign, Session
from pytest_energy.against.comparing import CaseState, Comparing, Rules
from pytest_energy.against.trees import Reference, Tree, resolve
from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.gate.decision import decide
from pytest_energy.gate.selection import Selected
from pytest_energy.gate.tolerances import tolerances_of
from pytest_energy.measuring.torchrun import Ranks
from pytest_energy.model.measurement import Measurement, is_control
from pytest_energy.model.metrics import ENERGY, LATENCY
from pytest_energy.model.result import Result, Run
from pytest_energy.plugin.measuring_hooks import MARKER, EnergyPlugin, uses_energy
from pytest_energy.plugin.progress import ProgressLine
from pytest_energy.report.ci.junit import properties
from pytest_energy.report.text.failure import explain
from pytest_energy.session.conclude import policy_of
from pytest_energy.settings import NO_METER, MarkerSettings, Settings

WITH_CONTROLS = "the comparison was stopped before its controls were decided"


def check_supported(
    config: pytest.Config, settings: Settings, ranks: Ranks | None, *, workers: bool
) -> None:
    """Refuse what cannot be compared in alternation.

    Raises:
        UsageError: An option that excludes a comparison is set.
    """
    where = f"--energy-against={settings.against}"
    if ranks is not None:
        raise UsageError(
            f"{where}: not possible under torchrun, whose processes would have to change sides"
            " together; compare a benchmark of one process"
        )
    if workers:
        raise UsageError(
            f"{where}: not possible with pytest-xdist (-n): both sides of a benchmark must be"
            " measured on one card; leave out -n (or add -p no:xdist)"
        )
    if settings.update != "none":
        raise UsageError(
            f"{where}: a comparison records no baseline; run --energy-update without it"
        )
    if config.getoption("usepdb", False) or config.getoption("trace", False):
        raise UsageError(f"{where}: the sides have no terminal for --pdb or --trace")


class AgainstPlugin(EnergyPlugin):
    """Runs blocks until each test is decided, and reports it as a test of this session.

    The tests run in the sides only: here no fixture of a test that measures is set up, so that this
    process takes no memory of the device.

    A test that is not decided goes to the end of the session's list, as often as it takes.

    Args:
        config: The configuration of pytest.
        settings: The options in force.
        report: Takes the run at the end, and why its results could not be saved.

    Raises:
        UsageError: There is no such revision.
    """

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        report: Callable[[Run, str | None], None],
    ) -> None:
        super().__init__(config, settings, report)
        self._reference: Reference = resolve(settings.against or "", config.rootpath)
        self._campaign: Campaign | None = None
        self._visits: dict[str, int] = {}
        self._markers: dict[str, MarkerSettings] = {}
        self._screened = False
        self._restore: Any = None

    def pytest_report_collectionfinish(self) -> list[str]:
        """Return the header: what measures, and what is compared with what."""
        lines = super().pytest_report_collectionfinish()
        if self._session is None:
            return [
                *lines,
                f"energy: nothing is compared with {self._reference}: no test that was collected"
                " uses the energy fixture",
            ]
        what = "the working tree with itself" if self._reference.is_self else "the working tree"
        against = "" if self._reference.is_self else f" against {self._reference}"
        return [
            *lines,
            f"energy: compares {what}{against}, in at most {self._settings.against_blocks} blocks",
            *self._screening_line(),
        ]

    def _screening_line(self) -> list[str]:
        if not (number := len(self._selected)):
            return []
        return [
            f"energy: {number} committed baseline{'s'[: number != 1]} screen first: what they call"
            " unchanged is not measured any further (--energy-against-all measures everything)"
        ]

    @property
    def _selected(self) -> Sequence[Selected]:
        """The committed baselines that screen."""
        if self._session is None or self._reference.is_self or self._settings.against_all:
            return ()
        return self._session.selected

    # Beside the wrapper of the base class, which holds the locks on the devices meanwhile.
    @pytest.hookimpl(tryfirst=True, specname="pytest_runtest_protocol")
    def pytest_runtest_protocol_in_blocks(self, item: pytest.Item) -> bool | None:
        """Report a test that is decided; measure another block if it is not."""
        if not uses_energy(item) or self._session is None:
            return None
        campaign = self._campaign or self._start(item.session)
        visit = self._visits[item.nodeid] = self._visits.get(item.nodeid, 0) + 1
        try:
            self._screen(campaign)
            if campaign.comparing.block < visit and not campaign.settled:
                results = campaign.next_block()
                self._session.record.note_against(campaign.comparing.describe())
                for result in results:
                    self._session.keep(result)
        except EnergyError as error:
            raise pytest.UsageError(str(error)) from None
        finally:
            if self._progress:
                self._progress.clear()
        # A control that moves later withdraws all verdicts, so none is reported before.
        if campaign.comparing.open_controls or not campaign.comparing.states[item.nodeid].ended:
            item.session.items.append(item)
            return True
        self._report_test(item, campaign.comparing)
        return True

    def _screen(self, campaign: Campaign) -> None:
        """Let the committed baselines decide what they can, once."""
        measuring = self._session
        tests = [
            test
            for test in campaign.comparing.states
            if any(_belongs(selected.baseline.id, test) for selected in self._selected)
        ]
        if measuring is None or self._screened or not tests:
            return
        self._screened = True

        def judge(measured: Measurement) -> Result:
            marker = self._markers.get(measured.id) or self._markers[_test_of_window(measured.id)]
            policy = policy_of(measured, measuring, marker)
            known = measuring.known_baselines(measured.id)
            return decide((measured,), known, measuring.environment, policy).result

        campaign.screen(tests, self._settings.baselines, judge, measuring.keep)
        measuring.record.note_against(campaign.comparing.describe())

    def _start(self, session: pytest.Session) -> Campaign:
        assert self._session is not None
        measuring = [item for item in session.items if uses_energy(item)]
        seed = secrets.randbits(32)
        self._markers = {item.nodeid: item.stash[MARKER] for item in measuring}
        rules = Rules(
            reference=self._reference,
            seed=seed,
            tolerances=self._tolerances,
            failing=self._settings.failing,
            most_blocks=self._settings.against_blocks,
            suite_tolerance=self._settings.tolerance[ENERGY],
            budgets=lambda benchmark: self._marker(benchmark).max_joules,
        )
        self._campaign = Campaign(
            self._settings,
            self._reference,
            self._describe_session(measuring),
            Comparing(self._markers, rules),
            Random(seed),
            self._show_text,
        )
        # Whoever cancels a job sends SIGTERM, which by default ends Python without any clean-up.
        self._restore = signal.signal(signal.SIGTERM, _interrupt)
        return self._campaign

    def _tolerances(self, benchmark: str) -> dict[str, float]:
        """By metric; without joules the latency takes the place of the energy."""
        assert self._session is not None
        marker = self._marker(benchmark)
        tolerances = tolerances_of(
            benchmark, self._settings.tolerance, self._session.tolerances, marker
        )
        if self._settings.meter != NO_METER:
            return tolerances
        energy = tolerances.pop(ENERGY)
        return {LATENCY: energy, **tolerances}

    def _marker(self, benchmark: str) -> MarkerSettings:
        markers = self._markers
        found = markers.get(benchmark) or markers.get(_test_of_window(benchmark))
        return found or MarkerSettings()

    def _describe_session(self, measuring: Sequence[pytest.Item]) -> Session:
        config = self._config
        in_files = (item for item in measuring if not is_control(item.nodeid))
        files = tuple(dict.fromkeys(item.path for item in in_files))
        return Session(
            root=config.rootpath,
            started_in=config.invocation_params.dir,
            configuration=config.inipath,
            tests=files,
            arguments=lambda tree, folder: _arguments(config, self._settings, tree, folder, files),
            search=tuple(sys.path),
            places=_places(config),
            file_names=tuple(config.getini("python_files")),
        )

    def _show_text(self, text: str) -> None:
        if isinstance(self._progress, ProgressLine):
            self._progress.show(text)

    def _report_test(self, item: pytest.Item, comparing: Comparing) -> None:
        """Report a test as if it had run here."""
        assert self._session is not None
        state = comparing.states[item.nodeid]
        final = {result.id: result for result in comparing.final()}
        results = [self._session.keep(final[id]) for id in state.results]
        item.user_properties.clear()
        for result in results:
            item.user_properties.extend(properties(result))
            self._config.hook.pytest_energy_result(config=self._config, result=result)
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for when, body in (("setup", _nothing), ("call", _body(state, results))):
            self._log(item, when, body)
        self._log(item, "teardown", _nothing)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _log(self, item: pytest.Item, when: Any, body: Callable[[], None]) -> None:
        call = pytest.CallInfo.from_call(body, when=when)
        report = item.ihook.pytest_runtest_makereport(item=item, call=call)
        item.ihook.pytest_runtest_logreport(report=report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Keep what is decided, remove the trees, and write the reports."""
        campaign, self._campaign = self._campaign, None
        if campaign is not None and self._session is not None:
            try:
                self._keep_final(campaign)
            finally:
                signal.signal(signal.SIGTERM, self._restore)
                campaign.close()
        super().pytest_sessionfinish(session, exitstatus)

    def _keep_final(self, campaign: Campaign) -> None:
        assert self._session is not None
        comparing = campaign.comparing
        if not campaign.settled:
            if comparing.open_controls:
                comparing.notes[WITH_CONTROLS] = None
            comparing.look(last="the comparison was stopped")
        for result in comparing.final():
            self._session.keep(result)
        self._session.record.note_against(comparing.describe())


def _places(config: pytest.Config) -> tuple[Path, ...]:
    """The files and folders that the session was asked to collect."""
    folder = config.invocation_params.dir
    return tuple(folder / argument.partition("::")[0] for argument in config.args)


def _test_of_window(benchmark: str) -> str:
    """A window of a test has the id of the test and its own name after it."""
    return benchmark.rpartition("::")[0]


def _belongs(benchmark: str, test: str) -> bool:
    return test in (benchmark, _test_of_window(benchmark))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _nothing() -> None:
    """Set up or tear down nothing: the sides have done it."""


def _body(state: CaseState, results: Sequence[Result]) -> Callable[[], None]:
    """Return what gives the report of the test its outcome."""

    def body() -> None:
        if state.skipped is not None:
            raise pytest.skip.Exception(state.skipped.removeprefix("Skipped: "))
        if state.failure is not None:
            pytest.fail(state.failure, pytrace=False)
        failures = [explain(result) for result in results if result.verdict.fails]
        if failures:
            pytest.fail("\n\n".join(failures), pytrace=False)

    return body


def _arguments(
    config: pytest.Config, settings: Settings, tree: Tree, folder: Path, files: Iterable[Path]
) -> list[str]:
    """The session's own arguments, with its places in the side's tree, and without its outputs."""
    named = list(config.getoption("file_or_dir") or ())
    arguments = []
    for argument in config.invocation_params.args:
        if str(argument) in named:
            named.remove(str(argument))
        else:
            arguments.append(os.fspath(argument))
    arguments += ["--maxfail=0", "-o", f"cache_dir={folder / 'cache'}"]
    arguments += [f"--rootdir={tree.place(config.rootpath)}"]
    if config.inipath is not None:
        arguments += ["-c", str(tree.place(config.inipath))]
    if config.getoption("xmlpath", None):
        arguments += ["--junitxml="]
    arguments += [f"--basetemp={folder / 'temporary'}"]
    arguments += [f"--energy-json={folder / 'results.json'}", "--energy-update=none"]
    arguments += [f"--energy-baselines={folder / 'baselines'}"]
    if settings.data is not None:
        arguments += [f"--energy-data={settings.data}"]
    return [*arguments, *(str(tree.place(path)) for path in files)]
