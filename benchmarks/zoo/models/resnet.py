"""Residual networks with ImageNet's stem, or with a small stem for images of 32 or 64 pixels.

The small stem is paper C's: a 3×3 convolution of stride 1 without pooling. So the first stage works
at the full size of the image.

Source: He et al. 2016, https://arxiv.org/abs/1512.03385, as torchvision builds it. Random weights.
"""

from __future__ import annotations

import torchvision
from torch import nn

from benchmarks.zoo.recipe import Shape
from benchmarks.zoo.registry import Variant


def _imagenet(depth: int, papers: str) -> Variant:
    return Variant("classification", (3, 224, 224), 1000, papers, {"depth": depth})


def _cifar(depth: int, papers: str) -> Variant:
    options = {"depth": depth, "small_stem": True}
    return Variant("classification", (3, 32, 32), 100, papers, options)


VARIANTS = {
    "resnet18": _imagenet(18, "D"),
    "resnet34": _imagenet(34, "D"),
    "resnet50": _imagenet(50, "AD"),
    "resnet101": _imagenet(101, "D"),
    "resnet152": _imagenet(152, "D"),
    "resnet18_cifar": _cifar(18, "E"),
    "resnet34_cifar": _cifar(34, ""),
    "resnet50_cifar": _cifar(50, "C"),
    "resnet101_cifar": _cifar(101, ""),
    "resnet152_cifar": _cifar(152, ""),
}


def build(input_shape: Shape, classes: int, *, depth: int, small_stem: bool = False) -> nn.Module:
    """Build a ResNet: (B, 3, H, W) → (B, ``classes``)."""
    channels, _, _ = input_shape
    model: nn.Module = torchvision.models.get_model(
        f"resnet{depth}", weights=None, num_classes=classes
    )
    if small_stem:
        model.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model
