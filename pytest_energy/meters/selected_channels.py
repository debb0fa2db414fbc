"""Some channels of a meter: ``cpu`` of ``nvml+rapl``, for work that belongs to the processor."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from pytest_energy.errors import UsageError
from pytest_energy.meters.base import Adjustable, Edge, LearnsPrograms, Meter, Reading
from pytest_energy.meters.combined import CombinedMeter
from pytest_energy.model.measurement import Environment, MeterInfo, Quantity

OWNERS: Final = {"cpu": "rapl", "dram": "rapl"}
"""The meters of channels that a session of a GPU lacks."""


def has_all(meter: Meter, names: Collection[str]) -> bool:
    """Whether a meter has these channels and no other."""
    return set(names) == set(meter.channels)


def owner_of(names: Collection[str], meter: Meter | None) -> str | None:
    """The name of the meter to open for these channels; ``None`` if ``meter`` has them.

    Raises:
        UsageError: No meter is known to have one of them.
    """
    own = meter.channels if meter else ()
    if set(names) <= set(own):
        return None
    if unknown := sorted(set(names) - OWNERS.keys()):
        raise UsageError(
            f"channels: no channel {unknown[0]!r} here; known are"
            f" {', '.join(sorted({*own, *OWNERS}))}; name its meter by meter=, too"
        )
    return "+".join(sorted({OWNERS[name] for name in names}))


def select_channels(meter: Meter, names: Collection[str]) -> Meter:
    """Return a meter of these channels only.

    Of several meters that are read as one, those without any of them are not read.

    Raises:
        UsageError: The meter lacks a channel.
    """
    if lacking := sorted(set(names) - set(meter.channels)):
        raise UsageError(
            f"channels: no channel {lacking[0]!r}; {meter.info.name} has"
            f" {', '.join(meter.channels)}"
        )
    if has_all(meter, names):
        return meter
    if not isinstance(meter, CombinedMeter):
        return SelectedChannels(meter, names)
    chosen = [part for part in meter.parts if not set(names).isdisjoint(part.channels)]
    parts = [select_channels(part, set(names) & set(part.channels)) for part in chosen]
    return parts[0] if len(parts) == 1 else CombinedMeter(parts)


class SelectedChannels:
    """A meter that leaves the joules of other channels out.

    The budget stays that of all channels, which is no smaller than that of some.
    """

    def __init__(self, meter: Meter, names: Collection[str]) -> None:
        self._meter = meter
        self.channels = tuple(name for name in meter.channels if name in names)

    @property
    def info(self) -> MeterInfo:
        """That of the whole meter."""
        return self._meter.info

    @property
    def environment(self) -> Environment:
        """That of the whole meter, with the channels: other sums are not comparable."""
        whole = self._meter.environment
        identity = {**whole.identity, "channels": list(self.channels)}
        return whole.model_copy(update={"identity": identity})

    @property
    def shortest_window_s(self) -> float:
        """That of the whole meter."""
        return self._meter.shortest_window_s

    @property
    def idle_power_w(self) -> Mapping[str, Quantity]:
        """Of these channels."""
        idle = self._meter.idle_power_w
        return {name: idle[name] for name in self.channels if name in idle}

    def accept_settings(self) -> None:
        """Let the meter, if it can, check windows against the present settings."""
        if isinstance(self._meter, Adjustable):
            self._meter.accept_settings()

    def next_program(self, name: str) -> None:
        """Tell the meter, if it learns from programs, which one the next windows are of."""
        if isinstance(self._meter, LearnsPrograms):
            self._meter.next_program(name)

    def spent_j(self) -> float | None:
        """``None``: the meter adds all channels up."""
        return None

    def begin(self) -> Edge:
        """Open a window of the meter."""
        return self._meter.begin()

    def end(self, edge: Edge) -> Reading:
        """Close the window, and keep these channels."""
        return self._meter.end(edge).changed(self._selected)

    def _selected(self, reading: Reading) -> Reading:
        return replace(
            reading,
            channels={name: j for name, j in reading.channels.items() if name in self.channels},
            traces=tuple(trace for trace in reading.traces if trace.channel in self.channels),
        )

    def close(self) -> None:
        """Close the meter."""
        self._meter.close()
