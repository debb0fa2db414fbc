"""Hooks by which a ``conftest.py`` takes part; none of them is called without ``--energy``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_energy.model.result import Result


@pytest.hookspec
def pytest_energy_workload(item: pytest.Item) -> Mapping[str, Any] | None:
    """Return facts to add to the workload of every benchmark in ``item``.

    They are plain JSON values. Benchmarks with another workload are not compared.
    """


@pytest.hookspec
def pytest_energy_identity(
    config: pytest.Config, identity: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return facts to add to the machine's identity, or to replace in it.

    Results of machines with another identity are not compared.
    """


@pytest.hookspec
def pytest_energy_result(config: pytest.Config, result: Result) -> None:
    """See each finished benchmark with its verdict."""
