"""A run as OpenMetrics text: for Prometheus, and for GitLab's metrics reports.

Source: OpenMetrics 1.0.0, sections "Text format" and "Overall structure". Families without a
sample are left out, as are values that were not measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run
from pytest_energy.report.machines import Machines
from pytest_energy.report.numbers import significant, supported

Labels = Mapping[str, str]
Labelled = Sequence[tuple[Labels, Result]]
"""The results, each with the labels of all its samples."""


@dataclass(frozen=True)
class Family:
    """A metric family. The format demands that its name ends with its unit."""

    name: str
    help: str
    unit: str = ""
    type: str = "gauge"

    @property
    def full_name(self) -> str:
        """The name with prefix and unit."""
        return "_".join(part for part in ("pytest_energy", self.name, self.unit) if part)


FAMILIES = {
    "energy_j": Family(
        "energy", "Energy a pass, epoch or call; the label kind says which.", "joules"
    ),
    "net_energy_j": Family("net_energy", "Energy without the idle energy.", "joules"),
    "total_energy_j": Family("total_energy", "Energy of the full training schedule.", "joules"),
    "latency_s": Family(
        "latency", "Time a pass, epoch or call; the label kind says which.", "seconds"
    ),
    "throughput_hz": Family("throughput", "Passes, epochs or calls a second.", "hertz"),
    "power_w": Family("power", "Mean power.", "watts"),
    "params": Family("params", "Parameters of the model."),
    "trainable_params": Family("trainable_params", "Trainable parameters of the model."),
    "macs": Family("macs", "Multiply-accumulate operations a pass."),
    "flops": Family(
        "flops", "Floating-point operations a pass; a multiply-accumulate counts as 2."
    ),
    "peak_memory_bytes": Family("peak_memory", "Peak memory.", "bytes"),
    "co2_g": Family("co2", "Emissions of carbon dioxide equivalent.", "grams"),
    "accuracy": Family("accuracy", "Accuracy of the model.", "ratio"),
}
"""The metrics that have their own family."""
OTHER = Family("metric", "Metrics recorded by tests; the labels give name and unit.")
OUTCOME = Family("outcome", "The gate's verdict on a benchmark.", type="stateset")
CHANGE = Family("change", "Relative change against the baseline; 0.05 is +5 %.", "ratio")
RUN_ENERGY = Family("run_energy", "Energy of the session.", "joules")
RUN_DURATION = Family("run_duration", "Duration of the session.", "seconds")
MACHINE = Family(
    "machine",
    "A machine's identity; joules are comparable only where it is the same.",
    type="info",
)


def render_openmetrics(run: Run) -> str:
    """The whole exposition, including ``# EOF``.

    Each sample of a benchmark has the label ``machine``. The sample of that machine in
    ``pytest_energy_machine_info`` has its facts as labels, so that a query can join them.
    """
    machines = Machines(run)
    labelled = [(_labels(result, machines), result) for result in run.benchmarks]
    families = [*_of_run(run, machines), *_of_metrics(labelled), *_of_verdicts(labelled)]
    return "".join(f"{line}\n" for family in families for line in family) + "# EOF\n"


def _of_run(run: Run, machines: Machines) -> Iterator[list[str]]:
    yield _family(
        MACHINE,
        [
            _sample(MACHINE, {**_facts(identity), "machine": name}, 1)
            for name, identity in machines.identities.items()
        ],
    )
    if run.run.energy_j is not None:
        yield _family(RUN_ENERGY, [_sample(RUN_ENERGY, {}, significant(run.run.energy_j, 6))])
    yield _family(RUN_DURATION, [_sample(RUN_DURATION, {}, significant(run.run.duration_s, 6))])


def _facts(identity: Mapping[str, object]) -> dict[str, str]:
    """As labels, whose names may have letters, digits and underscores only."""
    return {
        re.sub(r"^(?=\d)|\W", "_", name, flags=re.ASCII): str(identity[name]) for name in identity
    }


def _of_metrics(labelled: Labelled) -> Iterator[list[str]]:
    for metric, family in FAMILIES.items():
        known = [
            (labels, result.metrics[metric])
            for labels, result in labelled
            if metric in result.metrics
        ]
        yield _family(
            family, [_sample(family, labels, supported(value)) for labels, value in known]
        )
        half_width = f"95 % half-width: {family.help}"
        uncertain = Family(f"{family.name}_uncertainty", half_width, family.unit)
        yield _family(
            uncertain,
            [
                _sample(uncertain, labels, significant(value.uncertainty, 2))
                for labels, value in known
                if value.uncertainty is not None
            ],
        )
    # A name chosen by a test is a label: the format allows few characters in names.
    recorded = [
        _sample(
            OTHER,
            {**labels, "metric": name, "unit": quantity.unit},
            supported(quantity),
        )
        for labels, result in labelled
        for name, quantity in result.metrics.items()
        if name not in FAMILIES
    ]
    yield _family(OTHER, recorded)


def _of_verdicts(labelled: Labelled) -> Iterator[list[str]]:
    changes = [
        _sample(CHANGE, {**labels, "metric": metric.metric}, significant(metric.change, 6))
        for labels, result in labelled
        for metric in result.verdict.metrics
        if metric.change is not None
    ]
    yield _family(CHANGE, changes)
    # A stateset has a sample for every state, with 1 for the state that holds.
    states = [
        _sample(OUTCOME, {**labels, OUTCOME.full_name: outcome}, holds)
        for labels, result in labelled
        for outcome in Outcome
        for holds in [int(result.verdict.outcome is outcome)]
    ]
    yield _family(OUTCOME, states)


def _labels(result: Result, machines: Machines) -> dict[str, str]:
    return {"benchmark": result.id, "kind": result.kind, "machine": machines.of(result)}


def _family(family: Family, samples: list[str]) -> list[str]:
    if not samples:
        return []
    name = family.full_name
    unit = [f"# UNIT {name} {family.unit}"] if family.unit else []
    return [
        f"# TYPE {name} {family.type}",
        *unit,
        f"# HELP {name} {_escape(family.help)}",
        *samples,
    ]


def _sample(family: Family, labels: Labels, value: float) -> str:
    # Samples of an info family have this suffix; the family's own name must not have it.
    name = family.full_name + ("_info" if family.type == "info" else "")
    pairs = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
    return f"{name}{{{pairs}}} {value!r}" if pairs else f"{name} {value!r}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
