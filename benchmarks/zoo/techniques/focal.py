"""Focal loss, γ = 2: what is classified well already counts little.

-(1 - p)^γ log p, p the probability of what is right, from a sigmoid a class; summed over the
classes and divided by the number of things to classify, as in the source. Logits (B, K) or
(B, K, H, W), target (B,) or (B, H, W).

Source: Lin et al. 2017, https://arxiv.org/abs/1708.02002, section 3.2, without its α;
``torchvision.ops.sigmoid_focal_loss``.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from benchmarks.zoo.recipe import VOID, Recipe

TASKS = ("classification", "segmentation")
STAGES = ("training",)
GAMMA = 2.0
NO_ALPHA = -1


def apply(recipe: Recipe) -> Recipe:
    """Replace the loss."""
    return replace(recipe, loss=focal_loss)


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over all that is not void."""
    counted = target != VOID
    one_hot = F.one_hot(target.where(counted, 0), logits.shape[1]).movedim(-1, 1)
    losses: Tensor = sigmoid_focal_loss(logits, one_hot.to(logits), alpha=NO_ALPHA, gamma=GAMMA)
    return (losses.sum(dim=1) * counted).sum() / counted.sum()
