"""What the benchmarks train on: real data below ``--energy-data``, or data that needs no folder.

A sample is a pair that torchvision's transforms v2 understand: an image (``uint8``, 3 × H × W)
with a class number (classification), a mask of class numbers (segmentation, 255 is ignored) or a
dictionary of ``boxes`` (xyxy, pixels) and ``labels`` (detection). Nothing is ever downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import digits, real, shapes
from benchmarks.data.errors import DataMissingError
from benchmarks.data.real import IGNORED
from benchmarks.data.samples import Samples

__all__ = ["IGNORED", "KINDS", "Data", "DataMissingError", "Kind", "open_data"]


@dataclass(frozen=True)
class Kind:
    """A data set as a benchmark names it: its task and its number of classes."""

    task: str
    classes: int
    image_size: int
    """Side of the square that the paper trains on, in pixels."""


KINDS = {
    "mnist": Kind("classification", 10, 48),
    "cifar10": Kind("classification", 10, 32),
    "cifar100": Kind("classification", 100, 32),
    "tiny_imagenet": Kind("classification", 200, 64),
    "birds": Kind("classification", 400, 224),
    "imagenet": Kind("classification", 1000, 224),
    "cityscapes": Kind("segmentation", 19, 512),
    "coco_stuff": Kind("segmentation", 92, 640),
    "xview": Kind("detection", 60, 640),
}


@dataclass(frozen=True)
class Data:
    """Data opened for one benchmark."""

    name: str
    """What it really is: the data set's name, or ``digits`` or ``shapes``."""
    train: Samples
    held_out: Samples


def open_data(dataset: str, root: Path | None, image_size: int) -> Data:
    """Open ``dataset`` below ``root``, or without a root what takes its place.

    Args:
        dataset: A key of :data:`KINDS`.
        root: The folder of ``--energy-data``; ``None`` for the data that needs no folder: digits
            for classification, generated shapes for segmentation and detection.
        image_size: Side of the generated images in pixels; real images keep their own size.

    Raises:
        DataMissingError: The root lacks what the data set needs; says what must lie where.
    """
    name = name_of(dataset, root is not None)
    if root is not None:
        return Data(name, *(real.open_real(dataset, root, train) for train in (True, False)))
    if name == "digits":
        return Data(name, *(digits.Digits(train, image_size) for train in (True, False)))
    task = KINDS[dataset].task
    return Data(name, *(shapes.Shapes(task, train, image_size) for train in (True, False)))


def name_of(dataset: str, real: bool) -> str:
    """What a benchmark on ``dataset`` really runs on, with or without real data."""
    if real:
        return dataset
    return "digits" if KINDS[dataset].task == "classification" else "shapes"
