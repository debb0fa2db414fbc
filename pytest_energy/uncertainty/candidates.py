"""The change from a reference to a candidate that was measured in turn with it.

One block has two windows of each, in the order ABBA, so that a linear drift of the machine cancels
in the difference of their logarithms. The estimate is that of two revisions, see
:mod:`pytest_energy.uncertainty.pairs`. The terms of the meter are added here: windows that agree by
chance, or because they share an error, would otherwise show nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pytest_energy.model.measurement import END, Quantity, Round
from pytest_energy.uncertainty.change import Change
from pytest_energy.uncertainty.gum import combine, effective_degrees_of_freedom, t_quantile
from pytest_energy.uncertainty.pairs import PairLook, look
from pytest_energy.uncertainty.rounds import SCATTER, SHARED

WINDOWS_PER_BLOCK: Final = 2
"""Windows of one candidate in a block."""


def block_differences(reference: Sequence[Round], candidate: Sequence[Round]) -> list[float]:
    """For each block, the logarithm of the candidate's joules per pass over the reference's.

    Returns:
        Nothing if a block has no joules, or none above zero: they have no logarithm.
    """
    sides = [list(map(_joules_per_pass, _blocks(rounds))) for rounds in (reference, candidate)]
    if not all(joules > 0 for side in sides for joules in side):
        return []
    return [math.log(after / before) for before, after in zip(*sides, strict=True)]


def _blocks(rounds: Sequence[Round]) -> list[Sequence[Round]]:
    starts = range(0, len(rounds), WINDOWS_PER_BLOCK)
    return [rounds[start : start + WINDOWS_PER_BLOCK] for start in starts]


def _joules_per_pass(block: Sequence[Round]) -> float:
    known = [done.energy_j for done in block if done.energy_j is not None]
    return sum(known) / sum(done.passes for done in block) if len(known) == len(block) else 0.0


def changes(
    reference: Quantity,
    candidates: Mapping[str, Quantity],
    differences: Mapping[str, Sequence[float]],
) -> dict[str, Change]:
    """The change from the reference to each candidate, as a ratio with its uncertainty.

    Args:
        reference: Joules per pass over all blocks, with the meter's terms in the budget.
        candidates: Likewise, by name.
        differences: The blocks of each candidate, two or more.
    """
    # Only the estimates of these looks are used. Their outcomes, which depend on the tolerance, are
    # for a number of blocks that is not fixed beforehand.
    looks = look(differences, dict.fromkeys(differences, 0.0))
    return {name: _with_meter(looks[name], reference, candidates[name]) for name in looks}


def _with_meter(found: PairLook, reference: Quantity, candidate: Quantity) -> Change:
    """The scatter of the blocks with what the meter adds, as in ``uncertainty/rounds.py``.

    An error that all windows share has one sign, so in a ratio its relative sizes are subtracted
    (GUM F.1.2.3, correlation of 1). How a load ends is not shared: the two are other programs.
    """
    shared = combine(
        (
            *(_relative(reference, {c}) - _relative(candidate, {c}) for c in SHARED - {END}),
            *(_relative(side, {END}) for side in (reference, candidate)),
        )
    )
    resolved = combine(
        _relative(side, side.budget.keys() - SHARED - {SCATTER}) for side in (reference, candidate)
    )
    freedom = effective_degrees_of_freedom(
        [(found.standard, found.degrees_of_freedom), (shared, math.inf)]
    )
    standard = max(
        combine((found.standard, shared)), combine((resolved, shared)) / t_quantile(freedom)
    )
    return Change(math.log1p(found.change), standard, freedom)


def _relative(quantity: Quantity, causes: Iterable[str]) -> float:
    return combine(quantity.budget.get(cause, 0.0) for cause in causes) / quantity.value
