"""RAdam: Adam with rectified first steps, in which its variance is still uncertain.

It replaces the baseline's optimiser and has torch's default learning rate of 0.001. Paper C gives
no rate, and SGD's would be far too high. The baseline's schedule scales that rate. The baseline's
weight decay is not used: torch's RAdam has none by default.

Source: Liu et al. 2020, https://arxiv.org/abs/1908.03265; ``torch.optim.RAdam``.
"""

from __future__ import annotations

from dataclasses import replace

from torch.optim import RAdam

from benchmarks.zoo.recipe import Recipe

TASKS = ("classification", "segmentation")
STAGES = ("training",)


def apply(recipe: Recipe) -> Recipe:
    """Replace the optimiser."""
    return replace(recipe, optimizer=RAdam)
