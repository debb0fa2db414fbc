"""CoordConv: give the first convolution the coordinates of each pixel.

Three channels are added to its input: x and y from -1 to 1 and the distance from the centre,
(B, 3, H, W) → (B, 6, H, W). Every convolution that takes the image is changed: that of the stem,
and in BiSeNet also that of the spatial path. The weights of the image's channels stay, since they
may be pretrained.

Source: Liu et al. 2018, https://arxiv.org/abs/1807.03247, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.surgery import exchange

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")
EXTRA = 3
"""Added channels."""


class CoordConv2d(nn.Module):
    """A convolution like ``conv`` that also takes coordinates, with new weights for these."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            conv.in_channels + EXTRA,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type] # two numbers, typed as a longer tuple
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            bias=conv.bias is not None,
            device=conv.weight.device,
        )
        with torch.no_grad():
            self.conv.weight[:, : conv.in_channels] = conv.weight
            if conv.bias is not None and self.conv.bias is not None:
                self.conv.bias.copy_(conv.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C + 3, H, W) → the output of ``conv``."""
        batch, _, height, width = images.shape
        positions = coordinates(height, width, images).expand(batch, -1, -1, -1)
        maps: Tensor = self.conv(torch.cat((images, positions), dim=1))
        return maps


def coordinates(height: int, width: int, like: Tensor) -> Tensor:
    """x, y and the distance from the centre: (1, 3, ``height``, ``width``), typed as ``like``."""
    y = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)
    x = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((x, y, torch.hypot(x, y)))[None]


def apply(recipe: Recipe) -> Recipe:
    """Replace every convolution that takes the image."""
    channels = recipe.input_shape[0]

    def takes_image(_: str, layer: nn.Module) -> bool:
        return isinstance(layer, nn.Conv2d) and layer.in_channels == channels

    exchange(recipe, takes_image, CoordConv2d)
    return recipe
