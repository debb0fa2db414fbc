"""Automatic mixed precision: matrix products and convolutions in 16 bits, the rest in 32.

The type is torch's own for the device: float16 on CUDA, as in paper D, and bfloat16 on the CPU.
Gradients in float16 are scaled so that small ones do not vanish. The output is float32 again.

Source: Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740; ``torch.autocast``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo.recipe import Recipe

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")


class Autocast(nn.Module):
    """Run a model under autocast."""

    def __init__(self, model: nn.Module, device_type: str) -> None:
        super().__init__()
        self.model = model
        self.device_type = device_type

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Give the model's outputs as float32, in their own shapes."""
        with torch.autocast(self.device_type):
            output: Any = self.model(images)
        return [maps.float() for maps in output] if isinstance(output, list) else output.float()


def apply(recipe: Recipe) -> Recipe:
    """Wrap the model, and scale gradients if the type is float16."""
    device_type = torch.device(recipe.device).type
    if not torch.amp.is_autocast_available(device_type):
        return recipe  # torch's meta device, which computes nothing
    return replace(
        recipe,
        model=Autocast(recipe.model, device_type),
        scale_gradients=torch.get_autocast_dtype(device_type) == torch.float16,
    )
