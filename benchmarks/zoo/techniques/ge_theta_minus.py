"""GE-θ⁻: gather-excite without parameters, over the whole map.

After each stage, the sigmoid of a channel's mean scales the channel: (B, C, h, w) → (B, C, 1, 1) →
(B, C, h, w).

Source: Hu et al. 2018, https://arxiv.org/abs/1810.12348, section 3.1 (global extent);
``timm.layers.GatherExcite``.
"""

from __future__ import annotations

from torch import nn

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.surgery import RESNET_STAGES, resnet_of

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")


def apply(recipe: Recipe) -> Recipe:
    """Put a gather-excite layer behind each of the ResNet's four stages."""
    from timm.layers.gather_excite import GatherExcite

    resnet = resnet_of(recipe)
    for name in RESNET_STAGES:
        # without parameters the layer takes any number of channels
        excite = GatherExcite(channels=1, extra_params=False, extent=0, use_mlp=False)
        setattr(resnet, name, nn.Sequential(resnet.get_submodule(name), excite))
    return recipe
