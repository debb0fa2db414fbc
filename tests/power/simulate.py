"""Simulate suites of benchmarks whose true change is known, and let the gate judge them.

``python -m tests.power.simulate`` prints the table of ``docs/gate.md``; with ``--write`` it also
writes the table into that page. Every verdict is the gate's own decision
(:func:`pytest_energy.gate.decision.decide`), on baselines as a recording makes them, within the
default limits of visits and time, with further visits at the end of the session. Only the joules
are made up.

The joules of a round are exp(sum of the parts of a :class:`Noise`). A visit is a warm-up of 2 s and
rounds of 5 s; the visits of a session follow one another on one clock, so that a drift within the
session hits them in their order.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import numpy as np

from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.decision import Again, KnownBaselines, Policy, decide
from pytest_energy.gate.make_baseline import extend_baseline
from pytest_energy.gate.pooling import pool
from pytest_energy.gate.schedule import ADAPTIVE, Suite
from pytest_energy.gate.selection import suite_prior
from pytest_energy.model.measurement import Environment, Measurement, MeterInfo, Round
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result
from pytest_energy.session.suite_shift import shifts_of, suite_shift
from pytest_energy.settings import Settings
from pytest_energy.uncertainty.rounds import summarize

SUITES = 100
UNCHANGED, AT_5, AT_10 = 50, 3, 3
"""Benchmarks of a suite without a change, with +5 % and with +10 %."""
TOLERANCE = 0.05
SEED = 20260101
ROUND_S, WARM_UP_S = 5.0, 2.0
PASSES = 1000
RETRY_S = Settings().retry_time
"""The default limit of time."""
MACHINE = Environment(identity={"device": "Simulated"})
METER = MeterInfo(name="simulated", source="counter")
DOCUMENT = Path(__file__).parents[2] / "docs" / "gate.md"
BEGIN, END = "<!-- power study: begin -->", "<!-- power study: end -->"


@dataclass(frozen=True)
class Noise:
    """What makes joules vary; sizes are standard deviations as fractions, unless said otherwise."""

    name: str
    scatter: float = 0.01
    """Of visits and rounds: each 0.7 times as much."""
    unequal: bool = False
    """The scatter is drawn for each benchmark, log-uniformly between 0.2 and 5 %."""
    tails: bool = False
    """The scatter follows Student's t with three degrees of freedom."""
    outliers: float = 0.0
    """Probability of a round at +20 %."""
    modes: float = 0.0
    """Distance of two levels, one of which a benchmark draws in each session."""
    common: float = 0.0
    """Shared by all benchmarks of a session."""
    today: float = 0.0
    """A common shift of the judged session; not random."""
    ramp: tuple[float, float] = (0.0, 1.0)
    """Size of a common drift from the start of each session, and its time constant in seconds."""
    wander: tuple[float, float] = (0.0, 1.0)
    """A common Ornstein-Uhlenbeck process, and its time constant in seconds."""
    accepted: int = 8
    """Runs in each baseline."""


NOISES = (
    Noise("independent 0.5 %", 0.005),
    Noise("independent 1 %", 0.01),
    Noise("independent 2 %", 0.02),
    Noise("common 2 %", common=0.02),
    Noise("common 3 %", common=0.03),
    Noise("hot: +3 % today", today=0.03),
    Noise("driver: −3 % for good", today=-0.03),
    Noise("walk: 0.5 % × √42 days", common=0.005 * math.sqrt(42)),
    Noise("tails, 2 %", 0.02, tails=True),
    Noise("outliers, 2 % of rounds", outliers=0.02),
    Noise("two modes, 4 % apart", 0.005, modes=0.04),
    Noise("ramp −6 %, 15 min", ramp=(-0.06, 900.0)),
    Noise("wander 2 %, 60 s", wander=(0.02, 60.0)),
    Noise("wander 2 %, 30 min", wander=(0.02, 1800.0)),
    Noise("unequal, 0.2 to 5 %", unequal=True),
    Noise("independent 1 %, one accepted run", 0.01, accepted=1),
    Noise("independent 2 %, one accepted run", 0.02, accepted=1),
)


@dataclass
class Session:
    """A session on the simulated machine: its clock, and what its benchmarks share."""

    noise: Noise
    scatter: Sequence[float]
    """Of each benchmark."""
    rng: np.random.Generator
    today: float = 0.0
    clock_s: float = 0.0
    _wandered: float = field(init=False)
    _common: float = field(init=False)
    _modes: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self._wandered = float(self.rng.normal(0, self.noise.wander[0]))
        self._common = self.today + float(self.rng.normal(0, self.noise.common))
        self._modes = (self.noise.modes * self.rng.integers(0, 2, len(self.scatter))).tolist()

    def visit(self, number: int, rounds: int, change: float = 0.0) -> Measurement:
        """Measure a benchmark: a warm-up and some rounds."""
        self._pass_time(WARM_UP_S)
        level = math.log1p(change) + self._modes[number] + self._draw(number)
        measured = [self._round(number, level) for _ in range(rounds)]
        return Measurement(
            id=f"t.py::test_{number}",
            kind="inference",
            workload={"model": "simulated"},
            status="measured",
            meter=METER,
            metrics={"energy_j": summarize(measured)["energy_j"]},
            rounds=measured,
        )

    def _round(self, number: int, level: float) -> Round:
        size, constant_s = self.noise.ramp
        drift = self._common + size * (1 - math.exp(-self.clock_s / constant_s)) + self._wandered
        joules = math.exp(level + drift + self._draw(number))
        if self.rng.random() < self.noise.outliers:
            joules *= 1.2
        self._pass_time(ROUND_S)
        return Round(
            start=self.clock_s, duration_s=ROUND_S, passes=PASSES, energy_j=PASSES * joules
        )

    def _draw(self, number: int) -> float:
        draw = self.rng.standard_t(3) / math.sqrt(3) if self.noise.tails else self.rng.normal()
        return 0.7 * self.scatter[number] * float(draw)

    def _pass_time(self, seconds: float) -> None:
        self.clock_s += seconds
        size, constant_s = self.noise.wander
        kept = math.exp(-seconds / constant_s)
        news = self.rng.normal(0, size * math.sqrt(1 - kept**2))
        self._wandered = kept * self._wandered + float(news)


@dataclass(frozen=True)
class Judged:
    """What the gate said of one suite."""

    outcomes: tuple[Outcome, ...]
    """Of each benchmark: first the unchanged ones, then those with +5 % and with +10 %."""
    shift: bool
    """Whether the suite's shift alone fails the session."""
    visits: float
    """Mean number of visits."""
    seconds: float
    """Mean measuring time of a benchmark, with warm-ups; joules are proportional to it."""


def record(noise: Noise, scatter: Sequence[float], rng: np.random.Generator) -> list[Baseline]:
    """The baselines that one recording session makes, visit by visit over the whole suite."""
    session = Session(noise, scatter, rng)
    visits: list[list[Measurement]] = [[] for _ in scatter]
    for accepted in range(noise.accepted):
        for number, earlier in enumerate(visits):
            rounds = ADAPTIVE.rounds if accepted == 0 else ADAPTIVE.again
            earlier.append(session.visit(number, rounds))
    return [extend_baseline(None, pool(earlier), MACHINE, "c0") for earlier in visits]


def judge_suite(noise: Noise, *, take_off: bool, seed: Sequence[int]) -> Judged:
    """Record a suite, measure it again on another day, and let the gate decide.

    Args:
        noise: What makes joules vary.
        take_off: Whether the suite's shift is taken off.
        seed: Of all random numbers; the same seed gives the same recording.
    """
    rng = np.random.default_rng(seed)
    changes = [0.0] * UNCHANGED + [0.05] * AT_5 + [0.10] * AT_10
    scatter = [noise.scatter] * len(changes)
    if noise.unequal:
        scatter = np.exp(rng.uniform(math.log(0.002), math.log(0.05), len(changes))).tolist()
    baselines = record(noise, scatter, rng)
    prior = suite_prior(baselines)
    session = Session(noise, scatter, rng, noise.today)
    visits: list[list[Measurement]] = [[] for _ in changes]
    results: dict[int, Result] = {}
    waiting, spent_s = list(range(len(changes))), 0.0
    for number in waiting:  # a suspect joins the end of the list, as it joins a session's
        rounds = ADAPTIVE.rounds_of(len(visits[number]) + 1)
        spent_s += rounds * ROUND_S if visits[number] else 0.0
        visits[number].append(session.visit(number, rounds, changes[number]))
        policy = Policy(
            {"energy_j": TOLERANCE},
            suite=Suite(len(changes), prior, shifts_of(results.values()) if take_off else {}),
            spent="time" if spent_s >= RETRY_S else None,
        )
        decision = decide(visits[number], KnownBaselines(baselines[number]), MACHINE, policy)
        results[number] = decision.result
        if isinstance(decision, Again):
            waiting.append(number)
    shift = suite_shift(list(results.values()), TOLERANCE) if take_off else None
    return Judged(
        tuple(results[number].verdict.outcome for number in range(len(changes))),
        shift is not None and shift.outcome is Outcome.REGRESSED,
        len(waiting) / len(changes),
        session.clock_s / len(changes),
    )


def share(judged: Sequence[Judged], first: int, count: int, outcome: Outcome) -> float:
    """The share of these benchmarks of all suites that have an outcome."""
    outcomes = [one for suite in judged for one in suite.outcomes[first : first + count]]
    return outcomes.count(outcome) / len(outcomes)


def false_suites(judged: Sequence[Judged]) -> float:
    """Share of suites in which an unchanged benchmark was called regressed."""
    alarms = [Outcome.REGRESSED in suite.outcomes[:UNCHANGED] for suite in judged]
    return sum(alarms) / len(alarms)


HEADER = (
    "| noise | suite's shift | suites failed by an unchanged benchmark | suites failed by the shift"
    " | no change: inconclusive | +5 %: regressed | +10 %: regressed | visits | seconds |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def rows(suites: int, seed: int = SEED) -> Iterator[str]:
    """Yield the table row by row, computed on all cores."""
    yield HEADER
    arms = [(noise, take_off) for noise in NOISES for take_off in (False, True)]
    with ProcessPoolExecutor() as pool:
        yield from pool.map(row, arms, repeat(suites), repeat(seed))


def row(arm: tuple[Noise, bool], suites: int, seed: int) -> str:
    """One line of the table."""
    noise, take_off = arm
    place = NOISES.index(noise)
    judged = [
        judge_suite(noise, take_off=take_off, seed=(seed, place, number))
        for number in range(suites)
    ]
    cells = [
        noise.name,
        "taken off" if take_off else "left",
        f"{false_suites(judged):.1%}",
        f"{sum(suite.shift for suite in judged) / suites:.1%}" if take_off else "–",
        f"{share(judged, 0, UNCHANGED, Outcome.INCONCLUSIVE):.1%}",
        f"{share(judged, UNCHANGED, AT_5, Outcome.REGRESSED):.1%}",
        f"{share(judged, UNCHANGED + AT_5, AT_10, Outcome.REGRESSED):.1%}",
        f"{sum(suite.visits for suite in judged) / suites:.2f}",
        f"{sum(suite.seconds for suite in judged) / suites:.0f}",
    ]
    return f"| {' | '.join(cell.replace('%', ' %').replace('  ', ' ') for cell in cells)} |"


def main() -> None:
    """Print the table; with ``--write``, also write it into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suites", type=int, default=SUITES)
    parser.add_argument(
        "--write", action="store_true", help=f"write the table into {DOCUMENT.name}"
    )
    options = parser.parse_args()
    began, table = time.perf_counter(), []
    for line in rows(options.suites):
        print(line, flush=True)
        table.append(line)
    print(f"{options.suites} suites a row, {time.perf_counter() - began:.0f} s")
    if options.write:
        before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        text = "\n".join([BEGIN, *table, END])
        DOCUMENT.write_text(f"{before}{text}{after}", "utf-8")


if __name__ == "__main__":
    main()
