"""EfficientNet-B0: inverted bottlenecks with squeeze and excitation, found by search.

Source: Tan and Le 2019, https://arxiv.org/abs/1905.11946, as torchvision builds it. Random weights.
"""

from __future__ import annotations

import torchvision
from torch import nn

from benchmarks.zoo.recipe import Shape
from benchmarks.zoo.registry import Variant

VARIANTS = {"efficientnet_b0": Variant("classification", (3, 224, 224), 1000, "E")}


def build(input_shape: Shape, classes: int) -> nn.Module:
    """Build EfficientNet-B0: (B, 3, H, W) → (B, ``classes``)."""
    model: nn.Module = torchvision.models.efficientnet_b0(weights=None, num_classes=classes)
    return model
