"""How much of a benchmark to run, by the user's request, the scale and the schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from pytest_energy.marker import MarkerSettings
from pytest_energy.measuring.alternation import FEWEST_BLOCKS
from pytest_energy.measuring.protocol import Plan
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.settings import Scale, Settings
from pytest_energy.uncertainty.candidates import WINDOWS_PER_BLOCK

SCALES: Final[Mapping[Scale, Plan]] = {
    "full": Plan(None, rounds=3, warmup_s=2.0, max_time_s=600.0, window_s=5.0),
    "small": Plan(None, rounds=3, warmup_s=0.1, max_time_s=10.0, window_s=0.5),
}
"""The default plan of each scale; the window is that of a call."""
PASSES: Final[Mapping[Scale, int]] = {"full": 10_000, "small": 20}
"""Passes per round of inference."""
EPOCHS: Final = 10
"""Epochs of training."""
SHORTER: Final = 10
"""A round of the fixed protocol has this many times the passes of an adaptive one."""
SHORT_ROUND_S: Final = 2.0
"""The shortest adaptive round: on a GPU, shorter windows are noisy whatever the sensor."""
SMALL_ROUND_S: Final = 0.2
"""The shortest round of a comparison at small scale."""
ROUNDS_PER_BLOCK: Final = 3
"""Rounds per side and block: their median withstands one outlier."""
BLOCKS: Final = 6
"""Blocks of candidates that one test compares, two windows of each candidate in a block."""
SLICE_S: Final = 0.003
"""The round of a comparison by time alone. A busy processor changes its speed within tenths of a
second: neighbouring slices of both sides share it, so that their ratio is free of it."""
SLICES_PER_BLOCK: Final = 64
"""Rounds per side and block in a comparison by time alone, if they are as short."""

T = TypeVar("T")


@dataclass(frozen=True)
class Requested:
    """The request of the marker or the command line; ``None`` if neither has one."""

    passes: int | None
    rounds: int | None
    epochs: int | None
    max_time_s: float | None
    window_s: float | None = None

    @classmethod
    def of(cls, marker: MarkerSettings, settings: Settings) -> Requested:
        """The marker wins over the command line."""
        return cls(
            passes=_first(marker.passes, settings.passes),
            rounds=_first(marker.rounds, settings.rounds),
            epochs=_first(marker.epochs, settings.epochs),
            max_time_s=_first(marker.max_time, settings.max_time),
            window_s=_first(marker.window_s, settings.window),
        )


def _first(marker: T | None, option: T | None) -> T | None:
    return option if marker is None else marker


def plan_inference(
    session: EnergySession,
    test_id: str,
    requested: Requested,
    passes: int | None = None,
    rounds: int | None = None,
) -> Plan:
    """Plan inference: rounds of equally many passes, unless a window was requested.

    Args:
        session: Provides scale, meter and schedule.
        test_id: The benchmark.
        requested: The request of the marker or the command line, which wins over the test.
        passes: Passes per round that the test requests.
        rounds: Rounds that the test requests.
    """
    passes, rounds = requested.passes or passes, requested.rounds or rounds
    most = passes or PASSES[session.scale]
    plan = replace(_plan(session, requested, rounds), passes=most, window_s=requested.window_s)
    if session.settings.protocol == "fixed" and session.scale == "full":
        plan = replace(plan, max_time_s=requested.max_time_s, window_s=None)
    if passes or rounds or requested.window_s:
        return plan
    if session.alternating:
        return _block(session, plan)
    if session.scale == "small" or not session.decides(test_id):
        return plan
    session.record.note_fixed_passes(test_id, most * plan.rounds)
    return replace(
        plan,
        passes=most // SHORTER,
        rounds=session.schedule.rounds_of(session.record.visit_number(test_id)),
        shortest_window_s=max(plan.shortest_window_s, SHORT_ROUND_S),
    )


def plan_call(session: EnergySession, test_id: str, requested: Requested) -> Plan:
    """Plan a call: rounds of as many calls as fill a window, at most the requested passes."""
    plan = replace(_plan(session, requested, requested.rounds), passes=requested.passes)
    if requested.passes or requested.rounds or requested.window_s:
        return plan
    if session.alternating:
        return _block(session, plan)
    if session.scale == "small" or not session.decides(test_id):
        return plan
    rounds = session.schedule.rounds_of(session.record.visit_number(test_id))
    return replace(plan, rounds=rounds, window_s=SHORT_ROUND_S)


def plan_comparison(session: EnergySession, requested: Requested, blocks: int | None) -> Plan:
    """Plan the windows of each candidate, two for each block.

    Args:
        session: Provides scale and meter.
        requested: The request of the marker or the command line, whose rounds are blocks.
        blocks: Blocks that the test requests.
    """
    short_s = SMALL_ROUND_S if session.scale == "small" else SHORT_ROUND_S
    number = max(requested.rounds or blocks or BLOCKS, FEWEST_BLOCKS)
    plan = _plan(session, requested, WINDOWS_PER_BLOCK * number)
    return replace(plan, passes=requested.passes, window_s=requested.window_s or short_s)


def _plan(session: EnergySession, requested: Requested, rounds: int | None) -> Plan:
    """The plan of the scale, with what was requested of rounds, window and time."""
    scale = SCALES[session.scale]
    return replace(
        scale,
        rounds=rounds or scale.rounds,
        max_time_s=requested.max_time_s or scale.max_time_s,
        window_s=requested.window_s or scale.window_s,
        shortest_window_s=session.meter.shortest_window_s if session.meter else 0.0,
    )


def _block(session: EnergySession, plan: Plan) -> Plan:
    """The rounds of one side in one block: as many passes as fill a short window."""
    if session.meter is None:
        return replace(
            plan,
            passes=None,
            rounds=SLICES_PER_BLOCK,
            window_s=SLICE_S,
            # Slow passes take no longer than the rounds of a comparison of joules.
            enough_rounds=ROUNDS_PER_BLOCK,
            enough_s=ROUNDS_PER_BLOCK * SHORT_ROUND_S,
        )
    short_s = SMALL_ROUND_S if session.scale == "small" else SHORT_ROUND_S
    return replace(plan, passes=None, rounds=ROUNDS_PER_BLOCK, window_s=short_s)


def limit_rounds(session: EnergySession, requested: Requested) -> float | None:
    """The time limit of rounds whose number and length the test sets, in seconds.

    Two sides that alternate need the same rounds, whichever of them is slower.
    """
    unlimited = session.settings.protocol == "fixed" or session.alternating
    return requested.max_time_s or (None if unlimited else SCALES["full"].max_time_s)


def plan_epochs(session: EnergySession, requested: Requested, epochs: int | None) -> Plan:
    """Plan training: each epoch is a round, neither lengthened nor shortened.

    The default time limit drops epochs only where nobody set their number: fewer epochs than the
    test asks for would change the accuracy that it evaluates.
    """
    most = epochs or EPOCHS
    if session.alternating:
        most = min(most, ROUNDS_PER_BLOCK)
    measured = requested.epochs or (1 if session.scale == "small" else most)
    unlimited = requested.epochs or epochs or session.settings.protocol == "fixed"
    default_s = None if unlimited else SCALES["full"].max_time_s
    return Plan(1, measured, max_time_s=requested.max_time_s or default_s, lengthen=False)
