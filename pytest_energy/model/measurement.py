"""What was measured: quantities, rounds, traces, the meter and the machine.

Values are immutable. :mod:`pytest_energy.model.result` adds the verdict and the run.

Conventions: every ``uncertainty`` is expanded to 95 % coverage. Every ``budget`` holds standard
uncertainties (JCGM 100:2008, 2.3.1) in the unit of its quantity. Unknown joules are ``None`` or
absent, never zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from pytest_energy.model.metrics import LARGEST

Kind = Literal["inference", "training", "call", "window", "candidate"]
PARTS: Final = ("window", "candidate")
"""Kinds of which one test may have several benchmarks: their ids end with their names."""
Status = Literal["measured", "estimated", "invalid", "unmeasured"]
Scalar = str | bool | int | float | None
Facts = dict[str, Scalar | list[Scalar]]
"""Named facts of a workload or a machine: plain JSON values or lists of them."""
CONTROL_FILE: Final = "energy_control.py"
"""The file part in the ids of the control, the fixed benchmarks that the plugin brings."""


def is_control(test_id: str) -> bool:
    """Whether a test is one of the control's, whose work never changes."""
    return test_id.startswith(f"{CONTROL_FILE}::")


def test_of(benchmark: str, kind: str) -> str:
    """The node id of the test that a benchmark belongs to.

    Args:
        benchmark: Its id; that of a window or candidate ends with its own name.
        kind: Its kind.
    """
    return benchmark.rpartition("::")[0] if kind in PARTS else benchmark


class Record(BaseModel):
    """An immutable value that refuses unknown keys and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ReasonCode(StrEnum):
    """Why a measurement is missing, invalid or remarkable."""

    NOT_ENABLED = "not-enabled"
    """The session runs without ``--energy``: nothing is measured."""
    NO_METER = "no-meter"
    """No meter can be opened here, or ``--energy-meter=none`` asks for time alone."""
    UNSUPPORTED = "unsupported"
    """The device, the driver or the library cannot tell it."""
    NO_PERMISSION = "no-permission"
    """The system forbids reading the counter, as Linux does for RAPL."""
    WINDOW_TOO_SHORT = "window-too-short"
    """The window is shorter than what the meter resolves: more passes are needed."""
    CONTENDED = "contended"
    """Another process used the device at an edge of the window, or when the session began."""
    PROCESSES_UNKNOWN = "processes-unknown"
    """The driver does not tell which processes compute on the device."""
    THROTTLED = "throttled"
    """Heat or the power brake slowed the device down."""
    POWER_LIMIT_CHANGED = "power-limit-changed"
    """The enforced power limit is not what it was when the meter was opened."""
    CLOCKS_CHANGED = "clocks-changed"
    """The applications clock is not what it was when the meter was opened."""
    TEMPERATURE_DRIFT = "temperature-drift"
    """The temperature rose or fell from round to round."""
    SENSOR_DISAGREEMENT = "sensor-disagreement"
    """The energy counter and the power sensor of a device contradict each other."""
    IMPLAUSIBLE_POWER = "implausible-power"
    """The power is above what the device can draw, or above what it draws at rest."""
    DEVICE_IDLE = "device-idle"
    """The device was at rest: the work ran elsewhere."""
    NEGATIVE_ENERGY = "negative-energy"
    """The counter went back within the window."""
    COUNTER_RESET = "counter-reset"
    """The counter began anew, or its overflow may have been missed."""
    DEVICE_LOST = "device-lost"
    """The device is no longer there: it fell off the bus, or its driver ended."""
    METER_FAILED = "meter-failed"
    """The library of the meter reported an error, given in its own words."""
    DATA_GAP = "data-gap"
    """Samples are missing for longer than the sensor's period explains."""
    TIME_LIMIT = "time-limit"
    """The work was cut to meet ``--energy-max-time``."""
    TEST_FAILED = "test-failed"
    """The test failed after it had measured."""
    SIDE_FAILED = "side-failed"
    """One of two compared revisions crashed, hung or failed."""
    NOTE = "note"
    """A remark without a limit of its own: the message says it."""


class Reason(Record):
    """A remark on a measurement: a code for programs, a sentence for people."""

    code: ReasonCode
    message: str
    fatal: bool = True
    """Whether it makes the measurement invalid. Other remarks only appear in the report."""


@dataclass(frozen=True)
class Shortness:
    """What a window is too short for, as the parts of a sentence."""

    length: str
    """The window's length with its unit, as ``0.05 s``."""
    lack: str
    """What follows from it, with the length that is needed; begins with the verb."""
    times: float
    """How many times as long the window must be, at least."""
    between_pauses: bool = False
    """Whether it is a piece of a window that was paused."""
    advice: str | None = None
    """What to do, if not to run more passes."""

    def sentence(self) -> str:
        """The sentence for people."""
        piece = f"a piece of {self.length} between two pauses"
        subject = piece if self.between_pauses else f"the window of {self.length}"
        passes = f"run at least {self.times:.1f} × as many passes"
        return f"{subject} {self.lack}; {self.advice or passes}"


class TooShort(Reason):
    """The reason against a window that its meter cannot resolve.

    It keeps its parts until the measurement is assembled: only then is it known whether the window
    was a piece of another one, and which advice fits what ran. Results have the sentence alone.
    """

    shortness: Shortness = Field(exclude=True)

    @classmethod
    def of(cls, shortness: Shortness) -> TooShort:
        """The reason with the sentence of its parts."""
        code, message = ReasonCode.WINDOW_TOO_SHORT, shortness.sentence()
        return cls(code=code, message=message, shortness=shortness)


UNSEEN = "unseen"
"""The budget's term for energy that a sensor did not observe."""
SETTLING = "settling"
"""The budget's term for what follows the end of a load; all rounds of a session share it."""
END = "end"
"""The budget's term for the power at which a load ended, if its ticks do not show it; all rounds of
a program share it."""


class Quantity(Record):
    """A number with its unit and its uncertainty."""

    value: float
    unit: str
    uncertainty: float | None = Field(None, ge=0)
    """Half-width of the 95 % interval, in ``unit``; ``None`` for exact or unassessed values."""
    degrees_of_freedom: float | None = Field(None, gt=0)
    """Effective degrees of freedom behind ``uncertainty``; ``None`` means many."""
    budget: dict[str, float] = Field(default_factory=dict)
    """Standard uncertainty by cause, in ``unit``: ``scatter``, ``resolution``, ``gain``, …"""
    exact: bool = False
    """Counted rather than measured (parameters, FLOPs): the same on any machine."""


UNITS: Final = {"energy_j": "J", "net_energy_j": "J", "latency_s": "s", "power_w": "W"}
"""What the units of measured metrics begin with."""


def impossible_quantity(metric: str, quantity: Quantity) -> Iterator[str]:
    """Say what is impossible in a metric that a file holds."""
    yield from impossible_value(metric, quantity.value, quantity.uncertainty)
    unit = UNITS.get(metric)
    if unit is not None and quantity.unit.partition("/")[0] != unit:
        yield f"{metric}: unit {quantity.unit!r} found, {unit!r} expected"


def impossible_value(metric: str, value: float, uncertainty: float | None) -> Iterator[str]:
    """Say what is impossible in the value of a metric that a file holds."""
    if abs(value) > LARGEST or (uncertainty or 0) > LARGEST:
        yield f"{metric}: {value!r} is too large to be compared"
    if metric in ("energy_j", "latency_s", "power_w") and value < 0:
        yield f"{metric}: {value!r} found, a number of at least 0 expected"


class Round(Record):
    """One window over many passes, one epoch or one call."""

    start: float
    """Seconds since the epoch (UTC), so that logs of other programs can be aligned with it."""
    visit: int = 1
    """Number of the visit that the round belongs to, from 1."""
    duration_s: float
    """From the first pass to the end of the last one, with the device synchronized."""
    passes: int
    energy_j: float | None
    """Gross joules of the passes over all channels; ``None`` if they could not be read."""
    uncertainty_j: float | None = None
    """Expanded type B uncertainty of ``energy_j``, known from this round alone."""
    budget: dict[str, float] = Field(default_factory=dict)
    """Standard uncertainties of ``energy_j`` by cause, in joules."""
    channels: dict[str, float] = Field(default_factory=dict)
    """Joules by channel (``gpu0``, ``cpu``, ``dram``); they add up to ``energy_j``."""
    conditions: dict[str, float] = Field(default_factory=dict)
    """Readings at the edges: ``gpu0.temperature_c``, ``gpu0.throttled.thermal``, …"""
    reasons: list[Reason] = Field(default_factory=list)


class Trace(Record):
    """Power over time of one channel, reduced without losing a joule.

    ``data`` is base64 of a zlib stream: see :mod:`pytest_energy.model.traces` for its layout.
    """

    channel: str
    source: str
    """Where the samples came from, for example ``driver-ring`` or ``helper-process``."""
    start: float
    """Seconds since the epoch of the first bucket's beginning."""
    samples: int
    """Number of samples that the envelope was made of."""
    buckets: int
    data: str


class MeterInfo(Record):
    """The meter, and the kind of its source."""

    name: str
    source: str
    """``counter``, ``power``, ``model``, ``log`` or a sum of them such as ``counter+rapl``."""
    estimated: bool = False
    """Derived from a model of the hardware; never compared with measured joules."""
    tick_s: float | None = None
    """Update period of the counter, as measured in this session."""
    details: Facts = Field(default_factory=dict)


class Pair(Record):
    """A candidate of ``energy.compare`` beside its reference, both measured in turn.

    ``change``, ``low`` and ``high`` are relative (−0.12: the candidate uses 12 % less), with a 95 %
    interval. They are ``None`` without valid measured joules of both.
    """

    candidate: str
    reference: str
    """The name of the other candidate, in the same test."""
    change: float | None = None
    low: float | None = None
    high: float | None = None
    differences: list[float] = Field(default_factory=list)
    """Of each block: the logarithm of the candidate's joules over the reference's."""


class Measurement(Record):
    """All that was measured of one benchmark."""

    id: str
    """The test's node id; a window or a candidate appends ``::name``."""
    kind: Kind
    workload: Facts
    units: dict[str, float] = Field(default_factory=dict)
    """Units of work in one pass by name, such as ``token``; the mean over the rounds."""
    better: dict[str, Literal["higher", "lower"]] = Field(default_factory=dict)
    """Which values of the test's own metrics are better, where the test says so."""
    status: Status
    reasons: list[Reason] = Field(default_factory=list)
    meter: MeterInfo | None = None
    metrics: dict[str, Quantity] = Field(default_factory=dict)
    rounds: list[Round] = Field(default_factory=list)
    trace: list[Trace] | None = None
    pair: Pair | None = None
    """Of a candidate that is not the reference."""
    identity: dict[str, Scalar | list[Scalar]] | None = None
    """If it differs from the run's: an xdist worker's device, a merged shard's machine."""
    context: dict[str, Scalar | list[Scalar]] | None = None
    """If it differs from the run's, such as the board that this one was measured on."""
    file: str | None = None
    """Test file, relative to the root folder."""
    line: int | None = None
    """Line of the test function, from 1."""

    def measured_in(self, environment: Environment) -> Environment:
        """The machine that it was measured on: that of the run, unless it has its own facts."""
        if self.identity is None and self.context is None:
            return environment
        return Environment(
            identity=environment.identity if self.identity is None else self.identity,
            context=environment.context if self.context is None else self.context,
        )

    @property
    def has_joules(self) -> bool:
        """Whether its joules are valid, be they measured or estimated."""
        return self.status in ("measured", "estimated")

    @property
    def energy(self) -> Quantity | None:
        """Joules per pass, epoch or call; ``None`` if nothing valid was measured."""
        return self.metrics.get("energy_j")

    @property
    def passes(self) -> int:
        """Number of passes that its rounds ran."""
        return sum(round_.passes for round_ in self.rounds)


class Environment(Record):
    """The machine: facts that must agree, and facts that may explain a change."""

    identity: Facts = Field(default_factory=dict)
    context: Facts = Field(default_factory=dict)
