"""Mixup: train on blends of two images, and on the same blend of their losses.

The share λ ~ Beta(1, 1) is drawn once for each batch. Image i is blended with image i - 1:
x = λ·x_i + (1 - λ)·x_(i-1). For cross-entropy, a blend of the losses equals a blend of the labels.
Losses are blended here, so that masks with void pixels and other losses work too.

Source: Zhang et al. 2018, https://arxiv.org/abs/1710.09412; ``torchvision.transforms.v2.MixUp``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.transforms import v2

from benchmarks.zoo.recipe import Loss, Recipe

TASKS = ("classification", "segmentation")
STAGES = ("training",)
ALPHA = 1.0


@dataclass(frozen=True)
class Blend:
    """The targets of a blended batch."""

    first: Tensor
    second: Tensor
    """``first``, rolled by one image."""
    share: float
    """The share of the first, in [0, 1]."""


def apply(recipe: Recipe) -> Recipe:
    """Blend every batch and its losses, after the recipe's own changes to the batch."""
    before = recipe.batch

    def batch(images: Tensor, target: Tensor, progress: float) -> tuple[Tensor, Blend]:
        return blend(*before(images, target, progress))

    return replace(recipe, batch=batch, loss=blended(recipe.loss))


def blend(images: Tensor, target: Tensor) -> tuple[Tensor, Blend]:
    """Let torchvision mix the images, and read the share from the image numbers that it mixes."""
    count = len(images)
    mix = v2.MixUp(alpha=ALPHA, num_classes=max(count, 2))
    # The numbers are on the CPU, so that reading the share does not wait for a GPU.
    images, weights = mix(images, torch.arange(count))
    return images, Blend(target, target.roll(1, 0), float(weights[0, 0]))


def blended(loss: Loss) -> Loss:
    """Sum the losses against both targets, weighted by their shares."""

    def of_both(logits: Tensor, target: Blend) -> Tensor:
        first, second = loss(logits, target.first), loss(logits, target.second)
        return target.share * first + (1 - target.share) * second

    return of_both
