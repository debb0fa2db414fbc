"""Label relaxation: at a boundary, every class of the neighbourhood counts as right.

The loss of a pixel is -log Σ_c P(c) over the classes c within 3×3 pixels of it. Away from
boundaries there is one such class, and the loss is cross-entropy.
Logits (B, K, H, W), target (B, H, W).

Source: Zhu et al. 2019, https://arxiv.org/abs/1812.01593, section 3.3, equation (4).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.zoo.recipe import VOID, Recipe, one_hot

TASKS = ("segmentation",)
STAGES = ("training",)


def apply(recipe: Recipe) -> Recipe:
    """Replace the loss."""
    return replace(recipe, loss=relaxed_cross_entropy)


def relaxed_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over all pixels that are not void. A void pixel allows no class."""
    log_p = logits.log_softmax(dim=1)
    allowed = classes_nearby(target, classes=logits.shape[1])
    loss = -log_p.masked_fill(~allowed, -torch.inf).logsumexp(dim=1)
    counted = target != VOID
    # A void pixel amid void pixels allows no class. Its infinite loss must not reach the sum.
    return loss.where(counted, 0).sum() / counted.sum()


def classes_nearby(target: Tensor, classes: int) -> Tensor:
    """The classes in the 3×3 window around each pixel: (B, H, W) → bool (B, K, H, W).

    One byte a class and pixel: for COCO-Stuff, one-hot integers would take 4 GiB a head.
    """
    nearby = one_hot(target, classes)
    for axis in (2, 3):
        centre = nearby.clone()
        length = nearby.shape[axis] - 1
        nearby.narrow(axis, 1, length).logical_or_(centre.narrow(axis, 0, length))
        nearby.narrow(axis, 0, length).logical_or_(centre.narrow(axis, 1, length))
    return nearby
