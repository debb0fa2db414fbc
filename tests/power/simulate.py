"""Simulate suites of benchmarks whose true change is known, and let each gate judge them.

``python -m tests.power.simulate`` prints the tables of ``docs/gate.md``; with ``--write`` it also
writes them into that page. Every verdict is the production decision (:mod:`tests.power.gates`),
within the default limits. Only the joules are made up (:mod:`tests.power.noise`), from a fixed
seed. The gates judge the same suites.

``--results=FILE`` keeps what is judged, suite by suite and gate by gate, and judges only what the
file does not have: a study that is stopped goes on. Such a file is of one ``--seed``.

``--noise`` and ``--gate``, which may be repeated, judge those rows alone.
"""

from __future__ import annotations

import argparse
import json
import math
import textwrap
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Final

from scipy.stats import beta

from pytest_energy.model.outcomes import Outcome
from pytest_energy.settings import Settings
from pytest_energy.uncertainty.change import PRIOR
from tests.power.gates import (
    AT_5,
    AT_10,
    UNCHANGED,
    Judged,
    Recorded,
    judge_against,
    judge_by_baselines,
    judge_in_two_stages,
    judge_recorded_fresh,
    record,
)
from tests.power.noise import NOISES, Noise

SUITES: Final = 300
SEED: Final = 20260101
POWER_W: Final = 300.0
"""Turns seconds into joules: what a card takes at work."""
DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "gate.md"
BEGIN, END = "<!-- power study: begin -->", "<!-- power study: end -->"

Gate = Callable[[Recorded], Judged]
GATES: Final[Mapping[str, Gate]] = {
    "Baselines, the suite's shift left in": partial(judge_by_baselines, take_off=False),
    "Baselines, the suite's shift taken off": partial(judge_by_baselines, take_off=True),
    "Against a revision": judge_against,
    "In two stages": judge_in_two_stages,
}
LIMITED: Final = "independent 2 %"
"""The noise that the gates of :data:`LIMITS` are given."""
LIMITS: Final[Mapping[str, Gate]] = {
    "600 s of further visits, scatter learnt": partial(judge_by_baselines, take_off=False),
    "600 s of further visits, 1 % assumed": partial(
        judge_by_baselines, take_off=False, prior=PRIOR
    ),
    "no limit of time, scatter learnt": partial(
        judge_by_baselines, take_off=False, limit_s=math.inf
    ),
    "no limit of time, 1 % assumed": partial(
        judge_by_baselines, take_off=False, limit_s=math.inf, prior=PRIOR
    ),
}
MODES: Final = "two modes, 4 % apart"
"""The noise that the gates of :data:`FRESH` are given."""
FRESH: Final[Mapping[str, Gate]] = {
    f"{limit}, {processes}": partial(gate, limit_s=limit_s)
    for limit, limit_s in (("600 s", Settings().retry_time), ("no limit", math.inf))
    for processes, gate in (
        ("one process a session", partial(judge_by_baselines, take_off=True)),
        ("fresh ones for the recording", partial(judge_recorded_fresh, fresh=False)),
        ("fresh ones for all visits", partial(judge_recorded_fresh, fresh=True)),
    )
}
TIGHT: Final[Mapping[str, Gate]] = {
    "Against a revision, tolerance 3 %": partial(judge_against, tolerance=0.03)
}
INDEPENDENT: Final = tuple(noise.name for noise in NOISES[:3])
"""The noises that the gates of :data:`TIGHT` are given."""
HEADER: Final = (
    "suites failed by an unchanged benchmark | failed by the shift | +10 %: regressed"
    " | +5 %: regressed | no change: inconclusive | seconds | kJ |"
)


@dataclass(frozen=True)
class Counted:
    """What a gate said of one suite."""

    gate: str
    noise: str
    suite: int
    false: bool
    """Whether an unchanged benchmark was called regressed."""
    shift: bool
    """Whether the suite's shift alone fails the session."""
    inconclusive: int
    """Unchanged benchmarks that stay so."""
    found_5: int
    found_10: int
    seconds: float
    """Of a benchmark."""

    @classmethod
    def of(cls, gate: str, noise: str, suite: int, judged: Judged) -> Counted:
        """Count the outcomes."""
        outcomes = judged.outcomes
        unchanged, at_5 = outcomes[:UNCHANGED], outcomes[UNCHANGED : UNCHANGED + AT_5]
        return cls(
            gate,
            noise,
            suite,
            Outcome.REGRESSED in unchanged,
            judged.shift,
            unchanged.count(Outcome.INCONCLUSIVE),
            at_5.count(Outcome.REGRESSED),
            outcomes[UNCHANGED + AT_5 :].count(Outcome.REGRESSED),
            judged.seconds,
        )


def gates_of(noise: Noise) -> Mapping[str, Gate]:
    """The gates that judge suites of this noise."""
    return {
        **GATES,
        **(LIMITS if noise.name == LIMITED else {}),
        **(FRESH if noise.name == MODES else {}),
        **(TIGHT if noise.name in INDEPENDENT else {}),
    }


def judge_suite(
    noise: Noise, suite: int, gates: Collection[str], seed: int = SEED
) -> list[Counted]:
    """Record one suite, and let each of these gates judge it."""
    recorded = record(noise, (seed, NOISES.index(noise), suite))
    return [
        Counted.of(name, noise.name, suite, gate(recorded))
        for name, gate in gates_of(noise).items()
        if name in gates
    ]


def interval(found: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share by Clopper and Pearson."""
    low = float(beta.ppf(0.025, found, of - found + 1)) if found else 0.0
    high = float(beta.ppf(0.975, found + 1, of - found)) if found < of else 1.0
    return low, high


def percent(share: float) -> str:
    """As the page writes it."""
    return f"{100 * share:.1f} %"


def row(name: str, counted: Sequence[Counted]) -> str:
    """One line of a table."""
    suites = len(counted)
    false = sum(one.false for one in counted)
    low, high = interval(false, suites)
    seconds = math.fsum(one.seconds for one in counted) / suites
    cells = [
        name,
        f"{percent(false / suites)} ({100 * low:.1f} to {100 * high:.1f})",
        percent(sum(one.shift for one in counted) / suites),
        percent(sum(one.found_10 for one in counted) / (AT_10 * suites)),
        percent(sum(one.found_5 for one in counted) / (AT_5 * suites)),
        percent(sum(one.inconclusive for one in counted) / (UNCHANGED * suites)),
        f"{seconds:.0f}",
        f"{seconds * POWER_W / 1000:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def tables(counted: Iterable[Counted], suites: int) -> Iterator[str]:
    """Yield the lines of the tables: one for each gate, one for limits, one for processes.

    What was not judged is left out.
    """
    results: dict[tuple[str, str], list[Counted]] = {}
    for one in counted:
        if one.suite < suites:
            results.setdefault((one.gate, one.noise), []).append(one)
    changed = AT_10 * suites
    missed = changed // 100
    low, high = interval(changed - missed, changed)
    yield from textwrap.wrap(
        f"{suites} suites a row: {UNCHANGED * suites} unchanged benchmarks, {AT_5 * suites} with"
        f" +5 % and {changed} with +10 %. In brackets is the 95 % interval of the share of suites."
        f" {percent(1 - missed / changed)} of {changed} benchmarks is {100 * low:.1f} to"
        f" {100 * high:.1f} % where benchmarks are independent. Joules are seconds times"
        f" {POWER_W:g} W.",
        width=100,
    )
    for gate in (*GATES, *TIGHT):
        rows = {
            noise.name: results[gate, noise.name]
            for noise in NOISES
            if (gate, noise.name) in results
        }
        if len(rows) > 1:
            rows["all of these"] = list(chain.from_iterable(rows.values()))
        yield from table(f"**{gate}**", "noise", rows)
    title = f"**What leaves benchmarks open at {LIMITED}** (baselines, shift left in)"
    rows = {gate: results[gate, LIMITED] for gate in LIMITS if (gate, LIMITED) in results}
    yield from table(title, "limit, and scatter between runs", rows)
    title = f"**What fresh processes show at {MODES}** (baselines, shift taken off)"
    rows = {gate: results[gate, MODES] for gate in FRESH if (gate, MODES) in results}
    yield from table(title, "limit, and processes", rows)


def table(title: str, first: str, rows: Mapping[str, Sequence[Counted]]) -> Iterator[str]:
    """Yield the lines of a table; without rows, none."""
    if rows:
        yield from ["", title, "", f"| {first} | {HEADER}", "|---" * 8 + "|"]
        yield from (row(name, counted) for name, counted in rows.items())


def study(
    suites: int,
    processes: int,
    store: Path | None,
    seed: int = SEED,
    noises: Collection[str] = (),
    gates: Collection[str] = (),
) -> list[Counted]:
    """Judge suites, one of each noise after the other, so that all rows have equally many.

    Args:
        suites: Of each noise.
        processes: That judge at the same time.
        store: Has what is judged, if it exists; takes the rest.
        seed: Of all draws.
        noises: The names of those to judge; none means all.
        gates: The names of those that judge; none means all.
    """
    counted = [Counted(**json.loads(line)) for line in _lines(store)]
    if noises:
        counted = [one for one in counted if one.noise in noises]
    if gates:
        counted = [one for one in counted if one.gate in gates]
    done: dict[tuple[str, int], set[str]] = {}
    for one in counted:
        done.setdefault((one.noise, one.suite), set()).add(one.gate)
    jobs = [
        (noise, suite, left)
        for suite in range(suites)
        for noise in NOISES
        if not noises or noise.name in noises
        if (left := _asked(noise, gates) - done.get((noise.name, suite), set()))
    ]
    with ProcessPoolExecutor(processes) as pool:
        columns = zip(*jobs, strict=True) if jobs else ((), (), ())
        for found in pool.map(judge_suite, *columns, repeat(seed)):
            counted += found
            if store:
                with store.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(asdict(one)) + "\n" for one in found)
    return counted


def _asked(noise: Noise, gates: Collection[str]) -> set[str]:
    return {gate for gate in gates_of(noise) if not gates or gate in gates}


def _lines(store: Path | None) -> list[str]:
    return store.read_text("utf-8").splitlines() if store and store.exists() else []


def main() -> None:
    """Print the tables; with ``--write``, also write them into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suites", type=int, default=SUITES)
    parser.add_argument("--seed", type=int, default=SEED)
    names = [noise.name for noise in NOISES]
    gates = [*GATES, *TIGHT, *LIMITS, *FRESH]
    for option, choices in (("--noise", names), ("--gate", gates)):
        parser.add_argument(option, action="append", default=[], choices=choices, metavar="NAME")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--results", type=Path, help="keeps the judged suites, as lines of JSON")
    parser.add_argument(
        "--write", action="store_true", help=f"write the tables into {DOCUMENT.name}"
    )
    options = parser.parse_args()
    if options.write and (options.noise or options.gate):
        parser.error("--write needs all rows; leave out --noise and --gate")
    began = time.perf_counter()
    counted = study(
        options.suites,
        options.processes,
        options.results,
        options.seed,
        options.noise,
        options.gate,
    )
    text = "\n".join(tables(counted, options.suites))
    print(text, f"{time.perf_counter() - began:.0f} s", sep="\n")
    if options.write:
        before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
