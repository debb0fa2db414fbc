"""ConvNeXt-T: a convolutional network with the design choices of a vision transformer.

Source: Liu et al. 2022, https://arxiv.org/abs/2201.03545, as torchvision builds it. Random weights.
"""

from __future__ import annotations

import torchvision
from torch import nn

from benchmarks.zoo.recipe import Shape
from benchmarks.zoo.registry import Variant

VARIANTS = {"convnext_tiny": Variant("classification", (3, 224, 224), 1000, "A")}


def build(input_shape: Shape, classes: int) -> nn.Module:
    """Build ConvNeXt-T: (B, 3, H, W) → (B, ``classes``)."""
    model: nn.Module = torchvision.models.convnext_tiny(weights=None, num_classes=classes)
    return model
