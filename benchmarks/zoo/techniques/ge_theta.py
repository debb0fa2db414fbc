"""GE-θ: gather-excite with parameters, over the whole map.

A depthwise convolution as large as the map gathers one number for each channel. The number is
normalised, and its sigmoid scales the channel: (B, C, h, w) → (B, C, 1, 1) → (B, C, h, w). On a
larger image than the recipe's, the convolution gathers at several places, and each pixel is scaled
by the nearest of them. A smaller image is refused.

Paper C has these layers at "the outputs of each of the ResBlocks". Its printed parameters tell how
many: one behind each stage of ResNet-50, and four for each stage of BiSeNet's ResNet-18, which is
one behind each 3×3 convolution.

Source: Hu et al. 2018, https://arxiv.org/abs/1810.12348, section 3.2 (global extent). The layer is
written here, because ``GatherExcite`` of timm 1.0.31 raises TypeError with parameters.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.surgery import excited_places, output_shapes

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
        """(B, C, h, w) → the same shape, h and w not below the layer's height and width."""
        gathered: Tensor = self.gather(maps)
        scales = gathered.sigmoid()
        if scales.shape[-2:] != (1, 1):
            scales = F.interpolate(scales, size=maps.shape[-2:], mode="nearest")
        return maps * scales


def apply(recipe: Recipe) -> Recipe:
    """Put a gather-excite layer behind each place of the ResNet."""
    places = excited_places(recipe)
    shapes = output_shapes(recipe, list(places.values()))
    for (name, layer), shape in zip(places.items(), shapes, strict=True):
        excite = GatherExcite(*shape[1:]).to(recipe.device)
        recipe.model.set_submodule(name, nn.Sequential(layer, excite))
    return recipe
