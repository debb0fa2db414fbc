"""Invented runs of realistic shape: no figure in them was measured.

Everything follows from a seed, so that a failure can be repeated.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_energy.model.comparison import Against, Block, Comparison, Control
from pytest_energy.model.measurement import (
    Environment,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Round,
    Trace,
)
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, MetricVerdict, Result, Run, RunInfo, Verdict
from pytest_energy.model.traces import encode, reduce_samples

EPOCH_S = 1_790_000_000.0
TOLERANCE = 0.05
JITTER = 0.02
"""Of the step between two samples: no clock is regular, and regular times would pack too well."""
HOSTILE = "tests/test_x.py::test_evil[</script><img src=x onerror=alert(1)>'\"&{{7*7}}]"
METER = MeterInfo(name="nvml", source="counter", tick_s=0.1)
ENVIRONMENT = Environment(
    identity={
        "device": "NVIDIA H200",
        "device_count": 1,
        "power_limit_w": 700.0,
        "meter": "nvml",
        "estimated": False,
    },
    context={
        "driver": "570.86.15",
        "cuda": "12.8",
        "torch": "2.9.1",
        "python": "3.11.9",
        "board": "9f86d081884c7d65",
        "ecc": True,
    },
)


@dataclass(frozen=True)
class Model:
    """A model with its published size."""

    name: str
    params: int
    macs: int
    energy_j: float
    latency_s: float
    accuracy: float


MODELS = (
    Model("resnet18", 11_689_512, 1_814_073_344, 0.31, 0.0021, 0.698),
    Model("resnet34", 21_797_672, 3_663_761_408, 0.55, 0.0036, 0.733),
    Model("resnet50", 25_557_032, 4_089_284_608, 0.90, 0.0058, 0.761),
    Model("resnet101", 44_549_160, 7_801_405_440, 1.61, 0.0101, 0.774),
    Model("vgg16", 138_357_544, 15_470_264_320, 2.20, 0.0089, 0.716),
    Model("convnext_tiny", 28_589_128, 4_456_450_560, 0.95, 0.0055, 0.825),
    Model("efficientnet_b0", 5_288_548, 385_870_000, 0.42, 0.0079, 0.777),
    Model("bisenet", 13_276_404, 14_800_000_000, 1.32, 0.0068, 0.747),
)
TECHNIQUES = {
    "baseline": 1.0,
    "blurpool": 1.19,
    "spatial_bottleneck": 0.78,
    "coordconv": 1.03,
    "switchnorm": 1.31,
    "bf16": 0.61,
}
CHANGES = (0.0, 0.004, -0.006, 0.09, -0.002, 0.01, -0.12, 0.0, 0.048, 0.003)
"""Relative changes that the benchmarks have in turn: mostly none."""


def example_run(
    models: Sequence[Model] = MODELS,
    techniques: Sequence[str] = tuple(TECHNIQUES),
    *,
    rounds: int = 3,
    batch_sizes: Sequence[int] = (1,),
    baseline: bool = True,
    seed: int = 1,
) -> Run:
    """A run of every model with every technique and batch size."""
    chance = random.Random(seed)
    variants = [(m, t, b) for m in models for t in techniques for b in batch_sizes]
    results = [
        _inference(model, technique, batch_size, rounds, CHANGES[index % 10], baseline, chance)
        for index, (model, technique, batch_size) in enumerate(variants)
    ]
    return run_of(results)


def run_of(results: Sequence[Result], **info: Any) -> Run:
    """A run that holds ``results``."""
    spent_j = sum(measured.energy_j or 0 for result in results for measured in result.rounds)
    defaults: dict[str, Any] = {
        "energy_j": spent_j * 1.2,
        "duration_s": sum(measured.duration_s for result in results for measured in result.rounds)
        + 60,
        "commit": "3f2a91c0d4e5f60718293a4b5c6d7e8f90a1b2c3",
        "branch": "main",
        "idle_power_w": {"gpu0": 75.0},
        "meter": METER,
        "settings": {"tolerance": TOLERANCE, "rounds": 3, "passes": 10_000, "strict": False},
        "carbon": {
            "intensity_g_per_kwh": 381.0,
            "source": "CodeCarbon 3.0, energy mix of Germany",
            "year": 2023,
            "pue": 1.0,
            "method": "measured energy × PUE × mean carbon intensity of the grid",
        },
    }
    return Run(
        created="2026-11-20T19:40:00Z",
        environment=ENVIRONMENT,
        run=RunInfo(**{**defaults, **info}),
        benchmarks=list(results),
    )


def traced_run(run: Run, samples: int = 20_000, distinct: int = 4) -> Run:
    """``run`` with a power trace of ``samples`` samples for each benchmark.

    Only ``distinct`` traces are made, because they take most of the time. The other benchmarks
    share their traces and rounds.
    """
    traces = [
        power_trace(result, samples, index)
        for index, result in enumerate(run.benchmarks[:distinct])
    ]
    results = [
        result.model_copy(
            update={
                "trace": [traces[index % distinct]],
                "rounds": run.benchmarks[index % distinct].rounds,
            }
        )
        for index, result in enumerate(run.benchmarks)
    ]
    return run.model_copy(update={"benchmarks": results})


def power_trace(result: Result, samples: int, seed: int = 0) -> Trace:
    """Power around the rounds of ``result``: idle, rise, load with short drops, idle."""
    start, end = result.rounds[0].start - 3, result.rounds[-1].start + 3
    end += result.rounds[-1].duration_s
    step, chance = (end - start) / samples, random.Random(seed)
    times = sorted(start + step * (at + chance.gauss(0, JITTER)) for at in range(1, samples + 1))
    spans = [(measured.start, measured.start + measured.duration_s) for measured in result.rounds]
    level = result.metrics["power_w"].value
    return encode(
        reduce_samples(times, _powers(times, spans, level, chance), start, end),
        "gpu0",
        "driver-ring",
        samples,
    )


def _powers(
    times: Sequence[float],
    spans: Sequence[tuple[float, float]],
    level: float,
    chance: random.Random,
) -> list[float]:
    powers = []
    for index, time in enumerate(times):
        loaded = any(begin <= time <= end for begin, end in spans)
        drop = 0.35 if index % 97 < 3 else 1.0
        powers.append(chance.gauss(level * drop, level * 0.02) if loaded else chance.gauss(75, 1))
    return powers


def trained(results: Sequence[Result], **metrics: float) -> list[Result]:
    """``results`` as training benchmarks with these metrics."""
    quantities = {name: Quantity(value=value, unit="1") for name, value in metrics.items()}
    return [
        result.model_copy(
            update={"id": f"{result.id}-trained", "kind": "training", "metrics": quantities}
        )
        for result in results
    ]


def without_scores(results: Sequence[Result]) -> list[Result]:
    """``results`` without accuracy, as inference benchmarks are."""
    names = ("energy_j", "latency_s", "params", "co2_g")
    return [
        result.model_copy(update={"metrics": {name: result.metrics[name] for name in names}})
        for result in results
    ]


def trained_and_run(models: Sequence[Model]) -> list[Result]:
    """An inference benchmark without accuracy and a training benchmark with it, for each model."""
    inference = example_run(models, ("baseline",)).benchmarks
    trainings = [
        trained([result], accuracy=model.accuracy, total_energy_j=model.energy_j * 1e6)[0]
        for result, model in zip(inference, models, strict=True)
    ]
    return [*without_scores(inference), *trainings]


def empty_run() -> Run:
    """A session without benchmarks."""
    return run_of([], energy_j=None)


def hostile_run() -> Run:
    """Ids, facts and messages that try to become markup or script."""
    good = example_run(MODELS[:2], ("baseline", "blurpool"))
    evil = good.benchmarks[0].model_copy(
        update={
            "id": HOSTILE,
            "workload": {"model": HOSTILE, "technique": "<s>gone</s>", "x": "</noscript></style>"},
            "reasons": [Reason(code=ReasonCode.NOTE, message=HOSTILE, fatal=False)],
        }
    )
    environment = Environment(identity={"device": "<script>alert(2)</script>"}, context={})
    results = [evil, *good.benchmarks[1:]]
    return run_of(results, branch="=cmd|'/c calc'!A0").model_copy(
        update={"environment": environment}
    )


def unmeasured_run() -> Run:
    """A run on a machine without a meter: it has facts only."""
    reason = Reason(code=ReasonCode.NO_METER, message="no NVML library; install the driver")
    results = [
        result.model_copy(
            update={
                "status": "unmeasured",
                "reasons": [reason],
                "meter": None,
                "rounds": [],
                "metrics": {n: q for n, q in result.metrics.items() if q.exact},
                "verdict": Verdict(outcome=Outcome.UNMEASURED),
            }
        )
        for result in example_run(MODELS[:2], ("baseline",)).benchmarks
    ]
    return run_of(results, energy_j=None, meter=None, unmeasured=reason, carbon={})


def _inference(
    model: Model,
    technique: str,
    batch_size: int,
    rounds: int,
    change: float,
    baseline: bool,
    chance: random.Random,
) -> Result:
    factor = TECHNIQUES[technique] * batch_size**0.82
    before_j, latency_s = model.energy_j * factor, model.latency_s * factor * (1 + change * 0.8)
    energy_j = before_j * (1 + change)
    size = f"-bs{batch_size}" if batch_size > 1 else ""
    measured = _rounds(energy_j, latency_s, rounds, chance)
    return Result(
        id=f"benchmarks/test_inference.py::test_inference[{model.name}-{technique}{size}]",
        kind="inference",
        workload={
            "model": model.name,
            "technique": technique,
            "input_shape": [3, 224, 224],
            "batch_size": batch_size,
            "data": "random",
            "scale": "full",
        },
        status="measured",
        meter=METER,
        metrics=_metrics(model, technique, batch_size, energy_j, latency_s),
        rounds=measured,
        verdict=_verdict(before_j, energy_j, latency_s, change) if baseline else NEW,
        file="benchmarks/test_inference.py",
        line=24,
    )


NEW = Verdict(
    outcome=Outcome.NEW,
    metrics=[MetricVerdict(metric="energy_j", outcome=Outcome.NEW, value=1.0, unit="J/pass")],
)


def _metrics(
    model: Model, technique: str, batch_size: int, energy_j: float, latency_s: float
) -> dict[str, Quantity]:
    flops = 2 * model.macs * batch_size
    accuracy = model.accuracy + 0.01 * (len(technique) % 5 - 2)
    return {
        "energy_j": Quantity(
            value=energy_j,
            unit="J/pass",
            uncertainty=energy_j * 0.004,
            degrees_of_freedom=2,
            budget={
                "scatter": energy_j * 0.0015,
                "resolution": energy_j * 0.0003,
                "gain": energy_j * 0.0011,
            },
        ),
        "net_energy_j": Quantity(value=energy_j - 75 * latency_s, unit="J/pass"),
        "latency_s": Quantity(value=latency_s, unit="s", uncertainty=latency_s * 0.003),
        "power_w": Quantity(value=energy_j / latency_s, unit="W"),
        "throughput_hz": Quantity(value=batch_size / latency_s, unit="Hz"),
        "params": Quantity(value=model.params, unit="", exact=True),
        "macs": Quantity(value=flops / 2, unit="MAC", exact=True),
        "flops": Quantity(value=flops, unit="FLOP", exact=True),
        "accuracy": Quantity(value=accuracy, unit="1"),
        "score_per_kwh": Quantity(value=accuracy / (energy_j / 3.6e6), unit="1/kWh"),
        "co2_g": Quantity(value=energy_j / 3.6e6 * 381, unit="g"),
    }


def _rounds(energy_j: float, latency_s: float, number: int, chance: random.Random) -> list[Round]:
    passes, measured, start = 10_000, [], EPOCH_S + 5
    for index in range(number):
        scatter = 1 + chance.gauss(0, 0.0025)
        duration_s = passes * latency_s
        measured.append(
            Round(
                start=start,
                duration_s=duration_s,
                passes=passes,
                energy_j=energy_j * passes * scatter,
                uncertainty_j=energy_j * passes * 0.002,
                channels={"gpu0": energy_j * passes * scatter},
                conditions={
                    "gpu0.temperature_c": 48.0 + index,
                    "gpu0.clock_mhz": 1980.0 - 15 * (index % 2),
                    "gpu0.throttled": 0.0,
                },
            )
        )
        start += duration_s + 3
    return measured


def _verdict(before_j: float, energy_j: float, latency_s: float, change: float) -> Verdict:
    low, high = change - 0.009, change + 0.0095
    outcome = _outcome(low, high)
    metrics = [
        MetricVerdict(
            metric="energy_j",
            outcome=outcome,
            baseline=before_j,
            value=energy_j,
            unit="J/pass",
            change=change,
            low=low,
            high=high,
            tolerance=TOLERANCE,
        ),
        _beside("latency_s", "s", latency_s, change * 0.8),
        _beside("power_w", "W", energy_j / latency_s, change * 0.2),
    ]
    moved = outcome in (Outcome.REGRESSED, Outcome.IMPROVED)
    return Verdict(
        outcome=outcome,
        metrics=metrics,
        context=[Difference(name="context.torch", before="2.8.0", after="2.9.1")] if moved else [],
        fails=outcome is Outcome.REGRESSED,
    )


def _beside(name: str, unit: str, value: float, change: float) -> MetricVerdict:
    low, high = change - 0.006, change + 0.006
    return MetricVerdict(
        metric=name,
        outcome=_outcome(low, high),
        baseline=value / (1 + change),
        value=value,
        unit=unit,
        change=change,
        low=low,
        high=high,
        tolerance=TOLERANCE,
    )


def _outcome(low: float, high: float) -> Outcome:
    if low > TOLERANCE:
        return Outcome.REGRESSED
    if high < -TOLERANCE:
        return Outcome.IMPROVED
    inside = low >= -TOLERANCE and high <= TOLERANCE
    return Outcome.UNCHANGED if inside else Outcome.INCONCLUSIVE


COMMIT = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"
CONTROL_CHANGE = 0.002


def compared_run(*changes: float | None, blocks: int = 4, metric: str = "energy_j") -> Run:
    """A run that was compared with ``main``; each benchmark changed by so much, ``None`` is new.

    The first benchmark is also a control. Every block differs a little from the others.
    """
    chance = random.Random(7)
    results = [
        _compared(index, change, blocks, metric, chance) for index, change in enumerate(changes)
    ]
    against = Against(
        reference="main",
        commit=COMMIT,
        seed=11,
        blocks=blocks,
        controls={results[0].id: Outcome.UNCHANGED},
        notes=["gone: benchmarks/test_x.py::test_old exists on main (1a2b3c4d5) only"],
    )
    return run_of(results, against=against)


def _compared(
    index: int, change: float | None, blocks: int, metric: str, chance: random.Random
) -> Result:
    done = [] if change is None else [_block(at, change, chance) for at in range(1, blocks + 1)]
    control = Control(
        outcome=Outcome.UNCHANGED,
        change=CONTROL_CHANGE,
        low=CONTROL_CHANGE - 0.004,
        high=CONTROL_CHANGE + 0.004,
        blocks=[_block(at, CONTROL_CHANGE, chance) for at in range(1, 3)],
    )
    comparison = Comparison(
        reference="main",
        commit=COMMIT,
        seed=11,
        blocks=done,
        control=control if index == 0 else None,
    )
    outcome, low, high = Outcome.NEW, None, None
    if change is not None:
        low, high = change - 0.01, change + 0.01
        outcome = Outcome.REGRESSED if low > TOLERANCE else Outcome.UNCHANGED
    unit = {"energy_j": "J/pass", "latency_s": "s"}[metric]
    judged = MetricVerdict(
        metric=metric,
        outcome=outcome,
        baseline=None if change is None else 1.0,
        baseline_uncertainty=None if change is None else 0.003,
        value=1 + (change or 0.0),
        unit=unit,
        change=change,
        low=low,
        high=high,
        tolerance=TOLERANCE,
    )
    why = f"measured against main (1a2b3c4d5) in {blocks} blocks"
    return Result(
        id=f"benchmarks/test_x.py::test_it[{index}]",
        kind="inference",
        workload={"model": f"m{index}"},
        status="measured",
        meter=METER,
        metrics={metric: Quantity(value=1 + (change or 0.0), unit=unit, uncertainty=0.004)},
        rounds=[done_round for block in done for done_round in block.head],
        comparison=comparison,
        verdict=Verdict(
            outcome=outcome,
            metrics=[judged],
            notes=["does not run on main (1a2b3c4d5): no such test" if change is None else why],
            fails=outcome is Outcome.REGRESSED,
        ),
    )


def _block(number: int, change: float, chance: random.Random) -> Block:
    base, head = (
        [
            Round(
                start=EPOCH_S + 60 * number + at,
                duration_s=mean * chance.gauss(1, 0.002),
                passes=1,
                energy_j=mean * chance.gauss(1, 0.002),
                channels={"gpu0": mean},
            )
            for at in range(3)
        ]
        for mean in (1.0, 1 + change)
    )
    difference = math.log1p(change) + chance.gauss(0, 0.002)
    names = ("energy_j", "latency_s")
    return Block(
        number=number,
        first=chance.choice(("base", "head")),
        base=base,
        head=head,
        differences=dict.fromkeys(names, difference),
    )
