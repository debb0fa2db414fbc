"""The hooks that a ``conftest.py`` or plugin may implement; without ``--energy`` none is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # pytest looks at each name here whenever it starts
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from pytest_energy.model.result import Result, Run


@pytest.hookspec
def pytest_energy_workload(item: pytest.Item) -> Mapping[str, Any] | None:
    """Return facts to add to the workload of every benchmark in ``item``, as plain JSON values.

    Benchmarks with different workloads are not compared.
    """


@pytest.hookspec
def pytest_energy_identity(
    config: pytest.Config, identity: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return facts to add to the identity of the machine, or to replace in it.

    Results of machines with different identities are not compared.
    """


@pytest.hookspec
def pytest_energy_result(config: pytest.Config, result: Result) -> None:
    """Receive each finished benchmark with its verdict."""


@pytest.hookspec
def pytest_energy_outputs(config: pytest.Config, run: Run) -> Sequence[Path] | None:
    """Write further files about a finished run, and return their paths, which the summary lists.

    It is called once a session that measured anything, after the results and the report are
    written. If it raises, the summary says so, and nothing else is lost.
    """
