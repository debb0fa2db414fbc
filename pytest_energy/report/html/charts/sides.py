"""Two revisions block by block: the rounds of both sides, and the differences between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pytest_energy.model.comparison import Block, Control
from pytest_energy.model.metrics import ENERGY, metric
from pytest_energy.model.result import MetricVerdict, Result
from pytest_energy.report import numbers
from pytest_energy.report.html.charts.axes import Axis, fit, percent_tick
from pytest_energy.report.html.charts.geometry import SIDES
from pytest_energy.report.html.charts.marks import Mark, marks
from pytest_energy.report.pairs import block_cells, pair_verdict
from pytest_energy.uncertainty.rounds import ROUND_METRICS, of_rounds

APART = 0.16
"""How far the dots of a side lie from the middle of their block, as a share of its width."""
NAMES = ("base", "head")
"""The sides: the other revision, and the working tree."""


@dataclass(frozen=True)
class Dot:
    """A round, or the difference of a block."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Side:
    """The rounds of one revision."""

    mark: Mark
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Differences:
    """A dot for each block, their mean with its interval, and the tolerance."""

    title: str
    about: str
    blocks: tuple[tuple[float, str], ...]
    """The pixel and the number of each block."""
    y: Axis
    dots: tuple[Dot, ...]
    band: tuple[float, float] | None
    """Pixels of plus and minus the tolerance."""
    mean: tuple[float, float, float] | None
    """Pixels of the mean and of the ends of its 95 % interval, the upper one first."""


@dataclass(frozen=True)
class Sides:
    """The comparison of one benchmark."""

    label: str
    """``Energy``: what is compared."""
    rounds: Axis | None
    """``None`` if single rounds do not tell of the metric."""
    sides: tuple[Side, ...]
    differences: tuple[Differences, ...]
    """Of the benchmark, then of its control if it is one."""
    table: tuple[tuple[str, ...], ...]
    """Number, first side, base, head and difference of each block."""


def build_sides(result: Result) -> Sides | None:
    """The charts of a comparison; ``None`` without blocks."""
    verdict = pair_verdict(result)
    if result.comparison is None or not result.comparison.blocks or verdict is None:
        return None
    blocks = result.comparison.blocks
    axis, sides = _rounds(blocks, verdict)
    differences = [_differences("Head over base", blocks, verdict)]
    if (control := result.comparison.control) and control.blocks:
        # The verdict on a control is on its energy.
        numbers_of = control if verdict.metric == ENERGY else Control(outcome=control.outcome)
        update = {name: getattr(numbers_of, name) for name in ("outcome", "change", "low", "high")}
        judged = verdict.model_copy(update=update)
        differences.append(_differences("Control, base over base", control.blocks, judged))
    return Sides(
        label=metric(verdict.metric).label,
        rounds=axis,
        sides=sides,
        differences=tuple(differences),
        table=tuple(block_cells(block, verdict.metric) for block in blocks),
    )


def _places(blocks: Sequence[Block]) -> list[float]:
    """The pixel of each block's middle."""
    step = SIDES.span / len(blocks)
    return [SIDES.left + step * (index + 0.5) for index in range(len(blocks))]


def _rounds(
    blocks: Sequence[Block], verdict: MetricVerdict
) -> tuple[Axis | None, tuple[Side, ...]]:
    """Both sides' rounds on one axis, the base left and the head right of a block's middle."""
    names, unit = marks(NAMES), ROUND_METRICS.get(verdict.metric)
    values = {
        side: [of_rounds(getattr(each, side), verdict.metric) for each in blocks] for side in NAMES
    }
    every = [value for lists in values.values() for each in lists for value in each]
    if unit is None or not every:
        return None, ()
    axis = fit(every, SIDES.bottom, SIDES.top, about=4, write=partial(numbers.tick, unit=unit))
    half = APART * SIDES.span / len(blocks)
    sides = [
        Side(
            names[side],
            tuple(
                Dot(x + shift, axis.at(value), _round_text(side, block, value, unit))
                for x, block, known in zip(_places(blocks), blocks, values[side], strict=True)
                for value in known
            ),
        )
        for side, shift in zip(NAMES, (-half, half), strict=True)
    ]
    return axis, tuple(sides)


def _round_text(side: str, block: Block, value: float, unit: str) -> str:
    return f"block {block.number}, {side}: {numbers.measured(value, None, unit)}"


def _differences(title: str, blocks: Sequence[Block], verdict: MetricVerdict) -> Differences:
    known = [
        (x, block.number, math.expm1(block.differences[verdict.metric]))
        for x, block in zip(_places(blocks), blocks, strict=True)
        if verdict.metric in block.differences
    ]
    allowed = verdict.tolerance
    interval = (verdict.change, verdict.high, verdict.low)
    reach = [change for *_, change in known] + [0.0, *(end for end in interval if end is not None)]
    reach += [-allowed, allowed] if allowed else []
    y = fit(reach, SIDES.bottom, SIDES.top, about=4, write=percent_tick)
    return Differences(
        title=title,
        about=f"{verdict.outcome.label}, mean {numbers.change(verdict)}",
        blocks=tuple(
            (x, str(block.number)) for x, block in zip(_places(blocks), blocks, strict=True)
        ),
        y=y,
        dots=tuple(
            Dot(x, y.at(change), f"block {number}: {numbers.percent(change, 2)}")
            for x, number, change in known
        ),
        band=(y.at(allowed), y.at(-allowed)) if allowed else None,
        mean=_drawn(y, interval),
    )


def _drawn(y: Axis, interval: tuple[float | None, ...]) -> tuple[float, float, float] | None:
    known = [y.at(value) for value in interval if value is not None]
    return (known[0], known[1], known[2]) if len(known) == 3 else None
