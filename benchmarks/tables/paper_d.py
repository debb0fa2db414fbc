"""Edelman, Samsi, McDonald et al. 2023: the energy of knobs. Its results are statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.tables.layout import (
    Cell,
    Column,
    Figure,
    Read,
    Row,
    Table,
    Where,
    departures,
    figure_of,
    fill,
    matching,
    metric,
    paper_rows,
)
from pytest_energy.model.measurement import Scalar
from pytest_energy.model.result import Result
from pytest_energy.uncertainty.gum import combine

RESNETS = (18, 34, 50, 101, 152)
YOLOS = ("n", "s", "m", "l", "x")
# ``None``: the fact must be absent, so that no row of a sweep joins the plain rows.
TRAINING = {"paper": "d", "kind": "training", "technique": "baseline", "sweep": None}
CAPS_W = (250, 200, 150, 100)
CAPS_PCT = (100, 80, 60, 40)


def _score(name: str, task: str) -> Read:
    """Read a score that only benchmarks of ``task`` have."""
    read = metric(name)

    def of_task(result: Result) -> Figure:
        return read(result) if result.workload.get("task") == task else Figure(missing="–")

    return of_task


ENERGY = metric("total_energy_j")
TARGET: Where = {"paper": "d", "kind": "call", "sweep": "target", "model": "resnet50"}
TO_TARGET = (
    Column("energy MJ", metric("energy_j", 1e-6), better="lower"),
    Column("minutes", metric("latency_s", 1 / 60), better="lower"),
    Column("power W", metric("power_w")),
    Column("epochs", metric("epochs_to_target"), form=".0f"),
    Column("accuracy", metric("accuracy")),
)
COLUMNS = (
    Column("params M", metric("params", 1e-6)),
    Column("FLOPs G", metric("flops", 1e-9)),
    Column("training energy MJ", metric("total_energy_j", 1e-6), {"kind": "training"}),
    Column("inference energy J", metric("energy_j"), {"kind": "inference"}),
    Column("accuracy", _score("accuracy", "classification"), {"kind": "training"}),
    Column("mAP", _score("map", "detection"), {"kind": "training"}),
)
YOLO_NOTE = (
    "YOLOv5 is ultralytics' yolov5*.yaml with its anchor-free head. Its parameters differ from "
    "those of the paper's anchor-based release."
)


def tables(results: Sequence[Result]) -> tuple[Table, ...]:
    """The table of statements, and the table of models."""
    where = {"paper": "d", "technique": "baseline", "sweep": None}
    models = {f"ResNet-{depth}": f"resnet{depth}" for depth in RESNETS}
    models |= {f"YOLOv5{size}": f"yolov5{size}" for size in YOLOS}
    rows = [Row(label, {**where, "model": model}) for label, model in models.items()]
    return (
        _statements(results),
        fill("Paper D: depth and size", "model", rows, COLUMNS, results, (YOLO_NOTE,)),
        fill(
            "Paper D: energy to the target accuracy, ResNet-50",
            "knob",
            _target_rows(),
            TO_TARGET,
            results,
            ("The paper's figures 2, 6 and 7 have no printed numbers.",),
        ),
    )


def _target_rows() -> list[Row]:
    """Rows of the trainings to a target, by knob."""
    knobs: list[tuple[str, str, Scalar]] = [
        *((f"batch {batch}", "batch", batch) for batch in (64, 128, 256, 512)),
        *((name, "precision", name) for name in ("float32", "mixed")),
        *((f"cap {cap} W", "power_cap_w", cap) for cap in CAPS_W),
        *((f"cap {cap} %", "power_cap_pct", cap) for cap in CAPS_PCT),
    ]
    return [Row(label, {**TARGET, knob: value}) for label, knob, value in knobs]


def _statements(results: Sequence[Result]) -> Table:
    rows = tuple(
        (
            Cell(line["statement"]),
            Cell(line["value"]),
            Cell(answer(results)),
            Cell(line["where"]),
        )
        for line, answer in zip(paper_rows("d_statements.csv"), ANSWERS, strict=True)
    )
    headings = ("statement", "paper", "ours", "where in the paper")
    used = matching(results, {"paper": "d"})
    return Table("Paper D: statements", headings, rows, departures(used))


Answer = Callable[[Sequence[Result]], str]


def _energy(results: Sequence[Result], where: Where) -> Figure:
    return figure_of(matching(results, where), ENERGY)


def _change(before: Figure, after: Figure) -> str:
    """The relative change in percent with its uncertainty, or why there is none."""
    if before.value is None or after.value is None:
        return before.missing or after.missing
    if not before.value:
        return "not measured"
    ratio = after.value / before.value
    # What both share cancels in a ratio.
    relative = [
        (figure.uncertainty if figure.own is None else figure.own) or 0.0
        for figure in (before, after)
    ]
    error = ratio * combine((relative[0] / before.value, relative[1] / (after.value or 1.0)))
    return f"{ratio - 1:+.0%}" + (f" ± {100 * error:.2g} %" if error else "")


def _between(before: Where, after: Where) -> Answer:
    return lambda results: _change(_energy(results, before), _energy(results, after))


def _resnet(depth: int) -> Where:
    return {**TRAINING, "model": f"resnet{depth}"}


def _sweep(knob: str, value: str | int) -> Where:
    return {"paper": "d", "kind": "training", "model": "resnet50", "sweep": knob, knob: value}


def _below_resnet50(results: Sequence[Result]) -> str:
    changes = (_between(_resnet(50), _resnet(depth))(results) for depth in (34, 18))
    return " (34), ".join(changes) + " (18)"


def _capped(results: Sequence[Result]) -> str:
    uncapped = _energy(results, _sweep("power_cap_w", 250))
    capped = (_energy(results, _sweep("power_cap_w", cap)) for cap in (150, 100))
    return " (150 W), ".join(_change(uncapped, figure) for figure in capped) + " (100 W)"


def _target(batch: int) -> Where:
    return {**TARGET, "batch": batch}


def _batch_to_target(results: Sequence[Result]) -> str:
    read = metric("energy_j")
    energies = {b: figure_of(matching(results, _target(b)), read) for b in (64, 256, 512)}
    changes = [_change(energies[other], energies[256]) for other in (64, 512)]
    return f"{changes[0]} (64), {changes[1]} (512)"


def _points(results: Sequence[Result]) -> str:
    accuracy = metric("accuracy", 100)
    before, after = (figure_of(matching(results, _resnet(d)), accuracy) for d in (50, 101))
    if before.value is None or after.value is None:
        return before.missing or after.missing
    return f"{after.value - before.value:+.1f} points"


ANSWERS: tuple[Answer, ...] = (
    _between(_sweep("precision", "float32"), _sweep("precision", "mixed")),
    _capped,
    _between(_resnet(50), _resnet(101)),
    _between(_resnet(50), _resnet(152)),
    _below_resnet50,
    _batch_to_target,
    _points,
)
"""One answer for each line of ``d_statements.csv``."""
