"""Switchable normalisation: learn the weights of three statistics.

Mean and variance are weighted sums of those of instance (over h, w), layer (over C, h, w) and batch
(over B, h, w). A softmax of three parameters each gives the weights:
x̂ = (x - Σ w_k μ_k) / √(Σ w'_k σ²_k + ε), then each channel is scaled and shifted. A layer has six
parameters more than batch normalisation. The segmentation backbone keeps batch normalisation, as in
paper C.

Source: Luo et al. 2019, https://arxiv.org/abs/1806.10779, equations (2) to (5).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.surgery import exchange

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")
BACKBONE = "context.backbone."


class SwitchNorm2d(nn.Module):
    """Normalise (B, C, h, w) by weighted statistics. Evaluation uses the batch's running ones.

    Args:
        channels: C.
        eps: Added to the variance.
        momentum: Weight of a new batch in the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.mean_logits = nn.Parameter(torch.zeros(3))
        self.var_logits = nn.Parameter(torch.zeros(3))
        self.register_buffer("running_mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("running_var", torch.ones(1, channels, 1, 1))

    def shares(self) -> tuple[Tensor, Tensor]:
        """The weights of instance, layer and batch: for the mean, and for the variance."""
        return self.mean_logits.softmax(0), self.var_logits.softmax(0)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h, w)."""
        mean, square = maps.mean((2, 3), keepdim=True), maps.square().mean((2, 3), keepdim=True)
        layer_mean, layer_square = mean.mean(1, keepdim=True), square.mean(1, keepdim=True)
        batch_mean, batch_var = self._of_batch(mean, square)
        by_mean, by_var = self.shares()
        mu = by_mean[0] * mean + by_mean[1] * layer_mean + by_mean[2] * batch_mean
        var = (
            by_var[0] * (square - mean.square())
            + by_var[1] * (layer_square - layer_mean.square())
            + by_var[2] * batch_var
        )
        # E[x²] - E[x]² may round to just below zero.
        scaled: Tensor = (maps - mu) * (var.clamp_min(0) + self.eps).rsqrt()
        return scaled * self.weight + self.bias

    def _of_batch(self, mean: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
        """Statistics over the batch: in training of this batch, in evaluation the running ones."""
        if not self.training:
            return self.running_mean, self.running_var
        batch_mean = mean.mean(0, keepdim=True)
        batch_var = square.mean(0, keepdim=True) - batch_mean.square()
        with torch.no_grad():
            self.running_mean.lerp_(batch_mean, self.momentum)
            self.running_var.lerp_(batch_var, self.momentum)
        return batch_mean, batch_var


def apply(recipe: Recipe) -> Recipe:
    """Replace batch normalisation everywhere except in the backbone of a segmentation."""

    def selects(name: str, layer: nn.Module) -> bool:
        return isinstance(layer, nn.BatchNorm2d) and not name.startswith(BACKBONE)

    exchange(recipe, selects, lambda layer: SwitchNorm2d(layer.num_features, layer.eps))
    return recipe
