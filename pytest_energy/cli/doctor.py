"""Show what this machine can measure, how precisely, and what is missing.

Opens each installed meter and measures one idle second. Nothing runs on a GPU. Use it while the
machine is idle.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from pytest_energy import __version__
from pytest_energy.errors import MeterError, UsageError
from pytest_energy.meters.base import Meter, MeterRequest, MeterUnavailableError, Reading
from pytest_energy.meters.registry import auto_order, meter_names, open_meter
from pytest_energy.model.measurement import UNSEEN, Facts, Quantity, ReasonCode
from pytest_energy.report.labels import meter_words
from pytest_energy.report.numbers import machine_fact, quantity
from pytest_energy.uncertainty.gum import combine, expand

IDLE_S: Final = 1.0
AIM: Final = 0.01
"""The relative uncertainty for which the doctor says how long a window must be."""


@dataclass(frozen=True)
class Diagnosis:
    """What one meter can measure on this machine."""

    meter: str
    available: bool
    reason: str | None = None
    """Why it cannot measure, and what to do."""
    code: str | None = None
    """The same as a code, such as ``contended``."""
    source: str | None = None
    estimated: bool | None = None
    channels: tuple[str, ...] = ()
    tick_s: float | None = None
    idle_power: Mapping[str, Quantity] = field(default_factory=dict)
    noise_j: float | None = None
    """Half-width of the 95 % interval of an idle window's energy."""
    dominant: str | None = None
    """The largest term of the uncertainty: what would have to improve."""
    shortest_window_s: float | None = None
    window_for_aim_s: float | None = None
    """Length of a window with 1 % uncertainty at idle power; under load it may be shorter."""
    identity: Facts = field(default_factory=dict)
    context: Facts = field(default_factory=dict)
    traces: Mapping[str, str] = field(default_factory=dict)
    """Where each channel's power trace comes from."""
    missing: tuple[str, ...] = ()
    """Readings that the driver does not expose, and the checks disabled as a result."""
    own_load: str | None = None
    """What a load of the meter's own has shown, or what its absence costs and how to change it."""
    remarks: tuple[str, ...] = ()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pytest-energy doctor``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Print the diagnosis of each meter; return 0 if any of them can measure, else 1."""
    # As `auto` tries them, so that the one that will measure stands before those it passes over.
    diagnoses = [diagnose(name) for name in sorted(meter_names(), key=auto_order().index)]
    if arguments.json:
        print(json.dumps(_as_json(diagnoses), indent=1, allow_nan=False))
    else:
        print(_will_measure(diagnoses))
        print(f"pytest-energy {__version__} on {platform.platform()}")
        for diagnosis in diagnoses:
            print("", *_paragraph(diagnosis), sep="\n")
    return 0 if any(diagnosis.available for diagnosis in diagnoses) else 1


def _will_measure(diagnoses: list[Diagnosis]) -> str:
    """What ``pytest --energy`` measures with here, in the order in which it tries the meters."""
    for name in auto_order():
        for diagnosis in diagnoses:
            if diagnosis.meter == name and diagnosis.available:
                verb = "estimate" if diagnosis.estimated else "measure"
                device = machine_fact(diagnosis.identity.get("device", "this machine"))
                meter = meter_words(name, diagnosis.source or "")
                return f"pytest --energy will {verb} with {meter} on {device}"
    return "pytest --energy will measure no joules here: no meter can be opened"


def diagnose(name: str) -> Diagnosis:
    """Open a meter, measure an idle second, and close it."""
    try:
        # A session waits for other processes to end; a person wants to know their names now.
        meter = open_meter(name, MeterRequest(wait_idle_s=0.0))
    except MeterUnavailableError as error:
        return Diagnosis(name, False, reason=str(error), code=error.reason.code.value)
    except (MeterError, UsageError) as error:
        return Diagnosis(name, False, reason=str(error))
    try:
        return _examine(name, meter)
    finally:
        meter.close()


def _examine(name: str, meter: Meter) -> Diagnosis:
    edge = meter.begin()
    time.sleep(max(IDLE_S, meter.shortest_window_s))
    reading = _expecting_rest(meter.end(edge))
    budget = _idle_budget(reading)
    # The uncertainty of an estimate comes from its model, and no longer window reduces it.
    window_for_aim_s = None if meter.info.estimated else _window_for_aim(meter, reading)
    missing, own_load = (meter.info.details.get(name) for name in ("missing", "own_load"))
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
        window_for_aim_s=window_for_aim_s,
        identity=meter.environment.identity,
        context=meter.environment.context,
        traces={trace.channel: trace.source for trace in reading.traces},
        missing=tuple(str(item) for item in missing) if isinstance(missing, list) else (),
        own_load=own_load if isinstance(own_load, str) else None,
        remarks=tuple(reason.message for reason in reading.reasons),
    )


def _expecting_rest(reading: Reading) -> Reading:
    """The reading without the reason that the device was idle, which is meant here."""
    reasons = (reason for reason in reading.reasons if reason.code is not ReasonCode.DEVICE_IDLE)
    return replace(reading, reasons=tuple(reasons))


def _idle_budget(reading: Reading) -> dict[str, float]:
    """The budget without its term for load between samples: nothing runs while this measures."""
    return {cause: term for cause, term in reading.budget.items() if cause != UNSEEN}


def _window_for_aim(meter: Meter, reading: Reading) -> float | None:
    """The length of a window with the uncertainty :data:`AIM` at idle power."""
    if not reading.valid or not (energy_j := sum(reading.channels.values())) > 0:
        return None
    # The edges have the same joules of uncertainty in a window of any length, so that the relative
    # uncertainty falls in proportion to the length.
    relative = expand(combine(_idle_budget(reading).values())) / energy_j
    return max(meter.shortest_window_s, reading.duration_s * relative / AIM)


def _as_json(diagnoses: list[Diagnosis]) -> dict[str, object]:
    # asdict copies the dataclass only: a quantity is a pydantic model, which json cannot write.
    meters = [
        asdict(diagnosis)
        | {
            "idle_power": {
                channel: power.model_dump() for channel, power in diagnosis.idle_power.items()
            }
        }
        for diagnosis in diagnoses
    ]
    return {"version": __version__, "machine": platform.platform(), "meters": meters}


def _paragraph(diagnosis: Diagnosis) -> Iterator[str]:
    if not diagnosis.available:
        yield f"{diagnosis.meter}: cannot measure here"
        yield f"  {diagnosis.reason}"
        return
    verb = "estimates" if diagnosis.estimated else "measures"
    channels = ", ".join(diagnosis.channels)
    yield f"{diagnosis.meter}: {verb} {channels} (source: {diagnosis.source})"
    for name, value in {**diagnosis.identity, **diagnosis.context}.items():
        yield f"  {name}: {machine_fact(value)}"
    for channel, power in diagnosis.idle_power.items():
        yield f"  idle power of {channel}: {quantity(power)}"
    if diagnosis.tick_s is not None:
        yield f"  tick: {diagnosis.tick_s * 1e3:.4g} ms"
    if diagnosis.noise_j is not None:
        largest = f", mostly {diagnosis.dominant}" if diagnosis.dominant else ""
        yield f"  noise of a window: ±{diagnosis.noise_j:.3g} J{largest}"
    if diagnosis.shortest_window_s is not None:
        yield f"  shortest window: {diagnosis.shortest_window_s:.3g} s"
    if diagnosis.window_for_aim_s is not None:
        yield f"  window for {AIM:.0%} at idle power: {diagnosis.window_for_aim_s:.3g} s"
    for channel, source in diagnosis.traces.items():
        yield f"  power trace of {channel}: {source}"
    if diagnosis.own_load is not None:
        yield f"  load of the meter's own: {diagnosis.own_load}"
    for reading in diagnosis.missing:
        yield f"  missing: {reading}"
    if diagnosis.missing:
        yield "  this user cannot read these; a newer driver or more privileges may help"
    for remark in diagnosis.remarks:
        yield f"  remark: {remark}"
