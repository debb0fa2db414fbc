"""Focal loss, γ = 2: well-classified examples count little.

The loss is -(1 - p)^γ log p. p is the softmax probability of the right class, as in paper C
(equation 8). It is averaged over all images or pixels that are not void.
Logits (B, K) or (B, K, H, W), target (B,) or (B, H, W).

Source: Lin et al. 2017, https://arxiv.org/abs/1708.02002, section 3.2, without its α, in the
softmax form of Badar et al. 2021 (paper C), equation 8. torchvision's focal loss has one sigmoid
for each class, so it is written here.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from benchmarks.zoo.recipe import VOID, Recipe

TASKS = ("classification", "segmentation")
STAGES = ("training",)
GAMMA = 2


def apply(recipe: Recipe) -> Recipe:
    """Replace the loss."""
    return replace(recipe, loss=focal_loss)


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over all images or pixels that are not void."""
    # -log p of the right class; 0 for void, so that its focal loss is 0, too
    surprise = F.cross_entropy(logits, target, ignore_index=VOID, reduction="none")
    losses: Tensor = (1 - (-surprise).exp()) ** GAMMA * surprise
    return losses.sum() / (target != VOID).sum()
