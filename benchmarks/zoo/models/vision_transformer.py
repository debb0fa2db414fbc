"""Vision transformers: ViT-B/16, which attends to the whole image, and Swin-T, to its windows.

Source: Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929; Liu et al. 2021,
https://arxiv.org/abs/2103.14030; as torchvision builds them. Random weights.
"""

from __future__ import annotations

from typing import cast

import torchvision
from torch import nn

from benchmarks.zoo.recipe import Shape
from benchmarks.zoo.registry import Variant

VARIANTS = {
    name: Variant("classification", (3, 224, 224), 1000, "", {"name": name})
    for name in ("vit_b_16", "swin_t")
}


def build(input_shape: Shape, classes: int, *, name: str) -> nn.Module:
    """Build a transformer: (B, 3, H, W) → (B, ``classes``). ViT's H and W are multiples of 16."""
    size = {"image_size": input_shape[-1]} if name.startswith("vit") else {}
    model = torchvision.models.get_model(name, weights=None, num_classes=classes, **size)
    return cast("nn.Module", model)
