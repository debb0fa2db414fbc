"""RAdam: Adam with rectified first steps, in which its variance is still uncertain.

It replaces the baseline's optimiser and keeps its weight decay: paper C leaves all other settings
the same. The learning rate is torch's default of 0.001, because SGD's would be far too high for it.
The baseline's schedule scales that rate.

Source: Liu et al. 2020, https://arxiv.org/abs/1908.03265; ``torch.optim.RAdam``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import nn
from torch.optim import Optimizer, RAdam

from benchmarks.zoo.recipe import Recipe

TASKS = ("classification", "segmentation")
STAGES = ("training",)


def apply(recipe: Recipe) -> Recipe:
    """Replace the optimiser."""

    def optimizer(parameters: Iterable[nn.Parameter]) -> Optimizer:
        trained = list(parameters)
        replaced = recipe.optimizer(trained)
        return RAdam(trained, weight_decay=replaced.defaults.get("weight_decay", 0.0))

    return replace(recipe, optimizer=optimizer)
