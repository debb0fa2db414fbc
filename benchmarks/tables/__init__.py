"""The tables of published energy studies, filled from a run's results.

Each module ``paper_x.py`` declares the tables of one study. Rows and columns select benchmarks by
the facts of their workload, so the names of tests do not matter. The study's own figures come from
the CSV files in ``papers/`` and have columns of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from benchmarks.tables.layout import Table
from pytest_energy.model.result import Result

PAPERS = ("a", "b", "c", "d", "e")


def tables_of(paper: str, results: Sequence[Result]) -> tuple[Table, ...]:
    """The tables of ``paper``, one of :data:`PAPERS`, filled from ``results``."""
    module = import_module(f"{__name__}.paper_{paper}")
    tables: tuple[Table, ...] = module.tables(results)
    return tables
