"""Several meters as one: ``nvml+rapl`` has the channels gpu0, cpu and dram, and their sum."""

from __future__ import annotations

import functools
import operator
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from pytest_energy.errors import UsageError
from pytest_energy.meters.base import Adjustable, Edge, LearnsPrograms, Meter, Reading
from pytest_energy.model.measurement import (
    Environment,
    Facts,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
)
from pytest_energy.uncertainty.gum import combine, uniform

MERGED = ("meter", "meter_source")
"""Facts of the identity that describe the sum, not its parts."""
EDGES = "edges"
"""The term of the idle time beside a window."""


class CombinedMeter:
    """The sum of meters that measure different parts of a machine.

    The meter with the longest tick begins first and ends last, because it may wait for its counter.
    Its window then includes the time that the others wait, and is reduced to theirs.

    Raises:
        UsageError: Two meters have a channel of the same name, which would be counted twice.
    """

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = tuple(meters)
        self._outside_in = sorted(meters, key=lambda meter: -(meter.info.tick_s or 0))
        twice = sorted({name for name in self.channels if self.channels.count(name) > 1})
        if twice:
            raise UsageError(
                f"meter {self.info.name!r} would count {', '.join(twice)} twice; name only one"
                " meter that measures it"
            )

    @property
    def info(self) -> MeterInfo:
        """Names and sources joined by plus; an estimate if any part is an estimate."""
        infos = [meter.info for meter in self._meters]
        return MeterInfo(
            name="+".join(info.name for info in infos),
            source="+".join(dict.fromkeys(info.source for info in infos)),
            estimated=any(info.estimated for info in infos),
            tick_s=max((info.tick_s for info in infos if info.tick_s is not None), default=None),
            details={
                f"{info.name}.{key}": value for info in infos for key, value in info.details.items()
            },
        )

    @property
    def parts(self) -> tuple[Meter, ...]:
        """The meters."""
        return self._meters

    @property
    def channels(self) -> tuple[str, ...]:
        """All channels, in the order of the meters."""
        return tuple(channel for meter in self._meters for channel in meter.channels)

    @property
    def environment(self) -> Environment:
        """The facts of all meters; a repeated name gets the name of the later meter as a prefix."""
        identity: Facts = {"meter": self.info.name, "meter_source": self.info.source}
        context: Facts = {}
        for meter in self._meters:
            own = meter.environment
            others = {key: value for key, value in own.identity.items() if key not in MERGED}
            _add(identity, others, meter.info.name)
            _add(context, own.context, meter.info.name)
        return Environment(identity=identity, context=context)

    @property
    def shortest_window_s(self) -> float:
        """The shortest window of the slowest meter."""
        return max(meter.shortest_window_s for meter in self._meters)

    @property
    def idle_power_w(self) -> Mapping[str, Quantity]:
        """The idle power of all channels for which it is known."""
        return functools.reduce(operator.or_, (dict(meter.idle_power_w) for meter in self._meters))

    def accept_settings(self) -> None:
        """Let each part that can do so check windows against the present settings."""
        for meter in self._meters:
            if isinstance(meter, Adjustable):
                meter.accept_settings()

    def next_program(self, name: str) -> None:
        """Tell each part that learns from programs which one the next windows are of."""
        for meter in self._meters:
            if isinstance(meter, LearnsPrograms):
                meter.next_program(name)

    def spent_j(self) -> float | None:
        """The joules of all meters together; ``None`` if one of them is unknown."""
        known = [spent for meter in self._meters if (spent := meter.spent_j()) is not None]
        return sum(known) if len(known) == len(self._meters) else None

    def begin(self) -> Edge:
        """Open a window on each meter; the edge has the time of the last one, before the passes."""
        edges = [meter.begin() for meter in self._outside_in]
        return Edge(start=edges[-1].start, time_s=edges[-1].time_s, state=edges)

    def end(self, edge: Edge) -> Reading:
        """Close the window of each meter, in the reverse order; all are reduced to the shortest."""
        edges = cast("list[Edge]", edge.state)
        inside_out = list(reversed(self._outside_in))
        pairs = zip(inside_out, reversed(edges), strict=True)
        readings = [meter.end(its_edge) for meter, its_edge in pairs]
        duration_s = readings[0].duration_s

        def added() -> Reading:
            return add_readings(
                [
                    reduced(reading.by_now(), duration_s, meter.idle_power_w)
                    for meter, reading in zip(inside_out, readings, strict=True)
                ]
            )

        total = added()
        revisable = any(reading.revised for reading in readings)
        return replace(total, revised=added) if revisable else total

    def close(self) -> None:
        """Close all meters."""
        for meter in self._meters:
            meter.close()


def reduced(reading: Reading, duration_s: float, idle_power_w: Mapping[str, Quantity]) -> Reading:
    """A reading without the idle time by which its window was longer than ``duration_s``.

    In that time other meters searched the edges of their windows. The power of a device that has
    just worked is not exactly its idle power: it is taken to lie between 0 and twice that, or,
    where it is unknown, between 0 and the mean power of the window (uniform, GUM 4.3.7).
    """
    excess_s = reading.duration_s - duration_s
    if excess_s <= 0:
        return reading
    widths_w = {
        channel: 2 * idle_power_w[channel].value
        if channel in idle_power_w
        else energy_j / reading.duration_s
        for channel, energy_j in reading.channels.items()
    }
    doubts_j = [uniform(width_w) * excess_s for width_w in widths_w.values()]
    return replace(
        reading,
        duration_s=duration_s,
        channels={
            channel: max(0.0, energy_j - widths_w[channel] / 2 * excess_s)
            for channel, energy_j in reading.channels.items()
        },
        budget={**reading.budget, EDGES: combine((reading.budget.get(EDGES, 0.0), *doubts_j))},
    )


def add_readings(readings: Sequence[Reading]) -> Reading:
    """The sum of the readings of several meters over the same window.

    Uncertainties of one cause in different meters are uncorrelated (GUM 5.1.2).
    """
    terms: dict[str, list[float]] = defaultdict(list)
    for reading in readings:
        for cause, uncertainty_j in reading.budget.items():
            terms[cause].append(uncertainty_j)
    return Reading(
        duration_s=readings[0].duration_s,
        channels=functools.reduce(operator.or_, (dict(reading.channels) for reading in readings)),
        budget={cause: combine(values) for cause, values in terms.items()},
        conditions=functools.reduce(
            operator.or_, (dict(reading.conditions) for reading in readings)
        ),
        reasons=tuple(_of_a_part(reason) for reading in readings for reason in reading.reasons),
        traces=tuple(trace for reading in readings for trace in reading.traces),
        device_worked=any(reading.device_worked for reading in readings),
    )


def _of_a_part(reason: Reason) -> Reason:
    """A reason of one meter, as that of the sum: what an idle GPU did not do, the CPU may have."""
    if reason.code is not ReasonCode.DEVICE_IDLE:
        return reason
    return reason.model_copy(update={"fatal": False})


def _add(facts: Facts, others: Facts, owner: str) -> None:
    for name, value in others.items():
        facts[f"{owner}.{name}" if name in facts else name] = value
