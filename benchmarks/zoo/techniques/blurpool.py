"""BlurPool: blur with a 5×5 binomial filter before every down-sampling, against aliasing.

A convolution of stride 2 becomes one of stride 1 with a blur of stride 2 behind it. A pooling is
changed in the same way. Paper C blurs at all down-sampling, so the first convolutions of an image
are included, which Zhang's own networks leave out.
Maps: (B, C, h, w) → (B, C, ⌈h/2⌉, ⌈w/2⌉), as without blur.

Source: Zhang 2019, https://arxiv.org/abs/1904.11486, section 3.2; ``timm.layers.BlurPool2d``.
"""

from __future__ import annotations

from torch import nn

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.surgery import exchange

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")
FILTER = 5
"""Pixels on a side of the filter."""


def apply(recipe: Recipe) -> Recipe:
    """Blur wherever the model halves its maps."""
    exchange(recipe, halves, blurred)
    return recipe


def halves(_: str, layer: nn.Module) -> bool:
    """Whether a layer is a convolution or pooling of stride 2."""
    if isinstance(layer, nn.Conv2d):
        return layer.stride == (2, 2)
    return isinstance(layer, nn.MaxPool2d) and layer.stride == 2


def blurred(layer: nn.Conv2d | nn.MaxPool2d) -> nn.Module:
    """Move the stride of ``layer`` into a blur behind it."""
    from timm.layers.blur_pool import BlurPool2d

    channels = layer.out_channels if isinstance(layer, nn.Conv2d) else None  # any number
    layer.stride = (1, 1) if isinstance(layer, nn.Conv2d) else 1
    return nn.Sequential(layer, BlurPool2d(channels, filt_size=FILTER, stride=2))
