"""Focal loss, γ = 2: well-classified examples count little.

The loss is -(1 - p)^γ log p. p is the probability of the right answer, from one sigmoid for each
class. The losses are summed over the classes and divided by the number of images or pixels, as in
the source. Logits (B, K) or (B, K, H, W), target (B,) or (B, H, W).

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
"""How torchvision spells a focal loss without α."""


def apply(recipe: Recipe) -> Recipe:
    """Replace the loss."""
    return replace(recipe, loss=focal_loss)


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over all images or pixels that are not void."""
    counted = target != VOID
    one_hot = F.one_hot(target.where(counted, 0), logits.shape[1]).movedim(-1, 1)
    losses: Tensor = sigmoid_focal_loss(logits, one_hot.to(logits), alpha=NO_ALPHA, gamma=GAMMA)
    return (losses.sum(dim=1) * counted).sum() / counted.sum()
