"""Tell what this machine can measure, how well, and what is missing.

Each installed meter is opened and measures an idle second. Nothing is loaded onto a GPU; run it
while the machine is idle.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from pytest_energy import __version__
from pytest_energy.errors import MeterError
from pytest_energy.meters.base import Meter, MeterRequest, MeterUnavailableError, Reading
from pytest_energy.meters.registry import meter_names, open_meter
from pytest_energy.model.measurement import UNSEEN, Facts, Quantity
from pytest_energy.report.numbers import quantity
from pytest_energy.uncertainty.gum import combine, expand

IDLE_S = 1.0
AIM = 0.01
"""The relative uncertainty for which the shortest window is told."""


@dataclass(frozen=True)
class Diagnosis:
    """What one meter can do here."""

    meter: str
    available: bool
    reason: str | None = None
    """Why it cannot measure, and what to do."""
    code: str | None = None
    source: str | None = None
    estimated: bool | None = None
    channels: tuple[str, ...] = ()
    tick_s: float | None = None
    idle_power: Mapping[str, Quantity] = field(default_factory=dict)
    noise_j: float | None = None
    """95 % half-width of the joules of an idle window."""
    dominant: str | None = None
    """The largest term of its budget: what would have to improve."""
    shortest_window_s: float | None = None
    window_for_aim_s: float | None = None
    """The window that is known to 1 % at idle power; under load a shorter one is."""
    identity: Facts = field(default_factory=dict)
    context: Facts = field(default_factory=dict)
    traces: Mapping[str, str] = field(default_factory=dict)
    """Where each channel's power trace comes from."""
    missing: tuple[str, ...] = ()
    """What the driver does not tell, and what follows from it."""
    remarks: tuple[str, ...] = ()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pytest-energy doctor``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Print the diagnosis of each meter; 0 where any can measure, else 1."""
    found = [diagnose(name) for name in meter_names()]
    if arguments.json:
        print(json.dumps(_as_json(found), indent=1, allow_nan=False))
    else:
        print("\n".join(_as_text(found)))
    return 0 if any(one.available for one in found) else 1


def diagnose(name: str) -> Diagnosis:
    """Open a meter, measure an idle second, and close it."""
    try:
        meter = open_meter(name, MeterRequest(wait_idle_s=0.0))
    except MeterUnavailableError as error:
        return Diagnosis(name, False, reason=str(error), code=error.reason.code.value)
    except MeterError as error:
        return Diagnosis(name, False, reason=str(error))
    try:
        return _examine(name, meter)
    finally:
        meter.close()


def _examine(name: str, meter: Meter) -> Diagnosis:
    edge = meter.begin()
    time.sleep(max(IDLE_S, meter.shortest_window_s))
    reading = meter.end(edge)
    budget = _of_edges(reading)
    return Diagnosis(
        meter=name,
        available=True,
        source=meter.info.source,
        estimated=meter.info.estimated,
        channels=meter.channels,
        tick_s=meter.info.tick_s,
        idle_power=dict(meter.idle_power_w),
        noise_j=expand(combine(budget.values())) if reading.valid else None,
        dominant=max(budget, key=budget.__getitem__, default=None),
        shortest_window_s=meter.shortest_window_s,
        window_for_aim_s=None if meter.info.estimated else _window_for_aim(meter, reading),
        identity=meter.environment.identity,
        context=meter.environment.context,
        traces={trace.channel: trace.source for trace in reading.traces},
        missing=_strings(meter.info.details.get("missing")),
        remarks=tuple(reason.message for reason in reading.reasons),
    )


def _strings(told: object) -> tuple[str, ...]:
    return tuple(str(item) for item in told) if isinstance(told, list) else ()


def _of_edges(reading: Reading) -> dict[str, float]:
    """The budget but for what a load may do while the sensor looks away: here there is none."""
    return {cause: term for cause, term in reading.budget.items() if cause != UNSEEN}


def _window_for_aim(meter: Meter, reading: Reading) -> float | None:
    """How long a window at idle power has to be, since its edges cost the same in any window."""
    if not reading.valid or not (energy_j := sum(reading.channels.values())) > 0:
        return None
    share = expand(combine(_of_edges(reading).values())) / energy_j
    return max(meter.shortest_window_s, reading.duration_s * share / AIM)


def _as_json(found: list[Diagnosis]) -> dict[str, object]:
    meters = [
        asdict(one) | {"idle_power": {c: q.model_dump() for c, q in one.idle_power.items()}}
        for one in found
    ]
    return {"version": __version__, "machine": platform.platform(), "meters": meters}


def _as_text(found: list[Diagnosis]) -> Iterator[str]:
    yield f"pytest-energy {__version__} on {platform.platform()}"
    for one in found:
        yield ""
        yield from _paragraph(one)


def _paragraph(one: Diagnosis) -> Iterator[str]:
    if not one.available:
        yield f"{one.meter}: cannot measure here"
        yield f"  {one.reason}"
        return
    kind = "estimates" if one.estimated else "measures"
    yield f"{one.meter}: {kind} {', '.join(one.channels)} (source: {one.source})"
    for name, value in {**one.identity, **one.context}.items():
        yield f"  {name}: {value}"
    for channel, power in one.idle_power.items():
        yield f"  idle power of {channel}: {quantity(power)}"
    yield from _resolution(one)
    for channel, source in one.traces.items():
        yield f"  power trace of {channel}: {source}"
    for what in one.missing:
        yield f"  missing: {what}"
    if one.missing:
        yield "  the driver does not tell this to this user: a newer one, or more rights, may help"
    for remark in one.remarks:
        yield f"  remark: {remark}"


def _resolution(one: Diagnosis) -> Iterator[str]:
    if one.tick_s is not None:
        yield f"  tick: {one.tick_s * 1e3:.4g} ms"
    if one.noise_j is not None:
        largest = f", mostly {one.dominant}" if one.dominant else ""
        yield f"  noise of a window: ±{one.noise_j:.3g} J{largest}"
    if one.shortest_window_s is not None:
        yield f"  shortest window: {one.shortest_window_s:.3g} s"
    if one.window_for_aim_s is not None:
        yield f"  window for {AIM:.0%} at idle power: {one.window_for_aim_s:.3g} s"
