"""Channels last: maps lie in memory as (B, H, W, C), which suits 16-bit convolutions.

Shapes stay (B, C, H, W). Only the strides change.

Source: https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.zoo.recipe import Recipe

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")


def apply(recipe: Recipe) -> Recipe:
    """Convert the weights and ask for images of the same format."""
    recipe.model.to(memory_format=torch.channels_last)
    return replace(recipe, memory_format=torch.channels_last)
