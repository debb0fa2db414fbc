"""Energy regression testing for deep learning, as a pytest plugin.

Importing this package imports nothing heavy. The names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_energy.fixture import Energy, Metric
    from pytest_energy.model.json_files import load_run
    from pytest_energy.model.measurement import Quantity
    from pytest_energy.model.result import Run

__version__ = "0.1.0"

__all__ = ["Energy", "Metric", "Quantity", "Run", "__version__", "load_run"]

_MODULES = {
    "Energy": "pytest_energy.fixture",
    "Metric": "pytest_energy.fixture",
    "Quantity": "pytest_energy.model.measurement",
    "Run": "pytest_energy.model.result",
    "load_run": "pytest_energy.model.json_files",
}


# pytest imports the package at every start, so pydantic must wait for its first use (PEP 562).
def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
