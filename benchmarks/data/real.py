"""Real data sets in the folder ``--energy-data``: their layout, and torchvision's readers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from torch import Tensor
from torchvision import datasets, tv_tensors
from torchvision.transforms.v2 import functional

from benchmarks.data.errors import DataLayoutError, DataMissingError
from benchmarks.data.kinds import KINDS
from benchmarks.data.samples import Samples
from benchmarks.zoo.recipe import NotApplicableError

STUFF_OFFSET = 92
"""COCO's number of the first stuff category. The last, 183, is everything that is no stuff."""
HELD_OUT_EVERY = 10
"""Every such labelled image of xView is held out."""
XVIEW_SPLIT = (
    "xView's validation images have no labels: every tenth labelled image was held out, so the "
    "split is ours."
)
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
        DataLayoutError: The files are there, and do not have the layout of the data set.
    """
    source = SOURCES[dataset]
    missing = tuple(name for name in source.needs if not _has_content(_path_of(root, name)))
    if missing:
        raise DataMissingError(dataset, root, missing, source.layout)
    try:
        return source.read(root, train)
    except READING_ERRORS as error:
        # what follows is advice on arguments of torchvision and torch
        fault = f"unreadable: {str(error).partition('. ')[0]}"
        raise DataLayoutError(dataset, root, fault, source.layout) from error


READING_ERRORS: Final = (OSError, KeyError, RuntimeError, ValueError, UnpicklingError)
"""What torchvision's readers raise on files that are damaged or lie elsewhere."""


def _has_content(path: Path) -> bool:
    """Whether a file exists, or a folder that is not empty."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _path_of(root: Path, name: str) -> Path:
    """A path below the root, of which xView has two spellings."""
    folder, _, rest = name.partition("/")
    return (xview_folder(root) if folder == "xview" else root / folder) / rest


def open_image(path: str | Path) -> Any:
    """Read an image as RGB.

    Some files of ImageNet have a damaged EXIF block, of which Pillow warns. The pixels are whole.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(Corrupt|Truncated) (EXIF|File)", UserWarning)
        return datasets.folder.pil_loader(str(path))


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
    check_classes("imagenet", root, root / "imagenet", "val")
    part = "train" if train else "val"
    return _wrapped(datasets.ImageNet(root / "imagenet", part, loader=open_image))


def _folders(dataset: str, folder: str, held_out: str) -> Callable[[Path, bool], Samples]:
    """A reader of one folder a class."""

    def read(root: Path, train: bool) -> Samples:
        check_classes(dataset, root, root / folder, held_out)
        part = "train" if train else held_out
        return _wrapped(datasets.ImageFolder(root / folder / part, loader=open_image))

    return read


def check_classes(dataset: str, root: Path, folder: Path, held_out: str) -> None:
    """Check that both parts have the same classes, and not more than the model.

    Classes are numbered by sorted name: one that a part lacks would shift the labels after it.

    Raises:
        DataLayoutError: They have not.
    """
    parts = [folder / part for part in ("train", held_out)]
    classes = [{path.name for path in part.iterdir() if path.is_dir()} for part in parts]
    fault = ""
    if unpaired := sorted(classes[0] ^ classes[1])[:3]:
        fault = f"{folder.name} lacks a folder of {', '.join(unpaired)} in train or {held_out}"
    elif len(classes[0]) > (most := KINDS[dataset].classes):
        fault = f"{folder.name} has {len(classes[0])} classes, and the model has outputs for {most}"
    if fault:
        raise DataLayoutError(dataset, root, fault, SOURCES[dataset].layout)


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
        if find_spec("pycocotools") is None:
            raise NotApplicableError(
                "COCO's annotations need pycocotools: pip install 'pytest-energy[detection]'"
            )
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
    """Images, each with a YOLO text file: one box a line, as class, relative centre and size.

    The published validation images have no labels. So every tenth labelled image, in the order of
    the names, is held out; this split is ours.
    """

    def __init__(self, root: Path, train: bool) -> None:
        folder = xview_folder(root)
        self.labels = folder / "labels/train"
        labelled = [
            path
            for path in sorted((folder / "images/train").iterdir())
            if (self.labels / f"{path.stem}.txt").exists()
        ]
        if len(labelled) < 2:  # one to train on and one to hold out
            fault = f"{len(labelled)} images of images/train have a file in labels/train"
            raise DataLayoutError("xview", root, fault, SOURCES["xview"].layout)
        held_out = labelled[::HELD_OUT_EVERY]
        self.images = sorted(set(labelled) - set(held_out)) if train else held_out

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, dict[str, Tensor]]:
        path = self.images[index]
        with open_image(path) as opened:
            image = tv_tensors.Image(functional.pil_to_tensor(opened))
        return image, _boxes(self.labels / f"{path.stem}.txt", tuple(image.shape[-2:]))


def xview_folder(root: Path) -> Path:
    """Where xView lies: ultralytics' script writes ``xView``."""
    return root / ("xView" if (root / "xView").is_dir() else "xview")


def _boxes(path: Path, size: tuple[int, ...]) -> dict[str, Tensor]:
    """Boxes in pixels (xyxy).

    Raises:
        DataLayoutError: A line is no box.
    """
    lines = list(filter(str.strip, path.read_text("utf-8").splitlines()))
    if faulty := next((line for line in lines if not _is_box(line)), None):
        fault = (
            f"labels/train/{path.name} has the line {faulty!r}, which is no class of 0 to "
            f"{KINDS['xview'].classes - 1} with four shares of the image's sides"
        )
        raise DataLayoutError("xview", path.parents[3], fault, SOURCES["xview"].layout)
    table = torch.tensor([[float(word) for word in line.split()] for line in lines]).reshape(-1, 5)
    height, width = size
    centred = table[:, 1:] * torch.tensor([width, height, width, height])
    boxes = tv_tensors.BoundingBoxes(centred, format="CXCYWH", canvas_size=(height, width))
    return {
        "boxes": functional.convert_bounding_box_format(boxes, new_format="XYXY"),
        "labels": table[:, 0].long(),
    }


def _is_box(line: str) -> bool:
    """Whether a line has a class that the model knows, and centre and size relative to the image.

    Labels of other conversions have xView's own numbers of its classes, or pixels.
    """
    try:
        label, *shares = map(float, line.split())
    except ValueError:
        return False
    is_relative = len(shares) == 4 and all(abs(share) <= 1 for share in shares)
    return is_relative and label in range(KINDS["xview"].classes)


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
            for name in (
                *(f"data_batch_{number}" for number in range(1, 6)),
                "test_batch",
                "batches.meta",
            )
        ),
        "Unpack cifar-10-python.tar.gz there (cs.toronto.edu/~kriz/cifar.html).",
        _cifar10,
    ),
    "cifar100": Source(
        tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta")),
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
        ("birds/train", "birds/test"),
        "400 bird species, 224 × 224: a folder a species in both train and test. The paper prints "
        "the accuracy on test.",
        _folders("birds", "birds", "test"),
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
        ("xview/images/train", "xview/labels/train"),
        "xView (xviewdataset.org) in the folder xView or xview, with its boxes as YOLO text files, "
        "one an image, as the script in ultralytics' xView.yaml writes them. The images of "
        "images/val have no labels and are not used.",
        Xview,
    ),
}
