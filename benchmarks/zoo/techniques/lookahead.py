"""LookAhead: every k steps, slow weights move towards the fast ones by a share α.

φ ← φ + α (θ - φ), then θ ← φ, with α = 0.5 and k = 5. θ are the weights of the baseline's own
optimiser, φ the slow ones.

Source: Zhang et al. 2019, https://arxiv.org/abs/1907.08610, algorithm 1; ``timm.optim.Lookahead``,
whose slow weights start as the weights of step k, not of step 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

from torch import nn
from torch.optim import Optimizer

from benchmarks.zoo.recipe import Recipe

TASKS = ("classification", "segmentation")
STAGES = ("training",)
ALPHA, K = 0.5, 5


def apply(recipe: Recipe) -> Recipe:
    """Wrap the recipe's optimiser."""
    from timm.optim.lookahead import Lookahead

    inner = recipe.optimizer
    wrap = cast("Callable[..., Optimizer]", Lookahead)  # timm does not annotate it

    def optimizer(parameters: Iterable[nn.Parameter]) -> Optimizer:
        return wrap(inner(parameters), alpha=ALPHA, k=K)

    return replace(recipe, optimizer=optimizer)
