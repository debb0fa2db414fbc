"""Paper B's transfer learning: a frozen convolutional base below a trained head 4096-4096-10.

The base has no pooling before the head: (B, 3, H, W) → (B, C, H/32, W/32) → flatten → 4096 →
4096 → classes. H and W are 32 (CIFAR-10) or 48 (MNIST). The weights of the base are random, unless
``--energy-weights`` names a folder with those of ImageNet, which the paper has. Energy, parameters
and FLOPs do not depend on the weights; the accuracy does.

Source: Xu et al. 2023, https://arxiv.org/abs/2302.00967, section 3; the bases are torchvision's.
"""

from __future__ import annotations

import math

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.zoo.recipe import Shape
from benchmarks.zoo.registry import Variant

WIDTH = 4096
"""Units of the hidden layers of the head."""


VARIANTS = {
    base + "_transfer": Variant("classification", (3, 32, 32), 10, "B", {"base": base})
    for base in ("vgg16", "vgg19", "resnet50")
}


class Transfer(nn.Module):
    """A frozen base and a trained head."""

    def __init__(self, base: nn.Module, names: list[str], features: int, classes: int) -> None:
        super().__init__()
        self.children_names = names
        """The names of the base's layers in torchvision's network."""
        self.base = base.requires_grad_(False)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(features, WIDTH),
            nn.ReLU(inplace=True),
            nn.Linear(WIDTH, WIDTH),
            nn.ReLU(inplace=True),
            nn.Linear(WIDTH, classes),
        )

    def train(self, mode: bool = True) -> Transfer:
        """Change the mode of the head only: the frozen normalisation keeps its statistics."""
        super().train(mode)
        self.base.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, classes), without gradients for the base."""
        with torch.no_grad():
            maps = self.base(images)
        logits: Tensor = self.head(maps)
        return logits


def build(input_shape: Shape, classes: int, *, base: str) -> nn.Module:
    """Build a base without its classifier, and a head for the size of its maps."""
    device = torch.get_default_device()
    with torch.device("meta"):  # filling VGG's classifier, which is dropped, takes seconds
        network = torchvision.models.get_model(base, weights=None)
    layers = dict(list(network.named_children())[:-2])  # without pooling and classifier
    maps = nn.Sequential(*layers.values())
    maps.to_empty(device=device).apply(_fill)
    with torch.no_grad():
        features = math.prod(maps.eval()(torch.zeros(1, *input_shape)).shape)
    return Transfer(maps, list(layers), features, classes)


def _fill(layer: nn.Module) -> None:
    """Initialise a layer as its class does."""
    reset = getattr(layer, "reset_parameters", None)
    if reset is not None:
        reset()
