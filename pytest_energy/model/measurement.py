"""The data model: what was measured, how well, on what, and what the gate said of it.

Values are immutable. ``results.json`` is a :class:`Run` written by :func:`save_run` and read by
:func:`load_run`; its JSON Schema ships beside this module (``results.schema.json``).

Conventions: every ``uncertainty`` is expanded to 95 % coverage; every ``budget`` holds standard
uncertainties (JCGM 100:2008, 2.3.1) in the unit of its quantity; a joule that is not known is
``None`` or absent, never zero.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pytest_energy.errors import FileFormatError
from pytest_energy.model.files import write_atomically

RESULTS_SCHEMA: Final = "pytest-energy/results/1"

Kind = Literal["inference", "training", "call", "window"]
Status = Literal["measured", "estimated", "invalid", "unmeasured"]
Scalar = str | bool | int | float | None
Facts = dict[str, Scalar | list[Scalar]]
"""Named facts of a workload or a machine: plain JSON values or lists of them."""


class Record(BaseModel):
    """An immutable value that refuses unknown keys and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ReasonCode(StrEnum):
    """Why a measurement is not, or not quite, what was asked for."""

    NO_METER = "no-meter"
    UNSUPPORTED = "unsupported"
    NO_PERMISSION = "no-permission"
    WINDOW_TOO_SHORT = "window-too-short"
    CONTENDED = "contended"
    PROCESSES_UNKNOWN = "processes-unknown"
    THROTTLED = "throttled"
    POWER_LIMIT_CHANGED = "power-limit-changed"
    CLOCKS_CHANGED = "clocks-changed"
    TEMPERATURE_DRIFT = "temperature-drift"
    SENSOR_DISAGREEMENT = "sensor-disagreement"
    IMPLAUSIBLE_POWER = "implausible-power"
    NEGATIVE_ENERGY = "negative-energy"
    COUNTER_RESET = "counter-reset"
    DEVICE_LOST = "device-lost"
    METER_FAILED = "meter-failed"
    DATA_GAP = "data-gap"
    TIME_LIMIT = "time-limit"
    TEST_FAILED = "test-failed"
    NOTE = "note"


class Reason(Record):
    """One remark on a measurement: a code for machines, a sentence for people."""

    code: ReasonCode
    message: str
    fatal: bool = True
    """Whether it makes the measurement invalid, or only worth a line in the report."""


UNSEEN = "unseen"
"""The budget's term for what a load did while a sensor looked away."""


class Quantity(Record):
    """A number with its unit and how well it is known."""

    value: float
    unit: str
    uncertainty: float | None = Field(None, ge=0)
    """Half-width of the 95 % interval, in ``unit``; ``None`` for exact or unassessed values."""
    degrees_of_freedom: float | None = Field(None, gt=0)
    """Effective degrees of freedom behind ``uncertainty``; ``None`` means many."""
    budget: dict[str, float] = Field(default_factory=dict)
    """Standard uncertainty by cause, in ``unit``: ``scatter``, ``resolution``, ``gain``, …"""
    exact: bool = False
    """Counted rather than measured (parameters, FLOPs): holds on any machine."""


class Round(Record):
    """One window over many passes, one epoch or one call."""

    start: float
    """Seconds since the epoch (UTC), so that logs made elsewhere can be laid over it."""
    visit: int = 1
    """A suspect is visited again after the other benchmarks: which visit the round belongs to."""
    duration_s: float
    """From the first pass to the end of the last one, device synchronised."""
    passes: int
    energy_j: float | None
    """Gross joules of the passes, all channels; ``None`` where they could not be read."""
    uncertainty_j: float | None = None
    """Expanded type B uncertainty of ``energy_j``, known from this round alone."""
    budget: dict[str, float] = Field(default_factory=dict)
    """Standard uncertainties of ``energy_j`` by cause, in joules."""
    channels: dict[str, float] = Field(default_factory=dict)
    """Joules by channel (``gpu0``, ``cpu``, ``dram``); they add up to ``energy_j``."""
    conditions: dict[str, float] = Field(default_factory=dict)
    """What the edges showed: ``gpu0.temperature_c``, ``gpu0.throttled.thermal``, …"""
    reasons: list[Reason] = Field(default_factory=list)


class Trace(Record):
    """Power against time of one channel, reduced without losing a joule.

    ``data`` is base64 of a zlib stream: see :mod:`pytest_energy.model.traces` for its layout.
    """

    channel: str
    source: str
    """Where the samples came from, for example ``driver-ring`` or ``helper-process``."""
    start: float
    """Seconds since the epoch of the first bucket's beginning."""
    samples: int
    """How many samples the envelope was made of."""
    buckets: int
    data: str


class MeterInfo(Record):
    """Which meter spoke, and what kind of truth it speaks."""

    name: str
    source: str
    """``counter``, ``power``, ``model``, ``log`` or a sum of them such as ``counter+rapl``."""
    estimated: bool = False
    """Derived from a model of the hardware; never compared with measured joules."""
    tick_s: float | None = None
    """Update period of the counter, as measured in this session."""
    details: Facts = Field(default_factory=dict)


class Outcome(StrEnum):
    """What the gate says of a metric or of a benchmark."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    INCONCLUSIVE = "inconclusive"
    NEW = "new"
    INCOMPARABLE = "incomparable"
    INVALID = "invalid"
    UNMEASURED = "unmeasured"


class Difference(Record):
    """Something that is not as it was in the baseline."""

    name: str
    """Dotted: ``identity.device``, ``workload.batch_size``, ``context.torch``."""
    before: Scalar | list[Scalar]
    after: Scalar | list[Scalar]


class MetricVerdict(Record):
    """One metric against its baseline.

    ``change``, ``low`` and ``high`` are relative (0.09 is +9 %) and positive where the metric
    grew, also for metrics of which more is better.
    """

    metric: str
    outcome: Outcome
    baseline: float | None = None
    baseline_uncertainty: float | None = None
    """Half-width of the 95 % interval of ``baseline``, scatter between runs included."""
    value: float | None = None
    unit: str = ""
    change: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float | None = None
    higher_is_better: bool = False


class Past(Record):
    """An earlier run that was accepted as the baseline."""

    commit: str | None = None
    values: dict[str, float] = Field(default_factory=dict)
    """By metric."""
    conditions: dict[str, float] = Field(default_factory=dict)
    """Clocks, temperatures and throttled shares: medians over its rounds."""


class Verdict(Record):
    """What the gate says of a benchmark."""

    outcome: Outcome
    metrics: list[MetricVerdict] = Field(default_factory=list)
    differences: list[Difference] = Field(default_factory=list)
    """What makes it incomparable, where it is."""
    context: list[Difference] = Field(default_factory=list)
    """What may explain a drift: versions, driver, clocks."""
    cause: str | None = None
    """The likely cause of a change in words: power × time, facts that changed."""
    notes: list[str] = Field(default_factory=list)
    history: list[Past] = Field(default_factory=list)
    """Accepted runs that the baseline keeps, oldest first."""
    fails: bool = False
    """Whether the policy in force turns it into a failed test."""
    accepted: bool = False
    """Whether the session made this result the baseline."""


class Measurement(Record):
    """Everything known of one benchmark."""

    id: str
    """The test's node id; a second window in one test appends ``::window-name``."""
    kind: Kind
    workload: Facts
    status: Status
    reasons: list[Reason] = Field(default_factory=list)
    meter: MeterInfo | None = None
    metrics: dict[str, Quantity] = Field(default_factory=dict)
    rounds: list[Round] = Field(default_factory=list)
    trace: list[Trace] | None = None
    identity: dict[str, Scalar | list[Scalar]] | None = None
    """Where it differs from the run's: an xdist worker's device, a merged shard's machine."""
    context: dict[str, Scalar | list[Scalar]] | None = None
    """Where it differs from the run's: the board, say, that this one was measured on."""
    file: str | None = None
    """Test file, relative to the root folder."""
    line: int | None = None
    """Line of the test function, from 1."""

    def measured_in(self, environment: Environment) -> Environment:
        """The machine it was measured on: that of its run, unless it has facts of its own."""
        return Environment(
            identity=environment.identity if self.identity is None else self.identity,
            context=environment.context if self.context is None else self.context,
        )

    @property
    def energy(self) -> Quantity | None:
        """Joules a pass, epoch or call, or ``None`` where nothing valid was measured."""
        return self.metrics.get("energy_j")

    @property
    def passes(self) -> int:
        """How many passes its rounds really ran."""
        return sum(measured.passes for measured in self.rounds)


class Result(Measurement):
    """A measurement and the gate's verdict on it."""

    verdict: Verdict

    @classmethod
    def of(cls, measurement: Measurement, verdict: Verdict) -> Result:
        """Put ``measurement`` and ``verdict`` together without copying deep values."""
        fields = {name: getattr(measurement, name) for name in Measurement.model_fields}
        return cls.model_construct(**fields, verdict=verdict)


class Environment(Record):
    """What the machine is: facts that must agree, and facts that may explain."""

    identity: Facts = Field(default_factory=dict)
    context: Facts = Field(default_factory=dict)


class RunInfo(Record):
    """What the session was and what it cost."""

    energy_j: float | None = None
    """Gross joules of the whole session by the meter in use; ``None`` where not known."""
    duration_s: float = 0.0
    commit: str | None = None
    branch: str | None = None
    dirty: bool = False
    idle_power_w: dict[str, float] = Field(default_factory=dict)
    """Idle power by channel, measured in the session."""
    meter: MeterInfo | None = None
    unmeasured: Reason | None = None
    """Why nothing measures joules here, where nothing does."""
    complete: bool = True
    """False while the session runs, and for ever if it was killed."""
    settings: Facts = Field(default_factory=dict)
    """The options in force: tolerance, rounds, passes, protocol, policy."""
    carbon: Facts = Field(default_factory=dict)
    """Intensity in g/kWh with its source and year, PUE, method."""
    notes: list[str] = Field(default_factory=list)
    accepted: list[str] = Field(default_factory=list)
    """Baseline files that the session wrote; paths from the tests' root folder, if within it."""


class Run(Record):
    """One session: environment, benchmarks and verdicts; the whole of ``results.json``."""

    model_config = ConfigDict(populate_by_name=True, title="pytest-energy results")

    schema_name: Literal["pytest-energy/results/1"] = Field(RESULTS_SCHEMA, alias="schema")
    created: str
    """UTC, ISO 8601, ending in ``Z``."""
    environment: Environment
    run: RunInfo
    benchmarks: list[Result] = Field(default_factory=list)


HOW_IT_RAN: Final = frozenset({"data", "scale"})
"""Facts of a run that leave exact metrics alone."""
COUNTED_ON: Final = frozenset({"batch_size", "input_shape"})
"""Facts of a run that matter only where exact metrics were counted on what was run."""


def facts_workload(workload: Facts) -> Facts:
    """The part of a workload that its exact metrics (parameters, FLOPs) depend on.

    They hold at every scale and on any data. A workload with ``facts_input_shape`` says that they
    were counted on one sample of that shape, whatever was run; so they hold at every batch size and
    shape as well.
    """
    apart = HOW_IT_RAN | COUNTED_ON if "facts_input_shape" in workload else HOW_IT_RAN
    return {name: value for name, value in workload.items() if name not in apart}


def workload_hash(workload: Facts) -> str:
    """A short, stable hash of a workload: equal facts give equal hashes in any key order."""
    canonical = json.dumps(workload, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


R = TypeVar("R", bound=Record)


def parse_json(text: str, model: type[R], path: Path, expected: str, schema: str) -> R:
    """Read ``text`` as ``model``, telling every fault at once.

    Args:
        text: JSON.
        model: What it should be.
        path: Where the text came from, for the error.
        expected: What the file should be in words, for the error.
        schema: The schema name that this version reads, such as ``pytest-energy/results/1``.

    Raises:
        FileFormatError: It is not JSON, was written in another schema, or does not fit.
    """
    try:
        data: Any = json.loads(text)
    except json.JSONDecodeError as error:
        fault = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise FileFormatError(path, expected, (f"not JSON: {fault}",)) from None
    if isinstance(data, dict) and data.get("schema", schema) != schema:
        fault = f"schema: {data['schema']!r} found, this version reads {schema!r}"
        raise FileFormatError(path, expected, (fault,))
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        faults = tuple(
            f"{'.'.join(str(part) for part in fault['loc']) or 'top level'}: {fault['msg'].lower()}"
            for fault in error.errors(include_url=False)
        )
        raise FileFormatError(path, expected, faults) from None


def load_run(path: Path) -> Run:
    """Read ``results.json``.

    Raises:
        FileFormatError: The file is not a results file of this schema, with every fault.
        OSError: The file cannot be read.
    """
    return parse_json(path.read_text("utf-8"), Run, path, "a results file", RESULTS_SCHEMA)


def save_run(run: Run, path: Path) -> None:
    """Write ``results.json`` whole or not at all."""
    write_atomically(path, dump_run(run))


def dump_run(run: Run) -> str:
    """The text of ``results.json``: JSON by the schema, ending in a newline."""
    return run.model_dump_json(by_alias=True, indent=1) + "\n"


def results_json_schema() -> dict[str, Any]:
    """The JSON Schema of ``results.json`` (2020-12), as shipped in ``results.schema.json``."""
    schema = Run.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
