"""GE-θ: gather-excite with parameters, over the whole map.

After each stage, a depthwise convolution as large as the map gathers one number for each channel.
The number is normalised, and its sigmoid scales the channel: (B, C, h, w) → (B, C, 1, 1) →
(B, C, h, w). The changed model takes images of the recipe's size only.

Source: Hu et al. 2018, https://arxiv.org/abs/1810.12348, section 3.2 (global extent). The layer is
written here, because ``GatherExcite`` of timm 1.0.31 raises TypeError with parameters.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.surgery import RESNET_STAGES, output_shapes, resnet_of

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")


class GatherExcite(nn.Module):
    """Scale each channel of (B, C, height, width) by a number gathered from its whole map."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.gather = nn.Sequential(
            nn.Conv2d(channels, channels, (height, width), groups=channels, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, height, width) → the same shape."""
        gathered: Tensor = self.gather(maps)
        return maps * gathered.sigmoid()


def apply(recipe: Recipe) -> Recipe:
    """Put a gather-excite layer behind each of the ResNet's four stages."""
    resnet = resnet_of(recipe)
    stages = [resnet.get_submodule(name) for name in RESNET_STAGES]
    for name, stage, shape in zip(
        RESNET_STAGES, stages, output_shapes(recipe, stages), strict=True
    ):
        setattr(resnet, name, nn.Sequential(stage, GatherExcite(*shape[1:]).to(recipe.device)))
    return recipe
