"""Real data sets in the folder ``--energy-data``: their layout, and torchvision's readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import datasets, tv_tensors
from torchvision.transforms.v2 import functional

from benchmarks.data.errors import DataMissingError
from benchmarks.data.samples import Samples

STUFF_OFFSET = 92
"""COCO's number of the first stuff category. The last, 183, is everything that is no stuff."""
IGNORED = 255
"""The class number of pixels that neither the loss nor the metric counts."""


@dataclass(frozen=True)
class Source:
    """The files of a data set, and its reader."""

    needs: tuple[str, ...]
    """Paths below the root that must exist."""
    layout: str
    """How to get the files and where to put them, for the error message."""
    read: Callable[[Path, bool], Samples]
    """Takes the root folder, and ``True`` for the training part."""


def open_real(dataset: str, root: Path, train: bool) -> Samples:
    """Open one part of ``dataset``, a key of :data:`SOURCES`, below ``root``.

    Raises:
        DataMissingError: Files are missing; nothing is downloaded.
    """
    source = SOURCES[dataset]
    missing = tuple(name for name in source.needs if not (root / name).exists())
    if missing:
        raise DataMissingError(dataset, root, missing, source.layout)
    return source.read(root, train)


def _wrapped(dataset: Any) -> Samples:
    """Make images and masks tensors that torchvision's transforms v2 change together."""
    wrapped: Samples = datasets.wrap_dataset_for_transforms_v2(dataset)
    return wrapped


def _mnist(root: Path, train: bool) -> Samples:
    return _wrapped(datasets.MNIST(root, train))


def _cifar10(root: Path, train: bool) -> Samples:
    return _wrapped(datasets.CIFAR10(root, train))


def _cifar100(root: Path, train: bool) -> Samples:
    return _wrapped(datasets.CIFAR100(root, train))


def _imagenet(root: Path, train: bool) -> Samples:
    return _wrapped(datasets.ImageNet(root / "imagenet", "train" if train else "val"))


def _folders(dataset: str, folder: str, held_out: str) -> Callable[[Path, bool], Samples]:
    """A reader of one folder a class. Both parts must have the same classes."""

    def read(root: Path, train: bool) -> Samples:
        parts = [root / folder / part for part in ("train", held_out)]
        classes = [{path.name for path in part.iterdir() if path.is_dir()} for part in parts]
        if classes[0] != classes[1]:
            # numbering is by sorted name: a class missing in one part would shift the labels
            unpaired = sorted(classes[0] - classes[1]) or sorted(classes[1] - classes[0])
            missing = tuple(f"class {label} in both parts of {folder}" for label in unpaired[:3])
            raise DataMissingError(dataset, root, missing, SOURCES[dataset].layout)
        return _wrapped(datasets.ImageFolder(parts[0] if train else parts[1]))

    return read


class Cityscapes(Samples):
    """Cityscapes' fine annotations, reduced to the 19 classes of training and evaluation."""

    def __init__(self, root: Path, train: bool) -> None:
        split = "train" if train else "val"
        self.inner = _wrapped(
            datasets.Cityscapes(root / "cityscapes", split, target_type="semantic")
        )
        # Classes that are not evaluated have the train_id 255; the last, the licence plate, has -1.
        numbers = [entry.train_id for entry in datasets.Cityscapes.classes[:-1]]
        self.train_ids = torch.tensor(numbers, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> tuple[Any, tv_tensors.Mask]:
        image, mask = self.inner[index]
        return image, tv_tensors.Mask(self.train_ids[mask.squeeze(0).long()])


class CocoStuff(Samples):
    """COCO's stuff annotations as masks: 91 kinds of stuff, and one class for everything else."""

    def __init__(self, root: Path, train: bool) -> None:
        part = "train2017" if train else "val2017"
        folder = root / "coco"
        annotations = folder / "annotations" / f"stuff_{part}.json"
        self.inner = datasets.CocoDetection(folder / part, str(annotations))

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        image, annotations = self.inner[index]
        mask = torch.full((image.height, image.width), IGNORED)
        for annotation in annotations:
            inside = torch.from_numpy(self.inner.coco.annToMask(annotation)).bool()
            mask[inside] = annotation["category_id"] - STUFF_OFFSET
        return tv_tensors.Image(functional.pil_to_tensor(image)), tv_tensors.Mask(mask)


class Xview(Samples):
    """Images, each with a YOLO text file: one box a line, as class, relative centre and size."""

    def __init__(self, root: Path, train: bool) -> None:
        part = "train" if train else "val"
        self.images = sorted(
            path for path in (root / "xview" / "images" / part).iterdir() if path.is_file()
        )
        self.labels = root / "xview" / "labels" / part

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, dict[str, Tensor]]:
        path = self.images[index]
        with datasets.folder.pil_loader(str(path)) as opened:
            image = tv_tensors.Image(functional.pil_to_tensor(opened))
        return image, _boxes(self.labels / f"{path.stem}.txt", tuple(image.shape[-2:]))


def _boxes(path: Path, size: tuple[int, ...]) -> dict[str, Tensor]:
    """Boxes in pixels (xyxy). An image without a file has no boxes."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    table = torch.tensor([[float(word) for word in line.split()] for line in lines]).reshape(-1, 5)
    height, width = size
    centred = table[:, 1:] * torch.tensor([width, height, width, height])
    boxes = tv_tensors.BoundingBoxes(centred, format="CXCYWH", canvas_size=(height, width))
    return {
        "boxes": functional.convert_bounding_box_format(boxes, new_format="XYXY"),
        "labels": table[:, 0].long(),
    }


SOURCES = {
    "mnist": Source(
        tuple(
            f"MNIST/raw/{part}-{kind}-ubyte"
            for part in ("train", "t10k")
            for kind in ("images-idx3", "labels-idx1")
        ),
        "Unpack the four .gz files of MNIST into MNIST/raw.",
        _mnist,
    ),
    "cifar10": Source(
        tuple(
            f"cifar-10-batches-py/{name}"
            for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
        ),
        "Unpack cifar-10-python.tar.gz there (cs.toronto.edu/~kriz/cifar.html).",
        _cifar10,
    ),
    "cifar100": Source(
        ("cifar-100-python/train", "cifar-100-python/test"),
        "Unpack cifar-100-python.tar.gz there (cs.toronto.edu/~kriz/cifar.html).",
        _cifar100,
    ),
    "tiny_imagenet": Source(
        ("tiny-imagenet-200/train", "tiny-imagenet-200/val"),
        "Unpack tiny-imagenet-200.zip, and sort the images of val into a folder a class by its "
        "val_annotations.txt.",
        _folders("tiny_imagenet", "tiny-imagenet-200", "val"),
    ),
    "birds": Source(
        ("birds/train", "birds/valid"),
        "400 bird species, 224 × 224: a folder a species in both train and valid.",
        _folders("birds", "birds", "valid"),
    ),
    "imagenet": Source(
        ("imagenet/train", "imagenet/val", "imagenet/meta.bin"),
        "ILSVRC 2012 as torchvision.datasets.ImageNet unpacks it: a folder a WordNet id in train "
        "and val, and meta.bin, which it makes from ILSVRC2012_devkit_t12.tar.gz.",
        _imagenet,
    ),
    "cityscapes": Source(
        tuple(
            f"cityscapes/{kind}/{part}"
            for kind in ("leftImg8bit", "gtFine")
            for part in ("train", "val")
        ),
        "Unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into cityscapes "
        "(cityscapes-dataset.com, after registration).",
        Cityscapes,
    ),
    "coco_stuff": Source(
        tuple(
            name
            for part in ("train2017", "val2017")
            for name in (f"coco/{part}", f"coco/annotations/stuff_{part}.json")
        ),
        "COCO's images of 2017 and stuff_annotations_trainval2017.zip (cocodataset.org).",
        CocoStuff,
    ),
    "xview": Source(
        tuple(f"xview/{kind}/{part}" for kind in ("images", "labels") for part in ("train", "val")),
        "xView (xviewdataset.org) with its boxes as YOLO text files, one an image, as the script "
        "in ultralytics' xView.yaml writes them.",
        Xview,
    ),
}
