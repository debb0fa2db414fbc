"""What makes joules vary, and sessions on a simulated machine that varies so.

The joules of a round are exp(sum of the parts of a :class:`Noise`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from pytest_energy.model.measurement import Measurement, MeterInfo, Round
from pytest_energy.uncertainty.rounds import summarize

ROUND_S = 5.0
"""A round in front of a baseline; the scatter of a :class:`Noise` is that of such a round."""
WARM_UP_S = 2.0
PASSES = 1000
METER = MeterInfo(name="simulated", source="counter")


@dataclass(frozen=True)
class Noise:
    """What makes joules vary; sizes are standard deviations as fractions, unless said otherwise."""

    name: str
    scatter: float = 0.01
    """Of visits and rounds: each 0.7 times as much."""
    unequal: bool = False
    """The scatter is drawn for each benchmark, log-uniformly between 0.2 and 5 %."""
    tails: bool = False
    """The scatter follows Student's t with three degrees of freedom."""
    outliers: float = 0.0
    """Probability of a round at +20 %."""
    modes: float = 0.0
    """Distance of two levels, one of which each process draws for each benchmark."""
    common: float = 0.0
    """Shared by all benchmarks of a session."""
    today: float = 0.0
    """A common shift of the judged session; not random."""
    ramp: tuple[float, float] = (0.0, 1.0)
    """Size of a common drift from the start of each session, and its time constant in seconds."""
    wander: tuple[float, float] = (0.0, 1.0)
    """A common Ornstein-Uhlenbeck process, and its time constant in seconds."""
    accepted: int = 8
    """Runs in each baseline."""


NOISES = (
    Noise("independent 0.5 %", 0.005),
    Noise("independent 1 %", 0.01),
    Noise("independent 2 %", 0.02),
    Noise("common 2 %", common=0.02),
    Noise("common 3 %", common=0.03),
    Noise("hot: +3 % today", today=0.03),
    Noise("driver: −3 % for good", today=-0.03),
    Noise("walk: 0.5 % × √42 days", common=0.005 * math.sqrt(42)),
    Noise("tails, 2 %", 0.02, tails=True),
    Noise("outliers, 2 % of rounds", outliers=0.02),
    Noise("two modes, 4 % apart", 0.005, modes=0.04),
    Noise("ramp −6 %, 15 min", ramp=(-0.06, 900.0)),
    Noise("wander 2 %, 60 s", wander=(0.02, 60.0)),
    Noise("wander 2 %, 30 min", wander=(0.02, 1800.0)),
    Noise("unequal, 0.2 to 5 %", unequal=True),
    Noise("independent 1 %, one accepted run", 0.01, accepted=1),
    Noise("independent 2 %, one accepted run", 0.02, accepted=1),
)


def scatter_of(noise: Noise, benchmarks: int, rng: np.random.Generator) -> list[float]:
    """The scatter of each benchmark of a suite."""
    if not noise.unequal:
        return [noise.scatter] * benchmarks
    scatter: list[float] = np.exp(rng.uniform(math.log(0.002), math.log(0.05), benchmarks)).tolist()
    return scatter


def _stream(draw: Callable[[int], np.ndarray]) -> Iterator[float]:
    """Draw number by number from arrays, which are quicker to draw."""
    return chain.from_iterable(iter(lambda: draw(1000).tolist(), None))


class Session:
    """A session on the simulated machine: its clock, and what its benchmarks share.

    Args:
        noise: What makes joules vary.
        scatter: Of each benchmark.
        rng: Draws everything.
        today: A common shift of this session.
    """

    def __init__(
        self,
        noise: Noise,
        scatter: Sequence[float],
        rng: np.random.Generator,
        today: float = 0.0,
    ) -> None:
        self.clock_s = 0.0
        self._noise = noise
        self._scatter = scatter
        self._normal = _stream(rng.standard_normal)
        heavy = _stream(lambda count: rng.standard_t(3, count) / math.sqrt(3))
        self._scattered = heavy if noise.tails else self._normal
        self._uniform = _stream(rng.random)
        self._common = today + noise.common * next(self._normal)
        self._wandered = noise.wander[0] * next(self._normal)
        self._modes = self.start_process()

    def start_process(self) -> list[float]:
        """What a process draws once: the level of each benchmark."""
        if not self._noise.modes:
            return [0.0] * len(self._scatter)
        return [self._noise.modes * (next(self._uniform) < 0.5) for _ in self._scatter]

    def renew_process(self, start_s: float) -> None:
        """Let a fresh process take the place of the session's."""
        self.pass_time(start_s)
        self._modes = self.start_process()

    def visit(self, number: int, rounds: int, change: float = 0.0) -> Measurement:
        """Measure a benchmark in the session's process: a warm-up and some rounds."""
        self.pass_time(WARM_UP_S)
        level = math.log1p(change) + self._modes[number] + self.draw(number)
        return measurement(number, [self.round(number, level) for _ in range(rounds)])

    def round(self, number: int, level: float, duration_s: float = ROUND_S) -> Round:
        """One round; a shorter one scatters more."""
        size, constant_s = self._noise.ramp
        drift = self._common + size * (1 - math.exp(-self.clock_s / constant_s)) + self._wandered
        joules = math.exp(level + drift + self.draw(number) * math.sqrt(ROUND_S / duration_s))
        if self._noise.outliers and next(self._uniform) < self._noise.outliers:
            joules *= 1.2
        self.pass_time(duration_s)
        return Round(
            start=self.clock_s, duration_s=duration_s, passes=PASSES, energy_j=PASSES * joules
        )

    def draw(self, number: int) -> float:
        """A benchmark's scatter, of a visit or of a round."""
        return 0.7 * self._scatter[number] * next(self._scattered)

    def pass_time(self, seconds: float) -> None:
        """Let the clock and the common wander go on."""
        self.clock_s += seconds
        size, constant_s = self._noise.wander
        if size:
            kept = math.exp(-seconds / constant_s)
            news = size * math.sqrt(1 - kept**2) * next(self._normal)
            self._wandered = kept * self._wandered + news


def test_id(number: int) -> str:
    """The id of a benchmark."""
    return f"t.py::test_{number}"


def measurement(number: int, rounds: list[Round]) -> Measurement:
    """What a session or a side measures of a benchmark."""
    return Measurement(
        id=test_id(number),
        kind="inference",
        workload={"model": "simulated"},
        status="measured",
        meter=METER,
        metrics=summarize(rounds, only="energy_j"),
        rounds=rounds,
    )
