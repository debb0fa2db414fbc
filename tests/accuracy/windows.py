"""Measure many windows whose true energy is known, on a machine with a virtual clock.

:func:`measure_windows` starts this file as a child process that runs on the virtual clock. The
child measures and prints one line of JSON per window.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from recorded import Recording, recording

from pytest_energy.measuring.window import Window, measure_round
from pytest_energy.meters.nvml import driver as library
from pytest_energy.meters.nvml.devices.selection import select_devices
from pytest_energy.meters.nvml.meter import NvmlMeter
from pytest_energy.meters.nvml.opening import open_instruments
from pytest_energy.meters.nvml.sources.collector import RingCollector
from pytest_energy.meters.nvml.sources.probing import OwnLoad
from pytest_energy.model.measurement import Round
from pytest_energy.testing import PROFILES, Machine, Profile, SimulatedNvml

LOADS_S = (0.0, 0.001, 0.002, 0.02, 0.05, 0.1, 0.13, 0.2)
"""Periods of the alternating loads, in seconds; 0 is a constant load."""
ROUNDS = 3
OWN_LOAD_SHARE = 0.7
"""The power of the meter's own load on a simulated card, as a share of the limit."""
LOW_SHARE = 0.3
"""The lower power of an alternating load, as a share of the higher one."""
TAIL_SHAPE = 0.08
"""The fast time constant of a load's tail differs by this share from that of its session."""
TAIL_DRIFT = 0.5
"""The same of the share of the slow part. Both are standard deviations."""
LAG_RANGE = 0.01
"""The lag of a power sensor differs by no more than this share from that of its session: of what is
still to come after one or two lags, that is a part of 2 to 3 %."""
RING_S = 16.0
"""The ring is longer than the longest window: the virtual clock allows no helper process."""


@dataclass(frozen=True)
class Observed:
    """One round: the measurement and the truth."""

    measurement: int | str
    """Rounds of one measurement share this number and their load."""
    length_s: float
    period_s: float
    true_j: float
    round: Round


@dataclass(frozen=True)
class Load:
    """Constant or pulsed power. The phase belongs to the program: it is the same in each round."""

    period_s: float
    high_w: float
    duty: float
    phase_s: float
    end_w: float = 0.0
    """The power of its last part."""
    end_share: float = 0.0
    """That part, as a share of its time; 0: it ends as it runs."""


@dataclass(frozen=True)
class Drawn:
    """A value that is drawn from a range."""

    low: float
    high: float
    log: bool = True
    """Whether its logarithm is drawn evenly; otherwise the value itself is."""

    def value(self, rng: random.Random) -> float:
        """One value of the range."""
        if self.log:
            return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return rng.uniform(self.low, self.high)


@dataclass(frozen=True)
class Program:
    """What the sessions of a study run."""

    recorded: str | None = None
    """The recording that is replayed; without one, the loads are constant or pulsed."""
    own_load: bool = True
    """Whether the meter may use a load of its own."""
    ends_otherwise: bool = False
    """Whether the loads end at another power than they run at."""
    device: Mapping[str, float] = field(default_factory=dict)
    """Values of the simulated device that no profile has, by name."""
    drawn: Mapping[str, Drawn] = field(default_factory=dict)
    """Values of the simulated device that each session draws anew, by name."""


def measure_sessions(
    profile: Profile,
    lengths_s: Sequence[float],
    sessions: int,
    measurements: int,
    program: Program = Program(),
) -> list[Observed]:
    """Measure in several sessions; in each, the card's sensors look at other moments.

    Args:
        profile: The card.
        lengths_s: The lengths of the windows.
        sessions: Number of sessions; they run in parallel, one per processor.
        measurements: Loads per session; each is measured for three rounds of each length.
        program: What the sessions run.
    """

    def measure(seed: int) -> list[Observed]:
        card = vary(profile, random.Random(seed))
        seen = measure_windows(card, lengths_s, measurements, seed, program)
        return [replace(one, measurement=seed * measurements + one.measurement) for one in seen]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [one for seen in pool.map(measure, range(sessions)) for one in seen]


def measure_windows(
    profile: Profile,
    lengths_s: Sequence[float],
    measurements: int,
    seed: int | str,
    program: Program = Program(),
    sessions: int = 1,
) -> list[Observed]:
    """Measure three rounds of each length for each of ``measurements`` loads a session.

    The sessions follow each other in one process: each opens the meter anew, at another moment of
    the sensors' periods, on a card that has what the session has drawn.
    """
    job = {"lengths_s": lengths_s, "measurements": measurements, "seed": seed}
    job |= {"devices": _devices(program, sessions, random.Random(f"devices {seed}"))}
    own_load_w = OWN_LOAD_SHARE * profile.power_limit_w if program.own_load else None
    job |= {"recorded": program.recorded, "own_load_w": own_load_w}
    job |= {"ends_otherwise": program.ends_otherwise}
    with SimulatedNvml(profile, virtual_clock=True) as machine:
        machine.configure(**program.device)
        result = subprocess.run(
            [sys.executable, str(Path(__file__)), json.dumps(job)],
            env={**os.environ, **machine.environment()},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return [parse(line) for line in result.stdout.splitlines()]


def _devices(program: Program, sessions: int, rng: random.Random) -> list[dict[str, float]]:
    """What each session has drawn; the simulation counts whole nanoseconds and millijoules."""
    drawn = [{n: d.value(rng) for n, d in program.drawn.items()} for _ in range(sessions)]
    return [
        {name: round(v) if name.endswith(("_ns", "_mj")) else v for name, v in values.items()}
        for values in drawn
    ]


def vary(profile: Profile, rng: random.Random) -> Profile:
    """The same card with random phases of its sensors."""
    return replace(
        profile,
        counter_phase_s=rng.uniform(0, profile.counter_tick_s or 0.0),
        power_phase_s=rng.uniform(0, profile.power_update_s),
        sample_count=math.ceil(RING_S / profile.power_update_s),
    )


def dump(observed: Observed) -> str:
    """A round as a line of JSON."""
    return json.dumps(asdict(observed) | {"round": observed.round.model_dump(mode="json")})


def parse(line: str) -> Observed:
    """The round of a line of JSON."""
    fields = json.loads(line)
    return Observed(**{**fields, "round": Round.model_validate(fields["round"])})


def _main(
    lengths_s: list[float],
    measurements: int,
    devices: list[dict[str, float]],
    seed: int | str,
    recorded: str | None,
    own_load_w: float | None,
    ends_otherwise: bool,
) -> None:
    machine, rng = Machine.attached(), random.Random(seed)
    replayed = recording(machine, recorded) if recorded else None
    own = replayed.own if replayed else lambda: machine.load(own_load_w or 0.0)
    for session, values in enumerate(devices):
        machine.configure(**values)
        time.sleep(rng.uniform(5.0, 6.0))  # until the driver's ring is full
        with closing(open_session_meter(own if own_load_w else None)) as meter:
            numbers = range(session * measurements, (session + 1) * measurements)
            loads = {number: _draw_load(meter, number, rng) for number in numbers}
            if ends_otherwise:
                loads = {n: _ending_otherwise(load, meter, rng) for n, load in loads.items()}
            _measure(machine, meter, replayed, lengths_s, loads, values, rng)


def _measure(
    machine: Machine,
    meter: NvmlMeter,
    replayed: Recording | None,
    lengths_s: Sequence[float],
    loads: Mapping[int, Load],
    device: Mapping[str, float],
    rng: random.Random,
) -> None:
    meter.end(meter.begin())  # the meter tries its own load, with the tail of the session
    for number, load in loads.items():
        time.sleep(rng.uniform(0.0, 0.3))
        machine.configure(**_tail_of_load(device, rng), **_lag_of_load(device, rng))
        for length_s in lengths_s:
            run = partial(_replay, replayed) if replayed else partial(_run, machine, load)
            observe = partial(_observe, machine, meter, partial(run, length_s))
            # at once, as the rounds of a benchmark, which are final after the last one
            for true_j, window in [observe() for _ in range(ROUNDS)]:
                measured = window.by_now()
                print(dump(Observed(number, length_s, load.period_s, true_j, measured)))


def _tail_of_load(device: Mapping[str, float], rng: random.Random) -> dict[str, float]:
    """The tail of one load, which is not quite that of the others of its session."""
    if "tail_fast_s" not in device:
        return {}
    slow = math.sqrt(3) * TAIL_DRIFT
    return {
        "tail_fast_s": device["tail_fast_s"] * math.exp(rng.gauss(0.0, TAIL_SHAPE)),
        "tail_slow_share": device["tail_slow_share"] * rng.uniform(1 - slow, 1 + slow),
    }


def _lag_of_load(device: Mapping[str, float], rng: random.Random) -> dict[str, int]:
    """The lag of a power sensor for one load."""
    if "power_lag_ns" not in device:
        return {}
    return {
        "power_lag_ns": round(device["power_lag_ns"] * rng.uniform(1 - LAG_RANGE, 1 + LAG_RANGE))
    }


def _draw_load(meter: NvmlMeter, number: int, rng: random.Random) -> Load:
    period_s, high_w = LOADS_S[number % len(LOADS_S)], _limit_w(meter) * rng.uniform(0.5, 0.95)
    return Load(period_s, high_w, rng.uniform(0.3, 0.7), rng.uniform(0.0, period_s))


def _limit_w(meter: NvmlMeter) -> float:
    limit_w = meter.environment.identity["power_limit_w"]
    assert isinstance(limit_w, float)
    return limit_w


def _ending_otherwise(load: Load, meter: NvmlMeter, rng: random.Random) -> Load:
    """The same load with a last part, such as a copy.

    Its power above rest is drawn evenly from none to twice the mean of the whole load, which is
    all that the meter allows for. The load runs at less power where its end would exceed the limit.
    """
    rest_w, duty = meter.idle_power_w["gpu0"].value, load.duty if load.period_s else 1.0
    share, ratio = rng.uniform(0.05, 0.2), rng.uniform(0.0, 2.0)
    mean = LOW_SHARE + (1 - LOW_SHARE) * duty
    higher = ratio * (1 - share) / (1 - ratio * share)
    """The end's power above rest, as a multiple of the mean before it."""
    most_w = rest_w + (_limit_w(meter) - rest_w) / max(higher, 1.0)
    high_w = min(load.high_w, most_w / mean)
    end_w = rest_w + higher * (mean * high_w - rest_w)
    return replace(load, high_w=high_w, end_w=end_w, end_share=share)


def open_session_meter(load: OwnLoad | None = None) -> NvmlMeter:
    """Open the meter as ``open_meter`` does, but without a helper process."""
    library.start()
    devices = select_devices(None)
    stack = ExitStack()
    stack.callback(library.stop)
    instruments = open_instruments(devices, True, stack, lambda _, s: RingCollector(s))
    return NvmlMeter(devices, replace(instruments, own_load=lambda: load), {}, stack)


def _observe(machine: Machine, meter: NvmlMeter, run: Callable[[], None]) -> tuple[float, Window]:
    """Measure one round; return its true joules and its window."""
    moments_s = []

    def work(passes: int) -> None:
        moments_s.append(time.perf_counter())
        run()
        moments_s.append(time.perf_counter())

    window = measure_round(meter, work, 1, lambda: None)
    return machine.true_energy_j(moments_s[0], moments_s[1]), window


def _replay(replayed: Recording, length_s: float) -> None:
    with replayed.run(length_s):
        time.sleep(length_s)


def _run(machine: Machine, load: Load, length_s: float) -> None:
    with _running(machine, load):
        time.sleep(length_s * (1 - load.end_share))
        if load.end_share:
            machine.set_power(load.end_w)
            time.sleep(length_s * load.end_share)


def _running(machine: Machine, load: Load) -> AbstractContextManager[None]:
    if load.period_s == 0.0:
        return machine.load(load.high_w)
    low_w = LOW_SHARE * load.high_w
    return machine.pulsed_load(load.high_w, low_w, load.period_s, load.duty, load.phase_s)


def profiles() -> Iterator[tuple[str, Profile]]:
    """The simulated cards that can measure joules, by name."""
    yield from ((name, p) for name, p in PROFILES.items() if name != "mig")


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
