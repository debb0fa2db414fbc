"""Change the layers of a built model, for several techniques."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

from benchmarks.zoo.recipe import NotApplicableError, Recipe

Block: TypeAlias = Any
"""A ``BasicBlock`` or a ``Bottleneck`` of torchvision, which ships no types."""
RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")
"""The names of a ResNet's stages."""


def exchange(
    recipe: Recipe, selects: Callable[[str, nn.Module], bool], make: Callable[..., nn.Module]
) -> None:
    """Replace every layer that ``selects`` accepts by ``make(layer)``, on the recipe's device.

    Args:
        recipe: The recipe whose model is changed in place.
        selects: Takes the dotted name of a layer and the layer.
        make: Takes the old layer and makes the new one, which may contain the old one.

    Raises:
        NotApplicableError: No layer is selected, so the technique would change nothing.
    """
    layers = [(name, layer) for name, layer in recipe.model.named_modules() if selects(name, layer)]
    if not layers:
        raise NotApplicableError(
            f"{type(recipe.model).__name__} has no layer that this technique changes; "
            "it is for the models built on torchvision's ResNet"
        )
    for name, layer in layers:
        recipe.model.set_submodule(name, make(layer).to(recipe.device))


def resnet_of(recipe: Recipe) -> nn.Module:
    """Find the ResNet: the model itself or its backbone.

    Raises:
        NotApplicableError: The model contains no ResNet.
    """
    for layer in recipe.model.modules():
        if isinstance(layer, ResNet):
            return cast("nn.Module", layer)
    raise NotApplicableError(
        f"{type(recipe.model).__name__} has no ResNet; this technique changes the stages of one"
    )


def excited_places(recipe: Recipe) -> dict[str, nn.Module]:
    """The layers of the ResNet behind which paper C has gather-excite layers, by dotted name.

    For classification they are the stages, for segmentation the normalised 3×3 convolutions: so
    the parameters are those that the paper prints.

    Raises:
        NotApplicableError: The model contains no ResNet.
    """
    resnet = resnet_of(recipe)
    inside: tuple[str, ...] = RESNET_STAGES
    if recipe.task == "segmentation":
        inside = tuple(
            f"{stage}.{name}"
            for stage in RESNET_STAGES
            for name, _ in resnet.get_submodule(stage).named_modules()
            if name.endswith(("bn1", "bn2"))
        )
    prefix = next(name for name, layer in recipe.model.named_modules() if layer is resnet)
    names = [f"{prefix}.{name}" if prefix else name for name in inside]
    return {name: recipe.model.get_submodule(name) for name in names}


def blocks_of(recipe: Recipe) -> Iterator[Block]:
    """All residual blocks of the ResNet.

    Raises:
        NotApplicableError: The model contains no ResNet.
    """
    return (
        layer for layer in resnet_of(recipe).modules() if isinstance(layer, BasicBlock | Bottleneck)
    )


def output_shapes(recipe: Recipe, layers: list[nn.Module]) -> list[torch.Size]:
    """The shapes (1, C, h, w) of the outputs of ``layers`` for one image of the recipe's size."""
    shapes: dict[nn.Module, torch.Size] = {}

    def record(layer: nn.Module, _: object, output: Tensor) -> None:
        shapes[layer] = output.shape

    hooks = [layer.register_forward_hook(record) for layer in layers]
    training = recipe.model.training
    try:
        with torch.no_grad():  # in evaluation mode, so that no statistics change
            recipe.model.eval()(torch.zeros(1, *recipe.input_shape, device=recipe.device))
    finally:
        recipe.model.train(training)
        for hook in hooks:
            hook.remove()
    return [shapes[layer] for layer in layers]
