"""The metrics of a run, and those that follow from them: FLOPs a pass, joules a GFLOP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pytest_energy.model.measurement import Quantity
from pytest_energy.model.metrics import CATALOGUE, Better, Metric, in_catalogue, metric
from pytest_energy.model.result import Result

GIGA: Final = 1e9


def present(results: Iterable[Result]) -> tuple[Metric, ...]:
    """The metrics of the results: those of the catalogue first, then others by name."""
    names = {name for result in results for name in values(result)}
    known = [row for row in CATALOGUE if row.name in names]
    return (*known, *(metric(name) for name in sorted(names) if not in_catalogue(name)))


def values(result: Result) -> dict[str, Quantity]:
    """The metrics of a result and those that follow from them."""
    flops = _flops_a_pass(result)
    if flops is None:
        return dict(result.metrics)
    derived = {**result.metrics, "pass_flops": flops}
    if energy := result.metrics.get("energy_j"):
        gflop = flops.value / GIGA
        # FLOPs are exact, so the relative uncertainty is that of the joules.
        uncertainty = None if energy.uncertainty is None else energy.uncertainty / gflop
        per_gflop = Quantity(value=energy.value / gflop, uncertainty=uncertainty, unit="J/GFLOP")
        derived["j_per_gflop"] = per_gflop
    return derived


def _flops_a_pass(result: Result) -> Quantity | None:
    """FLOPs of one inference pass, or ``None`` if they were counted on an input of another shape.

    An epoch of training has none: it runs the stated input an unknown number of times. FLOPs were
    counted on one sample if the workload has ``facts_input_shape``, otherwise on the batch.
    """
    flops, workload = result.metrics.get("flops"), result.workload
    if result.kind != "inference" or flops is None or flops.value <= 0:
        return None
    counted_on = workload.get("facts_input_shape")
    if counted_on is None:
        return flops
    samples = workload.get("batch_size")
    if counted_on != workload.get("input_shape") or not isinstance(samples, int):
        return None
    return flops.model_copy(update={"value": flops.value * samples})


def direction(name: str, results: Iterable[Result]) -> Better | None:
    """Which direction is better, by the catalogue or else by the verdicts."""
    if better := metric(name).better:
        return better
    verdicts = [v for result in results for v in result.verdict.metrics if v.metric == name]
    return "more" if any(verdict.higher_is_better for verdict in verdicts) else None
