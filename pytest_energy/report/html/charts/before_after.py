"""The distribution of a benchmark's energies before, above that of now, on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.result import Result, Run
from pytest_energy.report.comparison import Reference
from pytest_energy.report.html.charts.axes import Axis, fit
from pytest_energy.report.html.charts.distributions import Shape, energies, shape
from pytest_energy.report.html.charts.geometry import BEFORE_AFTER
from pytest_energy.report.html.charts.history import counterpart
from pytest_energy.report.html.charts.marks import Mark, marks
from pytest_energy.report.numbers import ticks_of
from pytest_energy.uncertainty.rounds import of_rounds

HEIGHT = 14
"""Pixels from the middle of a distribution to its highest density."""


@dataclass(frozen=True)
class Sample:
    """The values of one side."""

    mark: Mark
    at: float
    """Pixel of its middle line."""
    shape: Shape


@dataclass(frozen=True)
class BeforeAfter:
    """Two distributions of the same unit."""

    axis: Axis
    samples: tuple[Sample, Sample]


def build_before_after(result: Result, run: Run, older: Sequence[Reference]) -> BeforeAfter | None:
    """The energies of both sides; ``None`` where either has fewer than two.

    Before are the rounds of the other revision, else those of the newest older run on the same
    machine, else the means of the accepted runs.
    """
    if result.energy is None:
        return None
    known = {label: values for label, values in _sides(result, run, older) if len(values) > 1}
    if len(known) != 2:
        return None
    every = [value for values in known.values() for value in values]
    axis = fit(every, BEFORE_AFTER.left, BEFORE_AFTER.right, write=ticks_of(result.energy.unit))
    rows = (BEFORE_AFTER.height * 0.3, BEFORE_AFTER.height * 0.65)
    before, after = (
        Sample(mark, at, shape(known[mark.name], axis, at, HEIGHT))
        for mark, at in zip(marks(known).values(), rows, strict=True)
    )
    return BeforeAfter(axis, (before, after))


def _sides(
    result: Result, run: Run, older: Sequence[Reference]
) -> tuple[tuple[str, list[float]], tuple[str, list[float]]]:
    """Label and joules a pass of each side."""
    if result.comparison and result.comparison.blocks:
        blocks = result.comparison.blocks
        base, head = (
            [value for block in blocks for value in of_rounds(getattr(block, side), ENERGY)]
            for side in ("base", "head")
        )
        return (f"rounds of {result.comparison.label}", base), ("rounds of the head", head)
    now = ("rounds of this run", energies(result))
    for reference in sorted(older, key=lambda each: each.run.created, reverse=True):
        if before := counterpart(reference.run, result, run):
            return (f"rounds of {reference.name}", energies(before)), now
    accepted = [past.values[ENERGY] for past in result.verdict.history if ENERGY in past.values]
    return ("means of the accepted runs", accepted), now
