"""Whole images for the validation of a segmentation, one at a time.

Paper C trains on crops and validates on whole images; its Figure 1 alone has the square centre.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from benchmarks.data.augmentation import DEVIATION, MEAN, Transformed
from benchmarks.data.loading import collate, move
from benchmarks.data.real import IGNORED
from benchmarks.data.samples import Samples

MULTIPLE = 64
"""The models halve an image five times, and a spatial bottleneck halves the last maps once more."""


class WholeImages:
    """The images of a data set with their masks, as batches of one on ``device``.

    Args:
        inner: Samples of image and mask.
        base_size: Their shorter side in pixels, from which random scaling starts in training.
        device: Where the images go.
        workers: Processes that load data; 0: this process loads it.
    """

    def __init__(self, inner: Samples, base_size: int, device: str, workers: int) -> None:
        self.device = device
        self.loader = DataLoader(
            Transformed(inner, whole(base_size)),
            batch_size=1,  # whole images differ in size
            num_workers=workers,
            collate_fn=collate,
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, masks in self.loader:
            yield move(images, self.device), move(masks, self.device)


def whole(base_size: int) -> v2.Transform:
    """Resize the shorter side, pad to a multiple of :data:`MULTIPLE`, normalise."""
    return v2.Compose(
        [
            v2.ToImage(),
            v2.RGB(),
            v2.Resize(base_size, antialias=True),
            padded,
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, DEVIATION),
        ]
    )


def padded(image: Tensor, mask: tv_tensors.Mask) -> tuple[Tensor, Tensor]:
    """Pad on the right and below; padding counts in no score."""
    height, width = image.shape[-2:]
    padding = [0, 0, -width % MULTIPLE, -height % MULTIPLE]
    return functional.pad(image, padding), functional.pad(mask, padding, fill=IGNORED)
