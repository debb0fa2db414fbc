"""The ratio of candidates that were measured in turn."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.model.measurement import END, SETTLING, Quantity, Round
from pytest_energy.uncertainty.candidates import block_differences, changes
from pytest_energy.uncertainty.change import Change
from pytest_energy.uncertainty.rounds import summarize


def windows(
    energies_j: Sequence[float], budget: dict[str, float] | None = None, passes: int = 10
) -> list[Round]:
    """Windows of so many passes with these joules."""
    return [
        Round(start=0, duration_s=1, passes=passes, energy_j=energy_j, budget=budget or {})
        for energy_j in energies_j
    ]


def change_of(reference: list[Round], candidate: list[Round]) -> Change:
    """The change from one side to the other."""
    differences = {"b": block_differences(reference, candidate)}
    before, after = (summarize(side)["energy_j"] for side in (reference, candidate))
    return changes(before, {"b": after}, differences)["b"]


def change(reference: list[Round], candidate: list[Round]) -> tuple[float, float, float]:
    """The change with its interval."""
    found = change_of(reference, candidate)
    return (found.relative, *found.interval())


def test_a_linear_drift_cancels_in_each_block() -> None:
    """Energies rise by 1 % from window to window, and the candidate uses 10 % less."""
    drift = [1 + 0.01 * place for place in range(8)]
    order = "ABBAABBA"
    reference = [100 * drift[place] for place in range(8) if order[place] == "A"]
    candidate = [90 * drift[place] for place in range(8) if order[place] == "B"]
    for difference in block_differences(windows(reference), windows(candidate)):
        assert math.expm1(difference) == pytest.approx(-0.1)


def test_joules_are_compared_by_the_pass() -> None:
    """A candidate whose windows have twice the passes uses twice the joules for the same."""
    reference, candidate = windows([10.0, 10.0]), windows([20.0, 20.0], passes=20)
    assert block_differences(reference, candidate) == [0.0]


def test_every_block_has_both_sides() -> None:
    """A block of one side alone would pair with nothing, and must not be dropped in silence."""
    with pytest.raises(ValueError, match="shorter"):
        block_differences(windows([1.0] * 4), windows([1.0] * 2))


@pytest.mark.parametrize("energies_j", [[0.0, 0.0], [3.0, 2.0, 1.0, -1.5], [1.0, None]])
def test_joules_without_a_logarithm_give_no_ratio(energies_j: list[float]) -> None:
    """A block with none above zero, or with a missing one, is not made up."""
    assert block_differences(windows([1.0] * len(energies_j)), windows(energies_j)) == []


def test_windows_that_agree_keep_the_uncertainty_of_their_meter() -> None:
    """Equal joules, each known to 1 %: the interval is no point."""
    resolved = windows([100.0] * 12, {"resolution": 1.0})
    ratio, low, high = change(resolved, resolved)
    assert ratio == 0
    # Two sides of twelve windows, floored at one standard uncertainty.
    assert high == pytest.approx(0.01 * math.sqrt(2 / 12), rel=0.01)
    assert low == pytest.approx(-high, rel=0.01)


def test_an_error_that_all_windows_share_mostly_cancels() -> None:
    """The same joules too many on both sides change the ratio by the difference of the shares."""
    reference, candidate = (windows([energy_j] * 12, {SETTLING: 1.0}) for energy_j in (100.0, 90.0))
    ratio, _, high = change(reference, candidate)
    assert high - ratio == pytest.approx(0.9 * 1.96 * (1 / 90 - 1 / 100), rel=0.02)


def test_how_a_program_ends_is_another_matter_in_each_of_two() -> None:
    """The ends of two programs do not cancel, as a shared error of their meter does."""
    reference, candidate = (windows([energy_j] * 12, {END: 1.0}) for energy_j in (100.0, 90.0))
    ratio, _, high = change(reference, candidate)
    assert high - ratio == pytest.approx(0.9 * 1.96 * math.hypot(1 / 90, 1 / 100), rel=0.02)


def test_few_blocks_have_students_interval() -> None:
    """Two blocks have one degree of freedom, with which any interval is computed."""
    found = change_of(windows([10.0, 10.1, 10.2, 9.9]), windows([9.0, 9.3, 9.1, 9.4]))
    assert found.degrees_of_freedom == pytest.approx(1)


def test_several_candidates_have_a_ratio_each() -> None:
    """Against the same reference."""
    energies = {"b": 90.0, "c": 120.0, "d": 100.0}
    reference = windows([100.0, 101.0] * 4)
    sides = {name: windows([energy, 1.01 * energy] * 4) for name, energy in energies.items()}
    found = changes(
        summarize(reference)["energy_j"],
        {name: summarize(side)["energy_j"] for name, side in sides.items()},
        {name: block_differences(reference, side) for name, side in sides.items()},
    )
    ratios = {name: 100 * (1 + each.relative) for name, each in found.items()}
    assert ratios == pytest.approx(energies, rel=1e-9)


def test_no_candidate_has_no_ratio() -> None:
    """Such as where all were invalid."""
    assert changes(Quantity(value=1.0, unit="J"), {}, {}) == {}


@given(st.integers(0, 10_000))
def test_the_ratio_does_not_depend_on_the_unit(seed: int) -> None:
    """A hundred times the joules on both sides change nothing."""
    draw = random.Random(seed)
    sides = [[draw.lognormvariate(0, 0.02) for _ in range(12)] for _ in range(2)]
    small = change(*map(windows, sides))
    large = change(*(windows([100 * energy_j for energy_j in side]) for side in sides))
    assert small == pytest.approx(large)


@pytest.mark.parametrize("blocks", [2, 3, 6])
def test_the_interval_holds_the_truth_in_95_per_cent(blocks: int) -> None:
    """2000 comparisons with 1 % scatter a window, and a shared drift that cancels."""
    draw = random.Random(blocks)
    held = 0
    for _ in range(2000):
        drift = [1 + 0.003 * place for place in range(2 * blocks)]
        sides = [
            [size * at * draw.lognormvariate(0, 0.01) for at in drift] for size in (100.0, 88.0)
        ]
        _, low, high = change(*map(windows, sides))
        held += low <= -0.12 <= high
    assert 0.94 < held / 2000 < 0.965
