"""Spatial bottleneck: convolve to a quarter of the positions, and back.

This changes every residual block that keeps its size. The first convolution gets the stride k = 2,
and the 3×3 convolution after it becomes a transposed one of stride k. Both work at (h/k, w/k), so
they cost 1/k² with the same parameters. (B, C, h, w) → (B, C, h, w). Blocks whose maps have an odd
side do not change.

Source: Peng et al. 2018, https://arxiv.org/abs/1809.02601 ("the combination of two layers").
"""

from __future__ import annotations

from typing import cast

from torch import nn

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.surgery import Block, blocks_of, output_shapes

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")
K = 2
"""The stride."""


def apply(recipe: Recipe) -> Recipe:
    """Change all blocks of stride 1 whose maps have even sides."""
    blocks = [block for block in blocks_of(recipe) if block.stride == 1]
    shapes = output_shapes(recipe, cast("list[nn.Module]", blocks))
    for block, shape in zip(blocks, shapes, strict=True):
        if all(side % K == 0 for side in shape[-2:]):
            squeeze(block)
            block.to(recipe.device)
    return recipe


def squeeze(block: Block) -> None:
    """Set the stride and the transposed convolution of one block, in place."""
    reduce, restore = block.conv1, block.conv2
    reduce.stride = (K, K)
    block.conv2 = nn.ConvTranspose2d(
        restore.in_channels,
        restore.out_channels,
        kernel_size=3,
        stride=K,
        padding=1,
        output_padding=K - 1,  # without it the side would be one pixel short
        bias=False,
    )
