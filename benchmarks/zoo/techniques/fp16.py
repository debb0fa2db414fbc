"""Inference in float16: weights, maps and images.

It has 11 bits of precision instead of 24, and a range up to 65504. Shapes do not change. Logits are
float16 too.

Source: ``torch.nn.Module.to``; the usual type of trained networks in use today.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.zoo.recipe import Recipe

TASKS = ("classification", "segmentation")
STAGES = ("inference",)


def apply(recipe: Recipe) -> Recipe:
    """Convert the model and ask for images of the same type."""
    return replace(recipe, model=recipe.model.to(torch.float16), dtype=torch.float16)
