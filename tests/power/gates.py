"""The gates that the study compares. Every verdict is the production decision.

:func:`judge_by_baselines` asks :func:`pytest_energy.gate.decision.decide`, on baselines as a
recording makes them. :func:`judge_against` feeds the blocks to
:class:`pytest_energy.against.comparing.Comparing`. :func:`judge_in_two_stages` uses both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from pytest_energy.against.blocks import ABBA, Paired
from pytest_energy.against.comparing import Comparing, Rules
from pytest_energy.against.messages import SideRun
from pytest_energy.against.trees import Reference
from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.decision import Again, KnownBaselines, Policy, decide
from pytest_energy.gate.make_baseline import extend_baseline
from pytest_energy.gate.pooling import pool
from pytest_energy.gate.schedule import ADAPTIVE, Suite
from pytest_energy.gate.selection import suite_prior
from pytest_energy.model.comparison import SideName
from pytest_energy.model.measurement import Environment, Measurement
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result
from pytest_energy.session.planning import ROUNDS_PER_BLOCK, SHORT_ROUND_S
from pytest_energy.session.suite_shift import shifts_of, suite_shift
from pytest_energy.settings import Settings
from pytest_energy.uncertainty.change import Prior
from tests.power.noise import (
    ROUND_S,
    WARM_UP_S,
    Noise,
    Session,
    measurement,
    scatter_of,
    test_id,
)

UNCHANGED, AT_5, AT_10 = 50, 3, 3
"""Benchmarks of a suite without a change, with +5 % and with +10 %."""
CHANGES = (0.0,) * UNCHANGED + (0.05,) * AT_5 + (0.10,) * AT_10
TOLERANCES = {"energy_j": 0.05}
MACHINE = Environment(identity={"device": "Simulated"})
START_S = 10.0
"""Until a process, or a pair of sides, has imported its tests and opened its meters: an
assumption."""
REVISION = Reference("main", Path("/project"), "1a2b3c4d5e6f")


@dataclass(frozen=True)
class Judged:
    """What a gate said of one suite."""

    outcomes: tuple[Outcome, ...]
    """Of each benchmark, in the order of :data:`CHANGES`."""
    seconds: float
    """Mean time of a benchmark, with warm-ups and starts of processes."""
    shift: bool = False
    """Whether the suite's shift alone fails the session."""


@dataclass(frozen=True)
class Recorded:
    """A suite whose baselines were recorded on another day."""

    noise: Noise
    scatter: Sequence[float]
    baselines: Sequence[Baseline]
    prior: Prior
    seed: Sequence[int]

    def session(self) -> Session:
        """The session that is judged; the same draws for every gate."""
        rng = np.random.default_rng([*self.seed, 1])
        return Session(self.noise, self.scatter, rng, self.noise.today)


def record(noise: Noise, seed: Sequence[int], *, fresh: bool = False) -> Recorded:
    """Record a suite in one session, visit by visit over the whole suite.

    Args:
        noise: What makes joules vary.
        seed: Of everything that is drawn.
        fresh: Whether each visit is a process of its own, as with ``--energy-fresh``.
    """
    rng = np.random.default_rng([*seed, 0])
    scatter = scatter_of(noise, len(CHANGES), rng)
    session = Session(noise, scatter, rng)
    visits: list[list[Measurement]] = [[] for _ in scatter]
    for accepted in range(noise.accepted):
        for number, earlier in enumerate(visits):
            rounds = ADAPTIVE.rounds if accepted == 0 else ADAPTIVE.again
            if fresh:
                session.renew_process(START_S)
            earlier.append(session.visit(number, rounds))
    baselines = [extend_baseline(None, pool(earlier), MACHINE, "c0") for earlier in visits]
    return Recorded(noise, scatter, baselines, suite_prior(baselines), seed)


def judge_by_baselines(
    recorded: Recorded,
    *,
    take_off: bool,
    limit_s: float = Settings().retry_time,
    prior: Prior | None = None,
    fresh: bool = False,
) -> Judged:
    """Measure a recorded suite again on another day, with further visits within the limits.

    Args:
        recorded: The suite.
        take_off: Whether the suite's shift is taken off.
        limit_s: Of all further visits.
        prior: Assumed instead of what the baselines show together.
        fresh: Whether each visit is a process of its own. Starts do not count in ``limit_s``.
    """
    session = recorded.session()
    visits: list[list[Measurement]] = [[] for _ in CHANGES]
    results: dict[int, Result] = {}
    waiting, spent_s = list(range(len(CHANGES))), 0.0
    for number in waiting:  # a suspect joins the end of the list, as it joins a session's
        rounds = ADAPTIVE.rounds_of(len(visits[number]) + 1)
        spent_s += rounds * ROUND_S if visits[number] else 0.0
        if fresh:
            session.renew_process(START_S)
        visits[number].append(session.visit(number, rounds, CHANGES[number]))
        policy = Policy(
            TOLERANCES,
            suite=Suite(
                len(CHANGES),
                prior or recorded.prior,
                shifts_of(results.values()) if take_off else {},
            ),
            spent="time" if spent_s >= limit_s else None,
        )
        decision = decide(
            visits[number], KnownBaselines(recorded.baselines[number]), MACHINE, policy
        )
        results[number] = decision.result
        if isinstance(decision, Again):
            waiting.append(number)
    shift = suite_shift(list(results.values()), TOLERANCES["energy_j"]) if take_off else None
    return Judged(
        tuple(results[number].verdict.outcome for number in range(len(CHANGES))),
        session.clock_s / len(CHANGES),
        shift is not None and shift.outcome is Outcome.REGRESSED,
    )


def judge_recorded_fresh(recorded: Recorded, *, fresh: bool, limit_s: float) -> Judged:
    """Record the suite in fresh processes instead, and judge it by these baselines.

    Args:
        recorded: The suite.
        fresh: Whether the visits of the judged session are processes of their own, too.
        limit_s: Of all further visits.
    """
    suite = record(recorded.noise, recorded.seed, fresh=True)
    return judge_by_baselines(suite, take_off=True, limit_s=limit_s, fresh=fresh)


def judge_against(recorded: Recorded, tolerance: float = TOLERANCES["energy_j"]) -> Judged:
    """Measure the suite in alternation with the revision from before its changes."""
    session = recorded.session()
    outcomes = _alternate(session, _comparing(tolerance), recorded.seed)
    return Judged(outcomes, session.clock_s / len(CHANGES))


def judge_in_two_stages(recorded: Recorded) -> Judged:
    """Visit the suite once; what its baselines cannot call unchanged is measured in alternation.

    If the whole suite shifted, everything is; so the shift fails nothing by itself.
    """
    session, comparing = recorded.session(), _comparing()
    visits = [
        session.visit(number, ADAPTIVE.rounds, change) for number, change in enumerate(CHANGES)
    ]
    for visit in visits:
        done = SideRun(outcome="passed", measurements=(visit,))
        comparing.take_screening(visit.id, done)
    baselines = {visit.id: base for visit, base in zip(visits, recorded.baselines, strict=True)}

    def judge(measured: Measurement, suite: Suite) -> Result:
        known, policy = KnownBaselines(baselines[measured.id]), Policy(TOLERANCES, suite=suite)
        return decide([measured], known, MACHINE, policy).result

    alone = Suite(len(CHANGES), recorded.prior)
    shifts = shifts_of([judge(visit, alone) for visit in visits])
    comparing.screen(partial(judge, suite=replace(alone, shifts=shifts)))
    outcomes = _alternate(session, comparing, recorded.seed)
    return Judged(outcomes, session.clock_s / len(CHANGES))


def _comparing(tolerance: float = TOLERANCES["energy_j"]) -> Comparing:
    tests = [test_id(number) for number in range(len(CHANGES))]
    most_blocks = Settings().against_blocks
    rules = Rules(
        REVISION, 1, lambda benchmark: {"energy_j": tolerance}, ("regressed",), most_blocks
    )
    return Comparing(tests, rules)


def _alternate(session: Session, comparing: Comparing, seed: Sequence[int]) -> tuple[Outcome, ...]:
    """Measure block after block as a campaign does, within the default limits.

    Returns:
        The outcomes in the order of :data:`CHANGES`.
    """
    numbers = {test: number for number, test in enumerate(comparing.states)}
    most_blocks, draw = Settings().against_blocks, Random(str(seed))
    controls: list[str] | None = None
    while comparing.open_tests or comparing.open_controls:
        comparing.block += 1
        pair = _Pair(session, draw)
        for test in comparing.open_tests:
            comparing.take(test, pair.measure(numbers[test], CHANGES[numbers[test]]))
        if controls is None:
            open_controls = controls = comparing.choose_controls(draw)
        else:
            open_controls = [test for test in controls if test in comparing.open_controls]
        if open_controls:
            pair = _Pair(session, draw)
            for test in open_controls:
                comparing.take_control(pair.measure(numbers[test], 0.0), test)
        comparing.look(last="blocks" if comparing.block >= most_blocks else None)
    final = {result.id: result.verdict.outcome for result in comparing.final()}
    return tuple(final[test] for test in numbers)


class _Pair:
    """A fresh pair of sides, whose rounds alternate."""

    def __init__(self, session: Session, draw: Random) -> None:
        session.pass_time(START_S)
        self._session, self._draw = session, draw
        self._modes = {"base": session.start_process(), "head": session.start_process()}

    def measure(self, number: int, change: float) -> Paired:
        """Measure a benchmark on both sides: warm-ups, then the rounds in turns."""
        session = self._session
        first: SideName = self._draw.choice(("base", "head"))
        order: tuple[SideName, SideName] = ("base", "head") if first == "base" else ("head", "base")
        levels = {side: self._modes[side][number] + session.draw(number) for side in order}
        levels["head"] += math.log1p(change)
        session.pass_time(2 * WARM_UP_S)
        rounds = {side: [] for side in order}
        for turn in range(2 * ROUNDS_PER_BLOCK):
            side = order[ABBA[turn % len(ABBA)]]
            rounds[side].append(session.round(number, levels[side], SHORT_ROUND_S))
        runs = {
            side: SideRun(outcome="passed", measurements=(measurement(number, rounds[side]),))
            for side in order
        }
        return Paired(first, runs["base"], runs["head"])
