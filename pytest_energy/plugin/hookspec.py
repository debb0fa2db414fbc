"""The hooks that a ``conftest.py`` or plugin may implement; without ``--energy`` none is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_energy.model.result import Result


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
