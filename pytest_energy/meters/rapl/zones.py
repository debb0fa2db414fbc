"""The energy counters of one machine, as Linux lists them in its powercap folder.

Packages are the channel ``cpu``, memory is ``dram``. A package contains its parts (``core``,
``uncore``), and ``psys`` contains the packages, so ``psys`` is read only if there is nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_energy.meters.base import MeterUnavailableError
from pytest_energy.model.measurement import Reason, ReasonCode

ROOT: Final = Path("/sys/class/powercap")
CHANNELS: Final = {"package": "cpu", "dram": "dram", "psys": "psys"}
"""Channel by the beginning of a zone's name; all other zones are parts of these."""

UNKNOWN_LIMIT_W: Final = 4000.0
"""Bound for a zone without limits of its own: eight times the highest rated power of a processor in
2025 (AMD EPYC 9965, 500 W). It only has to tell a wrapped counter from one that was reset."""
HEADROOM: Final = 2.0
"""A zone may exceed its limits for milliseconds, and they may be raised during a session."""


@dataclass(frozen=True)
class Zone:
    """One energy counter."""

    path: Path
    name: str
    channel: str
    range_uj: int
    """Largest value of the counter; the next value is 0."""
    highest_power_w: float = UNKNOWN_LIMIT_W
    """The zone never draws more over a window."""

    def read_uj(self) -> int:
        """The counter's value in microjoules.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file contains no number.
        """
        return int((self.path / "energy_uj").read_text("ascii"))

    @property
    def shortest_wrap_s(self) -> float:
        """In a longer window the counter could wrap around completely."""
        return self.range_uj / 1e6 / self.highest_power_w


def find_zones(root: Path = ROOT) -> tuple[Zone, ...]:
    """The zones that cover the machine and count nothing twice, sorted.

    ``intel-rapl-mmio`` is left out: it is another interface to the same packages.

    Raises:
        MeterUnavailableError: The range of a counter is unknown.
    """
    folders = sorted(root.glob("intel-rapl:*")) if root.is_dir() else []
    zones = [zone for folder in folders if (zone := _zone(folder))]
    whole = [zone for zone in zones if zone.channel != "psys"]
    return tuple(whole or zones)


def count(zone: Zone) -> int | Reason:
    """The counter's value in microjoules, or why it cannot be read."""
    try:
        return zone.read_uj()
    except PermissionError:
        message = (
            f"no permission to read RAPL: {zone.path}/energy_uj; allow it until the next boot with:"
            f" sudo chmod a+r {zone.path.parent}/intel-rapl:*/energy_uj"
        )
        return Reason(code=ReasonCode.NO_PERMISSION, message=message)
    except (OSError, ValueError) as error:
        return Reason(code=ReasonCode.METER_FAILED, message=f"{zone.name}: {error}")


def spent_uj(start_uj: int, end_uj: int, range_uj: int) -> int:
    """Microjoules between two readings of a counter that wrapped around at most once."""
    return (end_uj - start_uj) % (range_uj + 1)


def _zone(folder: Path) -> Zone | None:
    name = (folder / "name").read_text("ascii").strip()
    kind = re.match(r"[a-z]+", name)
    channel = CHANNELS.get(kind.group() if kind else "")
    if channel is None:
        return None
    # The memory zones of all sockets have the same name.
    label = name if channel != "dram" else f"{name} ({folder.name})"
    try:
        range_uj = int((folder / "max_energy_range_uj").read_text("ascii"))
        if range_uj <= 0:
            raise ValueError(f"its max_energy_range_uj is {range_uj} µJ")
    except (OSError, ValueError) as error:
        message = f"the range of the counter of RAPL zone {label} is unknown: {error}"
        raise MeterUnavailableError(ReasonCode.METER_FAILED, message) from None
    return Zone(folder, label, channel, range_uj, _highest_power_w(folder))


def _highest_power_w(folder: Path) -> float:
    """The zone's highest limit with :data:`HEADROOM`, or :data:`UNKNOWN_LIMIT_W`.

    Source: Linux, *Power Capping Framework*, "Constraints". AMD processors have no constraints, and
    a firmware without a limit stores thousands of watts.
    """
    if _number(folder / "enabled") == 0:  # its limits do not bind
        return UNKNOWN_LIMIT_W
    limits_w = [limit_uw / 1e6 for limit_uw in _limits_uw(folder) if limit_uw > 0]
    return min(HEADROOM * max(limits_w, default=UNKNOWN_LIMIT_W), UNKNOWN_LIMIT_W)


def _limits_uw(folder: Path) -> Iterator[int]:
    for pattern in ("constraint_*_power_limit_uw", "constraint_*_max_power_uw"):
        for path in folder.glob(pattern):
            limit_uw = _number(path)
            if limit_uw is not None:
                yield limit_uw


def _number(path: Path) -> int | None:
    """A whole number in a file; ``None`` if the kernel does not tell it."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
