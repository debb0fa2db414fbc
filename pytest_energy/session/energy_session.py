"""What one session shares: the open meter, the environment, the baselines, the results so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pytest_energy.carbon import Intensity, carbon_facts, country_intensity, given_intensity
from pytest_energy.errors import EnergyError
from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.gate.make_baseline import extended
from pytest_energy.gate.pooling import Visits
from pytest_energy.gate.schedule import ADAPTIVE, FIXED, Schedule, family_note
from pytest_energy.gate.tolerances import TolerancePattern, load_tolerances
from pytest_energy.measuring.assemble import Source
from pytest_energy.measuring.torchrun import Ranks
from pytest_energy.meters.base import Meter, MeterRequest, MeterUnavailableError
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.environment import describe, slug
from pytest_energy.model.files import check_file, check_folder, not_written
from pytest_energy.model.json_files import save_run
from pytest_energy.model.measurement import Environment, Facts, Reason, ReasonCode
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.result import Result, Run, RunInfo
from pytest_energy.model.revision import Revision, read_revision
from pytest_energy.session.notes import saved
from pytest_energy.settings import Scale, Settings
from pytest_energy.uncertainty.rounds import TEMPERATURE_LIMIT_C


@dataclass
class EnergySession:
    """Opened once, before the first benchmark; every result is on disk as soon as it is known."""

    settings: Settings
    root: Path
    """Where test ids and files are relative to."""
    meter: Meter | None
    unmeasured: Reason | None
    """Why there is no meter, where there is none."""
    environment: Environment
    store: BaselineStore
    revision: Revision
    passed_over: tuple[Reason, ...] = ()
    """Why ``auto`` did not take the meters that it would rather have had."""
    intensity: Intensity | None = None
    """Of the electricity, where the user said what to take."""
    ranks: Ranks | None = None
    """This process's place, where torchrun started several."""
    results: dict[str, Result] = field(default_factory=dict)
    """By id, in the order in which they were first known."""
    tolerances: tuple[TolerancePattern, ...] = ()
    """The table of ``pyproject.toml``."""
    family: int = 1
    """How many figures the session compares: they share the chance of a false alarm."""
    visits: Visits = field(default_factory=Visits)
    planned: dict[str, int] = field(default_factory=dict)
    """Passes that the fixed protocol would have run, of benchmarks that ran others."""
    accepted: list[Path] = field(default_factory=list)
    """Baseline files that this session wrote."""
    unsaved: str | None = None
    """Why the results are not on disk as they last were, where they are not."""
    _created: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    _opened_s: float = field(default_factory=time.perf_counter)
    _run: Run | None = None

    @classmethod
    def open(
        cls,
        settings: Settings,
        root: Path,
        amend_identity: Callable[[Facts], Facts] = lambda identity: identity,
        ranks: Ranks | None = None,
    ) -> EnergySession:
        """Read the baselines, then open the meter.

        Args:
            settings: The options, with paths that do not depend on the working directory.
            root: The root folder of the tests.
            amend_identity: Gives the identity that is kept and compared.
            ranks: This process's place, where torchrun started several.

        Raises:
            EnergyError: The results or the baselines cannot be written, a baseline cannot be read,
                the carbon intensity is not known, or a meter that was asked for by its name cannot
                measure here.
        """
        if ranks is None or ranks.reports:
            check_file(settings.json, "--energy-json")
        intensity = _intensity(settings)
        store = BaselineStore(settings.baselines)
        store.check()
        if settings.update != "none" and (ranks is None or ranks.reports):
            check_folder(settings.baselines, "--energy-baselines")
        table = load_tolerances(root / "pyproject.toml")
        measures = ranks is None or ranks.measures
        passed_over: list[Reason] = []
        meter, unmeasured = _open_meter(settings, passed_over.append) if measures else (None, None)
        described = describe(meter.environment if meter else None)
        environment = described.model_copy(update={"identity": amend_identity(described.identity)})
        return cls(
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
            tolerances=table,
        )

    @property
    def source(self) -> Source:
        """Where joules come from here."""
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

    @property
    def slug(self) -> str:
        """The folder of this machine's baselines."""
        return slug(self.environment.identity)

    @property
    def scale(self) -> Scale:
        """``full`` where a GPU is measured, unless the option says otherwise."""
        if self.settings.scale != "auto":
            return "full" if self.settings.scale == "full" else "small"
        channels = self.meter.channels if self.meter else ()
        return "full" if any(channel.startswith("gpu") for channel in channels) else "small"

    @property
    def schedule(self) -> Schedule:
        """How often a benchmark may be measured and looked at."""
        return FIXED if self.settings.protocol == "fixed" else ADAPTIVE

    def decides(self, test_id: str) -> bool:
        """Whether rounds may be short: there is something to decide, or a first visit was long."""
        if self.settings.protocol == "fixed":
            return False
        if self.visits.number(test_id) > 1:
            return True
        return self.settings.update != "all" and self.store.load(test_id, self.slug) is not None

    def may_measure_again(self) -> bool:
        """Whether the time and the joules for further visits are not used up."""
        rounds = [done for visit in self.visits.further() for done in visit.rounds]
        spent_j = sum(done.energy_j or 0.0 for done in rounds)
        in_time = sum(done.duration_s for done in rounds) < self.settings.retry_time
        return in_time and (
            self.settings.retry_energy is None or spent_j < self.settings.retry_energy
        )

    def baseline_with(self, result: Result) -> Baseline:
        """The baseline of a benchmark as it would be, were ``result`` accepted."""
        older = self.store.load(result.id, self.slug)
        return extended(older, result, self.environment, self.revision.commit)

    def accept(self, result: Result) -> None:
        """Make a result the baseline of its benchmark.

        Raises:
            EnergyError: The baseline cannot be written.
        """
        try:
            written = self.store.save(result, self.environment, self.slug, self.revision.commit)
        except OSError as error:
            why = error.strerror or error
            raise EnergyError(
                f"{result.id}: the baseline could not be written: {why}; its folder is that of"
                f" --energy-baselines={self.store.folder}"
            ) from None
        self.accepted.extend(written)

    def keep(self, result: Result) -> None:
        """Take in a result, in place of an earlier one of the same benchmark, and save the run."""
        self.results[result.id] = result
        self._save()

    @property
    def run(self) -> Run:
        """The run as far as it is known."""
        return self._run or self._describe(complete=False, energy_j=None)

    def close(self, *, complete: bool = True) -> Run:
        """Read what the whole session cost, save the run and close the meter.

        Args:
            complete: Whether all that was to be measured was.
        """
        if self._run is None:
            whole = self.ranks is None or self.ranks.hosts == 1  # else others spent as well
            energy_j = self.meter.spent_j() if self.meter and whole else None
            self._run = self._describe(complete=complete, energy_j=energy_j)
            self._save()
            if self.meter:
                self.meter.close()
        return self._run

    def _save(self) -> None:
        """Write the results; a disk that is full for a while costs none of them."""
        try:
            save_run(self.run, self.settings.json)
            self.unsaved = None
        except OSError as error:
            self.unsaved = not_written(self.settings.json, error)

    def _describe(self, *, complete: bool, energy_j: float | None) -> Run:
        idle = self.meter.idle_power_w if self.meter else {}
        info = RunInfo(
            energy_j=energy_j,
            duration_s=round(time.perf_counter() - self._opened_s, 3),
            commit=self.revision.commit,
            branch=self.revision.branch,
            dirty=self.revision.dirty,
            idle_power_w={channel: power.value for channel, power in idle.items()},
            meter=self.meter.info if self.meter else None,
            unmeasured=self.unmeasured,
            complete=complete,
            notes=[*saved(self.results.values(), self.planned), *family_note(self.family)],
            settings={"scale": self.scale, **_in_force(self.settings)},
            carbon=carbon_facts(self.intensity, self.settings.pue) if self.intensity else {},
            accepted=[str(_within(self.root, path)) for path in dict.fromkeys(self.accepted)],
        )
        return Run(
            created=self._created,
            environment=self.environment,
            run=info,
            benchmarks=list(self.results.values()),
        )


def _open_meter(
    settings: Settings, passed_over: Callable[[Reason], object]
) -> tuple[Meter | None, Reason | None]:
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


def _intensity(settings: Settings) -> Intensity | None:
    if settings.carbon_intensity is not None:
        return given_intensity(settings.carbon_intensity)
    return country_intensity(settings.country) if settings.country else None


def _within(folder: Path, path: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _in_force(settings: Settings) -> Facts:
    """The options that shaped the results; paths are left out, since they name the machine."""
    plain: Facts = {
        name: value
        for name, value in vars(settings).items()
        if isinstance(value, str | bool | int | float) and name != "scale"
    }
    plain |= {"tolerance": settings.tolerance[ENERGY]}
    return plain | {
        f"validity_limit.{code}": limit for code, limit in settings.validity_limit.items()
    }
