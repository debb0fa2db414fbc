"""Pruning: remove half of the filters inside every residual block.

The filters with the smallest L1 norm are removed, and so are the input channels that read them. The
remaining kernels are smaller, so parameters and operations fall. Single weights set to zero would
cost dense kernels as much as before. The shape of a block's output stays: (B, C, h, w).

Source: Li et al. 2017, https://arxiv.org/abs/1608.08710, section 3.3 and Figure 4.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.surgery import Block, blocks_of

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")
SHARE = 0.5
"""The share of the filters that stays."""


def apply(recipe: Recipe) -> Recipe:
    """Prune all residual blocks."""
    for block in blocks_of(recipe):
        prune(block)
    return recipe


def prune(block: Block) -> None:
    """Remove filters from all but the last convolution of a block, in place."""
    # torchvision names the layers of a block conv1, bn1, conv2, …, and its shortcut otherwise.
    convs = [layer for name, layer in block.named_children() if name.startswith("conv")]
    norms = [layer for name, layer in block.named_children() if name.startswith("bn")]
    for conv, norm, reader in zip(convs[:-1], norms[:-1], convs[1:], strict=True):
        filters = strongest(conv.weight)
        conv.weight, conv.out_channels = _select(conv.weight, filters, 0), len(filters)
        reader.weight, reader.in_channels = _select(reader.weight, filters, 1), len(filters)
        _select_channels(norm, filters)


def strongest(weight: Tensor) -> Tensor:
    """The indices of the filters of (F, C, k, k) that stay, ascending."""
    norms = weight.detach().abs().sum((1, 2, 3))
    return norms.topk(max(1, int(len(norms) * SHARE))).indices.sort().values


def _select_channels(norm: nn.BatchNorm2d, channels: Tensor) -> None:
    norm.weight = _select(norm.weight, channels, 0)
    norm.bias = _select(norm.bias, channels, 0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean = norm.running_mean.index_select(0, channels)
    norm.running_var = norm.running_var.index_select(0, channels)
    norm.num_features = len(channels)


def _select(parameter: nn.Parameter, indices: Tensor, axis: int) -> nn.Parameter:
    return nn.Parameter(parameter.detach().index_select(axis, indices))
