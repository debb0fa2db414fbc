"""Xu, Martínez-Fernández, Martinez, Franch 2023: transfer learning with frozen bases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.tables.emissions import total_co2_kg
from benchmarks.tables.layout import (
    Cell,
    Column,
    Figure,
    Read,
    Row,
    Table,
    departures,
    fill,
    matching,
    metric,
    paper_rows,
    unlike_runs,
)
from benchmarks.tables.ranks import Association, agreement, data_effect, group_effect
from pytest_energy.carbon import JOULES_PER_KWH
from pytest_energy.model.result import Result

MODELS = {"VGG16": "vgg16_transfer", "VGG19": "vgg19_transfer", "ResNet50": "resnet50_transfer"}
DATASETS = {"CIFAR10": "cifar10", "MNIST": "mnist"}
LOCATIONS = ("Oregon", "S.Carolina", "Taipei")
TRAINING = {"paper": "b", "kind": "training", "technique": "baseline"}
SAME = ("model", "dataset", "location")
"""The facts that the paper varies. Runs that agree in them are repetitions."""
BATCH = 32
WATTMETER = "wattmeter_energy_j"
"""The metric that holds a benchmark's joules from an imported wattmeter log."""

MEDIAN_NOTE = "Each training ran three times; the median of the runs at hand is shown."


def tables(results: Sequence[Result]) -> tuple[Table, ...]:
    """Tables 2 to 7. Those of one location are repeated for each location of the results."""
    locations = locations_of(results)
    filled = []
    for location in locations or (None,):
        here = [r for r in results if location is None or r.workload.get("location") == location]
        suffix = f" ({location})" if len(locations) > 1 else ""
        filled += [replace(table, title=table.title + suffix) for table in _of_location(here)]
    return (*filled, _by_location(results))


def locations_of(results: Sequence[Result]) -> list[str]:
    """The locations of the trainings, by rising carbon intensity."""
    known = {str(r.workload["location"]) for r in results if r.workload.get("location")}
    return sorted(known, key=lambda name: (not name[0].isdigit(), _intensity(name)))


def _intensity(location: str) -> float:
    return float(location.split()[0]) if location[0].isdigit() else 0.0


def _of_location(results: Sequence[Result]) -> tuple[Table, ...]:
    return (
        fill(
            "Paper B, Table 2: parameters and FLOPs",
            "architecture, data",
            _rows("b_table2_experiments.csv"),
            EXPERIMENTS,
            results,
            ("FLOPs are for a batch of 32, two a multiply-add.",),
        ),
        fill(
            "Paper B, Table 6: accuracy, energy, Score",
            "architecture, data",
            _score_rows(),
            SCORES,
            results,
            (
                MEDIAN_NOTE,
                "Score is accuracy / energy in kWh. In places, the paper's printed Score does not "
                "follow from its own row.",
            ),
        ),
        fill(
            "Paper B, Table 7: wattmeter and profiler",
            "architecture, data",
            _rows("b_table7_wattmeter.csv"),
            INSTRUMENTS,
            results,
            (
                MEDIAN_NOTE,
                "kWh of the full schedule. Channels that no meter covers are missing. So is the "
                f"wattmeter, unless a training records its joules as {WATTMETER}.",
            ),
        ),
        _by_architecture(results),
        _by_data(results),
        _instruments(results),
    )


def _rows(file: str) -> list[Row]:
    return [_row(line["architecture"], line["data"], line) for line in paper_rows(file)]


def _row(architecture: str, data: str, paper: Mapping[str, str]) -> Row:
    where = {**TRAINING, "model": MODELS[architecture], "dataset": DATASETS[data]}
    return Row(f"{architecture}, {data}", where, paper)


def _score_rows() -> list[Row]:
    """The rows of Table 6. Its three locations stand side by side and share one figure of ours."""
    sides: dict[tuple[str, str], dict[str, str]] = {}
    for line in paper_rows("b_table6_scores.csv"):
        side = sides.setdefault((line["architecture"], line["data"]), {})
        side |= {f"{name} {line['location']}": value for name, value in line.items()}
    return [_row(architecture, data, side) for (architecture, data), side in sides.items()]


def _channel(*channels: str) -> Read:
    """Read the energy of channels in kWh, scaled from the measured epochs to the full schedule."""

    def read(result: Result) -> Figure:
        whole, epoch = result.metrics.get("total_energy_j"), result.metrics.get("energy_j")
        channel_joules = [
            joules
            for measured in result.rounds
            for name, joules in measured.channels.items()
            if name.rstrip("0123456789") in channels  # gpu0, gpu1, … are one column
        ]
        if whole is None or epoch is None or not epoch.value or not channel_joules:
            return Figure(missing=f"not measured (no {'/'.join(channels)} channel)")
        epochs_measured = sum(measured.passes for measured in result.rounds)
        scale = whole.value / epoch.value / epochs_measured
        kwh = sum(channel_joules) * scale / JOULES_PER_KWH
        # A channel is a part of the whole, and is known no better.
        relative = None if whole.uncertainty is None else whole.uncertainty / whole.value
        return Figure(kwh, None if relative is None else kwh * relative)

    return read


def _beside(heading: str, name: str) -> dict[str, str]:
    return {f"{heading} ({place})": f"{name} {place}" for place in LOCATIONS}


EXPERIMENTS = (
    Column("total M", metric("params", 1e-6), paper={"paper: total M": "total_parameters_m"}),
    Column(
        "trainable M",
        metric("trainable_params", 1e-6),
        paper={"paper: trainable M": "trainable_parameters_m"},
    ),
    Column(
        "total GFLOPs",
        metric("flops", BATCH * 1e-9),
        paper={"paper: total GFLOPs": "total_gflops_batch32"},
    ),
    Column(
        # the trained head is linear layers: two FLOPs a weight and sample
        "trainable-layer GFLOPs",
        metric("trainable_params", 2 * BATCH * 1e-9),
        paper={"paper: trainable-layer GFLOPs": "trainable_layer_gflops"},
    ),
)
SCORES = (
    Column("accuracy", metric("accuracy"), paper=_beside("accuracy", "accuracy")),
    Column(
        "energy kWh",
        metric("total_energy_j", 1 / JOULES_PER_KWH),
        paper=_beside("energy kWh", "energy_kwh"),
    ),
    Column("Score", metric("score_per_kwh"), paper=_beside("Score", "printed_score")),
)
INSTRUMENTS = (
    Column(
        "wattmeter",
        metric(WATTMETER, 1 / JOULES_PER_KWH),
        paper={"paper: wattmeter": "wattmeter_kwh"},
    ),
    Column("CPU", _channel("cpu"), paper={"paper: CPU": "cpu_kwh"}),
    Column("GPU", _channel("gpu"), paper={"paper: GPU": "gpu_kwh"}),
    Column("RAM", _channel("ram", "dram"), paper={"paper: RAM": "ram_kwh"}),
    Column(
        "profiler total",
        metric("total_energy_j", 1 / JOULES_PER_KWH),
        paper={"paper: profiler total": "profiler_total_kwh"},
    ),
)


VARIABLES: Mapping[str, Read] = {
    "energy": metric("total_energy_j", 1 / JOULES_PER_KWH),
    "CO₂ emissions": total_co2_kg,
    "FLOPs": metric("flops", BATCH),
}
"""The dependent variables of the paper's tests. FLOPs are the same at every location."""
LABEL_NOTE = "The tests are over every single run, not over medians."


def _by_architecture(results: Sequence[Result]) -> Table:
    lines = {
        variable: group_effect(_labelled(results, "model", read))
        for variable, read in VARIABLES.items()
    }
    paper = {name: group_effect(_printed("architecture", name)) for name in PRINTED}
    return _tested("Paper B, Table 3: the effect of the architecture", lines, paper, results)


def _by_data(results: Sequence[Result]) -> Table:
    lines = {
        variable: data_effect(_labelled(results, "dataset", read), one="cifar10")
        for variable, read in VARIABLES.items()
    }
    paper = {name: data_effect(_printed("data", name), one="CIFAR10") for name in PRINTED}
    note = "CIFAR-10 counts as 1 and MNIST as 0, as in the paper."
    return _tested("Paper B, Table 4: the effect of the data", lines, paper, results, note)


def _by_location(results: Sequence[Result]) -> Table:
    lines = {
        variable: group_effect(_labelled(results, "location", read))
        for variable, read in VARIABLES.items()
        if variable != "FLOPs"
    }
    paper = {"energy": group_effect(_printed("location", "energy"))}
    places = ", ".join(locations_of(results)) or "none"
    note = f"Locations by carbon intensity: {places}. Another location is another run of the suite."
    return _tested("Paper B, Table 5: the effect of the location", lines, paper, results, note)


def _instruments(results: Sequence[Result]) -> Table:
    pairs = [
        (wattmeter.value, energy.value)
        for run in matching(results, TRAINING)
        if (wattmeter := run.metrics.get(WATTMETER)) is not None
        and (energy := run.metrics.get("total_energy_j")) is not None
    ]
    printed = [
        (float(line["wattmeter_kwh"]), float(line["profiler_total_kwh"]))
        for line in paper_rows("b_table7_wattmeter.csv")
    ]
    name = "wattmeter and profiler agree in rank"
    title = "Paper B: the two instruments"
    return _tested(title, {name: agreement(pairs)}, {name: agreement(printed)}, results)


PRINTED = ("energy", "FLOPs")
"""The dependent variables that the paper prints for each line of its Table 6."""


def _printed(label: str, variable: str) -> list[tuple[str, float]]:
    """The label and the variable of each line of the paper's Table 6, a median of three runs.

    Its FLOPs are in Table 2.
    """
    flops = {
        (line["architecture"], line["data"]): float(line["total_gflops_batch32"])
        for line in paper_rows("b_table2_experiments.csv")
    }
    return [
        (
            line[label],
            flops[line["architecture"], line["data"]]
            if variable == "FLOPs"
            else float(line["energy_kwh"]),
        )
        for line in paper_rows("b_table6_scores.csv")
    ]


def _labelled(results: Sequence[Result], fact: str, read: Read) -> list[tuple[str, float]]:
    """The label and the value of each run that has both."""
    figures = [(run.workload.get(fact), read(run)) for run in matching(results, TRAINING)]
    return [(str(label), figure.value) for label, figure in figures if label and figure.value]


def _tested(
    title: str,
    lines: Mapping[str, Association],
    paper: Mapping[str, Association],
    results: Sequence[Result],
    *notes: str,
) -> Table:
    """A table of our tests, and beside them the same tests of the figures that the paper prints."""
    if unlike := unlike_runs(matching(results, TRAINING), SAME):
        lines = {variable: replace(ours, refusal=unlike) for variable, ours in lines.items()}
    figures = ("statistic", "p", "n")
    headings = ("variable", "test", *figures, *(f"{PAPER}: {name}" for name in figures))
    rows = tuple(
        tuple(
            Cell(text)
            for text in (variable, ours.test, *_figures(ours), *_figures(paper.get(variable)))
        )
        for variable, ours in lines.items()
    )
    notes = (LABEL_NOTE, *notes, PAPER_NOTE, *departures(matching(results, TRAINING)))
    return Table(title, headings, rows, notes)


PAPER = "paper, recomputed"
PAPER_NOTE = (
    "Recomputed from the paper: the same test over the figures that its Tables 2, 6 and 7 print. "
    "Each is a median of three runs, so the statistic differs from one over single runs. Emissions "
    "are not printed there."
)


def _figures(answer: Association | None) -> tuple[str, str, str]:
    """Statistic, p and n."""
    if answer is None:
        return ("–", "–", "–")
    if not answer.tested:
        return (answer.refusal, "–", str(answer.count))
    return (f"{answer.statistic:.3f}", f"{answer.p:.3g}", str(answer.count))
