"""Ask a real NVIDIA card how its sensors behave: one call, at most ten minutes.

    python tests/accuracy/card.py > card.json
    python tests/accuracy/card.py --page card.json > docs/cards/NAME.md

needs an idle GPU, torch with CUDA to load it, and this package. The first call writes the answers
as JSON: the most important questions come first, and what no longer fits into ``--minutes`` is
listed as not asked. A question that the card cannot answer has its error as the answer. The second
call needs no card: it makes a page of the documentation from the answers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.measuring.waiting import synchronizer
from pytest_energy.measuring.window import measure_round
from pytest_energy.meters.base import Meter, MeterRequest, MeterUnavailableError
from pytest_energy.meters.nvml import driver as library
from pytest_energy.meters.nvml.devices.scopes import ENERGY_BY_SCOPE, scoped
from pytest_energy.meters.nvml.devices.selection import Device, select_devices
from pytest_energy.meters.nvml.devices.sensors import (
    ENERGY,
    POWER_AVERAGE,
    POWER_INSTANT,
    THROTTLES,
    counter_of,
    take_fields,
    take_snapshot,
)
from pytest_energy.meters.nvml.sources.counter_reads import CounterReads
from pytest_energy.meters.nvml.sources.power_sensor import read_power, read_ring
from pytest_energy.meters.nvml.sources.ticks import Tick, Ticker, next_ticks
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.measurement import ReasonCode

Load = Callable[[float], None]
"""Loads the card for about this many seconds, then returns."""
Answer = Any
"""Values that JSON can express."""
MINUTES = 10.0
SQUARES_S = (0.05, 0.1, 0.13, 0.2)
PHASES = (0.0, 0.25, 0.5, 0.75)
READ_PAUSES_S = (0.0005, 0.01, 0.1, 1.0)
WATCH_PAUSE_S = 0.002
SCOPES = {"gpu": 0, "module": 1, "memory": 2}
CALLS = 200


def main() -> None:
    """Print the answers as JSON, or a page made from them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each window")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time for all questions")
    parser.add_argument("--page", type=Path, metavar="JSON", help="make a page from the answers")
    parser.add_argument("--read", type=float, metavar="PAUSE", help="only read the counter")
    chosen = parser.parse_args()
    if chosen.page is not None:
        print(page(json.loads(chosen.page.read_text("utf-8"))), end="")
        return
    if chosen.read is not None:
        read_on(chosen.read)
    library.start()
    json.dump(answers(torch_load(), chosen.seconds, chosen.minutes), sys.stdout, indent=1)


@dataclass(frozen=True)
class Bench:
    """What the questions need."""

    meter: Meter
    device: Device
    load: Load
    seconds: float
    """The length of a window."""

    @property
    def tick_s(self) -> float:
        """The period of the counter."""
        return self.meter.info.tick_s or 0.1

    @property
    def idle_w(self) -> float:
        """The power of the idle device."""
        return self.meter.idle_power_w[self.device.channel].value

    def power_w(self, work: Callable[[], None]) -> float:
        """The mean power of a window of the meter.

        Raises:
            SensorError: The window is not valid.
        """
        measured = measure_round(self.meter, lambda n: work(), 1, synchronizer()).round
        if measured.energy_j is None:
            reasons = "; ".join(reason.message for reason in measured.reasons)
            raise library.SensorError(ReasonCode.METER_FAILED, reasons)
        return measured.energy_j / measured.duration_s

    def counter(self) -> CounterReads:
        """A reader of the counter.

        Raises:
            SensorError: The device has no counter.
        """
        read_j = counter_of(self.device)
        if read_j is None:
            raise library.SensorError(ReasonCode.UNSUPPORTED, "the device has no energy counter")
        return CounterReads(read_j)


def answers(load: Load, seconds: float, minutes: float = MINUTES) -> dict[str, Answer]:
    """All answers, for the first visible device.

    Args:
        load: Loads the device.
        seconds: The length of each window.
        minutes: The time for all questions; later ones are not asked.
    """
    until_s = time.monotonic() + 60 * minutes
    with closing(open_meter("nvml", MeterRequest())) as meter:
        bench = Bench(meter, select_devices(None)[0], load, seconds)
        return {**_described(bench), "answers": dict(_asked(bench, until_s))}


def _described(bench: Bench) -> dict[str, Answer]:
    idle = bench.meter.idle_power_w[bench.device.channel]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "card": bench.meter.environment.identity,
        "context": bench.meter.environment.context,
        "source": bench.meter.info.source,
        "details": bench.meter.info.details,
        "tick_s": bench.meter.info.tick_s,
        "idle_power_w": [idle.value, idle.uncertainty],
        "window_s": bench.seconds,
    }


def _asked(bench: Bench, until_s: float) -> Iterator[tuple[str, Answer]]:
    for name, (_, ask, windows) in QUESTIONS.items():
        # besides the windows themselves: waiting for ticks, and a second to spare
        needs_s = windows * (bench.seconds + 5 * bench.tick_s) + 1
        if time.monotonic() + needs_s > until_s:
            yield name, {"not_asked": f"needs {needs_s:.0f} s more than there were"}
            continue
        try:
            yield name, ask(bench)
        except (library.SensorError, MeterUnavailableError, pynvml.NVMLError) as error:
            yield name, {"error": str(error)}


@contextmanager
def watching(bench: Bench) -> Iterator[list[tuple[float, float]]]:
    """Read the counter on a thread; collects each moment at which it moved, and its value."""
    read_j, moves, ended = bench.counter(), [], threading.Event()

    def watch() -> None:
        last_j = read_j()
        while not ended.wait(WATCH_PAUSE_S):
            value_j = read_j()
            if value_j != last_j:
                moves.append((time.perf_counter(), value_j))
                last_j = value_j

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield moves
    finally:
        ended.set()
        thread.join()


def step_response(bench: Bench) -> Answer:
    """Power by the counter, tick by tick, around a load: seconds from its end, and watts."""
    with watching(bench) as moves:
        time.sleep(bench.seconds / 5)
        began_s = time.perf_counter()
        bench.load(2 * bench.seconds / 5)
        ended_s = time.perf_counter()
        time.sleep(2 * bench.seconds / 5)
    watts = [
        [later[0] - ended_s, (later[1] - earlier[1]) / (later[0] - earlier[0])]
        for earlier, later in pairwise(moves)
    ]
    return {"load_s": ended_s - began_s, "power_w_by_s_after_load": watts}


def window_lengths(bench: Bench) -> Answer:
    """Mean power of one load in windows of a fifth of the length, and of twice the length."""
    short_s, long_s = bench.seconds / 5, 2 * bench.seconds
    return {
        f"{length_s:g}": [bench.power_w(partial(bench.load, length_s)) for _ in range(count)]
        for length_s, count in ((short_s, 6), (long_s, 3))
    }


def reading(bench: Bench) -> Answer:
    """Mean power of one load by the meter, while another process also reads the counter."""
    powers_w = {}
    for pause_s in READ_PAUSES_S:
        with subprocess.Popen([sys.executable, __file__, "--read", str(pause_s)]) as reader:
            try:
                powers_w[f"{pause_s:g}"] = bench.power_w(partial(bench.load, bench.seconds))
            finally:
                reader.terminate()
    return powers_w


def read_on(pause_s: float) -> None:
    """Read the counter again and again, until the process is ended."""
    library.start()
    read_j = counter_of(select_devices(None)[0])
    while read_j is not None:
        read_j()
        time.sleep(pause_s)


def square_waves(bench: Bench) -> Answer:
    """Mean power of square waves by the counter, by period and by the phase at which they begin.

    A counter that sees all of the time gives the same power at each phase. The power of one that
    looks away differs between phases at periods of 50, 100 and 200 ms, and less at 130 ms.
    """
    return {
        f"{period_s:g}": {f"{phase:g}": _wave_power_w(bench, period_s, phase) for phase in PHASES}
        for period_s in SQUARES_S
    }


def _wave_power_w(bench: Bench, period_s: float, phase: float) -> float:
    ticker = Ticker(bench.device.channel, bench.counter())
    first = _tick(ticker)
    time.sleep(phase * bench.tick_s)
    began_s = time.perf_counter()
    while time.perf_counter() < began_s + bench.seconds / 2:
        next_s = time.perf_counter() + period_s
        bench.load(period_s / 2)
        time.sleep(max(0.0, next_s - time.perf_counter()))
    ended_s = time.perf_counter()
    time.sleep(3 * bench.tick_s)  # what comes late
    last = _tick(ticker)
    rest_s = last.time_s - first.time_s - (ended_s - began_s)
    return (last.energy_j - first.energy_j - bench.idle_w * rest_s) / (ended_s - began_s)


def _tick(ticker: Ticker) -> Tick:
    tick = next_ticks([ticker])[ticker.name]
    if isinstance(tick, library.SensorError):
        raise tick
    return tick


def stamps(bench: Bench) -> Answer:
    """How old the stamps of counter, power and ring are when their values are new.

    If the counter has as many stamps as values, its stamps are those of ticks; if as many as
    reads, those of requests. An age far from 0 is that of another clock.
    """
    ended_s = time.perf_counter() + bench.seconds
    seen, ring_ages_s, newest_s = [], [], None
    while time.perf_counter() < ended_s:
        if counted := take_fields(bench.device).counted_j:
            seen.append((counted.value, counted.stamp_s, time.time() - counted.stamp_s))
        ring = read_ring(bench.device.handle, 0.0)
        if ring and newest_s is not None and ring[-1][0] != newest_s:
            ring_ages_s.append(time.time() - ring[-1][0])
        newest_s = ring[-1][0] if ring else None
        time.sleep(WATCH_PAUSE_S)
    values, times, ages_s = zip(*seen, strict=True) if seen else ((), (), ())
    return {
        "reads": len(seen),
        "values": len(set(values)),
        "stamps": len(set(times)),
        "oldest_s": max(ages_s, default=None),
        "newest_s": min(ages_s, default=None),
        "ring_age_when_new_s": statistics.median(ring_ages_s) if ring_ages_s else None,
    }


def counter_step(bench: Bench) -> Answer:
    """The step in which the counter counts, and its moves while the device is idle."""
    read_j = bench.counter()
    ended_s = time.perf_counter() + bench.seconds / 2
    values = []
    while time.perf_counter() < ended_s:
        values.append(read_j())
        time.sleep(WATCH_PAUSE_S)
    return {"step_j": read_j.step_j, "reads": len(values), "values": len(set(values))}


def scopes(bench: Bench) -> Answer:
    """Fields by scope: joules that they count in a second of rest, and watts."""
    handle = bench.device.handle
    fields = {"energy 191": ENERGY_BY_SCOPE, "average 185": POWER_AVERAGE}
    fields |= {"instant 186": POWER_INSTANT}

    def read() -> dict[str, float | None]:
        plain = library.read_fields(handle, (ENERGY,)).get(ENERGY)
        values = {"energy 83": plain.value if plain else None}
        for name, field in fields.items():
            for scope, number in SCOPES.items():
                values[f"{name} {scope}"] = scoped(handle, field, number)
        return values

    before = read()
    time.sleep(1.0)
    after = read()
    return {
        name: None
        if (last := after[name]) is None or (first := before[name]) is None
        else (last - first if name.startswith("energy") else last) * 1e-3
        for name in before
    }


def call_costs(bench: Bench) -> Answer:
    """The median time of a call, in microseconds."""
    device, handle = bench.device, bench.device.handle
    calls: Mapping[str, Callable[[], object]] = {
        "counter": bench.counter(),
        "fields": lambda: take_fields(device),
        "snapshot": lambda: take_snapshot(device),
        "ring": lambda: read_ring(handle, 0.0),
        "power": lambda: read_power(handle),
    }
    return {name: statistics.median(_times_us(call)) for name, call in calls.items()}


def _times_us(call: Callable[[], object]) -> list[float]:
    times_us = []
    for _ in range(CALLS):
        began_s = time.perf_counter()
        call()
        times_us.append((time.perf_counter() - began_s) * 1e6)
    return times_us


def which_fields(bench: Bench) -> Answer:
    """Which of the relevant fields the driver supports, and whether it keeps samples."""
    wanted = {"energy 83": ENERGY, "average 185": POWER_AVERAGE, "instant 186": POWER_INSTANT}
    wanted |= {f"{cause} {field}": field for field, cause in THROTTLES.items()}
    found = library.read_fields(bench.device.handle, wanted.values())
    return {name: field in found for name, field in wanted.items()} | {
        "samples": read_ring(bench.device.handle, 0.0) is not None
    }


def counter_and_power(bench: Bench) -> Answer:
    """Mean power by the meter and by the power samples, idle and loaded."""

    def both(work: Callable[[float], None]) -> list[float | None]:
        began = time.time()
        counted_w = bench.power_w(partial(work, bench.seconds))
        samples = read_ring(bench.device.handle, began) or []
        sampled = [power_w for time_s, power_w in samples if time_s <= began + bench.seconds]
        polled_w = read_power(bench.device.handle)
        return [counted_w, statistics.fmean(sampled) if sampled else polled_w]

    return {"idle": both(time.sleep), "loaded": both(bench.load)}


def scatter(bench: Bench) -> Answer:
    """Mean power of loaded windows, and its relative standard deviation between them."""
    powers_w = [bench.power_w(partial(bench.load, bench.seconds)) for _ in range(8)]
    mean_w = statistics.fmean(powers_w)
    return {"mean_power_w": mean_w, "relative_sd": statistics.stdev(powers_w) / mean_w}


QUESTIONS: dict[str, tuple[str, Callable[[Bench], Answer], float]] = {
    "step_response": ("How does the counter follow a load that begins and ends?", step_response, 1),
    "window_lengths": (
        "Do short and long windows of one load have the same power?",
        window_lengths,
        8,
    ),
    "reading": ("Does the counter fall short if it is read often?", reading, 4.5),
    "square_waves": ("Does the counter see all of the time?", square_waves, 9),
    "stamps": ("On which clock are the stamps, and of what?", stamps, 1),
    "counter_step": ("In which steps does the counter count?", counter_step, 0.5),
    "scopes": ("Does field 83 count the GPU, or the module?", scopes, 0.3),
    "call_costs": ("What does a call cost?", call_costs, 0.3),
    "which_fields": ("Which fields does the driver support?", which_fields, 0.1),
    "counter_and_power": ("Do counter and power agree?", counter_and_power, 2),
    "scatter": ("How much do windows of one load differ?", scatter, 8),
}
"""In the order of their importance: the question in words, how it is asked, and how many windows
that takes."""


def page(found: Mapping[str, Answer]) -> str:
    """A page of the documentation, in Markdown, with the answers of :func:`answers`."""
    card, context = found["card"], found["context"]
    idle_w, uncertainty_w = found["idle_power_w"]
    lines = [
        f"# {card['device']}",
        "",
        f"Measured on {found['date']} with driver {context.get('driver', 'unknown')}, in windows of"
        f" {found['window_s']:g} s, by `tests/accuracy/card.py`.",
        "",
        f"- Joules come from: {found['source']}",
        f"- Tick: {_text(found['tick_s'])} s",
        f"- Idle power: {_text(idle_w)} W ± {_text(uncertainty_w)} W",
    ]
    for name, (question, _, _) in QUESTIONS.items():
        lines += ["", f"## {question}", "", *_told(found["answers"].get(name, {}))]
    return "\n".join(lines) + "\n"


def _told(answer: Mapping[str, Answer]) -> list[str]:
    if "error" in answer:
        return [f"The card gave no answer: {answer['error']}."]
    if "not_asked" in answer or not answer:
        return [f"Not asked: {answer.get('not_asked', 'the answers are of an older version')}."]
    rows = [f"| {name} | {_text(value)} |" for name, value in answer.items()]
    return ["| | |", "| --- | --- |", *rows]


def _text(value: Answer) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        inner = (f"({_text(item)})" if isinstance(item, list) else _text(item) for item in value)
        return ", ".join(inner)
    return "–" if value is None else str(value)


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
