"""The handwritten digits that ship with scikit-learn, enlarged to the size of a model's input.

1797 images of 8 × 8 pixels, 10 classes. Source: E. Alpaydin, C. Kaynak, "Optical Recognition of
Handwritten Digits", UCI Machine Learning Repository, 1998, as in ``sklearn.datasets.load_digits``.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors

from benchmarks.data.samples import Samples

HELD_OUT = 0.2
"""The share of each class that is held out to measure the accuracy."""


class Digits(Samples):
    """Digits with three equal channels, ``image_size`` × ``image_size`` pixels."""

    def __init__(self, train: bool, image_size: int) -> None:
        images, labels = _load(image_size)
        chosen = _split(tuple(labels.tolist()), train)
        self.images, self.labels = images[chosen], labels[chosen]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, int]:
        return tv_tensors.Image(self.images[index].expand(3, -1, -1)), int(self.labels[index])


@cache
def _load(image_size: int) -> tuple[Tensor, Tensor]:
    """All digits as ``uint8`` (1797, 1, size, size), and their labels."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    # Source pixels are 0 to 16.
    small = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) * (255 / 16)
    large = F.interpolate(small, size=image_size, mode="bilinear", align_corners=False)
    return large.round().to(torch.uint8), torch.from_numpy(labels)


@cache
def _split(labels: tuple[int, ...], train: bool) -> Tensor:
    """Positions of one part: the same on every machine, with the same share of every class."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(
        range(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=0
    )
    return torch.tensor(parts[0] if train else parts[1])
