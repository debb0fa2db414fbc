"""Convert the linear layers of a model to 8 bits for a GPU, for several techniques."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Final

import torch
from torch import nn

from benchmarks.zoo.recipe import NotApplicableError, Recipe
from benchmarks.zoo.techniques import compile as compiling

LEAST_SHARE: Final = 0.5
"""The share of the weights that linear layers must have: torchao leaves convolutions as they are,
and a row called after 8 bits must run in 8 bits."""


def in_eight_bits(recipe: Recipe, config: str, capability: tuple[int, int]) -> Recipe:
    """Convert the linear layers, the rest to bfloat16, and compile the model.

    Without compilation, the operators that quantise the activations cost more than 8 bits save.

    Args:
        recipe: The recipe; its model is changed in place.
        config: The name of the configuration in ``torchao.quantization``.
        capability: CUDA's compute capability from which cards have the units.

    Raises:
        NotApplicableError: The card has no such units, torchao is missing, the weights are mostly
            not in linear layers, or nothing can be compiled here.
    """
    if torch.device(recipe.device).type != "cuda":
        raise NotApplicableError(
            f"this row runs on the 8-bit units of an NVIDIA GPU; the device is {recipe.device}"
        )
    present = torch.cuda.get_device_capability(recipe.device)
    if present < capability:
        raise NotApplicableError(
            f"the 8-bit units of this row need compute capability {capability[0]}.{capability[1]}; "
            f"this card has {present[0]}.{present[1]}"
        )
    if find_spec("torchao") is None:
        raise NotApplicableError("needs torchao: pip install 'pytest-energy[quantization]'")
    share = linear_share(recipe.model)
    if share < LEAST_SHARE:
        raise NotApplicableError(
            f"torchao converts linear layers, which have {share:.0%} of this model's weights"
        )
    return compiling.apply(converted(recipe, config))


def linear_share(model: nn.Module) -> float:
    """The share of a model's parameters that are weights of linear layers."""
    linear = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
    return linear / sum(parameter.numel() for parameter in model.parameters())


def converted(recipe: Recipe, config: str) -> Recipe:
    """The recipe with a model in bfloat16 whose linear layers are quantised."""
    from torchao import quantization

    model = recipe.model.eval().to(torch.bfloat16)
    quantization.quantize_(model, getattr(quantization, config)())
    return replace(recipe, model=model, dtype=torch.bfloat16)
