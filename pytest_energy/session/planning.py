"""How much of a benchmark to run, by the user's request, the scale and the schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from pytest_energy.measuring.protocol import Plan
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.settings import MarkerSettings, Scale, Settings

SCALES: Final[Mapping[Scale, Plan]] = {
    "full": Plan(passes=10_000, rounds=3, warmup_s=2.0),
    "small": Plan(passes=20, rounds=3, warmup_s=0.1, max_time_s=10.0),
}
"""The default plan of each scale."""

SHORTER: Final = 10
"""A round of the fixed protocol has this many times the passes of an adaptive one."""
SHORT_ROUND_S: Final = 2.0
"""The shortest adaptive round: on a GPU, shorter windows are noisy whatever the sensor."""
SMALL_ROUND_S: Final = 0.2
"""The shortest round of a comparison at small scale."""
ROUNDS_PER_BLOCK: Final = 3
"""Rounds per side and block: their median withstands one outlier."""

T = TypeVar("T")


@dataclass(frozen=True)
class Requested:
    """The request of the marker or the command line; ``None`` if neither has one."""

    passes: int | None
    rounds: int | None
    epochs: int | None
    max_time_s: float | None

    @classmethod
    def of(cls, marker: MarkerSettings, settings: Settings) -> Requested:
        """The marker wins over the command line."""
        return cls(
            passes=_first(marker.passes, settings.passes),
            rounds=_first(marker.rounds, settings.rounds),
            epochs=_first(marker.epochs, settings.epochs),
            max_time_s=_first(marker.max_time, settings.max_time),
        )


def _first(marker: T | None, option: T | None) -> T | None:
    return option if marker is None else marker


def plan_passes(
    session: EnergySession,
    test_id: str,
    requested: Requested,
    passes: int | None = None,
    rounds: int | None = None,
) -> Plan:
    """Plan inference or a call.

    Args:
        session: Provides scale, meter and schedule.
        test_id: The benchmark.
        requested: The request of the marker or the command line, which wins over the test.
        passes: Passes per round that the test requests.
        rounds: Rounds that the test requests.
    """
    default = SCALES[session.scale]
    passes = requested.passes or passes
    rounds = requested.rounds or rounds
    plan = Plan(
        passes=passes or default.passes,
        rounds=rounds or default.rounds,
        warmup_s=default.warmup_s,
        max_time_s=requested.max_time_s or default.max_time_s,
        shortest_window_s=session.meter.shortest_window_s if session.meter else 0.0,
    )
    if passes or rounds:
        return plan
    if session.alternating:
        return _block(plan, session.scale)
    if session.scale == "small" or not session.decides(test_id):
        return plan
    session.record.note_fixed_passes(test_id, plan.passes * plan.rounds)
    return replace(
        plan,
        passes=plan.passes // SHORTER,
        rounds=session.schedule.rounds_of(session.record.visit_number(test_id)),
        shortest_window_s=max(plan.shortest_window_s, SHORT_ROUND_S),
    )


def _block(plan: Plan, scale: Scale) -> Plan:
    """The rounds of one side in one block."""
    shortest_s = SMALL_ROUND_S if scale == "small" else SHORT_ROUND_S
    return replace(
        plan,
        passes=plan.passes if scale == "small" else plan.passes // SHORTER,
        rounds=ROUNDS_PER_BLOCK,
        shortest_window_s=max(plan.shortest_window_s, shortest_s),
    )


def plan_epochs(
    requested: Requested, scale: Scale, epochs: int, *, alternating: bool = False
) -> Plan:
    """Plan training: each epoch is a round, neither lengthened nor shortened."""
    most = min(epochs, ROUNDS_PER_BLOCK) if alternating else epochs
    measured = requested.epochs or (1 if scale == "small" else most)
    return Plan(1, measured, max_time_s=requested.max_time_s, lengthen=False)
