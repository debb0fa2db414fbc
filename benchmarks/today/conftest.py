"""The facts that every benchmark of this folder carries."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.today.case import Case


@pytest.hookimpl(optionalhook=True)
def pytest_energy_workload(item: pytest.Item) -> Mapping[str, object] | None:
    """Return the model, technique and knobs of a benchmark as facts of its workload."""
    callspec = getattr(item, "callspec", None)
    case = callspec.params.get("case") if callspec else None
    return case.workload if isinstance(case, Case) else None
