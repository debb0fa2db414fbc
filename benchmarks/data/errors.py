"""What goes wrong with data, in words a person can act on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_energy.errors import EnergyError


@dataclass
class DataMissingError(EnergyError):
    """A folder of ``--energy-data`` lacks what a data set needs."""

    dataset: str
    root: Path
    missing: tuple[str, ...]
    """Paths below ``root`` that are not there."""
    layout: str
    """What must lie where, and where it comes from."""

    def __str__(self) -> str:
        listed = ", ".join(self.missing)
        return (
            f"{self.dataset}: not below --energy-data {self.root}: {listed}. {self.layout} "
            "Nothing is downloaded; leave --energy-data out to run on generated data."
        )
