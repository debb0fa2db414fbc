"""The data sets that benchmarks name, as they are published."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A data set that a benchmark names: its task, classes and image size."""

    task: str
    classes: int
    image_size: int
    """Side of the square that the paper trains on, in pixels."""
    images: int
    """Images of the training part. Generated data are repeated to as many at full scale."""


KINDS = {
    "mnist": Kind("classification", 10, 48, 60_000),
    "cifar10": Kind("classification", 10, 32, 50_000),
    "cifar100": Kind("classification", 100, 32, 50_000),
    "tiny_imagenet": Kind("classification", 200, 64, 100_000),
    "birds": Kind("classification", 400, 224, 58_388),
    "imagenet": Kind("classification", 1000, 224, 1_281_167),
    "cityscapes": Kind("segmentation", 19, 512, 2_975),
    "coco_stuff": Kind("segmentation", 92, 640, 118_287),
    "xview": Kind("detection", 60, 640, 761),  # nine tenths of the 846 labelled ones
}
