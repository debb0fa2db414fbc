"""The state of one session: the open meter, the environment, the baselines, the record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from pytest_energy.carbon import Intensity, carbon_facts, country_intensity, given_intensity
from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.gate.acceptance import drift_refusal
from pytest_energy.gate.baseline_history import last_tag
from pytest_energy.gate.baseline_store import FACTS, BaselineStore
from pytest_energy.gate.decision import KnownBaselines
from pytest_energy.gate.detectability import shared_scatter
from pytest_energy.gate.schedule import ADAPTIVE, FIXED, Schedule, Suite, family_note
from pytest_energy.gate.selection import Selected, count_comparisons, select, suite_prior
from pytest_energy.gate.tolerances import TolerancePattern, check_directions, load_tolerances
from pytest_energy.marker import MarkerSettings, MeterChoice
from pytest_energy.measuring.assemble import Source
from pytest_energy.measuring.torchrun import Ranks
from pytest_energy.meters.base import Meter, MeterRequest, MeterUnavailableError
from pytest_energy.meters.registry import open_meter
from pytest_energy.meters.selected_channels import has_all, owner_of, select_channels
from pytest_energy.model.comparison import Against
from pytest_energy.model.environment import describe, slug
from pytest_energy.model.files import (
    check_files,
    check_folder,
    is_stream,
    is_there,
    not_written,
)
from pytest_energy.model.json_files import load_run, save_run
from pytest_energy.model.measurement import Environment, Facts, Reason, ReasonCode
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.result import NOT_RUN, Result, Run, RunInfo, Uncompared
from pytest_energy.model.revision import Revision, read_revision
from pytest_energy.model.workers_merge import merge_workers
from pytest_energy.session.journal import Entry, Journal
from pytest_energy.session.notes import drift_note, savings_note
from pytest_energy.session.run_record import RunRecord
from pytest_energy.session.suite_shift import FEWEST_COMPARABLE, finish
from pytest_energy.settings import NO_METER, OUTPUT_OPTION, Scale, Settings
from pytest_energy.uncertainty.change import PRIOR, Prior
from pytest_energy.uncertainty.rounds import TEMPERATURE_LIMIT_C


@dataclass(frozen=True)
class EnergySession:
    """The set-up of a session, which never changes; its findings go into :attr:`record`."""

    settings: Settings
    root: Path
    """The folder that test ids and files are relative to."""
    meter: Meter | None
    unmeasured: Reason | None
    """Why there is no meter."""
    environment: Environment
    store: BaselineStore
    revision: Revision
    passed_over: tuple[Reason, ...] = ()
    """Why ``auto`` did not choose the meters that it prefers."""
    intensity: Intensity | None = None
    """Carbon intensity of the electricity, if the user chose one."""
    ranks: Ranks | None = None
    """This process's rank, if torchrun started several."""
    tolerances: tuple[TolerancePattern, ...] = ()
    """The table of ``pyproject.toml``."""
    selected: tuple[Selected, ...] = ()
    """The baselines of the tests that will run."""
    prior: Prior = PRIOR
    """The assumed variation between runs, by all baselines of this machine."""
    baseline_ids: frozenset[str] = frozenset()
    """The ids of all baselines of this machine, and of the exact metrics."""
    shared: float = 0.0
    """Standard deviation of what the benchmarks of a session share and no shift takes off."""
    shards: int = 1
    """Number of sessions that share the suite; each is taken to have as many comparisons."""
    alternating: bool = False
    """Whether another process measures the same tests in turn."""
    parts: Mapping[MeterChoice, EnergySession] = field(default_factory=dict)
    """The sessions of meters and channels that markers name; they share the record."""
    whole: EnergySession | None = None
    """The session that this one is a part of."""
    cards: tuple[EnergySession, ...] = ()
    """The sessions of further GPUs that measure other tests at the same time; they share the
    record."""
    record: RunRecord = field(default_factory=RunRecord)
    journal: Journal = field(default_factory=Journal)
    """Where each finding is appended; parts share it."""

    @classmethod
    def open(
        cls,
        settings: Settings,
        root: Path,
        markers: Mapping[str, MarkerSettings],
        amend_identity: Callable[[Facts], Facts] = lambda identity: identity,
        ranks: Ranks | None = None,
        shards: int = 1,
    ) -> EnergySession:
        """Read the baselines, then open the meter.

        Args:
            settings: The options, with absolute paths.
            root: The root folder of the tests.
            markers: The markers of the tests that will run, by id.
            amend_identity: Returns the identity that is stored and compared.
            ranks: This process's rank, if torchrun started several.
            shards: Number of sessions that share the suite.

        Raises:
            EnergyError: An output or the baselines cannot be written, a baseline cannot be read,
                the carbon intensity is not known, or the requested meter cannot measure here.
        """
        if ranks is None or ranks.reports:
            check_files(settings.output, OUTPUT_OPTION)
        intensity = _intensity(settings)
        store = BaselineStore(settings.baselines)
        store.check()
        if settings.update != "none" and (ranks is None or ranks.reports):
            check_folder(settings.baselines, "--energy-baselines=")
        table = load_tolerances(root / "pyproject.toml")
        check_directions(markers, settings.tolerance, table)
        measures = ranks is None or ranks.measures
        passed_over: list[Reason] = []
        meter, unmeasured = _open_meter(settings, passed_over.append) if measures else (None, None)
        described = describe(meter.environment if meter else None)
        environment = described.model_copy(update={"identity": amend_identity(described.identity)})
        own_baselines = store.load_all(slug(environment.identity))
        selected = select(own_baselines, markers, settings.tolerance, table)
        small = len(selected) < FEWEST_COMPARABLE
        session = cls(
            settings,
            root,
            meter,
            unmeasured,
            environment,
            store,
            read_revision(root),
            tuple(passed_over) if meter else (),
            intensity,
            ranks,
            table,
            selected,
            suite_prior(own_baselines),
            frozenset(baseline.id for baseline in [*own_baselines, *store.load_all(FACTS)]),
            shared_scatter(own_baselines) if small else 0.0,
            shards,
            journal=Journal(settings.json),
        )
        return session._with_parts(markers) if measures else session

    def _with_parts(self, markers: Mapping[str, MarkerSettings]) -> EnergySession:
        """This session with a part for each other meter that a marker names.

        Raises:
            UsageError: No meter has that name.
        """
        chosen: dict[MeterChoice, dict[str, MarkerSettings]] = {}
        for test_id, marker in markers.items():
            if marker.choice is not None and not self._is_own(marker.choice):
                chosen.setdefault(marker.choice, {})[test_id] = marker
        parts = {choice: self._part(choice, tests) for choice, tests in chosen.items()}
        known = [self, *parts.values()]
        return replace(
            self,
            parts=parts,
            selected=tuple(baseline for session in known for baseline in session.selected),
            baseline_ids=frozenset().union(*(session.baseline_ids for session in known)),
        )

    def _is_own(self, choice: MeterChoice) -> bool:
        own = (None, self.settings.meter, self.meter.info.name if self.meter else "auto")
        if choice.meter not in own:
            return False
        return not choice.channels or bool(self.meter and has_all(self.meter, choice.channels))

    def _part(self, choice: MeterChoice, markers: Mapping[str, MarkerSettings]) -> EnergySession:
        """The session of the tests that another meter, or some channels only, measure."""
        settings = self.settings
        try:
            opened, unmeasured = self.meter, self.unmeasured
            name = choice.meter or owner_of(choice.channels, self.meter)
            if name is not None:
                # The devices of --energy-devices are those of the session's meter.
                settings = replace(self.settings, meter=name, devices=None)
                opened, unmeasured = _open_meter(settings, lambda reason: None)
            if opened is not None and choice.channels:
                opened = select_channels(opened, choice.channels)
        except MeterUnavailableError as error:
            # The other tests can be measured, so these alone have no joules, and say why.
            opened, unmeasured = None, error.reason
        except UsageError as error:
            raise UsageError(f"{next(iter(markers))}: @pytest.mark.energy: {error}") from None
        environment = describe(opened.environment if opened else None)
        own_baselines = self.store.load_all(slug(environment.identity))
        # Others in the folder belong to tests that this meter does not measure here.
        named = [known for known in own_baselines if _is_of(known.id, markers)]
        return replace(
            self,
            settings=settings,
            meter=opened,
            unmeasured=unmeasured,
            environment=environment,
            selected=tuple(select(named, markers, settings.tolerance, self.tolerances)),
            prior=suite_prior(own_baselines),
            baseline_ids=frozenset(baseline.id for baseline in named),
            shared=0.0,
            whole=self,
        )

    def of(self, marker: MarkerSettings) -> EnergySession:
        """The session of one test: that of the meter that its marker names."""
        part = self.parts.get(marker.choice) if marker.choice else None
        return self if part is None else replace(part, alternating=self.alternating)

    def with_cards(self, cards: Sequence[EnergySession]) -> EnergySession:
        """This session as the first of several, each of which measures on its own GPU."""
        return replace(
            self,
            cards=tuple(replace(card, record=self.record) for card in cards),
            baseline_ids=self.baseline_ids.union(*(card.baseline_ids for card in cards)),
        )

    @property
    def machine(self) -> dict[str, Facts]:
        """Identity and context of the results, if they differ from those of the run."""
        if self.whole is None:
            return {}
        return {"identity": self.environment.identity, "context": self.environment.context}

    def release(self) -> None:
        """Close all meters."""
        for session in (self, *self.parts.values()):
            if session.meter:
                session.meter.close()
        for card in self.cards:
            card.release()

    @property
    def source(self) -> Source:
        """The source of joules."""
        if self.meter is None:
            return Source(unmeasured=self.unmeasured)
        return Source(
            self.meter.info,
            self.meter.idle_power_w,
            intensity=self.intensity,
            pue=self.settings.pue,
            temperature_limit_c=self.settings.validity_limit.get(
                ReasonCode.TEMPERATURE_DRIFT, TEMPERATURE_LIMIT_C
            ),
        )

    @cached_property
    def family(self) -> int:
        """Number of comparisons in the session: they share the chance of a false alarm."""
        if self.whole is not None:
            return self.whole.family + count_comparisons(self.selected)
        return self.settings.family or self.shards * count_comparisons(self.selected)

    @property
    def suite(self) -> Suite:
        """What a verdict takes from the other benchmarks, as far as they are measured."""
        # Whoever updates all baselines accepts the shift, too.
        unshifted = self.settings.update == "all" or self.whole is not None
        shifts = {} if unshifted else self.record.shifts()
        return Suite(self.family, self.prior, shifts, self.shared)

    @cached_property
    def slug(self) -> str:
        """The folder of this machine's baselines."""
        return slug(self.environment.identity)

    @property
    def measures_gpu(self) -> bool:
        """Whether joules of a GPU are measured."""
        channels = self.meter.channels if self.meter else ()
        return any(channel.startswith("gpu") for channel in channels)

    @property
    def scale(self) -> Scale:
        """The option's scale; for ``auto``, ``full`` if a GPU is measured."""
        if self.settings.scale != "auto":
            return "full" if self.settings.scale == "full" else "small"
        return "full" if self.measures_gpu else "small"

    @property
    def schedule(self) -> Schedule:
        """The schedule of visits and looks."""
        return FIXED if self.settings.protocol == "fixed" else ADAPTIVE

    def known_baselines(self, test_id: str) -> KnownBaselines:
        """The baselines of a benchmark."""
        own = self.store.load(test_id, self.slug)
        elsewhere = None if own else self.store.find(test_id, self.slug)
        return KnownBaselines(own, elsewhere, self.store.load_facts(test_id))

    def decides(self, test_id: str) -> bool:
        """Whether rounds may be short: there is a baseline, or a visit before."""
        if self.schedule is FIXED:
            return False
        if self.record.visit_number(test_id) > 1:
            return True
        return self.settings.update != "all" and self.store.load(test_id, self.slug) is not None

    def spent_limit(self) -> Literal["time", "energy"] | None:
        """The limit that the retries have reached; ``None`` if time and joules are left."""
        limit_j = self.settings.retry_energy
        if self.record.retried_s >= self.settings.retry_time:
            return "time"
        return "energy" if limit_j is not None and self.record.retried_j >= limit_j else None

    @cached_property
    def last_tag(self) -> str | None:
        """The newest tag of the tests' repository."""
        return last_tag(self.root)

    def drift_refusal(self, result: Result, tolerance: float) -> str | None:
        """Why a result needs ``--energy-accept-drift`` to be accepted; ``None`` if it may be."""
        if self.settings.accept_drift:
            return None
        reason = drift_refusal(result, self.store, self.slug, tolerance, self.last_tag)
        if reason is None:
            return None
        return f"{result.id}: not accepted: {reason}; accept them with --energy-accept-drift"

    def accept(self, result: Result) -> None:
        """Make a result the baseline of its benchmark.

        Raises:
            EnergyError: The baseline cannot be written.
        """
        try:
            written = self.store.save(result, self.environment, self.slug, self.revision.commit)
        except OSError as error:
            reason = error.strerror or error
            raise EnergyError(
                f"{result.id}: cannot write the baseline: {reason}; its folder is"
                f" --energy-baselines={self.store.folder}"
            ) from None
        self.record.note_accepted(written)
        self._append(Entry(accepted=[self._shown(path) for path in written]))

    def refuse(self, why: str) -> None:
        """Note why a result was not accepted as a baseline."""
        self.record.note_refused(why)
        self._append(Entry(failures=[why]))

    def note_against(self, against: Against) -> None:
        """Note how far the comparison with another revision is."""
        self.record.note_against(against)
        self._append(Entry(against=against))

    def keep(self, result: Result) -> Result:
        """Store a result, replace an earlier one of the same benchmark, and append it.

        Returns:
            The result.
        """
        self.record.keep(result)
        self._append(Entry(result=result, duration_s=self.record.duration_s))
        return result

    def _append(self, entry: Entry) -> None:
        """Append to the journal. A failure is only noted: the disk may have space at the next."""
        head = self.whole or self
        try:
            self.journal.write(entry, lambda: head.run.model_copy(update={"benchmarks": []}))
        except OSError as error:
            self.record.note_saving(not_written(self.settings.json, error))
        else:
            self.record.note_saving(None)

    @property
    def run(self) -> Run:
        """The run so far."""
        return self.record.closed or self._describe(complete=False)

    def close(
        self, *, complete: bool = True, missing: Sequence[Uncompared] = (), is_part: bool = False
    ) -> Run:
        """Read the energy of the whole session, save the run and close the meter.

        Args:
            complete: Whether the session ran to its end.
            missing: The baselines that got no result.
            is_part: Whether the run will be merged with those of other processes, which together
                decide whether it fails.
        """
        if self.record.closed is None:
            run = self._describe(complete=complete, missing=missing, ended=True)
            self.record.close(run if is_part else finish(run, self.settings))
            if is_part or not keeps_earlier(self.run, self.settings):
                self._save(self.run)
            self.release()
        return self.run

    def _save(self, run: Run) -> None:
        """Write the results, or note why that failed: then they stay in the journal."""
        try:
            save_run(run, self.settings.json)
            self.journal.remove()
        except OSError as error:
            where = self.journal.path
            kept = f"; its results stay in {where}" if where and is_there(where) else ""
            self.record.note_saving(f"{not_written(self.settings.json, error)}{kept}")
        else:
            self.record.note_saving(None)

    def _describe(
        self, *, complete: bool, missing: Sequence[Uncompared] = (), ended: bool = False
    ) -> Run:
        """The run on all cards."""
        run = self._describe_own(complete=complete, missing=missing, ended=ended)
        if not self.cards:
            return run
        others = [
            card._describe_own(complete=complete, missing=(), ended=ended).model_copy(
                update={"benchmarks": []}
            )
            for card in self.cards
        ]
        names = [f"card{number}" for number in range(1 + len(others))]
        return merge_workers([run, *others], names, what="pairs of sides")

    def _shown(self, path: Path) -> str:
        """A path relative to the tests' root folder if it is within."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def _spent_j(self) -> float | None:
        # The meter does not see the joules of other hosts.
        sees_all = self.ranks is None or self.ranks.hosts == 1
        return self.meter.spent_j() if self.meter and sees_all else None

    def _describe_own(self, *, complete: bool, missing: Sequence[Uncompared], ended: bool) -> Run:
        idle = self.meter.idle_power_w if self.meter else {}
        info = RunInfo(
            energy_j=self._spent_j() if ended else None,
            duration_s=self.record.duration_s,
            commit=self.revision.commit,
            branch=self.revision.branch,
            dirty=self.revision.dirty,
            idle_power_w={channel: power.value for channel, power in idle.items()},
            meter=self.meter.info if self.meter else None,
            unmeasured=self.unmeasured,
            complete=complete,
            notes=[
                *savings_note(self.record.results.values(), self.record.fixed_passes),
                *drift_note(self.record.results.values()),
                *family_note(self.family, 1 if self.settings.family else self.shards),
                *([self.revision.remark] if self.revision.remark else []),
            ],
            # Of a session that stopped early nobody expects the tests after the stop.
            failures=list(self.record.refused),
            uncompared=[entry for entry in missing if complete or entry.reason != NOT_RUN],
            unpassed=list(self.record.unpassed),
            exit_status=self.record.exit_status,
            settings={"scale": self.scale, **_in_force(self.settings)},
            carbon=carbon_facts(self.intensity, self.settings.pue) if self.intensity else {},
            against=self.record.against,
            accepted=[self._shown(path) for path in self.record.accepted],
        )
        return Run(
            created=self.record.created,
            environment=self.environment,
            run=info,
            benchmarks=list(self.record.results.values()),
        )


def keeps_earlier(run: Run, settings: Settings) -> bool:
    """Whether a run that measured nothing leaves the results of an earlier one as they are."""
    if run.benchmarks or is_stream(settings.json) or not is_there(settings.json):
        return False
    try:
        return bool(load_run(settings.json).benchmarks)
    except (EnergyError, OSError):
        return True  # what cannot be read may still be of use to somebody


def _open_meter(
    settings: Settings, passed_over: Callable[[Reason], object]
) -> tuple[Meter | None, Reason | None]:
    if settings.meter == NO_METER:
        return None, Reason(code=ReasonCode.NO_METER, message=f"--energy-meter={NO_METER}")
    request = MeterRequest(
        devices=settings.devices,
        country=settings.country,
        thresholds=settings.validity_limit,
        wait_idle_s=settings.wait_idle,
    )
    try:
        return open_meter(settings.meter, request, passed_over), None
    except MeterUnavailableError as error:
        if settings.meter != "auto":
            raise
        return None, error.reason


def _is_of(baseline_id: str, tests: Collection[str]) -> bool:
    """Whether a baseline belongs to one of the tests, or to a window of one."""
    return baseline_id in tests or baseline_id.rpartition("::")[0] in tests


def _intensity(settings: Settings) -> Intensity | None:
    if settings.carbon_intensity is not None:
        return given_intensity(settings.carbon_intensity)
    return country_intensity(settings.country) if settings.country else None


def _in_force(settings: Settings) -> Facts:
    """The options that affect results, without paths, which may reveal names."""
    plain: Facts = {
        name: value
        for name, value in vars(settings).items()
        if isinstance(value, str | bool | int | float) and name != "scale"
    }
    plain |= {"tolerance": settings.tolerance[ENERGY], "fail_on": ",".join(settings.fail_on)}
    return plain | {
        f"validity_limit.{code}": limit for code, limit in settings.validity_limit.items()
    }
