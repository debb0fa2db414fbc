"""Simulate suites of benchmarks whose true change is known, and let the gate judge them.

``python -m tests.power.simulate`` prints the table of ``docs/gate.md``; with ``--write`` it also
writes the table into that page. The gate's own functions make every verdict
(:mod:`pytest_energy.uncertainty.change`, :mod:`pytest_energy.gate.schedule`,
:mod:`pytest_energy.gate.classify`). Only the joules are made up.

The model of a run: the joules of round ``j`` of visit ``i`` are the true joules, times ``1 + b_i``
(between runs), times ``1 + e_ij`` (between rounds), times the error of a window that begins and
ends up to ``EDGE_S`` away from a tick of the counter. ``b`` and ``e`` are normal and share the
variance of the run-to-run variation. The shares are varied, because more rounds average out only
``e``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pytest_energy.gate.classify import classify
from pytest_energy.gate.schedule import ADAPTIVE, Schedule
from pytest_energy.model.outcomes import Outcome
from pytest_energy.uncertainty.change import Estimate, learn_scatter, relative_change

SUITES = 2_000
BENCHMARKS = 50
TOLERANCE = 0.05
SEED = 20260101
PASS_S = 0.005
"""A pass of ResNet-50 takes about this long on one GPU."""
LONG_S, SHORT_S, WARM_UP_S = 10_000 * PASS_S, 1_000 * PASS_S, 2.0
"""A round of the fixed protocol, a round of the adaptive protocol, the warm-up of each visit."""
FIXED_S = WARM_UP_S + 3 * LONG_S
EDGE_S = 0.002
DOCUMENT = Path(__file__).parents[2] / "docs" / "gate.md"
BEGIN, END = "<!-- power study: begin -->", "<!-- power study: end -->"

Joules = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """The true properties of a simulated benchmark."""

    scatter: float
    """Relative standard deviation from run to run."""
    between: float
    """Share of the variance that is between visits; the rest is between rounds."""
    accepted: int
    """Number of runs in the baseline."""
    change: float = 0.0
    """The true relative change."""


@dataclass(frozen=True)
class Tally:
    """The outcomes and the cost of many benchmarks."""

    outcomes: tuple[Outcome, ...]
    visits: float
    """Mean number of visits."""
    seconds: float
    """Mean measuring time; joules are proportional to it."""
    naive: float
    """Share that pytest-benchmark's ``mean:5%`` fails, with the fixed protocol's rounds."""

    def share(self, outcome: Outcome) -> float:
        """The share of benchmarks with this outcome."""
        return self.outcomes.count(outcome) / len(self.outcomes)


def draw(
    scene: Scene, shape: tuple[int, int, int], window_s: float, rng: np.random.Generator
) -> Joules:
    """Draw joules per pass, of shape (benchmarks, visits, rounds), for a true value of one."""
    visits = rng.normal(0, scene.scatter * math.sqrt(scene.between), shape[:2])
    rounds = rng.normal(0, scene.scatter * math.sqrt(1 - scene.between), shape)
    edges = rng.uniform(0, EDGE_S, (2, *shape))
    joules: Joules = (1 + visits[..., None]) * (1 + rounds)
    return joules * (1 + (edges[0] - edges[1]) / window_s)


def estimates(joules: Joules) -> list[list[Estimate]]:
    """Mean and standard error of the rounds, for each visit of each benchmark."""
    rounds = joules.shape[-1]
    means = joules.mean(axis=-1).tolist()
    errors = (joules.std(axis=-1, ddof=1) / math.sqrt(rounds)).tolist()
    return [
        [Estimate(mean, error, rounds - 1) for mean, error in zip(*pair, strict=True)]
        for pair in zip(means, errors, strict=True)
    ]


def pooled(visits: Sequence[Estimate]) -> Estimate:
    """The mean over visits, computed as in :func:`pytest_energy.gate.pooling.pool`."""
    count = len(visits)
    return Estimate(
        math.fsum(visit.value for visit in visits) / count,
        math.hypot(*(visit.standard for visit in visits)) / count,
        sum(visit.degrees_of_freedom for visit in visits),
    )


def gate(
    old: Sequence[Estimate], new: Sequence[Estimate], schedule: Schedule
) -> tuple[Outcome, int]:
    """The final outcome, and the number of visits it took."""
    for visit in range(1, schedule.visits + 1):
        scatter = learn_scatter([old, new[:visit]])
        change = relative_change(pooled(new[:visit]), old, scatter, visit)
        outcome = classify(change, TOLERANCE, schedule.rule(visit, BENCHMARKS))
        if not schedule.goes_on(outcome, visit):
            break
    return outcome, visit


def simulate(scene: Scene, benchmarks: int, rng: np.random.Generator) -> Tally:
    """Judge benchmarks by the gate, and by ``mean:5%`` with the fixed protocol."""
    schedule = ADAPTIVE
    old = draw(scene, (benchmarks, scene.accepted, schedule.rounds), SHORT_S, rng)
    first = draw(scene, (benchmarks, 1, schedule.rounds), SHORT_S, rng)
    later = draw(scene, (benchmarks, schedule.visits - 1, schedule.again), SHORT_S, rng)
    grown = 1 + scene.change
    visits = zip(estimates(first * grown), estimates(later * grown), strict=True)
    ended = [
        gate(baseline, [*first_visit, *others], schedule)
        for baseline, (first_visit, others) in zip(estimates(old), visits, strict=True)
    ]
    counts = np.array([count for _, count in ended])
    seconds = WARM_UP_S + schedule.rounds * SHORT_S
    seconds += (WARM_UP_S + schedule.again * SHORT_S) * (counts.mean() - 1)
    before, after = (draw(scene, (benchmarks, 1, 3), LONG_S, rng).mean((1, 2)) for _ in range(2))
    naive = float((after * grown / before > 1 + TOLERANCE).mean())
    return Tally(tuple(outcome for outcome, _ in ended), counts.mean(), seconds, naive)


def of_suites(share: float) -> float:
    """Share of suites with at least one such benchmark, if ``share`` of all benchmarks are such."""
    return 1 - (1 - share) ** BENCHMARKS


def false_suites(tally: Tally) -> float:
    """Share of simulated suites with at least one benchmark called regressed."""
    alarms = np.array([outcome is Outcome.REGRESSED for outcome in tally.outcomes])
    return float(alarms.reshape(-1, BENCHMARKS).any(axis=1).mean())


HEADER = (
    "| variation | between runs | accepted runs | suites failed falsely"
    " | no change: unchanged | +5 %: unchanged | +5 %: regressed | +10 %: regressed"
    " | visits | joules, relative to the fixed protocol"
    " | `mean:5%`: suites failed falsely | `mean:5%`: +10 % found |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


SCENES = tuple(
    Scene(scatter, between, accepted)
    for accepted in (8, 10, 1)
    for scatter in (0.005, 0.01, 0.02)
    for between in (0.5, 1.0)
)
"""A new baseline, a full one, and one recorded with ``--energy-baseline-runs=1``."""


def rows(suites: int, seed: int = SEED) -> Iterator[str]:
    """Yield the table row by row, computed on all cores."""
    yield HEADER
    with ProcessPoolExecutor() as pool:
        seeds = [(seed, number) for number in range(len(SCENES))]
        yield from pool.map(row, SCENES, repeat(suites), seeds)


def row(scene: Scene, suites: int, seed: tuple[int, int]) -> str:
    """One line of the table: suites without a change, and benchmarks with one."""
    rng = np.random.default_rng(seed)
    calm = simulate(scene, suites * BENCHMARKS, rng)
    at_5, at_10 = (
        simulate(Scene(scene.scatter, scene.between, scene.accepted, change), suites, rng)
        for change in (0.05, 0.10)
    )
    cells = [
        f"{scene.scatter:.1%}",
        f"{scene.between:.0%}",
        f"{scene.accepted}",
        f"{false_suites(calm):.2%}",
        f"{calm.share(Outcome.UNCHANGED):.1%}",
        f"{at_5.share(Outcome.UNCHANGED):.1%}",
        f"{at_5.share(Outcome.REGRESSED):.1%}",
        f"{at_10.share(Outcome.REGRESSED):.1%}",
        f"{calm.visits:.2f}",
        f"{calm.seconds / FIXED_S:.2f}",
        f"{of_suites(calm.naive):.1%}",
        f"{at_10.naive:.1%}",
    ]
    return f"| {' | '.join(cells)} |".replace("%", " %").replace("mean:5 %", "mean:5%")


def main() -> None:
    """Print the table; with ``--write``, also write it into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suites", type=int, default=SUITES)
    parser.add_argument(
        "--write", action="store_true", help=f"write the table into {DOCUMENT.name}"
    )
    options = parser.parse_args()
    table = []
    for line in rows(options.suites):
        print(line, flush=True)
        table.append(line)
    if options.write:
        before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        text = "\n".join([BEGIN, *table, END])
        DOCUMENT.write_text(f"{before}{text}{after}", "utf-8")


if __name__ == "__main__":
    main()
