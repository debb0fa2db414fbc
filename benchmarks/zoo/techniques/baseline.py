"""Change nothing: every other technique is compared with this one.

Source: Badar et al. 2021 (paper C), row "Baseline".
"""

from __future__ import annotations

from benchmarks.zoo.recipe import Recipe

TASKS = ("classification", "segmentation", "detection")
STAGES = ("inference", "training")


def apply(recipe: Recipe) -> Recipe:
    """Return the recipe."""
    return recipe
