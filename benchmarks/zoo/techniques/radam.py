"""RAdam: Adam whose first steps are rectified, while its variance is still uncertain.

It takes the place of the baseline's optimiser, with torch's own learning rate of 0.001: the paper
gives none, and SGD's would be far too high for it. The baseline's schedule scales that rate; its
weight decay does not carry over, as torch's RAdam has none unless told.

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
