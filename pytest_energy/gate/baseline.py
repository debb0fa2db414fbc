"""Baselines: what was accepted, one small file a benchmark, made to be committed.

``<folder>/<machine>/<module>/<test>.json`` holds the joules of one kind of machine,
``<folder>/facts/…`` what holds on any (parameters, FLOPs). One key a line, sorted, numbers rounded
to what their uncertainty supports, no host name and no clock time: an update is a short diff, and
two branches that update different benchmarks do not conflict.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat

from pytest_energy.errors import EnergyError, FileFormatError, UsageError
from pytest_energy.gate.baseline_paths import baseline_path
from pytest_energy.model.files import write_atomically
from pytest_energy.model.measurement import (
    Environment,
    Facts,
    Kind,
    Measurement,
    MeterInfo,
    Outcome,
    Quantity,
    Record,
    Result,
    Round,
    facts_workload,
    parse_json,
    workload_hash,
)
from pytest_energy.uncertainty.change import Estimate
from pytest_energy.uncertainty.gum import t_quantile
from pytest_energy.uncertainty.rounds import summarize

BASELINE_SCHEMA: Final = "pytest-energy/baseline/1"
FACTS: Final = "facts"
"""The folder of what holds on any machine."""
KEPT_RUNS: Final = 10
"""How many accepted runs a file keeps; the oldest go."""
WITH_JOULES: Final = ("measured", "estimated")
NOT_KEPT: Final = frozenset({"co2_g"})
"""Joules times a figure of the grid, which is nothing that a commit could change."""


class AcceptedRun(Record):
    """One run that was accepted: a visit to the benchmark."""

    commit: str | None = None
    """Of the tree that was measured."""
    rounds: int = Field(1, ge=1)
    spent_j: float | None = Field(None, ge=0)
    """Joules of all its rounds."""
    step: bool = False
    """Accepted as a change: what was before it is another level."""
    values: dict[str, float] = Field(default_factory=dict)
    """By metric."""
    standard: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """Standard uncertainty from within the run, without the sensor's gain, by metric."""
    conditions: dict[str, float] = Field(default_factory=dict)
    """Under which it was measured: medians over its rounds."""


class Baseline(Record):
    """What was accepted of one benchmark: on one kind of machine, or (facts) on any."""

    model_config = ConfigDict(populate_by_name=True)

    schema_name: Literal["pytest-energy/baseline/1"] = Field(BASELINE_SCHEMA, alias="schema")
    id: str
    """The test's full id; the file's name is only made from it."""
    kind: Kind
    workload: Facts
    workload_hash: str
    identity: Facts = Field(default_factory=dict)
    context: Facts = Field(default_factory=dict)
    meter: MeterInfo | None = None
    metrics: dict[str, Quantity]
    """As the newest accepted run found them."""
    accepted: list[AcceptedRun] = Field(default_factory=list)
    """Recent accepted runs, newest last."""

    def levels(self, metric: str) -> list[list[Estimate]]:
        """The accepted runs that know ``metric``, parted where a change was accepted."""
        levels: list[list[Estimate]] = [[]]
        for run in self.accepted:
            if run.step and levels[-1]:
                levels.append([])
            if run.values.get(metric, 0) > 0:
                levels[-1].append(_estimate(run, metric))
        return levels

    def level(self, metric: str) -> list[Estimate]:
        """The runs since the last accepted change: what a new run is compared with."""
        return self.levels(metric)[-1]


def _estimate(run: AcceptedRun, metric: str) -> Estimate:
    freedom = run.rounds - 1 if run.rounds > 1 else math.inf
    return Estimate(run.values[metric], run.standard.get(metric, 0.0), freedom)


def standard_within(quantity: Quantity) -> float:
    """Standard uncertainty of a run's value, without the gain that all runs on a board share."""
    if quantity.uncertainty is None:
        return 0.0
    total = quantity.uncertainty / t_quantile(freedom_of(quantity))
    return math.sqrt(max(total**2 - quantity.budget.get("gain", 0.0) ** 2, 0.0))


def freedom_of(quantity: Quantity) -> float:
    """Effective degrees of freedom as a number."""
    return math.inf if quantity.degrees_of_freedom is None else quantity.degrees_of_freedom


class BaselineStore:
    """The baselines in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, test_id: str, slug: str) -> Path:
        """Where the baseline of a test on a machine lies."""
        return self.folder / slug / baseline_path(test_id)

    def load(self, test_id: str, slug: str) -> Baseline | None:
        """The baseline of a test on machines of this name, if there is one.

        Raises:
            FileFormatError: There is a file, but it is no baseline of that test.
        """
        path = self.path(test_id, slug)
        if not path.exists():
            return None
        found = _read(path)
        if found.id != test_id:
            fault = f"id: {found.id!r} found, {test_id!r} expected in a file of this name"
            raise FileFormatError(path, "a baseline", (fault,))
        return found

    def load_facts(self, test_id: str) -> Baseline | None:
        """What was accepted of a test that holds on any machine."""
        return self.load(test_id, FACTS)

    def find(self, test_id: str, slug: str) -> Baseline | None:
        """The baseline of this machine, else another machine's, so that the difference shows."""
        for name in (slug, *self.slugs_with(test_id)):
            if kept := self.load(test_id, name):
                return kept
        return None

    def slugs(self) -> tuple[str, ...]:
        """The machines that have baselines, sorted."""
        if not self._exists():
            return ()
        names = sorted(path.name for path in self.folder.iterdir() if path.is_dir())
        return tuple(name for name in names if name != FACTS and not name.startswith("."))

    def slugs_with(self, test_id: str) -> tuple[str, ...]:
        """The machines that have a baseline of this test, sorted."""
        return tuple(slug for slug in self.slugs() if self.path(test_id, slug).exists())

    def load_all(self, slug: str) -> list[Baseline]:
        """Every baseline of a machine, sorted by test id.

        Raises:
            FileFormatError: One of them cannot be read.
        """
        found = (_read(path) for path in self.paths() if path.parts[-3] == slug)
        return sorted(found, key=lambda kept: kept.id)

    def paths(self) -> Iterator[Path]:
        """Every baseline file, sorted."""
        if self._exists():
            yield from sorted(self.folder.glob("*/*/[!.]*.json"))

    def _exists(self) -> bool:
        """Whether there is a folder at all.

        Raises:
            UsageError: There is something else in its place.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(
                f"{self.folder}: no folder; baselines lie in one, which --energy-baselines names"
                " (pytest-energy: --baselines)"
            )
        return self.folder.is_dir()

    def check(self) -> None:
        """Read every file, so that a broken one is known before anything is measured.

        Raises:
            UsageError: The baselines' folder is none.
            FileFormatError: One file cannot be read.
            EnergyError: Several cannot; the text tells every fault of each.
        """
        broken: list[FileFormatError] = []
        for path in self.paths():
            try:
                self._check(path)
            except FileFormatError as error:
                broken.append(error)
        if len(broken) == 1:
            raise broken[0]
        if broken:
            raise EnergyError("\n".join(str(error) for error in broken))

    def _check(self, path: Path) -> None:
        found = _read(path)
        due = self.path(found.id, path.parts[-3])
        if path != due:
            fault = f"id: that of {found.id!r} belongs in {due}; move the file there, or remove it"
            raise FileFormatError(path, "a baseline", (fault,))

    def save(
        self, result: Measurement, environment: Environment, slug: str, commit: str | None
    ) -> list[Path]:
        """Accept a result: its joules for machines of this name, its facts for any.

        Returns:
            The files that changed.

        Raises:
            EnergyError: The measurement is invalid.
        """
        if result.status == "invalid":
            reasons = "; ".join(reason.message for reason in result.reasons) or "reason not known"
            raise EnergyError(f"{result.id}: an invalid measurement is no baseline: {reasons}")
        made = {FACTS: facts_of(result)}
        if result.status in WITH_JOULES:
            made[slug] = extended(self.load(result.id, slug), result, environment, commit)
        written = [(self.path(result.id, name), kept) for name, kept in made.items() if kept]
        return [path for path, kept in written if _write(path, kept)]


def _read(path: Path) -> Baseline:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(path, "a baseline", (str(error),)) from None
    return parse_json(text, Baseline, path, "a baseline", BASELINE_SCHEMA)


def _write(path: Path, baseline: Baseline) -> bool:
    text = dump_baseline(baseline)
    if path.exists() and path.read_text("utf-8") == text:
        return False
    write_atomically(path, text)
    return True


def dump_baseline(baseline: Baseline) -> str:
    """The text of a baseline file: one key a line, sorted, what says nothing left out."""
    data = baseline.model_dump(by_alias=True, exclude_defaults=True)
    whole = {"schema": BASELINE_SCHEMA, "workload": baseline.workload, **data}
    return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def facts_of(result: Measurement) -> Baseline | None:
    """What a result says of any machine, if it counted anything."""
    exact = {name: quantity for name, quantity in result.metrics.items() if quantity.exact}
    workload = facts_workload(result.workload)
    known = {"workload": workload, "workload_hash": workload_hash(workload)}
    return _baseline(result, metrics=exact, **known) if exact else None


def has_something_to_keep(result: Measurement) -> bool:
    """Whether a baseline could be made of a result: it has joules, or counted anything."""
    return result.status in WITH_JOULES or facts_of(result) is not None


def extended(
    older: Baseline | None, result: Measurement, environment: Environment, commit: str | None
) -> Baseline:
    """The baseline of a machine as it is once ``result`` has been accepted."""
    measured = {
        name: found
        for name, found in result.metrics.items()
        if not found.exact and name not in NOT_KEPT
    }
    machine = result.measured_in(environment)
    return _baseline(
        result,
        identity=machine.identity,
        context=machine.context,
        meter=result.meter and MeterInfo.model_validate(meter_facts(result.meter)),
        metrics={name: rounded(quantity) for name, quantity in measured.items()},
        accepted=_history(result, measured, commit, older),
    )


def meter_facts(meter: MeterInfo) -> Facts:
    """What of a meter makes two results comparable."""
    return {"name": meter.name, "source": meter.source, "estimated": meter.estimated}


def _baseline(result: Measurement, **fields: object) -> Baseline:
    common = {
        "schema": BASELINE_SCHEMA,
        "id": result.id,
        "kind": result.kind,
        "workload": result.workload,
        "workload_hash": workload_hash(result.workload),
    }
    return Baseline.model_validate({**common, **fields})


def _history(
    result: Measurement,
    measured: dict[str, Quantity],
    commit: str | None,
    older: Baseline | None,
) -> list[AcceptedRun]:
    before = list(older.accepted) if older and _continues(older, result) else []
    step = bool(before) and _is_step(result)
    runs = [_accepted(commit, *visit) for visit in _by_visit(result, measured)]
    if _plain(before[-len(runs) :]) == runs:
        return before  # the same run, accepted twice, is no further evidence
    first = runs[0].model_copy(update={"step": step})
    return [*before, first, *runs[1:]][-KEPT_RUNS:]


def _plain(runs: Sequence[AcceptedRun]) -> list[AcceptedRun]:
    return [run.model_copy(update={"step": False}) for run in runs]


def _continues(older: Baseline, result: Measurement) -> bool:
    """Whether the older runs tell of the scatter of this workload by this kind of meter."""
    estimated = result.meter is not None and result.meter.estimated
    same_truth = older.meter is None or older.meter.estimated == estimated
    return same_truth and older.workload_hash == workload_hash(result.workload)


def _is_step(result: Measurement) -> bool:
    changed = (Outcome.REGRESSED, Outcome.IMPROVED, Outcome.INCOMPARABLE)
    return isinstance(result, Result) and result.verdict.outcome in changed


def visits_of(measured: Measurement) -> list[list[Round]]:
    """The rounds of a measurement, visit by visit."""
    numbers = sorted({one.visit for one in measured.rounds})
    return [[one for one in measured.rounds if one.visit == number] for number in numbers]


def visit_level(measured: Measurement, metric: str) -> list[Estimate]:
    """What each visit found of a metric that rounds tell of; nothing for any other."""
    found = [summarize(rounds).get(metric) for rounds in visits_of(measured)]
    return [estimate_of(quantity) for quantity in found if quantity and quantity.value > 0]


def estimate_of(quantity: Quantity) -> Estimate:
    """A run's value and how sure it is from within the run."""
    return Estimate(quantity.value, standard_within(quantity), freedom_of(quantity))


def _by_visit(
    result: Measurement, measured: Mapping[str, Quantity]
) -> list[tuple[Sequence[Round], Mapping[str, Quantity]]]:
    """Rounds and metrics of each visit; what rounds do not tell of is known of the last alone."""
    visits = visits_of(result)
    if len(visits) < 2:
        return [(result.rounds, measured)]
    told = [_told(rounds, measured) for rounds in visits]
    return list(zip(visits, [*told[:-1], {**measured, **told[-1]}], strict=True))


def _told(rounds: Sequence[Round], measured: Mapping[str, Quantity]) -> dict[str, Quantity]:
    return {name: found for name, found in summarize(rounds).items() if name in measured}


def _accepted(
    commit: str | None, rounds: Sequence[Round], measured: Mapping[str, Quantity]
) -> AcceptedRun:
    within = {name: standard_within(found) for name, found in measured.items()}
    return AcceptedRun(
        commit=commit,
        rounds=max(len(rounds), 1),
        spent_j=_spent_j(rounds),
        values={name: rounded(found).value for name, found in measured.items()},
        standard={name: significant(value, 2) for name, value in within.items() if value},
        conditions={name: significant(value, 4) for name, value in conditions(rounds).items()},
    )


def conditions(rounds: Sequence[Round]) -> dict[str, float]:
    """What may explain a change of the energy: the median over the rounds that know it.

    Clocks, temperatures, and the shares of time for which something throttled at all.
    """
    names = sorted({name for one in rounds for name in one.conditions if _explains(name)})
    found = {
        name: statistics.median(one.conditions[name] for one in rounds if name in one.conditions)
        for name in names
    }
    return {name: value for name, value in found.items() if value or ".throttled." not in name}


def _explains(name: str) -> bool:
    return name.endswith((".temperature_c", ".clock_mhz")) or ".throttled." in name


def _spent_j(rounds: Sequence[Round]) -> float | None:
    spent = [measured.energy_j for measured in rounds if measured.energy_j is not None]
    return significant(math.fsum(spent), 3) if spent else None


def rounded(quantity: Quantity) -> Quantity:
    """The quantity with the digits that its uncertainty supports, and its gain alone as budget.

    The uncertainty keeps two significant digits (JCGM 100:2008, 7.2.6) and the value one digit
    more, lest rounding add to the scatter between runs; six digits where it is not known.
    """
    if quantity.exact:
        return quantity
    gain = quantity.budget.get("gain")
    freedom = quantity.degrees_of_freedom
    return Quantity(
        value=_round_value(quantity.value, quantity.uncertainty),
        unit=quantity.unit,
        uncertainty=quantity.uncertainty and significant(quantity.uncertainty, 2),
        degrees_of_freedom=freedom and significant(freedom, 3),
        budget={"gain": significant(gain, 2)} if gain else {},
    )


def _round_value(value: float, uncertainty: float | None) -> float:
    if not uncertainty:
        return significant(value, 6)
    return float(round(value, 2 - math.floor(math.log10(uncertainty))))


def significant(value: float, digits: int) -> float:
    """Round to so many significant digits."""
    return float(f"{value:.{digits}g}")
