"""Measure the accuracy of the GPU meter against simulated cards, and write ``docs/accuracy.md``.

    uv run --group accuracy python tests/accuracy/run.py

takes about twelve minutes and a C compiler, and needs no GPU. ``--measurements`` and ``--windows``
set how much is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rivals import TOOLS, Compared
from windows import LOADS_S, ROUNDS, Observed, measure_windows, profiles, vary

from pytest_energy.files import write_atomically
from pytest_energy.testing import SimulatedNvml
from pytest_energy.traces import encode, reduce_samples
from pytest_energy.uncertainty import summarize

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "docs" / "accuracy.md"
LENGTHS_S = (1.0, 5.0)
RIVAL_LENGTHS_S = (0.2, 1.0, 5.0)
SLOWER_LIMIT = 0.005
AIMED = (0.93, 0.99)


def main() -> None:
    """Run all studies and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measurements", type=int, default=160, help="of three rounds, a length")
    parser.add_argument("--windows", type=int, default=8, help="a tool and length, in real time")
    parser.add_argument("--pairs", type=int, default=150, help="of the perturbation study")
    parser.add_argument("--output", type=Path, default=TARGET)
    chosen = parser.parse_args()
    parts = [
        INTRODUCTION.format(rounds=ROUNDS, periods=_periods()),
        *_accuracy(chosen.measurements),
        *_comparison(chosen.windows),
        *_perturbation(chosen.pairs),
        *_trace_size(),
    ]
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


def _accuracy(measurements: int) -> Iterable[str]:
    print("windows", file=sys.stderr)
    yield "## Error and interval\n"
    yield (
        "Error of a round's joules (95th percentile, and the mean as bias), and how often the\n"
        "stated 95 % intervals hold the truth: that of a measurement of three rounds, which is\n"
        "the `uncertainty` of `energy_j` in the results and what verdicts are made of, and that\n"
        "of each round alone (`uncertainty_j`). Part-time: the sensor sees 25 of every 100 ms\n"
        "(Pascal's: 10 of 20 ms).\n\n"
        "A result's interval is the wider of two, one from its rounds' scatter and one from what\n"
        "is known of the edges. Where both are right, both must fail for the truth to lie\n"
        "outside: 98 to 99 % is what to expect of sensors that see everything, and 95 % where\n"
        "the scatter decides.\n\n"
        "What a sensor did not see shows in the scatter of rounds that begin at different\n"
        "phases; a window alone cannot tell. It has the term `unseen` on cards whose power\n"
        "sensor looks away. Where joules come from that sensor, the term is the largest error\n"
        "published for such sensors, and the interval holds nearly always. Where they come from\n"
        "a counter, nobody has published whether it looks away, too: the term is then made of\n"
        "what the power samples show. It is too large for counters that see all, and too small\n"
        "for others where the load keeps step with both sensors; how often that is depends on\n"
        "when the two look, which is drawn once a card here.\n"
    )
    yield (
        "| card | sees | window | rounds | error, 95 % | bias | result's interval holds | "
        "one round's holds | zeros |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    outside = []
    for name, profile in profiles():
        seen = measure_windows(vary(profile, random.Random(1)), LENGTHS_S, measurements, 1)
        sees = "part" if name == "pascal" or profile.counter_window_s else "all"
        for length_s in LENGTHS_S:
            rounds = [one for one in seen if one.length_s == length_s]
            yield f"| {name} | {sees} | {length_s:g} s | " + _row(rounds)
            held = _held_by_results(rounds)
            if not AIMED[0] <= held <= AIMED[1]:
                outside.append(f"{name} at {length_s:g} s ({held:.1%})")
    aimed = " to ".join(f"{share:.0%}" for share in AIMED)
    yield f"\nResults outside the {aimed} aimed at: {', '.join(outside) or 'none'}.\n"
    yield from _edge_cost()


def _row(rounds: Sequence[Observed]) -> str:
    errors = sorted(abs(_error(one)) for one in rounds)
    held = statistics.fmean(
        abs((one.round.energy_j or 0.0) - one.true_j) <= (one.round.uncertainty_j or 0.0)
        for one in rounds
    )
    zeros = sum(not one.round.energy_j for one in rounds)
    cells = (
        len(rounds),
        f"{errors[int(0.95 * len(errors))]:.4%}",
        f"{statistics.fmean(_error(one) for one in rounds):+.4%}",
        f"{_held_by_results(rounds):.1%}",
        f"{held:.1%}",
        zeros,
    )
    return " | ".join(str(cell) for cell in cells) + " |"


def _error(one: Observed) -> float:
    return (one.round.energy_j or 0.0) / one.true_j - 1


def _held_by_results(rounds: Sequence[Observed]) -> float:
    """The share of measurements whose interval holds the mean of their rounds' true joules."""
    held = []
    for number in {one.measurement for one in rounds}:
        mine = [one for one in rounds if one.measurement == number]
        result = summarize([one.round for one in mine])["energy_j"]
        true_j = statistics.fmean(one.true_j for one in mine)
        held.append(abs(result.value - true_j) <= (result.uncertainty or 0.0))
    return statistics.fmean(held)


def _edge_cost() -> Iterable[str]:
    print("edges", file=sys.stderr)
    (profile,) = [p for name, p in profiles() if name == "hopper"]
    seen = measure_windows(vary(profile, random.Random(2)), (10.0,), 40, 2)
    added_s = statistics.fmean(one.round.conditions["edges.duration_s"] for one in seen)
    added_j = statistics.fmean(one.round.conditions["edges.energy_j"] for one in seen)
    energy_j = statistics.fmean(one.true_j for one in seen)
    yield "## What aligned edges cost\n"
    yield (
        f"Around a window of 10 s on the simulated H100 (tick 100 ms), waiting between the ticks\n"
        f"and the passes adds {added_s:.3f} s ({added_s / 10:.2%}) and {added_j:.1f} J\n"
        f"({added_j / energy_j:.2%}) on average over {len(seen)} windows; none of it is in the\n"
        "result.\n"
    )


def _comparison(windows: int) -> Iterable[str]:
    print("rivals", file=sys.stderr)
    job = {"lengths_s": RIVAL_LENGTHS_S, "windows": windows, "seed": 3}
    lines = _on_hopper("rivals.py", job)
    seen = [Compared(**json.loads(line)) for line in lines]
    yield "## Beside other tools\n"
    yield (
        f"The same windows of constant power on the simulated H100, in real time, in turn:\n"
        f"{windows} windows a tool and length. Mean absolute error of the joules, and how many\n"
        "times ours it is. The polling thread asks `nvmlDeviceGetPowerUsage` each 10 ms, as many\n"
        "papers do; on this card that is an average over one second. Versions: "
        f"{_versions()}.\n"
    )
    yield "| tool | " + " | ".join(f"{length_s:g} s" for length_s in RIVAL_LENGTHS_S) + " |"
    yield "| --- |" + " --- |" * len(RIVAL_LENGTHS_S)
    for tool in TOOLS:
        cells = [_against_ours(seen, tool, length_s) for length_s in RIVAL_LENGTHS_S]
        yield f"| {tool} | " + " | ".join(cells) + " |"
    yield ""


def _against_ours(seen: Sequence[Compared], tool: str, length_s: float) -> str:
    error, ours = (_mean_error(seen, name, length_s) for name in (tool, next(iter(TOOLS))))
    ratio = "" if tool == next(iter(TOOLS)) else f" ({error / ours:.0f} ×)"
    return f"{error:.3%}{ratio}"


def _mean_error(seen: Sequence[Compared], tool: str, length_s: float) -> float:
    mine = [one for one in seen if one.tool == tool and one.length_s == length_s]
    return statistics.fmean(abs(one.measured_j / one.true_j - 1) for one in mine)


def _versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("zeus", "codecarbon"))


def _perturbation(pairs: int) -> Iterable[str]:
    print("perturbation", file=sys.stderr)
    load_before = os.getloadavg()[0]
    (line,) = _on_hopper("perturbation.py", {"pairs": pairs, "passes": 100})
    told: dict[str, tuple[float, float, float, float]] = json.loads(line)
    yield "## Perturbation\n"
    yield (
        "How much slower a loop of 100 passes of 1 ms of Python runs while it is measured,\n"
        "against the mean of the same loop before and after it, run without the plugin: median\n"
        f"of {pairs} such ratios, with its 95 % interval. The machine had {os.cpu_count()} cores\n"
        f"and a load of {load_before:.1f} when this began. Beside it the processor time that the\n"
        "method used during 10,000 passes (our helper process; the polling thread), as a share of\n"
        "theirs: what it would cost on the loop's own core.\n"
    )
    yield "| method | slower by the clock | processor time |"
    yield "| --- | --- | --- |"
    for name, (share, low, high, beside) in told.items():
        what = f"{name}, with its trace" if name == "pytest-energy" else name
        yield f"| {what} | {share:+.2%} ({low:+.2%} to {high:+.2%}) | {_small(beside)} |"
    yield f"\n{_judged(*told['pytest-energy'][1:3])}\n"


def _small(share: float) -> str:
    return f"{share:.2%}" if share > 1e-4 else "below 0.01%"


def _judged(low: float, high: float) -> str:
    """What an interval shows of the limit: nothing, where measuring would speed the loop up."""
    if high <= SLOWER_LIMIT and low >= -SLOWER_LIMIT:
        return f"By the clock ours is shown to stay below {SLOWER_LIMIT:.1%}."
    if low > SLOWER_LIMIT:
        return f"By the clock ours is above {SLOWER_LIMIT:.1%}."
    return (
        f"By the clock it is **not shown** here that ours stays below {SLOWER_LIMIT:.1%}: the\n"
        "machine's own noise was larger than that. Run the command on a quiet machine."
    )


def _on_hopper(program: str, job: dict[str, object]) -> list[str]:
    """The lines of JSON that a program prints on a machine with a simulated H100."""
    with SimulatedNvml("hopper") as machine:
        result = subprocess.run(
            [sys.executable, str(HERE / program), json.dumps(job)],
            env={**os.environ, **machine.environment()},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return [line for line in result.stdout.splitlines() if line.startswith("{")]


def _trace_size() -> Iterable[str]:
    rng = random.Random(4)
    times_s = [0.1 * number + rng.gauss(0.0, 3e-4) for number in range(1, 6001)]
    powers_w = [rng.gauss(300.0, 40.0) for _ in times_s]
    trace = encode(reduce_samples(times_s, powers_w, 0.0, 600.0), "gpu0", "driver-ring", 6000)
    yield "## Traces\n"
    yield (
        f"Ten minutes of noisy power at ten samples a second are kept in {trace.buckets} buckets\n"
        f"and {len(trace.model_dump_json()) / 1e3:.1f} kB of results.json."
    )


if __name__ == "__main__":
    main()
