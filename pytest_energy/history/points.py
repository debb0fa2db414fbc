"""What the history keeps of a run: one point for each benchmark.

:data:`COLUMNS` is the documented view ``points``, which ``pytest-energy history query`` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal

from pytest_energy.model.environment import slug
from pytest_energy.model.json_files import encodable_run
from pytest_energy.model.measurement import Environment, Quantity
from pytest_energy.model.metrics import ENERGY, LATENCY
from pytest_energy.model.result import Result, Run
from pytest_energy.model.workload import canonical, hash_of, workload_hash

Point = dict[str, Any]
"""A row: plain JSON values by the names of :data:`COLUMNS`."""


@dataclass(frozen=True)
class Column:
    """A column of the history."""

    name: str
    kind: Literal["text", "number", "count", "flag", "time", "metrics"]
    about: str


COLUMNS: Final = (
    Column("run_id", "text", "hash of the run's points; the same run added twice is one run"),
    Column("created", "time", "when the run began, UTC"),
    Column("commit", "text", "commit that was measured; NULL if unknown"),
    Column("branch", "text", "its branch"),
    Column("dirty", "flag", "whether files differed from the commit"),
    Column("complete", "flag", "whether the session came to its end"),
    Column("report", "text", "link to the run's report, from `history add --report`"),
    Column("machine", "text", "folder name of the kind of machine, such as `nvidia-h200`"),
    Column("machine_id", "text", "hash of the machine's identity; equal ones are comparable"),
    Column("identity", "text", "the machine's identity, as JSON"),
    Column("context", "text", "versions, driver and clocks, as JSON"),
    Column("test", "text", "the benchmark: a test's node id, and `::name` of a window"),
    Column("kind", "text", "`inference`, `training`, `call`, `window` or `candidate`"),
    Column("workload", "text", "hash of what was run"),
    Column("status", "text", "`measured`, `estimated`, `invalid` or `unmeasured`"),
    Column("outcome", "text", "the gate's verdict, such as `unchanged` or `regressed`"),
    Column("accepted", "flag", "whether the run made this result the baseline"),
    Column("change", "number", "relative change of the energy against the baseline; 0.09 is +9 %"),
    Column("tolerance", "number", "the accepted relative change of the energy"),
    Column("passes", "count", "passes that were measured"),
    Column("energy_j", "number", "joules a pass, epoch or call"),
    Column("energy_j_uncertainty", "number", "half-width of its 95 % interval"),
    Column("latency_s", "number", "seconds a pass, epoch or call"),
    Column("latency_s_uncertainty", "number", "half-width of its 95 % interval"),
    Column("metrics", "metrics", "all metrics by name: `metrics['accuracy'].value`"),
)
"""In the order of the table."""


def points_of(run: Run, report: str | None = None) -> list[Point]:
    """The points of a run, in the order of its benchmarks.

    Args:
        run: A run of one machine or a merged one of several.
        report: A link to its report.
    """
    run = encodable_run(run)
    by_machine = groupby(run.benchmarks, lambda result: result.measured_in(run.environment))
    rows = [
        {**machine, **_point(run, result)}
        for environment, results in by_machine
        for machine in [_machine(environment)]
        for result in results
    ]
    run_id = hash_of([run.created, rows])
    return [{**row, "run_id": run_id, "report": report} for row in rows]


def _machine(environment: Environment) -> Point:
    return {
        "machine": slug(environment.identity),
        "machine_id": hash_of(environment.identity),
        "identity": canonical(environment.identity),
        "context": canonical(environment.context),
    }


def _point(run: Run, result: Result) -> Point:
    energy = next((v for v in result.verdict.metrics if v.metric == ENERGY), None)
    return {
        "created": run.created,
        "commit": run.run.commit,
        "branch": run.run.branch,
        "dirty": run.run.dirty,
        "complete": run.run.complete,
        "test": result.id,
        "kind": result.kind,
        "workload": workload_hash(result.workload),
        "status": result.status,
        "outcome": result.verdict.outcome.value,
        "accepted": result.verdict.accepted,
        "change": energy and energy.change,
        "tolerance": energy and energy.tolerance,
        "passes": result.passes,
        **_number(ENERGY, result.metrics),
        **_number(LATENCY, result.metrics),
        "metrics": {
            name: {"value": q.value, "uncertainty": q.uncertainty, "unit": q.unit}
            for name, q in result.metrics.items()
        },
    }


def _number(name: str, metrics: Mapping[str, Quantity]) -> Point:
    quantity = metrics.get(name)
    return {
        name: quantity and quantity.value,
        f"{name}_uncertainty": quantity and quantity.uncertainty,
    }
