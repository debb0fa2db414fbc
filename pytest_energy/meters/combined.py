"""Several meters read as one: ``nvml+rapl`` gives gpu0, cpu, dram and their sum."""

from __future__ import annotations

import functools
import operator
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from pytest_energy.errors import UsageError
from pytest_energy.meters.base import Edge, Meter, Reading
from pytest_energy.model.measurement import Environment, Facts, MeterInfo, Quantity
from pytest_energy.uncertainty.gum import combine

MERGED = ("meter", "meter_source")
"""Facts of the identity that the sum has instead of its parts."""


class CombinedMeter:
    """The sum of meters that measure different parts of a machine.

    The meter with the longest tick begins first and ends last: it may wait for its counter, and
    what the others read meanwhile is not of the passes.

    Raises:
        UsageError: Two of them measure a channel of the same name, which would count twice.
    """

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = tuple(meters)
        self._outside_in = sorted(meters, key=lambda meter: -(meter.info.tick_s or 0))
        twice = sorted({name for name in self.channels if self.channels.count(name) > 1})
        if twice:
            raise UsageError(f"meter {self.info.name!r} would count {', '.join(twice)} twice")

    @property
    def info(self) -> MeterInfo:
        """Names and sources joined by plus; an estimate where any part is one."""
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
    def channels(self) -> tuple[str, ...]:
        """All channels, in the order in which the meters were named."""
        return tuple(channel for meter in self._meters for channel in meter.channels)

    @property
    def environment(self) -> Environment:
        """The first meter's facts; another's of the same name are told with the meter's name."""
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
        """What the slowest part needs."""
        return max(meter.shortest_window_s for meter in self._meters)

    @property
    def idle_power_w(self) -> Mapping[str, Quantity]:
        """Of all channels whose idle power is known."""
        return functools.reduce(operator.or_, (dict(meter.idle_power_w) for meter in self._meters))

    def spent_j(self) -> float | None:
        """Of all of them together; ``None`` where one does not know."""
        known = [spent for meter in self._meters if (spent := meter.spent_j()) is not None]
        return sum(known) if len(known) == len(self._meters) else None

    def begin(self) -> Edge:
        """Open a window on each meter; the time is that of the last, just before the passes."""
        edges = [meter.begin() for meter in self._outside_in]
        return Edge(start=edges[-1].start, time_s=edges[-1].time_s, state=edges)

    def end(self, edge: Edge) -> Reading:
        """Close each meter's window; what one of them could not read has its fatal reason."""
        edges = cast("list[Edge]", edge.state)
        pairs = zip(reversed(self._outside_in), reversed(edges), strict=True)
        return add_readings([meter.end(its_edge) for meter, its_edge in pairs])

    def close(self) -> None:
        """Close all of them."""
        for meter in self._meters:
            meter.close()


def add_readings(readings: Sequence[Reading]) -> Reading:
    """The sum of what several meters read of the same passes.

    Uncertainties of one cause in different meters are uncorrelated (GUM 5.1.2).
    """
    terms: dict[str, list[float]] = defaultdict(list)
    for reading in readings:
        for cause, uncertainty_j in reading.budget.items():
            terms[cause].append(uncertainty_j)
    return Reading(
        duration_s=max(reading.duration_s for reading in readings),
        channels=functools.reduce(operator.or_, (dict(one.channels) for one in readings)),
        budget={cause: combine(values) for cause, values in terms.items()},
        conditions=functools.reduce(operator.or_, (dict(one.conditions) for one in readings)),
        reasons=tuple(reason for reading in readings for reason in reading.reasons),
        traces=tuple(trace for reading in readings for trace in reading.traces),
    )


def _add(facts: Facts, others: Facts, owner: str) -> None:
    for name, value in others.items():
        facts[f"{owner}.{name}" if name in facts else name] = value
