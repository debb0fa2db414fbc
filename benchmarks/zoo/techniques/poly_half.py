"""Half the epochs, with a learning rate that falls by a power of the remaining time.

The factor is (1 - step / steps)^0.9 over the halved schedule, so the rate still ends at zero.

Source: Badar et al. 2021 (paper C), row "Poly LR 1/2 Epochs"; ``torch.optim`` ``PolynomialLR``.
"""

from __future__ import annotations

from dataclasses import replace

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, PolynomialLR

from benchmarks.zoo.recipe import Horizon, Recipe

TASKS = ("classification", "segmentation")
STAGES = ("training",)
POWER = 0.9


def apply(recipe: Recipe) -> Recipe:
    """Halve the epochs, rounded up, and plan the rate over that half."""
    return replace(recipe, epochs=(recipe.epochs + 1) // 2, scheduler=_poly)


def _poly(optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    return PolynomialLR(optimizer, total_iters=horizon.steps, power=POWER)
