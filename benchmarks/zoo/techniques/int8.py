"""int8 on a GPU: weights and activations of linear layers in 8-bit integers.

Weights have one scale a channel. Activations are quantised while the model runs, with one scale a
row. The rest is bfloat16, and the model is compiled. Shapes do not change. For a CPU there is the
technique ``quantisation``.

Source: Jacob et al. 2018, https://arxiv.org/abs/1712.05877; ``torchao.quantization``.
"""

from __future__ import annotations

from benchmarks.zoo.low_precision import in_eight_bits
from benchmarks.zoo.recipe import Recipe

TASKS = ("classification",)
STAGES = ("inference",)
AMPERE = (8, 0)


def apply(recipe: Recipe) -> Recipe:
    """Convert the linear layers; raises as :func:`in_eight_bits` does."""
    return in_eight_bits(recipe, "Int8DynamicActivationInt8WeightConfig", AMPERE)
