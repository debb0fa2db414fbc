"""The pieces of a window that was paused, as one round."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from pytest_energy.model.measurement import (
    END,
    SETTLING,
    UNSEEN,
    Reason,
    ReasonCode,
    Round,
    TooShort,
)
from pytest_energy.uncertainty.gum import combine, expand

SHARED: Final = (END, SETTLING, UNSEEN)
"""Terms of the budget whose errors have the same sign in all windows of a session."""
GAP: Final = "gaps"
"""The budget's term for pieces that are too short to be measured."""
GAP_SHARE: Final = 1e-3
"""All such pieces take at most this share of the time of the others."""
POWER_RANGE: Final = 10.0
"""The power of a moment is below ten times the mean: a GPU at rest draws a tenth of its limit."""
OF_SHORTNESS: Final = {
    ReasonCode.NEGATIVE_ENERGY,
    ReasonCode.IMPLAUSIBLE_POWER,
    ReasonCode.SENSOR_DISAGREEMENT,
    ReasonCode.DEVICE_IDLE,
}
"""Remarks on joules, which say nothing of a window that is too short."""


def telling(reasons: Iterable[Reason]) -> list[Reason]:
    """The reasons of a window; if it is too short, without what its joules seem to show."""
    reasons = list(reasons)
    if not _is_too_short(reasons):
        return reasons
    return [reason for reason in reasons if reason.code not in OF_SHORTNESS]


def joined(pieces: Sequence[Round], passes: int) -> Round:
    """The pieces of a window as one round.

    Joules and seconds add up. The pieces have their own ticks, whose errors are independent, so
    their standard uncertainties add up in squares (JCGM 100:2008, 5.1.2). Errors that all pieces
    share add up as they are (F.1.2.3, correlation of 1).
    """
    if len(pieces) == 1:
        return pieces[0].model_copy(update={"passes": passes})
    pieces = _estimate_gaps(pieces)
    last = pieces[-1]
    energies_j = [piece.energy_j for piece in pieces if piece.energy_j is not None]
    complete = len(energies_j) == len(pieces)
    causes = sorted({cause for piece in pieces for cause in piece.budget})
    budget = {
        cause: (sum if cause in (*SHARED, GAP) else combine)(
            piece.budget.get(cause, 0.0) for piece in pieces
        )
        for cause in causes
    }
    channels = {
        name: sum(piece.channels[name] for piece in pieces)
        for name in last.channels
        if all(name in piece.channels for piece in pieces)
    }
    return Round(
        start=pieces[0].start,
        duration_s=sum(piece.duration_s for piece in pieces),
        passes=passes,
        energy_j=sum(energies_j) if complete else None,
        uncertainty_j=expand(combine(budget.values())) if complete else None,
        budget=budget,
        channels=channels,
        conditions=last.conditions,
        reasons=[_of_a_piece(reason) for piece in pieces for reason in piece.reasons],
    )


def _of_a_piece(reason: Reason) -> Reason:
    if not isinstance(reason, TooShort):
        return reason
    return TooShort.of(replace(reason.shortness, between_pauses=True))


def _estimate_gaps(pieces: Sequence[Round]) -> Sequence[Round]:
    """Estimate the joules of moments such as that between the begin of a window and a pause.

    No sensor resolves them, and a window that begins or ends with a pause would be invalid. They
    have the mean power of the other pieces, with the whole range that the power can have as their
    uncertainty (a rectangular distribution: JCGM 100:2008, 4.3.7). Longer ones stay invalid.
    """
    gaps = [piece for piece in pieces if _is_too_short(piece.reasons)]
    others = [piece for piece in pieces if not _is_too_short(piece.reasons)]
    others_s = sum(piece.duration_s for piece in others)
    if not gaps or sum(gap.duration_s for gap in gaps) > GAP_SHARE * others_s:
        return pieces
    powers_w = {
        name: sum(piece.channels.get(name, 0.0) for piece in others) / others_s
        for name in others[-1].channels
    }
    return [
        _estimated(piece, powers_w) if _is_too_short(piece.reasons) else piece for piece in pieces
    ]


def _is_too_short(reasons: Iterable[Reason]) -> bool:
    return ReasonCode.WINDOW_TOO_SHORT in {reason.code for reason in reasons if reason.fatal}


def _estimated(gap: Round, powers_w: dict[str, float]) -> Round:
    channels = {name: power_w * gap.duration_s for name, power_w in powers_w.items()}
    mean_j = sum(channels.values())
    return gap.model_copy(
        update={
            "energy_j": mean_j,
            "budget": {GAP: mean_j * (POWER_RANGE - 1) / math.sqrt(3)},
            "channels": channels,
            "reasons": [
                reason
                for reason in telling(gap.reasons)
                if reason.code is not ReasonCode.WINDOW_TOO_SHORT
            ],
        }
    )
