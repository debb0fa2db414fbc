"""fp8 on a GPU: weights and activations of linear layers in 8-bit floating point.

Both have one scale a tensor; activations are converted while the model runs. The rest is bfloat16,
and the model is compiled. Shapes do not change.

Source: Micikevicius et al. 2022, https://arxiv.org/abs/2209.05433; ``torchao.quantization``.
"""

from __future__ import annotations

from benchmarks.zoo.low_precision import in_eight_bits
from benchmarks.zoo.recipe import Recipe

TASKS = ("classification",)
STAGES = ("inference",)
ADA = (8, 9)


def apply(recipe: Recipe) -> Recipe:
    """Convert the linear layers; raises as :func:`in_eight_bits` does."""
    return in_eight_bits(recipe, "Float8DynamicActivationFloat8WeightConfig", ADA)
