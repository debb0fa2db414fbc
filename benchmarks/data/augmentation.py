"""Turn a sample into a model's input: augmentation, size, normalisation (transforms v2).

Each operation changes an image together with its mask or boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from benchmarks.data.real import IGNORED
from benchmarks.data.samples import Samples

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""The channel statistics of ImageNet, for which the papers' models were designed."""
# Padding must count neither in the loss nor in the metric.
FILL = {tv_tensors.Mask: IGNORED, "others": 0}

STEPS: dict[str, Callable[[int, int], v2.Transform]] = {
    # rotation, shift by a tenth, and zoom; what comes in from outside is the nearest pixel
    "affine": lambda size, base: v2.Compose(
        [
            v2.Resize((size, size), antialias=True),
            v2.Pad(size // 3, padding_mode="edge"),
            v2.RandomAffine(15, (0.06, 0.06), (0.9, 1.1)),
            v2.CenterCrop(size),
        ]
    ),
    "crop": lambda size, base: v2.RandomResizedCrop(size, (0.6, 1.0), antialias=True),
    "pad_crop": lambda size, base: v2.RandomCrop(size, padding=size // 8),
    "flip": lambda size, base: v2.RandomHorizontalFlip(),
    "brightness_contrast": lambda size, base: v2.ColorJitter(brightness=0.2, contrast=0.2),
    "brightness": lambda size, base: v2.ColorJitter(brightness=0.2),
    # between half and twice the base size, then a crop
    "scale_crop": lambda size, base: v2.Compose(
        [
            v2.RandomResize(base // 2, base * 2, antialias=True),
            v2.RandomCrop(size, pad_if_needed=True, fill=FILL),
        ]
    ),
}
"""Steps by name. Each takes the side of the images and the base size of scaling, in pixels."""


def augmented(names: Sequence[str], image_size: int, base_size: int) -> v2.Transform:
    """The transform of the training part: the named :data:`STEPS`, then resize and normalise."""
    resize = v2.Resize((image_size, image_size), antialias=True)
    steps = [STEPS[name](image_size, base_size) for name in names]
    # RGB comes first because MNIST is grey and every model takes three channels.
    return v2.Compose([v2.ToImage(), v2.RGB(), *steps, resize, *_common()])


def plain(image_size: int) -> v2.Transform:
    """The transform of the held-out part: resize the shorter side, crop the centre, normalise."""
    steps = [v2.Resize(image_size, antialias=True), v2.CenterCrop(image_size)]
    return v2.Compose([v2.ToImage(), v2.RGB(), *steps, *_common()])


def _common() -> list[v2.Transform]:
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)]


SANITIZE = v2.SanitizeBoundingBoxes()
"""Removes the boxes that a crop has left without area."""


class Transformed(Samples):
    """A data set whose samples pass through a transform. Boxes outside of a crop are removed."""

    def __init__(self, inner: Samples, transform: Callable[..., Any]) -> None:
        self.inner, self.transform = inner, transform

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        image, target = self.transform(*self.inner[index])
        return SANITIZE(image, target) if isinstance(target, dict) else (image, target)
