"""Measure the accuracy of the GPU meter against simulated cards, and write ``docs/accuracy.md``.

    uv run --group accuracy python tests/accuracy/run.py

takes about a quarter of an hour and a C compiler, and needs no GPU. ``--only error`` (or ``edges``,
``rivals``, ``perturbation``, ``traces``) prints one study and writes no page. ``--sessions``,
``--measurements``, ``--windows``, ``--loads`` and ``--blocks`` set how much is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edges import IDLE, PASSES_S, RUNNING, Seen
from rivals import OURS, RIVALS, Compared
from windows import LOADS_S, ROUNDS, Observed, measure_sessions, profiles

from pytest_energy.model.files import write_atomically
from pytest_energy.model.traces import encode, reduce_samples
from pytest_energy.testing import PROFILES, SimulatedNvml
from pytest_energy.uncertainty.rounds import summarize

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "docs" / "accuracy.md"
LENGTHS_S = (1.0, 5.0)
RIVAL_LENGTHS_S = (0.2, 1.0, 5.0)
EDGE_LENGTH_S = 10.0
PERTURBED_PASSES = 20
SLOWER_LIMIT = 0.005
AIMED = (0.93, 0.99)


def main() -> None:
    """Run all studies and write the page, or print one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=32, help="of the error study, a card")
    parser.add_argument("--measurements", type=int, default=32, help="of three rounds, a session")
    parser.add_argument("--windows", type=int, default=8, help="a length, beside other tools")
    parser.add_argument("--loads", type=int, default=60, help="of the study of edges, a length")
    parser.add_argument("--blocks", type=int, default=1000, help="of the perturbation study")
    parser.add_argument("--only", choices=STUDIES, help="print this study alone")
    parser.add_argument("--output", type=Path, default=TARGET)
    chosen = parser.parse_args()
    if chosen.only:
        print("\n".join(STUDIES[chosen.only](chosen)))
        return
    parts = [INTRODUCTION.format(rounds=ROUNDS, periods=_periods())]
    for name, study in STUDIES.items():
        print(name, file=sys.stderr)
        parts += study(chosen)
    write_atomically(chosen.output, "\n".join(parts) + "\n")


INTRODUCTION = """\
# Accuracy

What the GPU meter claims, measured against simulated cards whose true energy is known. This page is
written by `tests/accuracy/run.py` (`uv run --group accuracy python tests/accuracy/run.py`; needs a
C compiler and no GPU). Simulated sensors tick, average and look away as published studies found
real ones to do; how a real card's counter behaves is a question that `tests/accuracy/card.py` asks
(see [sensors](sensors.md)).

Each measurement has {rounds} rounds of the same load. Loads take turns between constant power and
square waves with periods of {periods} ms, of random power, duty and phase.
"""


def _periods() -> str:
    return ", ".join(f"{period_s * 1e3:g}" for period_s in LOADS_S if period_s)


def _accuracy(chosen: argparse.Namespace) -> Iterable[str]:
    yield "## Error and interval\n"
    yield ERROR_AND_INTERVAL.format(
        sessions=chosen.sessions, results=chosen.sessions * chosen.measurements
    )
    yield (
        "| card | sees | window | rounds | error, 95 % | bias | result's interval holds | "
        "one round's holds | zeros |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    outside = []
    for name, profile in profiles():
        print(name, file=sys.stderr)
        seen = measure_sessions(profile, LENGTHS_S, chosen.sessions, chosen.measurements)
        sees = "part" if name == "pascal" or profile.counter_window_s else "all"
        for length_s in LENGTHS_S:
            rounds = [one for one in seen if one.length_s == length_s]
            yield f"| {name} | {sees} | {length_s:g} s | " + _row(rounds)
            for what, held in (("results", _held_by_results), ("rounds", _held_by_rounds)):
                if not AIMED[0] <= held(rounds) <= AIMED[1]:
                    outside.append(f"{what} of {name} at {length_s:g} s ({held(rounds):.1%})")
    aimed = " to ".join(f"{share:.0%}" for share in AIMED)
    yield f"\nOutside the {aimed} aimed at: {', '.join(outside) or 'none'}.\n"


ERROR_AND_INTERVAL = """\
Error of a round's joules (95th percentile, and the mean as bias), and how often the
stated 95 % intervals hold the truth: that of a measurement of three rounds, which is
the `uncertainty` of `energy_j` in the results and what verdicts are made of, and that
of each round alone (`uncertainty_j`). Part-time: the sensor sees 25 of every 100 ms
(Pascal's: 10 of 20 ms). When in their periods the sensors look is drawn anew for each
of {sessions} sessions a card. {results} results a line: a figure of 95.5 % is known to
about ±1.3 %.

A result's interval is Student's on its rounds' scatter, which is right in 95 % whatever
made them scatter, and never narrower than one standard uncertainty of the edges, for
rounds that are alike by luck. The latter adds about one percent where nothing but the
sensor makes them scatter. Rounds of sensors that look away do not err as a normal
distribution does: a load in step with the sensor is seen high or low, and three rounds
may all see it high.

A round's own interval is 1.96 standard uncertainties of its edges. The moments of its
two ticks are even distributions, for the sum of which 1.90 would do: 97 % rather than
95 %. What a sensor did not see, a window alone cannot tell. On cards whose power sensor
looks away there is the term `unseen`: the largest error published for such sensors, and
how far power samples and counter are apart. Nobody has published whether counters look
away, too. The meter learns it from how much of its last tick each window's counter
counts; where it sees all, some five windows show it, and the term is gone. A program
whose power varies from tick to tick may never show it; its single windows keep the term.
"""


def _row(rounds: Sequence[Observed]) -> str:
    errors = sorted(abs(_error(one)) for one in rounds)
    cells = (
        len(rounds),
        f"{errors[int(0.95 * len(errors))]:.4%}",
        f"{statistics.fmean(_error(one) for one in rounds):+.4%}",
        f"{_held_by_results(rounds):.1%}",
        f"{_held_by_rounds(rounds):.1%}",
        sum(not one.round.energy_j for one in rounds),
    )
    return " | ".join(str(cell) for cell in cells) + " |"


def _error(one: Observed) -> float:
    return (one.round.energy_j or 0.0) / one.true_j - 1


def _held_by_rounds(rounds: Sequence[Observed]) -> float:
    """The share of rounds whose own interval holds their true joules."""
    return statistics.fmean(
        abs((one.round.energy_j or 0.0) - one.true_j) <= (one.round.uncertainty_j or 0.0)
        for one in rounds
    )


def _held_by_results(rounds: Sequence[Observed]) -> float:
    """The share of measurements whose interval holds the mean of their rounds' true joules."""
    measurements: dict[int, list[Observed]] = {}
    for one in rounds:
        measurements.setdefault(one.measurement, []).append(one)
    held = []
    for mine in measurements.values():
        result = summarize([one.round for one in mine])["energy_j"]
        true_j = statistics.fmean(one.true_j for one in mine)
        held.append(abs(result.value - true_j) <= (result.uncertainty or 0.0))
    return statistics.fmean(held)


def _edges(chosen: argparse.Namespace) -> Iterable[str]:
    job = {"lengths_s": LENGTHS_S, "loads": chosen.loads, "seed": 5}
    seen = [Seen(**json.loads(line)) for line in _on_hopper("edges.py", job, virtual_clock=True)]
    yield "## Idle edges, or edges under load\n"
    yield EDGES.format(loads=chosen.loads)
    yield "| a pass takes | window | idle: error | joules added | in load: error | joules added |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for pass_s in PASSES_S:
        for length_s in LENGTHS_S:
            mine = [one for one in seen if (one.pass_s, one.length_s) == (pass_s, length_s)]
            cells = [_edge_cells(one for one in mine if one.way == way) for way in (IDLE, RUNNING)]
            yield f"| {pass_s * 1e3:g} ms | {length_s:g} s | {' | '.join(cells)} |"
    yield ""
    yield from _edge_cost()


EDGES = """\
A window can begin and end while the device rests, as ours do: what was used between
the ticks and the passes is taken off at the power then. Or the load goes on while the
ticks are awaited, and a pass is the mean power between two ticks times what a pass takes.
Both on the simulated H100 (tick 100 ms), {loads} loads a line, passes whose power changes
within: error of the joules a pass (95th percentile), and the mean joules beyond those of
the window's length, as a share of them.
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
    yield (
        f"Around a window of 10 s on the simulated H100 (tick 100 ms), reading the device's state\n"
        f"and waiting for ticks adds {added_s:.3f} s ({added_s / EDGE_LENGTH_S:.2%}) and\n"
        f"{added_j:.1f} J ({added_j / energy_j:.2%}) on average over {len(seen)} windows;\n"
        "none of it is in the result.\n"
    )


def _comparison(chosen: argparse.Namespace) -> Iterable[str]:
    job = {"lengths_s": RIVAL_LENGTHS_S, "windows": chosen.windows, "seed": 3}
    seen = [Compared(**json.loads(line)) for line in _on_hopper("rivals.py", job)]
    yield "## Beside other tools\n"
    yield (
        "All tools measure the same windows at once, one opened inside the other, ours innermost:\n"
        f"constant power on the simulated H100, in real time, {chosen.windows} windows a length.\n"
        "Mean absolute error of the joules, as a share of the passes' true ones, and how many\n"
        "times ours it is. Opening and closing\n"
        "take time, so that the tools' spans differ: ours is judged by the true joules of the\n"
        "passes alone; another tool by these, by those from the return of its start to the call\n"
        "of its stop, or by those from the call of its start to the return of its stop, window by\n"
        "window whichever suits it best. The polling thread asks `nvmlDeviceGetPowerUsage` each\n"
        "10 ms, as many papers do; on this card that is an average over one second. Versions:\n"
        f"{_versions()}.\n"
    )
    yield "| tool | " + " | ".join(f"{length_s:g} s" for length_s in RIVAL_LENGTHS_S) + " |"
    yield "| --- |" + " --- |" * len(RIVAL_LENGTHS_S)
    for tool in (OURS, *RIVALS):
        cells = [_against_ours(seen, tool, length_s) for length_s in RIVAL_LENGTHS_S]
        yield f"| {tool} | " + " | ".join(cells) + " |"
    yield ""


def _against_ours(seen: Sequence[Compared], tool: str, length_s: float) -> str:
    error, ours = (_mean_error(seen, name, length_s) for name in (tool, OURS))
    ratio = "" if tool == OURS else f" ({error / ours:.0f} ×)"
    return f"{error:.3%}{ratio}"


def _mean_error(seen: Sequence[Compared], tool: str, length_s: float) -> float:
    mine = [one for one in seen if one.tool == tool and one.length_s == length_s]
    return statistics.fmean(one.error for one in mine)


def _versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("zeus", "codecarbon"))


def _perturbation(chosen: argparse.Namespace) -> Iterable[str]:
    load_before = os.getloadavg()[0]
    job = {"blocks": chosen.blocks, "passes": PERTURBED_PASSES}
    (line,) = _on_hopper("perturbation.py", job)
    told: dict[str, tuple[float, float, float, float]] = json.loads(line)
    yield "## Perturbation\n"
    yield PERTURBATION.format(
        passes=PERTURBED_PASSES, blocks=chosen.blocks, cores=os.cpu_count(), load=load_before
    )
    yield "| method | slower by the clock | processor time |"
    yield "| --- | --- | --- |"
    for name, (share, low, high, beside) in told.items():
        what = f"{name}, with its trace" if name == OURS else name
        yield f"| {what} | {share:+.2%} ({low:+.2%} to {high:+.2%}) | {_small(beside)} |"
    yield f"\n{_judged(*told[OURS][1:])}\n"


PERTURBATION = """\
How much slower passes of 1 ms of Python run while they are measured. Within a window
nothing of ours runs but the helper process that collects the trace, and of the polling
method its thread. A loop on one core goes on and on inside one window, while these are
stopped and let go in turns of {passes} passes (stopped, free, free, stopped, and in every
other block the other way round): the median slow-down of {blocks} blocks, with its 95 %
interval. Loops with windows of their own do not tell as much: a processor runs many
percent faster after the wait for a tick. The machine had {cores} cores and a load of
{load:.1f} when this began. Beside it the processor time that the method used during
10,000 passes, as a share of theirs: what it would cost on the loop's own core. The
helper works every few seconds only, which few blocks see: what it does then is in the
processor time, what its presence costs in the slow-down.
"""


def _small(share: float) -> str:
    return f"{share:.2%}" if share > 1e-4 else "below 0.01%"


def _judged(low: float, high: float, beside: float) -> str:
    """What the slow-down's interval and the processor time together show of the limit."""
    if high + beside <= SLOWER_LIMIT:
        return f"Both together: ours is shown to stay below {SLOWER_LIMIT:.1%}."
    if low + beside > SLOWER_LIMIT:
        return f"Both together: ours is above {SLOWER_LIMIT:.1%}."
    return (
        f"It is **not shown** here that ours stays below {SLOWER_LIMIT:.1%}: the machine's own\n"
        "noise was larger than that. Run the command on a quiet machine."
    )


def _on_hopper(program: str, job: dict[str, object], *, virtual_clock: bool = False) -> list[str]:
    """The lines of JSON that a program prints on a machine with a simulated H100."""
    with SimulatedNvml("hopper", virtual_clock=virtual_clock) as machine:
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
    yield (
        f"Ten minutes of noisy power at ten samples a second are kept in {trace.buckets} buckets\n"
        f"and {len(trace.model_dump_json()) / 1e3:.1f} kB of results.json."
    )


STUDIES: dict[str, Callable[[argparse.Namespace], Iterable[str]]] = {
    "error": _accuracy,
    "edges": _edges,
    "rivals": _comparison,
    "perturbation": _perturbation,
    "traces": _trace_size,
}
"""In the page's order."""


if __name__ == "__main__":
    main()
