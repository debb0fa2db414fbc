"""GE-θ⁻: gather-excite without parameters, over the whole map.

The sigmoid of a channel's mean scales the channel: (B, C, h, w) → (B, C, 1, 1) → (B, C, h, w). The
layers are at the same places as those of GE-θ.

Source: Hu et al. 2018, https://arxiv.org/abs/1810.12348, section 3.1 (global extent);
``timm.layers.GatherExcite``.
"""

from __future__ import annotations

from torch import nn

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.surgery import excited_places

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")


def apply(recipe: Recipe) -> Recipe:
    """Put a gather-excite layer behind each place of the ResNet."""
    from timm.layers.gather_excite import GatherExcite

    for name, layer in excited_places(recipe).items():
        # without parameters the layer takes any number of channels
        excite = GatherExcite(channels=1, extra_params=False, extent=0, use_mlp=False)
        recipe.model.set_submodule(name, nn.Sequential(layer, excite))
    return recipe
