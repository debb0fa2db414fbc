"""Pruning: half of the filters inside every residual block are cut out.

Those with the smallest L1 norm go, with the input channels that read them. The kernels that remain
are smaller ones, so parameters and operations really fall; zeroed single weights would cost dense
kernels as much as before. Blocks put out what they did: (B, C, h, w).

Source: Li et al. 2017, https://arxiv.org/abs/1608.08710, section 3.3 and Figure 4.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.surgery import Block, blocks_of

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")
KEPT = 0.5


def apply(recipe: Recipe) -> Recipe:
    """Prune all residual blocks."""
    for block in blocks_of(recipe):
        prune(block)
    return recipe


def prune(block: Block) -> None:
    """Cut the filters of all but the last convolution of a block, in place."""
    convs = [layer for name, layer in block.named_children() if name.startswith("conv")]
    norms = [layer for name, layer in block.named_children() if name.startswith("bn")]
    for conv, norm, reader in zip(convs[:-1], norms[:-1], convs[1:], strict=True):
        kept = strongest(conv.weight)
        conv.weight, conv.out_channels = _cut(conv.weight, kept, 0), len(kept)
        reader.weight, reader.in_channels = _cut(reader.weight, kept, 1), len(kept)
        _cut_norm(norm, kept)


def strongest(weight: Tensor) -> Tensor:
    """Indices, ascending, of the filters of (F, C, k, k) that are kept."""
    norms = weight.detach().abs().sum((1, 2, 3))
    return norms.topk(max(1, int(len(norms) * KEPT))).indices.sort().values


def _cut_norm(norm: nn.BatchNorm2d, kept: Tensor) -> None:
    norm.weight, norm.bias = _cut(norm.weight, kept, 0), _cut(norm.bias, kept, 0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean = norm.running_mean.index_select(0, kept)
    norm.running_var = norm.running_var.index_select(0, kept)
    norm.num_features = len(kept)


def _cut(parameter: nn.Parameter, kept: Tensor, axis: int) -> nn.Parameter:
    return nn.Parameter(parameter.detach().index_select(axis, kept))
