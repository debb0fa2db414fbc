"""Commit the facts that are missing, also of rows that only a GPU can run.

Facts are counted on torch's ``meta`` device, so any machine can record them::

    python -m benchmarks.today.facts
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from benchmarks.today.case import Case, count
from benchmarks.today.components import component_cases
from benchmarks.today.encoders import encoder_cases
from benchmarks.today.fine_tuning import fine_tuning_cases
from benchmarks.today.language_cases import language_cases
from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.model.measurement import Environment, Measurement

PLACES: Final[Mapping[str, Callable[[], Iterable[Case]]]] = {
    "test_language_models.py::test_language_model": language_cases,
    "test_language_models.py::test_component": component_cases,
    "test_fine_tuning.py::test_fine_tuning": fine_tuning_cases,
    "test_encoders.py::test_encoder": encoder_cases,
}
"""The cases by their test. Data-parallel training is not here: its facts name the number of
processes, so torchrun records them."""


def cases_by_id() -> dict[str, Case]:
    """Every case, by the id of its benchmark."""
    return {
        f"benchmarks/today/{place}[{case.id}]": case
        for place, cases in PLACES.items()
        for case in cases()
    }


def counted(benchmark: str, case: Case) -> Measurement:
    """The result of a run that measures nothing."""
    work, facts = count(case)
    return Measurement(
        id=benchmark,
        kind="call",
        workload={**case.workload, "function": work.call.__qualname__},
        status="unmeasured",
        metrics=facts,
    )


def record_missing(folder: Path, cases: Mapping[str, Case]) -> list[Path]:
    """Save the facts of the cases that have none below ``folder``, and return the new files."""
    store, nowhere = BaselineStore(folder), Environment(identity={}, context={})
    missing = {name: case for name, case in cases.items() if store.load_facts(name) is None}
    return [
        path
        for name, case in missing.items()
        for path in store.save(counted(name, case), nowhere, "none", None)
    ]


if __name__ == "__main__":
    for path in record_missing(Path("baselines"), cases_by_id()):
        print(path)
