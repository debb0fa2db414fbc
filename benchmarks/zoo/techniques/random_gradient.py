"""Random gradient: each step's learning rate is multiplied by a number drawn from U(0, 1).

The schedule does not change: the factor holds for one step only. The draws have a generator of
their own with the seed of the run, so they do not change any other random numbers.

Source: Wei 2018, https://arxiv.org/abs/1808.04293, as paper C uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import nn
from torch.optim import Optimizer

from benchmarks.zoo.recipe import MakeOptimizer, Recipe

TASKS = ("classification", "segmentation")
STAGES = ("training",)


def apply(recipe: Recipe) -> Recipe:
    """Let the recipe's optimiser draw a factor for each step."""
    return replace(recipe, optimizer=randomised(recipe.optimizer))


def randomised(make: MakeOptimizer) -> MakeOptimizer:
    """A function that makes the same optimiser with hooks around its step."""

    def make_randomised(parameters: Iterable[nn.Parameter]) -> Optimizer:
        optimizer = make(parameters)
        generator = torch.Generator().manual_seed(torch.initial_seed())
        planned: list[float] = []

        def draw(*_: object) -> None:
            factor = torch.rand((), generator=generator).item()
            planned[:] = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] *= factor

        def restore(*_: object) -> None:
            for group, rate in zip(optimizer.param_groups, planned, strict=True):
                group["lr"] = rate

        optimizer.register_step_pre_hook(draw)
        optimizer.register_step_post_hook(restore)
        return optimizer

    return make_randomised
