"""The data of the suite: real data in the folder ``--energy-data``, or stand-ins without it.

A sample is a pair that torchvision's transforms v2 understand: an image (``uint8``, 3 × H × W)
with a class number (classification), a mask of class numbers (segmentation, 255 is ignored) or a
dictionary of ``boxes`` (xyxy, pixels) and ``labels`` (detection). Nothing is ever downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import digits, real, shapes
from benchmarks.data.errors import DataLayoutError, DataMissingError
from benchmarks.data.kinds import KINDS, Kind
from benchmarks.data.real import IGNORED
from benchmarks.data.samples import Samples

__all__ = ["IGNORED", "KINDS", "Data", "DataLayoutError", "DataMissingError", "Kind", "open_data"]


@dataclass(frozen=True)
class Data:
    """Data opened for one benchmark."""

    name: str
    """The name of the data in use: the data set's, or ``digits`` or ``shapes``."""
    train: Samples
    held_out: Samples
    real: bool = False
    """Whether it is the data set itself, not generated data."""

    @property
    def split(self) -> str:
        """A sentence on a split that is not the publisher's; empty otherwise."""
        return real.XVIEW_SPLIT if self.name == "xview" else ""


def open_data(dataset: str, root: Path | None, image_size: int) -> Data:
    """Open ``dataset`` below ``root``, or its stand-in if there is no root.

    Args:
        dataset: A key of :data:`KINDS`.
        root: The folder of ``--energy-data``. ``None`` opens the stand-ins: digits for
            classification, generated shapes for segmentation and detection.
        image_size: Side of the generated images in pixels; real images keep their own size.

    Raises:
        DataMissingError: Files of the data set are missing; the message lists their paths.
        DataLayoutError: The files are there, and do not have the layout of the data set.
    """
    name = name_of(dataset, root is not None)
    if root is not None:
        train, held_out = (real.open_real(dataset, root, part) for part in (True, False))
        return Data(name, train, held_out, real=True)
    if name == "digits":
        return Data(name, digits.Digits(True, image_size), digits.Digits(False, image_size))
    task = KINDS[dataset].task
    return Data(name, shapes.Shapes(task, True, image_size), shapes.Shapes(task, False, image_size))


def name_of(dataset: str, real: bool) -> str:
    """The name of the data that a benchmark on ``dataset`` uses, with or without real data."""
    if real:
        return dataset
    return "digits" if KINDS[dataset].task == "classification" else "shapes"
