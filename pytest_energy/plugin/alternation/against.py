"""The hooks of a session that compares two revisions; its sides measure (``side.py``)."""

from __future__ import annotations

import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from random import Random

import pytest

from pytest_energy.against.campaign import Campaign
from pytest_energy.against.comparing import CaseState, Comparing, Rules
from pytest_energy.against.lanes import Lanes, Post
from pytest_energy.against.preparation import Preparation
from pytest_energy.against.standing import Standing, describe_standings
from pytest_energy.against.trees import Reference, resolve
from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.gate.decision import decide
from pytest_energy.gate.tolerances import tolerances_of
from pytest_energy.marker import MarkerSettings
from pytest_energy.measuring.torchrun import Ranks
from pytest_energy.model.measurement import Measurement, is_control
from pytest_energy.model.metrics import ENERGY, LATENCY
from pytest_energy.model.result import Result, Run
from pytest_energy.plugin.alternation.cards import share
from pytest_energy.plugin.alternation.handover import (
    describe_session,
    fail_as_in_side,
    report_phases,
)
from pytest_energy.plugin.gpu_locks import PROCESSORS, Reservation, lock_names
from pytest_energy.plugin.items.requests import MARKER, uses_energy
from pytest_energy.plugin.measuring_hooks import EnergyPlugin, fail_if_regressed
from pytest_energy.plugin.progress import ProgressLine, WorkersProgress
from pytest_energy.plugin.xdist_scheduling import boards_of_baselines, seconds_of_baselines
from pytest_energy.report.ci.junit import properties
from pytest_energy.report.numbers import counted
from pytest_energy.session.conclude import policy_of
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.settings import NO_METER, Settings

WITH_CONTROLS = "the comparison was stopped before its controls were decided"


def check_supported(
    config: pytest.Config, settings: Settings, ranks: Ranks | None, *, workers: bool
) -> None:
    """Refuse what cannot be compared in alternation.

    Raises:
        UsageError: An option that excludes a comparison is set.
    """
    where = f"--energy-against={settings.against}"
    if not hasattr(os, "killpg"):
        raise UsageError(
            f"{where}: not possible on this system, which has no process groups to end the sides"
            " with; compare with committed baselines"
        )
    if ranks is not None:
        raise UsageError(
            f"{where}: not possible under torchrun, whose processes would have to change sides"
            " together; compare a benchmark of one process"
        )
    if workers:
        raise UsageError(
            f"{where}: pytest-xdist cannot distribute a comparison (--dist, --tx), whose sides are"
            " processes of their own; -n N alone measures a pair of sides on each of N GPUs"
        )
    if settings.update != "none":
        raise UsageError(
            f"{where}: a comparison records no baseline; run --energy-update without it"
        )
    if config.getoption("usepdb", False) or config.getoption("trace", False):
        raise UsageError(f"{where}: the sides have no terminal for --pdb or --trace")


@dataclass(frozen=True)
class Card:
    """What one card measures: one lane of a comparison."""

    session: EnergySession
    campaign: Campaign

    @property
    def comparing(self) -> Comparing:
        """What is found so far."""
        return self.campaign.comparing


@dataclass
class Ongoing:
    """A comparison between its first block and the end of the session."""

    preparation: Preparation
    lanes: Lanes
    cards: Sequence[Card]
    """Without ``-n`` a single one, even where it measures several GPUs together."""
    card_of: Mapping[str, Card]
    """By test."""
    lock: threading.RLock
    news: Iterator[Sequence[Result]]
    """The results that blocks settle, from any card."""
    blocks: float = 0
    """Blocks that are done, on all cards together; infinite once no card measures."""

    @property
    def first(self) -> Comparing:
        """The comparison that speaks for those of all cards."""
        return self.cards[0].comparing


class AgainstPlugin(EnergyPlugin):
    """Runs blocks until each test is decided, and reports it as a test of this session.

    The tests run in the sides only: here no fixture of a test that measures is set up, so that this
    process takes no memory of the device.

    A test that is not decided goes to the end of the session's list, as often as it takes.

    Args:
        config: The configuration of pytest.
        settings: The options in force.
        report: Takes the run at the end, and why its results could not be saved.
        reservations: The GPUs of which each has a pair of sides; none for a single pair.

    Raises:
        UsageError: There is no such revision.
    """

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        report: Callable[[Run, str | None], None],
        reservations: Sequence[Reservation] = (),
    ) -> None:
        super().__init__(config, settings, report)
        self._reference: Reference = resolve(settings.against or "", config.rootpath)
        self._reservations = reservations  # hold the locks of their GPUs while they live
        self._ongoing: Ongoing | None = None
        self._visits: dict[str, int] = {}
        self._markers: dict[str, MarkerSettings] = {}
        self._leave = ExitStack()
        line = self._progress
        self._standings = (
            WorkersProgress[Standing](line, describe_standings)
            if isinstance(line, ProgressLine)
            else None
        )

    def _open(self, markers: Mapping[str, MarkerSettings]) -> EnergySession:
        if not self._reservations:
            return super()._open(markers)
        first, *others = (
            self._open_on(replace(self._settings, devices=(one.gpu.uuid,)), markers, one)
            for one in self._reservations
        )
        if PROCESSORS in lock_names(first.meter) or first.meter is None:
            raise UsageError(
                f"--energy-against={self._settings.against} -n {len(self._reservations)}: the pairs"
                " of sides would disturb each other, since not only GPUs are measured"
                f" (--energy-meter={self._settings.meter}); leave out -n"
            )
        return first.with_cards(others)

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
        if self._settings.against_python is not None:
            against += f", the base by {self._settings.against_python}"
        number = len(self._sessions)
        cards = f", by a pair of sides on each of {number} GPUs" if number > 1 else ""
        return [
            *lines,
            f"energy: compares {what}{against}, in at most {self._settings.against_blocks} blocks"
            f"{cards}",
            *self._screening_line(),
        ]

    def _screening_line(self) -> list[str]:
        if not (number := len(self._screening_ids)):
            return []
        screens = f"{counted(number, 'committed baseline')} screen{'s'[: number == 1]} first"
        return [
            f"energy: {screens}: what is unchanged then is not measured any further"
            " (--energy-against-all measures everything)"
        ]

    @property
    def _screening_ids(self) -> set[str]:
        """The benchmarks whose committed baselines screen."""
        if self._reference.is_self or self._settings.against_all:
            return set()
        return {found.baseline.id for session in self._sessions for found in session.selected}

    # Beside the wrapper of the base class.
    @pytest.hookimpl(tryfirst=True, specname="pytest_runtest_protocol")
    def pytest_runtest_protocol_in_blocks(self, item: pytest.Item) -> bool | None:
        """Report a test that is decided; wait for another block if it is not."""
        if not uses_energy(item) or self._session is None:
            return None
        visit = self._visits[item.nodeid] = self._visits.get(item.nodeid, 0) + 1
        try:
            ongoing = self._ongoing or self._start(item.session)
            if ongoing.blocks < visit:
                self._wait_for_a_block(ongoing)
        except EnergyError as error:
            raise pytest.UsageError(str(error)) from None
        finally:
            if self._standings:
                self._standings.clear()
        comparing = ongoing.card_of[item.nodeid].comparing
        with ongoing.lock:
            # A control that moves later withdraws all verdicts, so none is reported before.
            if comparing.open_controls or not comparing.states[item.nodeid].ended:
                item.session.items.append(item)
                return True
            final = comparing.final()
            state = comparing.states[item.nodeid]
        with self._standings.hidden() if self._standings else nullcontext():
            self._report_test(item, state, {result.id: result for result in final})
        return True

    def _wait_for_a_block(self, ongoing: Ongoing) -> None:
        results = next(ongoing.news, None)
        if results is None:
            ongoing.blocks = math.inf
            return
        ongoing.blocks += 1
        assert self._session is not None
        with ongoing.lock:
            self._session.note_against(ongoing.first.describe())
        for result in results:
            self._keep(result)

    def _keep(self, result: Result) -> Result:
        """Store a result with the facts of the card that measured it."""
        assert self._session is not None
        if self._ongoing and self._session.cards and result.identity is None:
            environment = self._card_of(result.id).session.environment
            update = {"identity": environment.identity, "context": environment.context}
            result = result.model_copy(update=update)
        return self._session.keep(result)

    def _card_of(self, benchmark: str) -> Card:
        assert self._ongoing is not None
        card_of = self._ongoing.card_of
        return card_of.get(benchmark) or card_of[_test_of_window(benchmark)]

    def _lock_devices(self, stack: ExitStack, test: str) -> None:
        """Hold no locks for a single test: a comparison holds them from its first to its last."""

    # ---- the beginning ----

    def _start(self, session: pytest.Session) -> Ongoing:
        assert self._session is not None
        super()._lock_devices(self._leave, f"a comparison with {self._settings.against}")
        measuring = [item for item in session.items if uses_energy(item)]
        self._markers = {item.nodeid: item.stash[MARKER] for item in measuring}
        began_s = time.monotonic()
        described = describe_session(self._config, self._settings, measuring)
        preparation = Preparation(self._settings, self._reference, described)
        self._leave.callback(preparation.close)
        if isinstance(self._progress, ProgressLine):
            self._progress.show("preparing the base's tree")
        lock, seed = threading.RLock(), secrets.randbits(32)
        cards = [
            Card(
                measured,
                Campaign(
                    self._settings,
                    preparation.pair(self._gpu_of(measured)),
                    Comparing(tests, self._rules(seed + number), self._controls_beside(tests)),
                    Random(seed + number),
                    self._show_standing(number),
                    began_s,
                    spent_j=_counted_joules(measured),
                    lock=lock,
                ),
            )
            for number, (measured, tests) in enumerate(self._shares())
        ]
        for card in cards:
            card.comparing.cards = [each.comparing for each in cards]
        for test in preparation.gone:
            cards[0].comparing.note_gone(test)
        cards[0].comparing.note_replaced(preparation.replaced)
        lanes = Lanes([card.campaign for card in cards], preparation.running)
        self._leave.callback(lanes.stop)
        self._ongoing = Ongoing(
            preparation,
            lanes,
            cards,
            {test: card for card in cards for test in card.comparing.states},
            lock,
            lanes.each(Campaign.run),
        )
        self._screen(self._ongoing)
        return self._ongoing

    def _shares(self) -> Iterator[tuple[EnergySession, Sequence[str]]]:
        """Each card's session with the card's tests; a card without tests is left out."""
        tests = list(self._markers)
        if len(self._sessions) == 1:
            yield self._sessions[0], tests
            return
        boards = [reservation.gpu.board for reservation in self._reservations]
        store = self._sessions[0].store
        preferred, seconds = boards_of_baselines(store), seconds_of_baselines(store)
        shares = share(tests, boards, preferred, seconds)
        yield from ((card, own) for card, own in zip(self._sessions, shares, strict=True) if own)

    def _gpu_of(self, session: EnergySession) -> str | None:
        """The UUID of the GPU that a pair of sides has for itself, with ``-n``."""
        return ",".join(session.settings.devices or ()) if self._reservations else None

    def _controls_beside(self, tests: Sequence[str]) -> list[str]:
        """The plugin's own controls that another card measures: each card must show itself."""
        return [test for test in self._markers if is_control(test) and test not in tests]

    def _rules(self, seed: int) -> Rules:
        return Rules(
            reference=self._reference,
            seed=seed,
            tolerances=self._tolerances,
            failing=self._settings.failing,
            most_blocks=self._settings.against_blocks,
            most_s=self._settings.against_time,
            suite_tolerance=self._settings.tolerance[ENERGY],
            budgets=lambda benchmark: self._marker(benchmark).max_joules,
            options=tuple(_options_of_comparison(self._settings)),
        )

    def _show_standing(self, number: int) -> Callable[[Standing], None]:
        def show(standing: Standing) -> None:
            card = f"card {number}"
            if self._standings:
                self._standings.set_state(card, standing)
            if self._locks and standing.most_s is not None:
                self._locks.expect_at_most(card, standing.most_s)

        return show

    def _screen(self, ongoing: Ongoing) -> None:
        """Let the committed baselines decide what they can."""
        ids = self._screening_ids
        if not ids or self._session is None:
            return
        screened = ids | {_test_of_window(benchmark) for benchmark in ids}
        arguments = (f"--energy-baselines={self._settings.baselines}",)

        def measure(campaign: Campaign, post: Post) -> None:
            tests = [test for test in campaign.comparing.states if test in screened]
            campaign.screen(tests, arguments, post)

        for test in ongoing.lanes.each(measure):
            # First as soon as there is one: what the whole suite has in common is known later.
            for measured in ongoing.card_of[test].comparing.states[test].screening:
                self._keep(self._judge(measured))
        for result in ongoing.first.screen(self._judge):
            self._keep(result)
        self._session.note_against(ongoing.first.describe())

    def _judge(self, measured: Measurement) -> Result:
        """The verdict of the committed baseline."""
        session = self._card_of(measured.id).session
        policy = policy_of(measured, session, self._marker(measured.id))
        known = session.known_baselines(measured.id)
        return decide((measured,), known, session.environment, policy).result

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

    # ---- reports, and the end ----

    def _report_test(
        self, item: pytest.Item, state: CaseState, final: Mapping[str, Result]
    ) -> None:
        """Report a test as if it had run here."""
        results = [self._keep(final[id]) for id in state.results]
        item.user_properties.clear()
        for result in results:
            environment = self._card_of(result.id).session.environment
            item.user_properties.extend(properties(result, environment))
            self._config.hook.pytest_energy_result(config=self._config, result=result)
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in report_phases(item, _body(state, results)):
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Keep what is decided, remove the trees, and write the reports."""
        with self._leave:
            if self._ongoing is not None:
                self._ongoing.lanes.stop()
                self._keep_final(self._ongoing)
        super().pytest_sessionfinish(session, exitstatus)

    def _keep_final(self, ongoing: Ongoing) -> None:
        assert self._session is not None
        for card in ongoing.cards:
            comparing = card.comparing
            if not card.campaign.settled:
                if comparing.open_controls:
                    comparing.notes[WITH_CONTROLS] = None
                comparing.look(last="interruption")
            for result in comparing.final():
                self._keep(result)
        self._session.note_against(ongoing.first.describe())


def _options_of_comparison(settings: Settings) -> Iterator[str]:
    """Yield the options without which it would be another comparison."""
    if settings.against_setup is not None:
        yield f"--energy-against-setup={settings.against_setup}"
    if settings.against_python is not None:
        yield f"--energy-against-python={settings.against_python}"
    if settings.meter == NO_METER:
        yield f"--energy-meter={NO_METER}"


def _counted_joules(session: EnergySession) -> Callable[[], float | None]:
    """What the meter has counted since it was opened; nothing where joules are estimated."""
    meter = session.meter
    return (lambda: None) if meter is None or meter.info.estimated else meter.spent_j


def _test_of_window(benchmark: str) -> str:
    """A window of a test has the id of the test and its own name after it."""
    return benchmark.rpartition("::")[0]


def _body(state: CaseState, results: Sequence[Result]) -> Callable[[], None]:
    """Return what gives the report of the test its outcome."""

    def body() -> None:
        if state.skipped is not None:
            raise pytest.skip.Exception(state.skipped.removeprefix("Skipped: "))
        if state.failure is not None:
            fail_as_in_side(state.failure, state.error)
        fail_if_regressed(results)

    return body
