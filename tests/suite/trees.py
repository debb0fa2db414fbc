"""Small trees of made-up files, in the layout in which each data set is published."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

IMAGES = 2
"""Images of the training part of each tree. The held-out part has two at most."""
DAMAGED_EXIF = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x05\x00"
"""Announces five entries and has none."""


def plant(dataset: str, root: Path, patch: pytest.MonkeyPatch) -> None:
    """Write the files of ``dataset`` below ``root``, and teach torchvision their checksums."""
    PLANTERS[dataset](root, patch)


def save_image(path: Path, value: int, size: tuple[int, int] = (40, 32), exif: bytes = b"") -> None:
    """Save a noisy grey image of ``size`` (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(0, 40, (*size[::-1], 3))
    image = Image.fromarray((noise + value).clip(0, 255).astype(np.uint8))
    image.save(path, **({"exif": exif} if exif else {}))


def pickled(path: Path, content: object) -> str:
    """Pickle to a file and return its MD5, which torchvision checks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _cifar(reader: type, key: str, parts: dict[str, dict[str, int]]):
    def plant_cifar(root: Path, patch: pytest.MonkeyPatch) -> None:
        folder = root / reader.base_folder
        for part, files in parts.items():
            sums = []
            for name, count in files.items():
                pixels = np.random.default_rng(count).integers(0, 256, (count, 3072), np.uint8)
                labels = [index % 10 for index in range(count)]
                sums.append((name, pickled(folder / name, {"data": pixels, key: labels})))
            patch.setattr(reader, f"{part}_list", sums)
        meta = {**reader.meta}
        names = [str(number) for number in range(100)]
        meta["md5"] = pickled(folder / meta["filename"], {meta["key"]: names})
        patch.setattr(reader, "meta", meta)

    return plant_cifar


def _mnist(root: Path, _: pytest.MonkeyPatch) -> None:
    raw = root / "MNIST/raw"
    raw.mkdir(parents=True)
    for part, count in (("train", IMAGES), ("t10k", 2)):
        sizes = b"".join(size.to_bytes(4, "big") for size in (0x803, count, 28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(sizes + bytes([9]) * count * 784)
        sizes = b"".join(size.to_bytes(4, "big") for size in (0x801, count))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(sizes + bytes(range(count)))


def _folders(folder: str, held_out: str, names: tuple[str, str], inner: str = ""):
    def plant_folders(root: Path, _: pytest.MonkeyPatch) -> None:
        for part, count in (("train", IMAGES // 2), (held_out, 1)):
            for value, name in enumerate(names):
                for index in range(count):
                    path = root / folder / part / name / inner / f"{name}_{index}.JPEG"
                    save_image(path, 50 + 100 * value + index, exif=DAMAGED_EXIF)

    return plant_folders


def _imagenet(root: Path, patch: pytest.MonkeyPatch) -> None:
    names = ("n01440764", "n01443537")
    _folders("imagenet", "val", names)(root, patch)
    classes = {names[0]: ("tench",), names[1]: ("goldfish",)}
    torch.save((classes, list(names)), root / "imagenet/meta.bin")


def _cityscapes(root: Path, _: pytest.MonkeyPatch) -> None:
    for part, count in (("train", IMAGES), ("val", 2)):
        for index in range(count):
            stem = f"ulm_{index:06}_000019"
            save_image(
                root / f"cityscapes/leftImg8bit/{part}/ulm/{stem}_leftImg8bit.png", 90, (128, 64)
            )
            labels = np.full((64, 128), 7, np.uint8)  # road
            labels[:8], labels[32:] = 0, 23  # unlabelled, sky
            path = root / f"cityscapes/gtFine/{part}/ulm/{stem}_gtFine_labelIds.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(path)


def _coco(root: Path, _: pytest.MonkeyPatch) -> None:
    (root / "coco/annotations").mkdir(parents=True)
    for part, count in (("train2017", IMAGES), ("val2017", 2)):
        files = [f"{number:012}.jpg" for number in range(1, count + 1)]
        for number, name in enumerate(files, 1):
            save_image(root / f"coco/{part}/{name}", 40 * number, (64, 48))
        halves = [[0, 0, 32, 0, 32, 48, 0, 48], [32, 0, 60, 0, 60, 48, 32, 48]]
        annotations = [
            {
                "id": 2 * number + half,
                "image_id": number,
                "iscrowd": 0,
                "area": 1536,
                "bbox": [0, 0, 32, 48],
                "category_id": category,
                "segmentation": [halves[half]],
            }
            for number in range(1, count + 1)
            for half, category in enumerate((92, 183))
        ]
        sizes = [
            {"id": number, "file_name": name, "height": 48, "width": 64}
            for number, name in enumerate(files, 1)
        ]
        content = {
            "images": sizes,
            "annotations": annotations,
            "categories": [{"id": 92, "name": "banner"}, {"id": 183, "name": "other"}],
        }
        path = root / f"coco/annotations/stuff_{part}.json"
        path.write_text(json.dumps(content), "utf-8")


def _xview(root: Path, _: pytest.MonkeyPatch) -> None:
    """Published validation images have no labels, and one image of the list is missing."""
    labels = root / "xView/labels/train"
    labels.mkdir(parents=True)
    for number in range(1, IMAGES + 2):  # one of them is held out
        save_image(root / f"xView/images/train/{number}.tif", 20 * number, (96, 64))
        boxes = ["7 0.500000 0.500000 0.500000 0.500000", "0 0.020000 0.500000 0.030000 0.100000"]
        (labels / f"{number}.txt").write_text("\n".join(boxes) + "\n")
    save_image(root / "xView/images/val/900.tif", 9, (96, 64))
    (labels / "1395.txt").write_text("7 0.5 0.5 0.5 0.5\n")


PLANTERS = {
    "mnist": _mnist,
    "cifar10": _cifar(
        datasets.CIFAR10,
        "labels",
        {
            "train": {"data_batch_1": 1, "data_batch_2": 1, "data_batch_3": 0, "data_batch_4": 0}
            | {"data_batch_5": 0},
            "test": {"test_batch": 2},
        },
    ),
    "cifar100": _cifar(
        datasets.CIFAR100, "fine_labels", {"train": {"train": IMAGES}, "test": {"test": 2}}
    ),
    "tiny_imagenet": _folders("tiny-imagenet-200", "val", ("n01443537", "n01629819"), "images"),
    "birds": _folders("birds", "test", ("ABBOTTS BABBLER", "WREN")),
    "imagenet": _imagenet,
    "cityscapes": _cityscapes,
    "coco_stuff": _coco,
    "xview": _xview,
}
"""Writes each data set."""
