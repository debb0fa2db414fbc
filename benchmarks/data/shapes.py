"""Generated images of discs, rectangles and triangles, with exact masks and boxes.

Each image is made from its number alone. So every machine sees the same data, and no files are
needed. The shapes are easy to tell apart: the data makes training and its metrics run for real, and
is not meant to rank models.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from benchmarks.data.samples import Samples

COUNT = {True: 2048, False: 256}
"""Images of the training part (``True``) and of the held-out part (``False``)."""
SHAPES_AN_IMAGE = 3
KINDS = 3
"""Disc, rectangle, triangle."""


class Shapes(Samples):
    """Images with a target for segmentation or detection.

    Args:
        task: ``segmentation``: the target is a mask, 0 for the background, 1 to 3 for the shapes.
            ``detection``: ``boxes`` around the visible part of each shape, and ``labels`` 0 to 2.
        train: Whether to make the training part. The held-out part has other images.
        image_size: Side in pixels.
    """

    def __init__(self, task: str, train: bool, image_size: int) -> None:
        self.task, self.train, self.image_size = task, train, image_size

    def __len__(self) -> int:
        return COUNT[self.train]

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        # No seed is in both parts, so no image is.
        seed = index if self.train else COUNT[True] + index
        image, owners, kinds = draw(self.image_size, torch.Generator().manual_seed(seed))
        if self.task == "segmentation":
            # Owner 0 is the background; owner n is the n-th shape.
            classes = torch.cat([torch.zeros(1, dtype=torch.long), kinds + 1])
            return tv_tensors.Image(image), tv_tensors.Mask(classes[owners])
        return tv_tensors.Image(image), boxes_of(owners, kinds)


def draw(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one image.

    Returns:
        The image (``uint8``, 3 × size × size), the number of the uppermost shape of each pixel
        (0 is the background, n the n-th shape), and the kind of each shape.
    """
    kinds = torch.randint(KINDS, (SHAPES_AN_IMAGE,), generator=generator)
    noise = torch.rand(3, size, size, generator=generator)
    image = 0.3 * noise + 0.2 * torch.rand(3, 1, 1, generator=generator)
    owners = torch.zeros(size, size, dtype=torch.long)
    for number, kind in enumerate(kinds.tolist(), start=1):
        inside = _inside(kind, size, generator)
        colour = 0.4 + 0.6 * torch.rand(3, 1, generator=generator)
        image[:, inside] = colour + 0.1 * (noise[:, inside] - 0.5)
        owners[inside] = number  # a later shape covers the earlier ones
    return (image.clamp(0, 1) * 255).to(torch.uint8), owners, kinds


def _inside(kind: int, size: int, generator: torch.Generator) -> Tensor:
    """The pixels that a shape of random place and size covers, as a mask."""
    inside: Tensor
    row, column, radius = torch.rand(3, generator=generator).tolist()
    radius = size * (0.12 + 0.13 * radius)
    y = torch.arange(size).float()[:, None] - (radius + row * (size - 2 * radius))
    x = torch.arange(size).float()[None, :] - (radius + column * (size - 2 * radius))
    if kind == 0:
        inside = x**2 + y**2 <= radius**2
    elif kind == 1:
        inside = (x.abs() <= radius) & (y.abs() <= 0.7 * radius)
    else:
        inside = (y.abs() <= radius) & (2 * x.abs() <= y + radius)
    return inside


def boxes_of(owners: Tensor, kinds: Tensor) -> dict[str, Tensor]:
    """The tight box around the visible part of each shape. A hidden shape has no box."""
    boxes, labels = [], []
    for number, kind in enumerate(kinds.tolist(), start=1):
        rows, columns = torch.nonzero(owners == number, as_tuple=True)
        if len(rows):
            corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            boxes.append([float(corner) for corner in corners])
            labels.append(kind)
    size = tuple(owners.shape)
    return {
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor(boxes).reshape(-1, 4), format="XYXY", canvas_size=size
        ),
        "labels": torch.tensor(labels, dtype=torch.long),
    }
