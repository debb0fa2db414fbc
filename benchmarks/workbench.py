"""Make a row into a recipe that can run, and count the facts of its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from typing import cast

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    PolynomialLR,
)

from benchmarks.counting import quick_counting
from benchmarks.data import KINDS
from benchmarks.rows import BASELINE, Row
from benchmarks.schedules import Schedule, schedule_of
from benchmarks.zoo.recipe import (
    Horizon,
    MakeOptimizer,
    MakeScheduler,
    Recipe,
    Shape,
    Task,
    constant,
    cross_entropy,
)
from benchmarks.zoo.registry import find_models, find_techniques
from benchmarks.zoo.weights import pretrain
from pytest_energy.fixture import Energy
from pytest_energy.measuring.model_facts import model_facts
from pytest_energy.model.measurement import Quantity

COUNTED_AS_BASELINE = ("compile", "fp8", "int8", "quantisation")
"""Techniques whose models cannot be counted. Their facts are those of the baseline."""


def scheduled(row: Row, scale: str) -> Schedule:
    """The schedule of a row: the paper's, or its small twin."""
    schedule = schedule_of(row.paper, row.model, row.dataset)
    batch, side = row.knobs.get("batch"), row.knobs.get("resolution")
    if isinstance(batch, int) and row.stage == "training":
        schedule = schedule.with_batch(batch)
    if isinstance(side, int):
        schedule = schedule.with_side(side)
    return schedule.small() if scale == "small" else schedule


def recipe_for(row: Row, schedule: Schedule, device: str) -> Recipe:
    """The model of a row on ``device``, with its schedule and its technique.

    Raises:
        NotApplicableError: The model or the technique cannot run on this machine, or
            ``--energy-weights`` lacks the model's weights.
        WeightsError: A file of weights is damaged, or of another network.
    """
    side = schedule.image_size
    shape, classes = (3, side, side), KINDS[row.dataset].classes
    source = cached_models()[row.model]
    # Drawn on the CPU, the random weights of a seed are the same for every device.
    with torch.device("meta" if device == "meta" else "cpu"):
        model = source.build(shape, classes).to(device)
    if device != "meta":
        pretrain(row.model, model)
    recipe = Recipe(
        task=cast("Task", row.task),
        model=model,
        input_shape=shape,
        classes=classes,
        device=device,
        data=row.dataset,
        stage=row.stage,
        epochs=schedule.epochs,
        loss=source.make_loss(model) if row.stage == "training" else cross_entropy,
        optimizer=optimiser_of(schedule),
        scheduler=scheduler_of(schedule),
    )
    baseline_techniques = schedule.techniques if row.stage == "training" else ()
    for name in (*baseline_techniques, row.technique):
        recipe = cached_techniques()[name].apply(recipe)
    return recipe


# The files of the zoo do not change within a run, and every row asks for them.
cached_models = cache(find_models)
cached_techniques = cache(find_techniques)


def optimiser_of(schedule: Schedule) -> MakeOptimizer:
    """The schedule's optimiser with its learning rate and weight decay."""
    rate, decay = schedule.learning_rate, schedule.weight_decay
    if schedule.optimiser == "sgd":
        return partial(torch.optim.SGD, lr=rate, momentum=schedule.momentum, weight_decay=decay)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return partial(kinds[schedule.optimiser], lr=rate, weight_decay=decay)


def scheduler_of(schedule: Schedule) -> MakeScheduler:
    """The schedule's learning rate as a scheduler over all steps."""
    decay = {"constant": constant, "poly": _poly, "step": _stepped}[schedule.decay]
    return _warmed_up(decay, schedule.warmup_epochs) if schedule.warmup_epochs else decay


FEWEST_WARMUP_STEPS = 100
"""A few steps of a huge batch are no warm-up. Source: ultralytics' trainer, which has this bound,
too."""


def _warmed_up(decay: MakeScheduler, epochs: int) -> MakeScheduler:
    """The same schedule, times a factor that rises from 0.001 to 1."""

    def scheduler(optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
        steps = max(FEWEST_WARMUP_STEPS, epochs * horizon.steps_per_epoch)
        rising = LinearLR(optimizer, start_factor=1e-3, total_iters=steps)
        return ChainedScheduler([rising, decay(optimizer, horizon)], optimizer)

    return scheduler


def _poly(optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    return PolynomialLR(optimizer, total_iters=horizon.steps, power=0.9)


def _stepped(optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    milestones = [int(horizon.steps * share) for share in (0.3, 0.6, 0.8)]
    return MultiStepLR(optimizer, milestones, gamma=0.2)


def facts_shape(row: Row) -> Shape:
    """The input for counting a row's facts: one image of the paper's size."""
    side = scheduled(row, "full").image_size
    return (3, side, side)


def facts_of(row: Row) -> Mapping[str, Quantity]:
    """Parameters, MACs and FLOPs of one image of the paper's size, at every scale.

    They are counted on torch's ``meta`` device, which holds neither weights nor images. So counting
    takes no memory, and every machine counts the same.
    """
    technique = cached_techniques()[row.technique]
    hidden = row.technique in COUNTED_AS_BASELINE or "inference" not in technique.stages
    counted = BASELINE if hidden else row.technique
    return _count(row.paper, row.model, row.dataset, counted, facts_shape(row))


@cache
def _count(
    paper: str, model: str, dataset: str, technique: str, shape: Shape
) -> Mapping[str, Quantity]:
    row = Row(paper, "inference", model, dataset, technique)
    schedule = replace(scheduled(row, "full"), image_size=shape[-1])
    with quick_counting():
        recipe = recipe_for(row, schedule, "meta")
        facts, reasons = model_facts(recipe.model, recipe.example())
    if reasons:
        raise ValueError(f"{row.id}: {reasons[0].message}")
    return facts


SMALL_PASSES = 3
"""Passes a round at small scale. The plugin adds passes if the meter needs a longer window."""


def run_inference(energy: Energy, row: Row) -> None:
    """Measure forward passes of a row on random images.

    Raises:
        NotApplicableError: The model or the technique cannot run on this machine.
    """
    schedule = scheduled(row, energy.scale)
    recipe = recipe_for(row, schedule, energy.device)
    batch_size = inference_batch(row, energy.scale)
    energy.inference(
        recipe.model,
        input_shape=recipe.input_shape,
        batch_size=batch_size,
        make_input=lambda: recipe.example(batch_size),
        passes=SMALL_PASSES if energy.scale == "small" else None,
        facts=energy.enabled and facts_of(row),
    )


def inference_batch(row: Row, scale: str) -> int:
    """Images a pass: one, unless a sweep says otherwise."""
    batch = row.knobs.get("batch")
    size = batch if isinstance(batch, int) else 1
    return max(1, size // 8) if scale == "small" else size
