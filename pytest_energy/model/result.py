"""A measurement with its verdict, and the run that holds all results."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import ConfigDict, Field

from pytest_energy.model.comparison import Against, Comparison
from pytest_energy.model.measurement import (
    Environment,
    Facts,
    Measurement,
    MeterInfo,
    Reason,
    Record,
    Scalar,
)
from pytest_energy.model.outcomes import Outcome

RESULTS_SCHEMA: Final = "pytest-energy/results/1"


class Difference(Record):
    """A fact that differs from the baseline."""

    name: str
    """Dotted: ``identity.device``, ``workload.batch_size``, ``context.torch``."""
    before: Scalar | list[Scalar]
    after: Scalar | list[Scalar]


class MetricVerdict(Record):
    """One metric against its baseline.

    ``change``, ``low`` and ``high`` are relative (0.09 is +9 %) and positive if the metric grew,
    whichever direction is better.
    """

    metric: str
    outcome: Outcome
    baseline: float | None = None
    baseline_uncertainty: float | None = None
    """Half-width of the 95 % interval of ``baseline``, including the variation between runs."""
    value: float | None = None
    unit: str = ""
    change: float | None = None
    low: float | None = None
    high: float | None = None
    suite_shift: float | None = None
    """The change that the whole suite has in common, which ``change`` no longer contains; ``None``
    if none was taken off."""
    tolerance: float | None = None
    higher_is_better: bool = False
    exact: bool = False
    """Whether it was counted, such as FLOPs: any machine counts the same, and nothing scatters."""


class Budget(Record):
    """A limit that a test sets to its joules, beside what was measured."""

    metric: str
    """``energy_j``, or joules per unit of work such as ``energy_j_per_token``."""
    outcome: Outcome
    limit: float
    value: float
    uncertainty: float | None = None
    """Half-width of the 95 % interval of ``value``."""
    unit: str = ""


class Past(Record):
    """An accepted run of the baseline."""

    commit: str | None = None
    values: dict[str, float] = Field(default_factory=dict)
    """By metric."""
    conditions: dict[str, float] = Field(default_factory=dict)
    """Clocks, temperatures and throttled shares: medians over the rounds."""


class Undecided(Record):
    """Why measuring stopped before a benchmark was decided, and what would decide it."""

    limit: Literal[
        "time", "energy", "visits", "protocol", "blocks", "comparison-time", "interruption"
    ]
    """Which limit was reached: of ``--energy-retry-time``, of ``--energy-retry-energy``, of the
    number of visits, or the single look of ``--energy-protocol=fixed`` and of training. Of a
    comparison with another revision: ``--energy-against-blocks`` or ``--energy-against-time``."""
    allowed: float | None = None
    """Seconds or joules that this limit allows all retries of the session. Of a comparison, the
    seconds of ``--energy-against-time``. ``None`` without such a limit."""
    visits: int | None = None
    """Further visits that would decide it, if it goes on as it went; ``None`` if no number can."""
    blocks: int | None = None
    """Likewise further blocks of a comparison."""
    needed_blocks: int | None = None
    """The number of ``--energy-against-blocks`` that allows them; ``None`` if it does already."""
    duration_s: float | None = None
    """Seconds that the rounds of these visits, or these blocks of this benchmark alone, would take.
    Those of blocks include starts of processes and warm-ups."""
    energy_j: float | None = None
    """Joules that these rounds would use. Those of blocks include the rest likewise: as counted, or
    if no counter tells, at the power of the rounds."""
    shared_s: float | None = None
    """Of ``duration_s``, what all benchmarks of a block share: starts of processes."""
    spent_s: float | None = None
    """Seconds that the comparison has taken so far."""


class Verdict(Record):
    """The gate's verdict on a benchmark."""

    outcome: Outcome
    metrics: list[MetricVerdict] = Field(default_factory=list)
    differences: list[Difference] = Field(default_factory=list)
    """The reasons, if it is incomparable."""
    context: list[Difference] = Field(default_factory=list)
    """Differences that may explain a drift: versions, driver, clocks."""
    cause: str | None = None
    """The likely cause of a change in words: power × time, changed facts."""
    notes: list[str] = Field(default_factory=list)
    undecided: Undecided | None = None
    """Of an inconclusive benchmark whose energy was compared."""
    history: list[Past] = Field(default_factory=list)
    """Accepted runs of the baseline, oldest first."""
    budgets: list[Budget] = Field(default_factory=list)
    """The limits that the test sets to its joules."""
    fails: bool = False
    """Whether the policy turns it into a failed test."""
    accepted: bool = False
    """Whether the session made this result the baseline."""

    @property
    def gated(self) -> list[MetricVerdict]:
        """The metrics with a tolerance, which decide the outcome."""
        return [metric for metric in self.metrics if metric.tolerance is not None]


class Result(Measurement):
    """A measurement and the gate's verdict on it."""

    verdict: Verdict
    comparison: Comparison | None = None
    """Where it was measured against another revision."""

    @classmethod
    def of(
        cls, measurement: Measurement, verdict: Verdict, comparison: Comparison | None = None
    ) -> Result:
        """Combine a measurement and its verdict without a deep copy."""
        fields = {name: getattr(measurement, name) for name in Measurement.model_fields}
        return cls.model_construct(**fields, verdict=verdict, comparison=comparison)


NOT_RUN: Final = "not run"
"""The reason of a selected test that no process of the session has begun."""


class Uncompared(Record):
    """A baseline of a selected test that got no result to compare with."""

    id: str
    reason: str
    """Why, in words: skipped, renamed, deselected by a conftest file."""


class UnpassedTest(Record):
    """A test of the session that did not pass, apart from a verdict on its energy."""

    id: str
    outcome: Literal["failed", "error", "skipped", "xfailed"]
    """``error``: a fixture or the collection failed. ``xfailed``: it failed as expected."""
    reason: str
    """Why, on one line."""
    text: str = ""
    """The failure as pytest shows it; the end of a long one."""
    output: str = ""
    """The captured output of a failed test; the end of a long one."""

    @property
    def failed(self) -> bool:
        """Whether it fails the session."""
        return self.outcome in ("failed", "error")

    def or_failure(self, other: UnpassedTest) -> UnpassedTest:
        """What counts of two entries for one test: a failure takes precedence, else the first."""
        return other if other.failed and not self.failed else self


class SuiteShift(Record):
    """The change of energy that the benchmarks of a session have in common: their median."""

    outcome: Outcome
    change: float
    """Relative (0.03 is +3 %)."""
    low: float
    """Lower end of the 95 % interval of ``change``."""
    high: float
    """Upper end of the 95 % interval of ``change``."""
    tolerance: float
    benchmarks: int
    """How many it is the median of."""
    context: list[Difference] = Field(default_factory=list)
    """What changed since most of the baselines."""


class ControlCheck(Record):
    """What the fixed benchmarks of the control say of the machine."""

    machine: Literal["moved", "steady", "unclear"]
    """``moved``: the control's change is certain and at least 1.5 %. ``steady``: its whole interval
    is within the tolerance."""
    change: float
    """Relative change of the control since its baselines: the mean over its benchmarks."""
    low: float
    """Lower end of the 95 % interval of ``change``."""
    high: float
    """Upper end of the 95 % interval of ``change``."""
    benchmarks: int
    """How many it is the mean of."""
    drift: float | None = None
    """Relative change from the beginning of the session to its end; ``None`` if unknown."""


class RunInfo(Record):
    """The session: its energy, duration, commit, meter and settings."""

    energy_j: float | None = None
    """Gross joules of the whole session by its meter; ``None`` if unknown."""
    duration_s: float = 0.0
    commit: str | None = None
    branch: str | None = None
    dirty: bool = False
    idle_power_w: dict[str, float] = Field(default_factory=dict)
    """Idle power by channel, measured in the session."""
    meter: MeterInfo | None = None
    unmeasured: Reason | None = None
    """Why there is no meter, if there is none."""
    complete: bool = True
    """False while the session runs, and forever if it was killed."""
    settings: Facts = Field(default_factory=dict)
    """The options in force: tolerance, rounds, passes, protocol, policy."""
    carbon: Facts = Field(default_factory=dict)
    """Intensity in g/kWh with its source and year, PUE, method."""
    notes: list[str] = Field(default_factory=list)
    uncompared: list[Uncompared] = Field(default_factory=list)
    """Baselines of selected tests that got no result, sorted by id."""
    unpassed: list[UnpassedTest] = Field(default_factory=list)
    """Tests of the session that failed or were skipped, whether they measure or not; without those
    that only their verdict failed."""
    exit_status: int | None = None
    """Of pytest, before the policy on the run as a whole; ``None`` if it is not known."""
    suite_shift: SuiteShift | None = None
    """``None`` if too few benchmarks were comparable."""
    control: ControlCheck | None = None
    """``None`` without ``--energy-control``, or before the control has a baseline."""
    failures: list[str] = Field(default_factory=list)
    """Why the policy fails the session as a whole, apart from its benchmarks."""
    against: Against | None = None
    """The other revision, if the run was compared with one."""
    accepted: list[str] = Field(default_factory=list)
    """Baseline files that the session wrote, relative to the tests' root folder if within it."""


class Run(Record):
    """One session: environment, benchmarks and verdicts; the content of ``results.json``."""

    model_config = ConfigDict(populate_by_name=True, title="pytest-energy results")

    schema_name: Literal["pytest-energy/results/1"] = Field(RESULTS_SCHEMA, alias="schema")
    created: str
    """UTC, ISO 8601, ending in ``Z``."""
    environment: Environment
    run: RunInfo
    benchmarks: list[Result] = Field(default_factory=list)
