"""The data of the suite: real data in the folder ``--energy-data``, or stand-ins without it.

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
    """A data set that a benchmark names: its task, classes and image size."""

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
    """The name of the data in use: the data set's, or ``digits`` or ``shapes``."""
    train: Samples
    held_out: Samples


def open_data(dataset: str, root: Path | None, image_size: int) -> Data:
    """Open ``dataset`` below ``root``, or its stand-in if there is no root.

    Args:
        dataset: A key of :data:`KINDS`.
        root: The folder of ``--energy-data``. ``None`` opens the stand-ins: digits for
            classification, generated shapes for segmentation and detection.
        image_size: Side of the generated images in pixels; real images keep their own size.

    Raises:
        DataMissingError: Files of the data set are missing; the message lists their paths.
    """
    name = name_of(dataset, root is not None)
    if root is not None:
        return Data(name, *(real.open_real(dataset, root, train) for train in (True, False)))
    if name == "digits":
        return Data(name, *(digits.Digits(train, image_size) for train in (True, False)))
    task = KINDS[dataset].task
    return Data(name, *(shapes.Shapes(task, train, image_size) for train in (True, False)))


def name_of(dataset: str, real: bool) -> str:
    """The name of the data that a benchmark on ``dataset`` uses, with or without real data."""
    if real:
        return dataset
    return "digits" if KINDS[dataset].task == "classification" else "shapes"
