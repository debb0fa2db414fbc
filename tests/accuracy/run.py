"""Measure the accuracy of the GPU meter against simulated cards, and write ``docs/accuracy.md``.

    uv run --group accuracy python tests/accuracy/run.py

takes about half an hour. It needs a C compiler and no GPU. ``--only error`` (or ``settling``,
``edges``, ``rivals``, ``perturbation``, ``traces``) prints one study, and with ``--write`` replaces
its section on the page. With ``--keep`` a run that was ended goes on from what it has measured.
``--sessions``, ``--measurements``, ``--results``, ``--windows``, ``--loads`` and ``--blocks`` set
how much is measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import Any

from edges import IDLE, PASSES_S, RUNNING, Seen
from recorded import rest_power_w
from rivals import OURS, RIVALS, Compared
from store import Store, state
from windows import (
    LOADS_S,
    OWN_LOAD_SHARE,
    ROUNDS,
    Drawn,
    Observed,
    Program,
    dump,
    measure_sessions,
    measure_windows,
    parse,
    profiles,
    vary,
)

from pytest_energy.model.files import write_atomically
from pytest_energy.model.traces import encode, reduce_samples
from pytest_energy.testing import PROFILES, Profile, SimulatedNvml, Tail
from pytest_energy.uncertainty.gum import significant
from pytest_energy.uncertainty.rounds import summarize

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "docs" / "accuracy.md"
LENGTHS_S = (1.0, 5.0)
RIVAL_LENGTHS_S = (0.2, 1.0, 5.0)
RIVAL_CASE_LENGTHS_S = (1.0, 5.0)
EDGE_LENGTH_S = 10.0
SETTLING_LENGTHS_S = (0.5, 1.0, 5.0, 10.0)
SETTLING_MEASUREMENTS = 4
"""Loads per session: few, since most of what can go wrong is learnt at a session's beginning."""
PERTURBED_PASSES = 20
SLOWER_LIMIT = 0.005
AIMED = (0.93, 0.99)
PART_SESSIONS = 12
"""So many sessions follow each other in one process."""
STEPPED_IDLE_W = 73.0
"""70 W would make whole joules of every tick at rest, so that no step of a joule shows there."""
TAIL = {
    "tail_fast_share": Drawn(0.4, 0.8, log=False),
    "tail_fast_s": Drawn(0.01, 0.03),
    "tail_slow_share": Drawn(0.05, 0.15, log=False),
    "tail_slow_s": Drawn(1.0, 3.0),
}
LAGS_S = (("50–100 ms", 0.05, 0.1), ("100–300 ms", 0.1, 0.3))
STAMPS = {"sample_jitter_ns": Drawn(0.5e6, 0.5e6)}
"""Stamps of power samples are exact to 1 ms: the budget allows for so much."""
LATE_POWER = {
    "power_lag_ns": Drawn(50e6, 300e6),
    "power_second_lag_ns": Drawn(50e6, 300e6),
    "power_second_share": Drawn(0.0, 0.1, log=False),
}
"""A part of what comes late comes otherwise: by the standard deviation, 6 %."""
DELAY = {"counter_delay_ns": Drawn(20e6, 200e6)}


def main() -> None:
    """Run all studies and write the page, or print one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sessions", type=int, default=32, help="sessions per card in the error study"
    )
    parser.add_argument(
        "--measurements", type=int, default=32, help="measurements of three rounds per session"
    )
    parser.add_argument(
        "--windows", type=int, default=8, help="windows per length beside other tools"
    )
    parser.add_argument(
        "--results", type=int, default=96, help="results per line of the settling study"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the settling study")
    parser.add_argument("--only-case", default="", help="only its lines that contain this text")
    parser.add_argument("--loads", type=int, default=60, help="loads per length in the edge study")
    parser.add_argument("--blocks", type=int, default=1000, help="blocks in the perturbation study")
    parser.add_argument("--only", choices=STUDIES, help="print only this study")
    parser.add_argument(
        "--keep",
        type=Path,
        help="folder for what is measured: a run that was ended goes on from there if the code of"
        " the meter and of the study is the same",
    )
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument(
        "--held", action="store_true", help="beside other tools: only cases that --keep holds"
    )
    parser.add_argument(
        "--write", action="store_true", help="with --only: replace its section on the page"
    )
    chosen = parser.parse_args()
    if chosen.only and chosen.write:
        section = "\n".join(STUDIES[chosen.only](chosen))
        page = replaced(chosen.output.read_text("utf-8"), section)
        write_atomically(chosen.output, page)
        return
    if chosen.only:
        for line in STUDIES[chosen.only](chosen):
            print(line, flush=True)
        return
    parts = [INTRODUCTION.format(rounds=ROUNDS, periods=_periods())]
    for name, study in STUDIES.items():
        print(name, file=sys.stderr)
        parts += study(chosen)
    write_atomically(chosen.output, "\n".join(parts) + "\n")


def replaced(page: str, section: str) -> str:
    """The page with another text of one of its sections, which begins with its heading.

    Raises:
        ValueError: The page has no such section.
    """
    heading = section.partition("\n")[0]
    before, found, rest = page.partition(f"{heading}\n")
    if not found:
        raise ValueError(f"the page has no section {heading!r}; write all of it, without --only")
    _, next_heading, after = rest.partition("\n## ")
    return before + section.rstrip("\n") + ("\n\n## " + after if next_heading else "\n")


INTRODUCTION = """\
# Accuracy

This page shows how exact the GPU meter is. The meter is measured against simulated cards whose true
energy is known. `tests/accuracy/run.py` writes the page
(`uv run --group accuracy python tests/accuracy/run.py`; it needs a C compiler and no GPU). The
simulated sensors tick, average and look away as published studies found real sensors to do.
`tests/accuracy/card.py` tests how the counter of a real card behaves (see [sensors](sensors.md)).

Each measurement has {rounds} rounds of the same load. The loads alternate between constant power
and square waves with periods of {periods} ms. Power, duty
cycle and phase are random.
"""


def _periods() -> str:
    return ", ".join(f"{period_s * 1e3:g}" for period_s in LOADS_S if period_s)


def _accuracy(chosen: argparse.Namespace) -> Iterable[str]:
    yield "## Error and interval\n"
    yield ERROR_AND_INTERVAL.format(
        sessions=chosen.sessions,
        results=chosen.sessions * chosen.measurements,
        known=1.96 * math.sqrt(0.95 * 0.05 / (chosen.sessions * chosen.measurements)),
        state=state(),
    )
    yield (
        "| card | sees | window | rounds | error, 95 % | bias | stated, median | "
        "result's interval right | one round's right | zeros |"
    )
    yield "| --- |" + " --- |" * 9
    outside = []
    for name, profile in profiles():
        print(name, file=sys.stderr)
        seen = _sessions(chosen, name, profile)
        sees = "part" if name == "pascal" or profile.counter_window_s else "all"
        for length_s in LENGTHS_S:
            rounds = [one for one in seen if one.length_s == length_s]
            yield f"| {name} | {sees} | {length_s:g} s | " + _row(rounds)
            for what, held in (("results", _held_by_results), ("rounds", _held_by_rounds)):
                if not AIMED[0] <= held(rounds) <= AIMED[1]:
                    outside.append(f"{what} of {name} at {length_s:g} s ({held(rounds):.1%})")
    aimed = " to ".join(f"{share:.0%}" for share in AIMED)
    yield "\n" + fill(f"Outside the target of {aimed}: {', '.join(outside) or 'none'}.", 100) + "\n"


def _sessions(chosen: argparse.Namespace, name: str, profile: Profile) -> list[Observed]:
    sessions, measurements = chosen.sessions, chosen.measurements

    def measure() -> list[str]:
        return [dump(o) for o in measure_sessions(profile, LENGTHS_S, sessions, measurements)]

    lines = Store(chosen.keep).lines(f"error {name} {sessions} {measurements}", measure)
    return [parse(line) for line in lines]


ERROR_AND_INTERVAL = """\
The table shows the error of a round's joules (95th percentile, and the mean as bias) and how
often the stated 95 % intervals contain the truth. There are two intervals. The result's interval
belongs to a measurement of three rounds: it is the `uncertainty` of `energy_j` in the results,
and verdicts are made from it. The other belongs to one round alone (`uncertainty_j`). `part` means
that the sensor sees 25 of every 100 ms (Pascal's: 10 of 20 ms). In each of {sessions} sessions per
card, the sensors look at other moments within their periods. Each line has {results} results: a
share of 95 % is known to about ±{known:.1%}. The code was in the state `{state}`.

A result's interval combines the scatter of its rounds with what they share. It is never narrower
than Student's t interval of the scatter alone, which is right in 95 % of cases, whatever caused the
scatter. And it is never narrower than one standard uncertainty of the edges, because rounds can be
equal by chance: that minimum adds about one percent if only the sensor causes the scatter. The
errors of sensors that look away are not normally distributed: a load in step with the sensor is
seen too high or too low, and all three rounds may see it too high.

A round's own interval is 1.96 standard uncertainties of its edges, and of the tail of its load. The
loads of this study end sharply. The meter's own loads measure that to 0.04 ms of their power, and
what they measure by chance is the error that all rounds of a session share: it was drawn {sessions}
times for each card. A single window cannot tell what a sensor did not see. For cards whose power
sensor looks away, the budget has the term `unseen`: the largest error published for such sensors,
and the difference between power samples and counter. It is not published whether
counters look away, too. The meter learns it from the part of its last tick that each window's
counter counts. If the counter sees all of the time, about five windows show it, and the term
disappears. A program whose power varies from tick to tick may never show it; its single windows
keep the term.
"""


def _row(rounds: Sequence[Observed]) -> str:
    errors = sorted(abs(_error(one)) for one in rounds)
    cells = (
        len(rounds),
        f"{errors[int(0.95 * len(errors))]:.4%}",
        f"{statistics.fmean(_error(one) for one in rounds):+.4%}",
        f"±{_stated(rounds):.4%}",
        f"{_held_by_results(rounds):.1%}",
        f"{_held_by_rounds(rounds):.1%}",
        sum(not one.round.energy_j for one in rounds),
    )
    return " | ".join(str(cell) for cell in cells) + " |"


def _error(one: Observed) -> float:
    return (one.round.energy_j or 0.0) / one.true_j - 1


def _stated(rounds: Sequence[Observed]) -> float:
    """The median half-width of single rounds, as a share of their true joules."""
    return statistics.median((one.round.uncertainty_j or 0.0) / one.true_j for one in rounds)


def _held_by_rounds(rounds: Sequence[Observed]) -> float:
    """The share of rounds whose own interval contains their true joules."""
    return statistics.fmean(
        abs((one.round.energy_j or 0.0) - one.true_j) <= (one.round.uncertainty_j or 0.0)
        for one in rounds
    )


def _held_by_results(rounds: Sequence[Observed]) -> float:
    """The share of measurements whose interval contains the mean of their rounds' true joules.

    A measurement with an invalid round has no result.
    """
    measurements: dict[int | str, list[Observed]] = {}
    for one in rounds:
        measurements.setdefault(one.measurement, []).append(one)
    held = []
    for mine in measurements.values():
        if len(mine) < ROUNDS:
            continue
        result = summarize([one.round for one in mine])["energy_j"]
        true_j = statistics.fmean(one.true_j for one in mine)
        held.append(abs(result.value - true_j) <= (result.uncertainty or 0.0))
    return statistics.fmean(held or [math.nan])


@dataclass(frozen=True)
class Case:
    """A card whose power, counter or ticks behave otherwise, and what runs on it."""

    name: str
    profile: Profile
    program: Program = field(default_factory=Program)

    @property
    def key(self) -> str:
        """The name, and a hash of the rest."""
        return f"{self.name} {hashlib.sha256(repr(self).encode()).hexdigest()[:8]}"


def _rival_cases() -> Iterable[Case]:
    """The cards that other tools measure, too."""
    hopper, ada, ga100 = (PROFILES[name] for name in ("hopper", "ada", "ga100"))
    tail = Tail(0.6, 0.02, 0.1, 2.0)
    yield Case("tail 20 ms and 2 s", replace(ada, tail=tail))
    yield Case("lag 100 ms", replace(hopper, counter_lag_s=0.1))
    yield Case("delay 100 ms", replace(hopper, counter_delay_s=0.1))
    yield Case("jitter ±10 ms", replace(hopper, counter_jitter_s=0.01))
    yield Case("4090 counts 57 %", ada, Program(device={"counter_gain": 0.57}))
    yield Case("10 mJ lost by a read", ada, Program(device={"counter_loss_j": 0.01}))
    stepped = replace(hopper, idle_w=STEPPED_IDLE_W)
    yield Case("steps of 1 J", stepped, Program(device={"counter_step_mj": 1000}))
    without = replace(ada, counter_tick_s=None)
    yield Case("no counter: sharp", without)
    yield Case("no counter: lag 100 ms", replace(without, power_lag_s=0.1))
    yield from _recorded(ada, ga100)


def _recorded(ada: Profile, ga100: Profile) -> tuple[Case, Case]:
    return (
        Case("recorded RTX 3090", replace(ada, idle_w=rest_power_w("rtx3090")), Program("rtx3090")),
        Case("recorded A100", replace(ga100, idle_w=rest_power_w("a100")), Program("a100")),
    )


@dataclass(frozen=True)
class Population:
    """Cards that a session may meet: each session has one of them, and draws what it varies."""

    name: str
    cards: tuple[Case, ...]


def _populations() -> Iterable[Population]:
    hopper, ada, ga100 = (PROFILES[name] for name in ("hopper", "ada", "ga100"))
    lags = {name: _lag(low_s, high_s) for name, low_s, high_s in LAGS_S}
    for name, card, drawn in (
        ("tail", ada, TAIL),
        *((f"lag {name}", hopper, lag) for name, lag in lags.items()),
        ("delay 20–200 ms", hopper, DELAY),
    ):
        yield _one(name, card, Program(ends_otherwise=True, drawn=drawn))
    jitter = {"counter_jitter_ns": Drawn(1e6, 10e6)}
    yield _one("jitter ±1–10 ms", hopper, Program(drawn=jitter))
    part = Program(drawn={"counter_gain": Drawn(0.3, 0.8, log=False)})
    cards = (Case("4090 counts a part", ada, part), Case("H100 counts a part", hopper, part))
    yield Population("counts 30–80 %", cards)
    lost = {"counter_loss_j": Drawn(0.0, 0.02, log=False)}
    yield _one("0–20 mJ lost by a read", ada, Program(drawn=lost))
    stepped = replace(hopper, idle_w=STEPPED_IDLE_W)
    steps = {"counter_step_mj": Drawn(10, 1000)}
    yield _one("steps of 10 mJ to 1 J", stepped, Program(drawn=steps))
    without = replace(ada, counter_tick_s=None)
    clock = {"sample_offset_ns": Drawn(-5e9, 5e9, log=False)} | STAMPS
    yield Population(
        "no counter",
        (
            Case("no counter: sharp", without, Program(ends_otherwise=True, drawn=clock)),
            Case("no counter: tail", without, Program(ends_otherwise=True, drawn=clock | TAIL)),
        ),
    )
    late = Program(ends_otherwise=True, drawn=LATE_POWER | STAMPS)
    yield _one("no counter: lag 50–300 ms", without, late)
    both = Program(ends_otherwise=True, drawn=TAIL | _lag(0.05, 0.3))
    sampled = replace(both, drawn=TAIL | STAMPS | {"power_lag_ns": LATE_POWER["power_lag_ns"]})
    cards = (Case("lag and tail", hopper, both), Case("no counter: lag and tail", without, sampled))
    yield Population("lag 50–300 ms and tail", cards)
    yield Population("recorded", _recorded(ada, ga100))
    alone = Program(own_load=False, ends_otherwise=True)
    yield Population(
        "no own load",
        (
            Case("no own load: sharp", ada, alone),
            Case("no own load: tail", ada, replace(alone, drawn=TAIL)),
            Case("no own load: lag", ada, replace(alone, drawn=_lag(0.05, 0.3))),
            Case("no own load: delay", ada, replace(alone, drawn=DELAY)),
        ),
    )


def _one(name: str, card: Profile, program: Program) -> Population:
    return Population(name, (Case(name, card, program),))


def _lag(low_s: float, high_s: float) -> dict[str, Drawn]:
    return {"counter_lag_ns": Drawn(low_s * 1e9, high_s * 1e9)}


def _settling(chosen: argparse.Namespace) -> Iterable[str]:
    yield "## After a load\n"
    populations = [p for p in _populations() if chosen.only_case in p.name]
    most = math.lcm(*(len(p.cards) for p in populations)) * SETTLING_MEASUREMENTS
    results = math.ceil(chosen.results / most) * most
    yield SETTLING_STUDY.format(
        measurements=SETTLING_MEASUREMENTS,
        results=results,
        known=1.96 * math.sqrt(0.95 * 0.05 / results),
        seed=chosen.seed,
        state=state(),
    )
    yield (
        "| population | window | results | error, 95 % | bias | stated, median | "
        "error ÷ interval | result's interval right | one round's right | invalid | added time | "
        "added joules |"
    )
    yield "| --- |" + " --- |" * 11
    outside: list[str] = []
    biases: list[str] = []
    for population, seen in zip(populations, _observed(populations, results, chosen), strict=True):
        for length_s in SETTLING_LENGTHS_S:
            rounds = [one for one in seen if one.length_s == length_s]
            valid = [one for one in rounds if not any(r.fatal for r in one.round.reasons)]
            yield f"| {population.name} | {length_s:g} s | {len(rounds) // ROUNDS} | " + (
                _settling_row(valid, 1 - len(valid) / len(rounds), length_s)
            )
            if valid:
                outside += _outside(f"{population.name} at {length_s:g} s", valid)
        if population.name == "recorded":
            biases += [_biases(card.name, seen) for card in population.cards]
    aimed = " to ".join(f"{share:.0%}" for share in AIMED)
    text = f"Bias by recording: {'; '.join(biases) or 'none'}."
    yield "\n" + fill(text, 100)
    yield "\n" + fill(f"Outside the target of {aimed}: {', '.join(outside) or 'none'}.", 100) + "\n"
    yield SETTLING_REASONS


def _biases(card: str, seen: Iterable[Observed]) -> str:
    """The bias of a card at each length."""
    mine = [one for one in seen if str(one.measurement).startswith(card)]
    cells = [
        f"{statistics.fmean(_error(one) for one in mine if one.length_s == length_s):+.3%} at "
        f"{length_s:g} s"
        for length_s in SETTLING_LENGTHS_S
    ]
    return f"{card.removeprefix('recorded ')} {', '.join(cells)}"


def _outside(name: str, rounds: Sequence[Observed]) -> Iterable[str]:
    for what, held in (("results", _held_by_results), ("rounds", _held_by_rounds)):
        if not AIMED[0] <= held(rounds) <= AIMED[1]:
            yield f"{what} of {name} ({held(rounds):.1%})"


def _observed(
    populations: Sequence[Population], results: int, chosen: argparse.Namespace
) -> Iterator[list[Observed]]:
    """The windows of each population; a process for some sessions, one per processor at a time."""
    store = Store(chosen.keep)

    def observe(card: Case, sessions: int, part: int) -> list[Observed]:
        seed = f"{chosen.seed} {card.name} {part}"

        def measure() -> list[str]:
            varied = vary(card.profile, random.Random(seed))
            seen = measure_windows(
                varied, SETTLING_LENGTHS_S, SETTLING_MEASUREMENTS, seed, card.program, sessions
            )
            print(f"{card.name} {part}", file=sys.stderr, flush=True)
            return [dump(one) for one in seen]

        lines = store.lines(f"settling {card.key} {sessions} {chosen.seed} {part}", measure)
        seen = [parse(line) for line in lines]
        return [replace(one, measurement=f"{card.name} {part} {one.measurement}") for one in seen]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = []
        for population in populations:
            each = results // SETTLING_MEASUREMENTS // len(population.cards)
            parts = [
                pool.submit(observe, card, min(PART_SESSIONS, each - begun), begun)
                for card in population.cards
                for begun in range(0, each, PART_SESSIONS)
            ]
            jobs.append(parts)
        for parts in jobs:
            yield [one for part in parts for one in part.result()]


SETTLING_STUDY = """\
Power does not fall sharply when a load ends, and a counter may show joules late (see
[measuring](measuring.md)). A stated uncertainty is about all that may be the case, so each line is
a population: every session draws its card anew, and measures {measurements} loads. Each line has
{results} results (`--results {results} --seed {seed}`). If they were independent, a share of 95 %
would be known to about ±{known:.0%}; those of one session share what it has learnt. The code was in
the state `{state}`.

Values are drawn evenly by their logarithm, shares and offsets evenly by themselves:

- `tail` (4090): 40 to 80 % of the step falls with a time constant of 10 to 30 ms, 5 to 15 % with
  one of 1 to 3 s, and the rest at once. Each load differs from its session as much as the budget
  says: the first time constant by 8 %, the slow share by 50 % (standard deviations).
- `lag` (H100): a first-order low-pass before the counter. `delay` (H100): the counter is late.
- `jitter` (H100): ticks come early or late. `steps` (H100): the counter has such steps.
- `counts 30–80 %` (4090 or H100): the counter's share of the joules. `lost by a read` (4090): what
  the counter loses with each read.
- `no counter` (4090 without a counter, measured by its power samples): a sharp end or a tail; the
  clock of the stamps is up to 5 s early or late, and each stamp up to 0.5 ms, as the budget says.
  With `lag`, two low-passes before the power sensor: up to 10 % of the joules pass the second one.
  The lag of each load differs from that of its session by up to 1 %.
- `lag and tail`: an H100 whose counter has a lag, or a 4090 without a counter whose power sensor
  has one, and a tail as above.
- `recorded`: the power of an RTX 3090 or an A100, as an external meter recorded it (1 ms means;
  Yang, Adámek, Armour, SC'24).
- `no own load` (4090): a sharp end, a tail, a lag of 50 to 300 ms or a delay of 20 to 200 ms. The
  process does not use CUDA through torch, so that the meter cannot tell a tail from a late counter.

In all but `jitter`, `counts`, `lost by a read`, `steps` and `recorded`, each load ends with a part
of 5 to 20 % of its time at another power. Above that of the device at rest, it is drawn evenly from
none to twice the mean of the whole load, which is all that the meter allows for. A window with a
fatal reason, such as a counter that disagrees with the power samples, is `invalid`: its joules are
not used, and the other columns are about the windows that are left. A round is counted as its
result has it, revised by what the later ones have shown.

The added time is spent at the edges of a window, and the added joules are those of the idle device
in this time. The windows follow each other at once, as the rounds of a benchmark do; the first one
after other work waits longer. `error ÷ interval` is the root mean square of the errors of single
rounds, as shares of their stated intervals. It is 0.51 if errors are normal and intervals as wide
as they should be.
"""

SETTLING_REASONS = """\
The interval of a result holds the truth in 95 to 96 % of measurements if errors are normal. Where
one error that is distributed evenly is larger than all others, as that by the power at which a load
ended, it holds it in up to 99 %. In `lag and tail` that is nearly all of it: three ticks tell late
joules from a tail, and not at which power the load ended.

Without a load of the meter's own the interval contains a tail, and a lag of up to 300 ms, so that
it is wide for most cards. The joules are those of a tail, so that a late counter has a bias: half
of it would be wrong for every card, and real cards have tails. CUDA through torch, or longer
windows, make the interval narrow. In `no counter: lag` the bias is what the second low-pass still
holds back; the interval contains it.
"""


def _settling_row(rounds: Sequence[Observed], invalid: float, length_s: float) -> str:
    if not rounds:
        return " | ".join(["–"] * 6 + [f"{invalid:.0%}", "–", "–"]) + " |"
    errors = sorted(abs(_error(one)) for one in rounds)
    added_s = statistics.fmean(one.round.conditions["edges.duration_s"] for one in rounds)
    added_j = statistics.fmean(
        one.round.conditions["edges.energy_j"] / one.true_j for one in rounds
    )
    cells = (
        f"{errors[int(0.95 * len(errors))]:.3%}",
        f"{statistics.fmean(_error(one) for one in rounds):+.3%}",
        f"±{_stated(rounds):.3%}",
        f"{_error_by_interval(rounds):.2f}",
        f"{_held_by_results(rounds):.1%}",
        f"{_held_by_rounds(rounds):.1%}",
        f"{invalid:.0%}",
        f"{added_s:.2f} s ({added_s / length_s:.1%})",
        f"{added_j:.2%}",
    )
    return " | ".join(cells) + " |"


def _error_by_interval(rounds: Sequence[Observed]) -> float:
    """Root mean square of the errors as shares of the stated half-widths; 0.51 if all is normal."""
    shares = [
        ((one.round.energy_j or 0.0) - one.true_j) / (one.round.uncertainty_j or math.nan)
        for one in rounds
    ]
    return math.sqrt(statistics.fmean(share**2 for share in shares))


def _edges(chosen: argparse.Namespace) -> Iterable[str]:
    job = {"lengths_s": LENGTHS_S, "loads": chosen.loads, "seed": 5}
    seen = [Seen(**json.loads(line)) for line in _on_hopper("edges.py", job, virtual_clock=True)]
    yield "## Idle edges, or edges under load\n"
    yield EDGES.format(loads=chosen.loads)
    yield "| pass | window | idle: error | added joules | under load: error | added joules |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for pass_s in PASSES_S:
        for length_s in LENGTHS_S:
            mine = [one for one in seen if (one.pass_s, one.length_s) == (pass_s, length_s)]
            cells = [_edge_cells(one for one in mine if one.way == way) for way in (IDLE, RUNNING)]
            yield f"| {pass_s * 1e3:g} ms | {length_s:g} s | {' | '.join(cells)} |"
    yield ""
    yield from _edge_cost()


EDGES = """\
A window can begin and end while the device is idle, as ours do. The energy used between the ticks
and the passes is then subtracted at the idle power. Or the load continues until the next tick; the
energy of a pass is then the mean power between two ticks, multiplied by the duration of a pass.
Both were measured on the simulated H100 (tick 100 ms), with {loads} loads per line and passes whose
power changes within a pass. The table shows the error of the joules per pass (95th percentile), and
the mean joules used beyond those of the window's length, as a share of them.
"""


def _edge_cells(seen: Iterable[Seen]) -> str:
    chosen = list(seen)
    errors = sorted(abs(one.error) for one in chosen)
    added = statistics.fmean(one.added for one in chosen)
    return f"{errors[int(0.95 * len(errors))]:.3%} | {added:.2%}"


def _edge_cost() -> Iterable[str]:
    seen = measure_sessions(PROFILES["hopper"], (EDGE_LENGTH_S,), 4, 10)
    added_s = statistics.fmean(one.round.conditions["edges.duration_s"] for one in seen)
    added_j = statistics.fmean(one.round.conditions["edges.energy_j"] for one in seen)
    energy_j = statistics.fmean(one.true_j for one in seen)
    yield EDGE_COST.format(
        added_s=added_s,
        share_s=added_s / EDGE_LENGTH_S,
        added_j=added_j,
        share_j=added_j / energy_j,
        windows=len(seen),
    )


EDGE_COST = """\
For a window of 10 s on the simulated H100 (tick 100 ms), reading the device's state and waiting for
ticks adds {added_s:.3f} s ({share_s:.2%}) and {added_j:.1f} J ({share_j:.2%}) on average over
{windows} windows. None of it is in the result.
"""


def _comparison(chosen: argparse.Namespace) -> Iterable[str]:
    if missing := [tool for tool in ("zeus", "codecarbon") if find_spec(tool) is None]:
        raise SystemExit(
            f"not installed: {', '.join(missing)}; to measure beside other tools, run"
            " uv run --group accuracy python tests/accuracy/run.py"
        )
    job = {"lengths_s": RIVAL_LENGTHS_S, "windows": chosen.windows, "seed": 3}
    lines = Store(chosen.keep).lines(
        f"rivals {chosen.windows}", lambda: _on_hopper("rivals.py", job)
    )
    seen = [Compared(**json.loads(line)) for line in lines]
    yield "## Beside other tools\n"
    yield COMPARISON.format(windows=chosen.windows, versions=_versions())
    yield "| tool | " + " | ".join(f"{length_s:g} s" for length_s in RIVAL_LENGTHS_S) + " |"
    yield "| --- |" + " --- |" * len(RIVAL_LENGTHS_S)
    for tool in (OURS, *RIVALS):
        cells = [_against_ours(seen, tool, length_s) for length_s in RIVAL_LENGTHS_S]
        yield f"| {tool} | " + " | ".join(cells) + " |"
    yield ""
    yield from _comparison_by_case(chosen)


def _comparison_by_case(chosen: argparse.Namespace) -> Iterable[str]:
    cases = [case for case in _rival_cases() if chosen.only_case in case.name]
    store = Store(chosen.keep)
    if chosen.held:
        cases = [case for case in cases if store.holds(_rivals_name(case, chosen.windows))]
    # one by one: they are measured in real time, and would disturb each other
    measured = [_beside_others(case, chosen.windows, store) for case in cases]
    yield "### By case\n"
    yield COMPARISON_BY_CASE.format(
        windows=chosen.windows, cores=os.cpu_count(), load=os.getloadavg()[0], state=state()
    )
    yield "| case | window | " + " | ".join((OURS, *RIVALS)) + " |"
    yield "| --- | --- |" + " --- |" * (1 + len(RIVALS))
    for case, seen in zip(cases, measured, strict=True):
        for length_s in RIVAL_CASE_LENGTHS_S:
            cells = [
                _against_ours(seen, tool, length_s, statistics.median) for tool in (OURS, *RIVALS)
            ]
            yield f"| {case.name} | {length_s:g} s | " + " | ".join(cells) + " |"
    yield ""


def _rivals_name(case: Case, windows: int) -> str:
    return f"rivals {case.key} {windows}"


def _beside_others(case: Case, windows: int, store: Store) -> list[Compared]:
    """Windows of a case by all tools, in real time."""
    own_load_w = OWN_LOAD_SHARE * case.profile.power_limit_w
    job = {"lengths_s": RIVAL_CASE_LENGTHS_S, "windows": windows, "seed": 3}
    job |= {"recorded": case.program.recorded, "own_load_w": own_load_w}

    def measure() -> list[str]:
        lines = _on_machine("rivals.py", job, case.profile, device=case.program.device)
        print(f"beside others: {case.name}", file=sys.stderr, flush=True)
        return lines

    lines = store.lines(_rivals_name(case, windows), measure)
    return [Compared(**json.loads(line)) for line in lines]


COMPARISON_BY_CASE = """\
The same tools beside ours on cards of the section *After a load*, with {windows} windows per
line, in real time, one case after the other. The error is the median of the windows: the system may
delay a process for many milliseconds between the end of its load and the moment at which a tool
stops. The machine had {cores} cores and a load of {load:.1f} at the end. At a load above the number
of cores, these delays are larger than the errors of the tools, and another tool may be nearer by
chance; the errors of such cards without delays are in *After a load*. `refused` is a
measurement that is invalid, with its reason, or a tool that fails on such a card: no joules are
better than wrong ones. The code was in the state `{state}`.
"""


COMPARISON = """\
All tools measure the same windows at the same time, one opened inside the other, and ours is the
innermost. The load is a constant power on the simulated H100, in real time, with {windows} windows
per length. The table shows the mean absolute error of the joules as a share of the passes' true
joules, and its ratio to our error.

Opening and closing take time, so the tools measure different spans. For another tool, three true
energies are tried for each window: that of the passes, that from the return of its start to the
call of its stop, and that from the call of its start to the return of its stop. For ours, two are
tried: that of the passes, and that between its edges, because the system may delay the process
before or after the passes. The one that gives the smallest error counts.

The polling thread reads `nvmlDeviceGetPowerUsage` every 10 ms, as many papers do. On this card that
value is an average over one second. Versions: {versions}.
"""


def _against_ours(
    seen: Sequence[Compared],
    tool: str,
    length_s: float,
    average: Callable[[Iterable[float]], float] = statistics.fmean,
) -> str:
    error, ours = (_average_error(seen, name, length_s, average) for name in (tool, OURS))
    if error is None:
        return "refused"
    ratio = "" if tool == OURS or not ours else f" ({significant(error / ours, 2):,.9g} ×)"
    return f"{error:.3%}{ratio}"


def _average_error(
    seen: Sequence[Compared],
    tool: str,
    length_s: float,
    average: Callable[[Iterable[float]], float],
) -> float | None:
    """Of the windows that the tool did not refuse; ``None`` if it refused all."""
    mine = [one.error for one in seen if one.tool == tool and one.length_s == length_s]
    errors = [error for error in mine if error is not None]
    return average(errors) if errors else None


def _versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("zeus", "codecarbon"))


def _perturbation(chosen: argparse.Namespace) -> Iterable[str]:
    load_before = os.getloadavg()[0]
    job = {"blocks": chosen.blocks, "passes": PERTURBED_PASSES}
    (line,) = _on_hopper("perturbation.py", job)
    shares: dict[str, tuple[float, float, float, float]] = json.loads(line)
    yield "## Perturbation\n"
    yield PERTURBATION.format(
        passes=PERTURBED_PASSES, blocks=chosen.blocks, cores=os.cpu_count(), load=load_before
    )
    yield "| method | slower by the clock | processor time |"
    yield "| --- | --- | --- |"
    for name, (share, low, high, beside) in shares.items():
        what = f"{name}, with its trace" if name == OURS else name
        yield f"| {what} | {share:+.2%} ({low:+.2%} to {high:+.2%}) | {_small(beside)} |"
    yield f"\n{_judged(*shares[OURS][1:])}\n"


PERTURBATION = """\
The table shows how much slower passes of 1 ms of Python run while they are measured. Inside a
window, our only activity is the helper process that collects the trace. The polling method's only
activity is its thread.

A loop runs continuously on one core inside one window, while the helper process or the thread is
stopped and released in turns of {passes} passes (stopped, released, released, stopped; in every
other block the other way round). The slow-down is the median over {blocks} blocks, with its 95 %
interval. Loops with separate windows would show less: a processor runs many percent faster after
the wait for a tick. The machine had {cores} cores and a load of {load:.1f} when the study began.

The processor time is what the method used during 10,000 passes, as a share of their own time: its
cost on the loop's own core. The helper works only every few seconds, so few blocks contain its
work. The cost of that work is in the processor time, and the cost of its presence in the slow-down.
"""


def _small(share: float) -> str:
    return f"{share:.2%}" if share > 1e-4 else "below 0.01%"


def _judged(low: float, high: float, beside: float) -> str:
    """Compare the sum of slow-down and processor time with the limit."""
    if high + beside <= SLOWER_LIMIT:
        return f"The sum of both stays below {SLOWER_LIMIT:.1%} for pytest-energy."
    if low + beside > SLOWER_LIMIT:
        return f"The sum of both is above {SLOWER_LIMIT:.1%} for pytest-energy."
    return (
        f"This run does **not** show that the sum of both stays below {SLOWER_LIMIT:.1%}: the\n"
        "machine's own noise was larger. Run the command on a quiet machine."
    )


def _on_hopper(program: str, job: dict[str, object], *, virtual_clock: bool = False) -> list[str]:
    """Run a program on a machine with a simulated H100, and return its lines of JSON."""
    return _on_machine(program, job, PROFILES["hopper"], virtual_clock=virtual_clock)


def _on_machine(
    program: str,
    job: dict[str, object],
    card: Profile,
    *,
    virtual_clock: bool = False,
    device: Mapping[str, Any] | None = None,
) -> list[str]:
    with SimulatedNvml(card, virtual_clock=virtual_clock) as machine:
        machine.configure(**(device or {}))
        result = subprocess.run(
            [sys.executable, str(HERE / program), json.dumps(job)],
            env={**os.environ, **machine.environment()},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return [line for line in result.stdout.splitlines() if line.startswith("{")]


def _trace_size(chosen: argparse.Namespace) -> Iterable[str]:
    rng = random.Random(4)
    times_s = [0.1 * number + rng.gauss(0.0, 3e-4) for number in range(1, 6001)]
    powers_w = [rng.gauss(300.0, 40.0) for _ in times_s]
    trace = encode(reduce_samples(times_s, powers_w, 0.0, 600.0), "gpu0", "driver-ring", 6000)
    yield "## Traces\n"
    yield TRACES.format(buckets=trace.buckets, size_kb=len(trace.model_dump_json()) / 1e3)


TRACES = """\
A trace of ten minutes of noisy power at ten samples a second has {buckets} buckets and takes
{size_kb:.1f} kB of results.json."""


STUDIES: dict[str, Callable[[argparse.Namespace], Iterable[str]]] = {
    "error": _accuracy,
    "settling": _settling,
    "edges": _edges,
    "rivals": _comparison,
    "perturbation": _perturbation,
    "traces": _trace_size,
}
"""In the order of the page."""


if __name__ == "__main__":
    main()
