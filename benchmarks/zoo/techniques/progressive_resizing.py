"""Progressive resizing: learn on small images first.

Sides start at 1/8 and double after each quarter of the training (250 of 1000 epochs, 15 of 60):
(B, 3, H, W) → (B, 3, sH, sW), s = 1/8, 1/4, 1/2, 1. Pixels of images are averaged, those of masks
are picked. Epochs differ in cost, so a few of them do not stand for all.

Source: Badar et al. 2021 (paper C), row "Prog. Resize"; the idea is fast.ai's, 2018.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from benchmarks.zoo.recipe import Recipe

TASKS = ("segmentation",)
STAGES = ("training",)
DIVISORS = (8, 4, 2, 1)
"""Divisors of the sides, one for each quarter of the training."""


def apply(recipe: Recipe) -> Recipe:
    """Shrink every batch by its progress, after the recipe's own changes to the batch."""
    before = recipe.batch

    def batch(images: Tensor, target: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        images, target = before(images, target, progress)
        return shrink(images, target, DIVISORS[int(progress * len(DIVISORS))])

    return replace(recipe, batch=batch, even_epochs=False)


def shrink(images: Tensor, masks: Tensor, divisor: int) -> tuple[Tensor, Tensor]:
    """Divide the sides of images (B, 3, H, W) and masks (B, H, W), down to one pixel at least."""
    if divisor == 1:
        return images, masks
    size = [max(1, side // divisor) for side in images.shape[-2:]]
    images = F.interpolate(images, size=size, mode="area")
    nearest = F.interpolate(masks[:, None].float(), size=size, mode="nearest-exact")
    return images, nearest[:, 0].to(masks.dtype)
