"""The figures of the papers, drawn from a run's results.

Each figure is drawn from results of one kind of conditions, and a scatter figure from one task and
data set, so no Pareto front joins what cannot be compared. A figure without data says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.tables import paper_a, paper_b, paper_c, paper_d
from benchmarks.tables.drawing import (
    Bar,
    Drawing,
    Line,
    Point,
    bars,
    curves,
    grid_of_violins,
    scatter,
)
from benchmarks.tables.emissions import total_co2_kg
from benchmarks.tables.layout import (
    Figure,
    Read,
    Where,
    figure_of,
    matching,
    metric,
    unlike_runs,
)
from pytest_energy.carbon import JOULES_PER_KWH
from pytest_energy.model.measurement import Trace
from pytest_energy.model.result import Result
from pytest_energy.model.traces import decode


@dataclass(frozen=True)
class Named:
    """A figure under its file name, or the reason why it cannot be drawn."""

    name: str
    drawing: Drawing | None
    missing: str = ""


def figures_of(paper: str, results: Sequence[Result]) -> list[Named]:
    """The figures of a paper from ``results``. Paper E prints none."""
    draw = {"a": _paper_a, "b": _paper_b, "c": _paper_c, "d": _paper_d}.get(paper)
    return [] if draw is None else list(draw(results))


def _named(
    name: str, data: Sequence[object], draw: Callable[[], Drawing], needs: str, unlike: str = ""
) -> Named:
    if unlike:
        return Named(name, None, unlike)
    return Named(name, draw()) if data else Named(name, None, f"no {needs} in the results")


def _paper_a(results: Sequence[Result]) -> Iterator[Named]:
    """Figures 7 to 9: the power of both models over time."""
    for kind in ("training", "inference"):
        lines = [
            power_line(label, trace)
            for label, model in paper_a.MODELS.items()
            for result in matching(results, {"paper": "a", "kind": kind, "model": model})
            for trace in result.trace or ()
        ]
        name = f"a-power-{kind}"
        labels = (f"Paper A: power, {kind}", "minutes", "power W")
        yield _named(name, lines, partial(curves, lines, *labels), "traces")


def power_line(label: str, trace: Trace) -> Line:
    """The mean power of each bucket of a trace, in minutes from the trace's begin."""
    buckets = decode(trace).buckets
    minutes, powers_w, now_s = [], [], 0.0
    for bucket in buckets:
        # a staircase: the power of a bucket holds from its begin to its end
        minutes += [now_s / 60, (now_s + bucket.duration_s) / 60]
        powers_w += [bucket.mean_w, bucket.mean_w]
        now_s += bucket.duration_s
    return Line(f"{label}, {trace.channel}", minutes, powers_w)


def _paper_b(results: Sequence[Result]) -> Iterator[Named]:
    """Figures 2 to 4: every run's total by architecture, data set and location."""
    variables: Mapping[str, Read] = {
        "energy kWh": metric("total_energy_j", 1 / JOULES_PER_KWH),
        "CO₂ kg": total_co2_kg,
        "FLOPs G, batch 32": metric("flops", paper_b.BATCH * 1e-9),
    }
    runs = matching(results, paper_b.TRAINING)
    for fact, shown in (("model", "architecture"), ("dataset", "data"), ("location", "location")):
        panels = {name: _groups(runs, fact, read) for name, read in variables.items()}
        known = [values for groups in panels.values() for values in groups.values()]
        title = f"Paper B: run totals by {shown}"
        yield _named(
            f"b-by-{shown}",
            known,
            partial(grid_of_violins, panels, title),
            "trainings of paper B",
            unlike_runs(runs, paper_b.SAME),
        )


def _groups(runs: Sequence[Result], fact: str, read: Read) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for run in runs:
        value = read(run).value
        if value is not None and run.workload.get(fact):
            groups.setdefault(str(run.workload[fact]), []).append(value)
    return groups


def _paper_c(results: Sequence[Result]) -> Iterator[Named]:
    """Figure 1, and the scatter figures 2 to 7: one of each for each data set."""
    for task, datasets in paper_c.DATASETS.items():
        score = "miou" if task == "segmentation" else "accuracy"
        shown = "mIoU" if task == "segmentation" else "accuracy"
        for label, dataset in datasets.items():
            where, title = {"paper": "c", "task": task, "dataset": dataset}, f"Paper C, {label}"
            yield _score_by_epoch(results, where, score, title)
            train, run = {**where, "kind": "training"}, {**where, "kind": "inference"}
            pairs = (
                ("energy", (train, metric("total_energy_j", 1e-6)), "training energy MJ"),
                ("co2", (run, metric("co2_g", paper_c.IMAGES_A_WEEK / 1e3)), "CO₂ kg a week"),
            )
            for name, x, heading in pairs:
                points = _points(results, x, (train, metric(score, 100)))
                yield _named(
                    f"c-{score}-{name}-{dataset}",
                    points,
                    partial(scatter, points, title, heading, f"{shown} %", higher_is_better=True),
                    f"techniques of {label} with both figures",
                )
            points = _points(
                results, (run, metric("params", 1e-6)), (run, metric("latency_s", 1e3))
            )
            yield _named(
                f"c-time-params-{dataset}",
                points,
                partial(scatter, points, title, "parameters M", "time ms", higher_is_better=False),
                f"inference of {label}",
            )


def _score_by_epoch(results: Sequence[Result], where: Where, score: str, title: str) -> Named:
    """A curve for each technique, of scores after single epochs and at the end of runs."""
    lines = []
    for label, technique in paper_c.METHODS.items():
        runs = matching(results, {**where, "kind": "training", "technique": technique})
        for name, suffix in ((score, ""), (f"square_{score}", ", square crop")):
            points = sorted({point for run in runs for point in scored_epochs(run, name)})
            if points:
                epochs, scores = zip(*points, strict=True)
                lines.append(Line(label + suffix, epochs, scores, dots=True, twin=bool(suffix)))
    name = f"c-score-by-epoch-{where['dataset']}"
    drawing = partial(curves, lines, title, "epochs", f"{score} %")
    trainings = matching(results, {**where, "kind": "training"})
    return _named(name, lines, drawing, "scored trainings", unlike_runs(trainings, ["technique"]))


def scored_epochs(run: Result, name: str) -> Iterator[tuple[float, float]]:
    """The epochs after which a score was taken, each with the score in per cent."""
    for metric_name, quantity in run.metrics.items():
        begin, _, epoch = metric_name.rpartition("_at_")
        if begin == name and epoch.isdecimal():
            yield float(epoch), 100 * quantity.value
    if name in run.metrics and "epochs_run" in run.metrics:
        yield run.metrics["epochs_run"].value, 100 * run.metrics[name].value


def _points(results: Sequence[Result], x: tuple[Where, Read], y: tuple[Where, Read]) -> list[Point]:
    """A point for each technique that has both figures."""
    points = []
    for label, technique in paper_c.METHODS.items():
        average = paper_c.average_of(technique)
        sides = [
            figure_of(matching(results, {**where, "technique": technique}), read, average)
            for where, read in (x, y)
        ]
        if sides[0].value is not None and sides[1].value is not None:
            points.append(Point(label, *(side.value or 0.0 for side in sides)))
    return points


def _paper_d(results: Sequence[Result]) -> Iterator[Named]:
    """Bars of energy and time by knob."""
    train = {"paper": "d", "kind": "training"}
    plain = {**train, "sweep": None}
    resnets = {f"ResNet-{depth}": {**plain, "model": f"resnet{depth}"} for depth in paper_d.RESNETS}
    yolos = {f"YOLOv5{size}": {**plain, "model": f"yolov5{size}"} for size in paper_d.YOLOS}
    yield _bars("depth", resnets, results)
    yield _bars("size", yolos, results)
    for knob, model in (
        ("batch", "resnet50"),
        ("batch", "yolov5s"),
        ("precision", "resnet50"),
        ("power_cap_w", "resnet50"),
        ("power_cap_pct", "resnet50"),
    ):
        where = {**train, "sweep": knob, "model": model}
        yield _bars(f"{knob}-{model}", _by_value(results, where, knob), results)
    for knob in ("batch", "precision", "power_cap_w", "power_cap_pct"):
        rows = _by_value(results, paper_d.TARGET, knob)
        yield _bars(f"{knob}-to-target", rows, results, "energy_j")


def _by_value(results: Sequence[Result], where: Where, knob: str) -> dict[str, Where]:
    found = (run.workload.get(knob) for run in matching(results, where))
    values = {value for value in found if isinstance(value, str | int | float)}
    ordered = sorted(values, key=lambda value: (isinstance(value, str), value))
    return {str(value): {**where, knob: value} for value in ordered}


def _bars(
    name: str, rows: Mapping[str, Where], results: Sequence[Result], energy: str = "total_energy_j"
) -> Named:
    panels: dict[str, list[Bar]] = {}
    for heading, read in (
        ("energy MJ", metric(energy, 1e-6)),
        (
            "minutes an epoch" if energy == "total_energy_j" else "minutes",
            metric("latency_s", 1 / 60),
        ),
    ):
        for label, where in rows.items():
            figure: Figure = figure_of(matching(results, where), read)
            if figure.value is not None:
                panels.setdefault(heading, []).append(Bar(label, figure.value, figure.uncertainty))
    title = f"Paper D: {name}"
    return _named(f"d-{name}", list(panels), partial(bars, panels, title), f"trainings by {name}")
