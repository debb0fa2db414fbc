"""Errors about missing data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_energy.errors import EnergyError


@dataclass
class DataMissingError(EnergyError):
    """The folder of ``--energy-data`` lacks files of a data set."""

    dataset: str
    root: Path
    missing: tuple[str, ...]
    """Paths below ``root`` that are not there."""
    layout: str
    """The expected layout, and the source of the files."""

    def __str__(self) -> str:
        paths = ", ".join(self.missing)
        return (
            f"{self.dataset}: missing below --energy-data {self.root}: {paths}. {self.layout} "
            "Nothing is downloaded; leave --energy-data out to run on generated data."
        )


@dataclass
class DataLayoutError(EnergyError):
    """The files of a data set are there, but reading them would give wrong labels or none."""

    dataset: str
    root: Path
    fault: str
    layout: str
    """The expected layout, and the source of the files."""

    def __str__(self) -> str:
        return f"{self.dataset} below --energy-data {self.root}: {self.fault}. {self.layout}"
