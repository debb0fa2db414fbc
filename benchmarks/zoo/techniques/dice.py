"""Dice: cross-entropy plus γ times the soft Dice loss. γ = 1 is paper C's.

The Dice loss of a class over the batch is 1 - 2 Σ p·y / (Σ p + Σ y), and 0 for a class that does
not occur. It is averaged over all classes.
Logits (B, K, H, W), target (B, H, W).

Source: Milletari et al. 2016, https://arxiv.org/abs/1606.04797, section 3;
``segmentation_models_pytorch.losses.DiceLoss``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from torch import Tensor

from benchmarks.zoo.recipe import VOID, Recipe, one_hot

TASKS = ("segmentation",)
STAGES = ("training",)
GAMMA = 1.0


def apply(recipe: Recipe) -> Recipe:
    """Add the Dice loss to the recipe's loss."""
    from segmentation_models_pytorch.losses import DiceLoss

    previous = recipe.loss
    # Its mode "multiclass" is the same loss, and makes one-hot integers of 64 bits.
    dice = DiceLoss(mode="multilabel", from_logits=False)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        counted = (target != VOID)[:, None]
        answers = one_hot(target, logits.shape[1])
        overlap = cast("Tensor", dice(logits.softmax(dim=1) * counted, answers))
        return previous(logits, target) + GAMMA * overlap

    return replace(recipe, loss=loss)
