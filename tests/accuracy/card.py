"""Test how the sensors of a real NVIDIA card behave, in one call of about four minutes.

    python tests/accuracy/card.py > card.json

needs an idle GPU, torch with CUDA to load it, and this package. The output names the card, the
driver and the date. Its answers belong into ``docs/sensors.md``: the counter's tick; whether fast
reading makes it fall short; whether it sees only a part of the time; counter against integrated
power, idle and loaded; which fields the driver supports; whether the driver stamps the counter with
its ticks; the scatter of 5 s windows between rounds. ``--seconds`` shortens each part.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

from pytest_energy.measuring.window import measure_round, synchronizer
from pytest_energy.meters.base import Meter, MeterRequest
from pytest_energy.meters.nvml import driver as library
from pytest_energy.meters.nvml.devices.selection import Device, select_devices
from pytest_energy.meters.nvml.devices.sensors import (
    ENERGY,
    POWER_AVERAGE,
    POWER_INSTANT,
    THROTTLES,
    counter_of,
    take_fields,
)
from pytest_energy.meters.nvml.sources.power_sensor import read_power, read_ring
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.measurement import ReasonCode

Load = Callable[[float], None]
"""Loads the card for about this many seconds, then returns."""
SQUARES_S = (0.05, 0.1, 0.13, 0.2)
STAMP_PAUSE_S = 0.005
READ_PAUSES_S = (0.0005, 0.01, 0.1, 1.0)


def main() -> None:
    """Print the answers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each window")
    parser.add_argument(
        "--rounds", type=int, default=10, help="windows from which the scatter is taken"
    )
    parser.add_argument(
        "--read", type=float, metavar="PAUSE", help="only read the counter, without end"
    )
    chosen = parser.parse_args()
    if chosen.read is not None:
        read_on(chosen.read)
    library.start()
    json.dump(answers(torch_load(), chosen.seconds, chosen.rounds), sys.stdout, indent=1)


def answers(load: Load, seconds: float, rounds: int) -> dict[str, object]:
    """All answers, for the first visible device.

    Args:
        load: Loads the device.
        seconds: The length of each window.
        rounds: Number of windows from which the scatter is taken.
    """
    with closing(open_meter("nvml", MeterRequest())) as meter:
        return _answers(meter, select_devices(None)[0], load, seconds, rounds)


def _answers(
    meter: Meter, device: Device, load: Load, seconds: float, rounds: int
) -> dict[str, object]:
    measure = meter_window(meter)
    idle = meter.idle_power_w[device.channel]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "card": meter.environment.identity,
        "context": meter.environment.context,
        "source": meter.info.source,
        "tick_s": meter.info.tick_s,
        "idle_power_w": [idle.value, idle.uncertainty],
        "fields": which_fields(device),
        "counter_stamps": counter_stamps(device, seconds),
        "power_w_by_pause_between_reads_s": fast_reading(measure, load, seconds),
        "square_waves": square_waves(measure, load, seconds),
        "counter_and_power": counter_and_power(measure, device, load, seconds),
        "scatter": scatter(measure, load, seconds, rounds),
    }


Windowed = Callable[[Callable[[], None]], float]
"""Runs something as a window and returns its mean power in watts."""


def meter_window(meter: Meter) -> Windowed:
    """Return a function that measures the mean power of a window by the meter."""

    def measure(work: Callable[[], None]) -> float:
        measured = measure_round(meter, lambda n: work(), 1, synchronizer()).round
        if measured.energy_j is None:
            reasons = "; ".join(reason.message for reason in measured.reasons)
            raise library.SensorError(ReasonCode.METER_FAILED, reasons)
        return measured.energy_j / measured.duration_s

    return measure


def which_fields(device: Device) -> dict[str, bool]:
    """Which of the relevant fields the driver supports, and whether it keeps samples."""
    wanted = {"energy 83": ENERGY, "average 185": POWER_AVERAGE, "instant 186": POWER_INSTANT}
    wanted |= {f"{cause} {field}": field for field, cause in THROTTLES.items()}
    found = library.read_fields(device.handle, wanted.values())
    return {name: field in found for name, field in wanted.items()} | {
        "samples": read_ring(device.handle, 0.0) is not None
    }


def counter_stamps(device: Device, seconds: float) -> dict[str, float]:
    """How the driver's time stamp of the counter behaves while it is read every 5 ms.

    If there are as many stamps as values, and ages of up to a tick, the stamps are those of the
    ticks. If there are as many stamps as reads, they are those of the requests.
    """
    ended_s = time.perf_counter() + seconds
    seen = []
    while time.perf_counter() < ended_s:
        if counted := take_fields(device).counted_j:
            seen.append((counted.value, counted.stamp_s, time.time() - counted.stamp_s))
        time.sleep(STAMP_PAUSE_S)
    values, stamps, ages_s = zip(*seen, strict=True) if seen else ((), (), ())
    return {
        "reads": len(seen),
        "values": len(set(values)),
        "stamps": len(set(stamps)),
        "oldest_s": max(ages_s, default=0.0),
    }


def fast_reading(measure: Windowed, load: Load, seconds: float) -> dict[str, float]:
    """Mean power of the same load by the meter, while another process also reads the counter."""
    powers_w = {}
    for pause_s in READ_PAUSES_S:
        command = [sys.executable, __file__, "--read", str(pause_s)]
        with subprocess.Popen(command) as reader:
            powers_w[f"{pause_s:g}"] = measure(lambda: load(seconds))
            reader.terminate()
    return powers_w


def read_on(pause_s: float) -> None:
    """Read the counter again and again, until the process is ended."""
    library.start()
    read_j = counter_of(select_devices(None)[0])
    while read_j is not None:
        read_j()
        time.sleep(pause_s)


def square_waves(measure: Windowed, load: Load, seconds: float) -> dict[str, list[float]]:
    """Mean power of square waves, five windows per period.

    A counter that sees all of the time gives about the same power in each window. The power of a
    counter that looks away scatters with the phase at periods of 50, 100 and 200 ms, and less at
    130 ms.
    """

    def square(period_s: float) -> None:
        ended_s = time.perf_counter() + seconds
        while time.perf_counter() < ended_s:
            next_s = time.perf_counter() + period_s
            load(period_s / 2)
            time.sleep(max(0.0, next_s - time.perf_counter()))

    return {
        f"{period_s:g}": [measure(lambda period_s=period_s: square(period_s)) for _ in range(5)]
        for period_s in SQUARES_S
    }


def counter_and_power(
    measure: Windowed, device: Device, load: Load, seconds: float
) -> dict[str, list[float | None]]:
    """Mean power by the meter and by the power samples, idle and loaded."""

    def both(work: Callable[[], None]) -> list[float | None]:
        began = time.time()
        counted_w = measure(work)
        samples = read_ring(device.handle, began) or []
        sampled = [power_w for time_s, power_w in samples if time_s <= began + seconds]
        return [counted_w, statistics.fmean(sampled) if sampled else read_power(device.handle)]

    return {"idle": both(lambda: time.sleep(seconds)), "loaded": both(lambda: load(seconds))}


def scatter(measure: Windowed, load: Load, seconds: float, rounds: int) -> dict[str, float]:
    """Mean power of loaded windows, and its relative standard deviation between them."""
    powers_w = [measure(lambda: load(seconds)) for _ in range(rounds)]
    mean_w = statistics.fmean(powers_w)
    return {"mean_power_w": mean_w, "relative_sd": statistics.stdev(powers_w) / mean_w}


def torch_load() -> Load:
    """Matrix products on the first CUDA device."""
    import torch

    matrix = torch.randn(4096, 4096, device="cuda")

    def load(seconds: float) -> None:
        ended_s = time.perf_counter() + seconds
        while time.perf_counter() < ended_s:
            torch.mm(matrix, matrix)
            torch.cuda.synchronize()

    return load


if __name__ == "__main__":
    main()
