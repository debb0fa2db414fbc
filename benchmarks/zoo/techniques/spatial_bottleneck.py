"""Spatial bottleneck: convolve to a quarter of the positions, and back by a transposed one.

In every residual block that keeps its size, the first convolution gets the stride k = 2 and the
3×3 one after it becomes transposed with the stride k: both work at (h/k, w/k), so they cost 1/k²,
with the same parameters. (B, C, h, w) → (B, C, h, w). Blocks whose maps have an odd side are left.

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


def apply(recipe: Recipe) -> Recipe:
    """Change all blocks of stride 1 whose maps can be halved."""
    blocks = [block for block in blocks_of(recipe) if block.stride == 1]
    shapes = output_shapes(recipe, cast("list[nn.Module]", blocks))
    for block, shape in zip(blocks, shapes, strict=True):
        if all(side % K == 0 for side in shape[-2:]):
            squeeze(block)
            block.to(recipe.device)
    return recipe


def squeeze(block: Block) -> None:
    """Put stride and transposed convolution into one block, in place."""
    reduce, restore = block.conv1, block.conv2
    reduce.stride = (K, K)
    block.conv2 = nn.ConvTranspose2d(
        restore.in_channels,
        restore.out_channels,
        kernel_size=3,
        stride=K,
        padding=1,
        output_padding=K - 1,
        bias=False,
    )
