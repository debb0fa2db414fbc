"""Cyclic learning rate: up and down in triangles, each half as high as the one before.

Ranges and steps are paper C's, for each data set.

Source: Smith 2017, https://arxiv.org/abs/1506.01186 ("triangular2"); ``torch.optim`` ``CyclicLR``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler

from benchmarks.zoo.recipe import Horizon, Recipe

TASKS = ("classification", "segmentation")
STAGES = ("training",)


@dataclass(frozen=True)
class Cycle:
    """The paper's settings for one data set."""

    base: float
    highest: float
    epochs_up: int
    """Epochs from the base to the top."""


CITYSCAPES = Cycle(1e-4, 0.01, 50)
COCO_STUFF = Cycle(4e-5, 0.004, 3)
CLASSIFICATION = Cycle(1e-4, 0.01, 20)


def apply(recipe: Recipe) -> Recipe:
    """Replace the schedule by the cycle of the recipe's task and data."""
    cycle = cycle_for(recipe)

    def scheduler(optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
        return CyclicLR(
            optimizer,
            base_lr=cycle.base,
            max_lr=cycle.highest,
            step_size_up=cycle.epochs_up * horizon.steps_per_epoch,
            mode="triangular2",
            cycle_momentum=False,  # the paper varies the rate only
        )

    return replace(recipe, scheduler=scheduler)


def cycle_for(recipe: Recipe) -> Cycle:
    """The paper's cycle for the recipe."""
    if recipe.task == "classification":
        return CLASSIFICATION
    return COCO_STUFF if recipe.data == "coco_stuff" else CITYSCAPES
