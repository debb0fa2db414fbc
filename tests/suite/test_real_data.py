"""Every reader of real data, on small made-up trees with the layout of the real ones."""

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

from benchmarks.data import IGNORED, open_data
from benchmarks.data.real import open_real


def image(path: Path, value: int, side: int = 8) -> None:
    """Save a grey square."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(path)


def pickled(path: Path, content: object) -> str:
    """Pickle to a file and return its MD5, which torchvision checks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("dataset", "reader", "key", "parts"),
    [
        (
            "cifar10",
            datasets.CIFAR10,
            "labels",
            {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]},
        ),
        ("cifar100", datasets.CIFAR100, "fine_labels", {"train": ["train"], "test": ["test"]}),
    ],
)
def test_cifars_pickles_are_read(
    dataset: str,
    reader: type,
    key: str,
    parts: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each file adds its images. Red is the first third of a row, as CIFAR packs it."""
    folder = tmp_path / reader.base_folder
    red = np.zeros((1, 3072), np.uint8)
    red[:, :1024] = 200
    for part, names in parts.items():
        sums = [(name, pickled(folder / name, {"data": red, key: [7]})) for name in names]
        monkeypatch.setattr(reader, f"{part}_list", sums)
    meta = {**reader.meta}
    meta["md5"] = pickled(folder / meta["filename"], {meta["key"]: [str(n) for n in range(100)]})
    monkeypatch.setattr(reader, "meta", meta)
    data = open_data(dataset, tmp_path, 32)
    assert (len(data.train), len(data.held_out)) == (len(parts["train"]), 1)
    pixels, label = data.train[0]
    assert np.asarray(pixels)[0, 0].tolist() == [200, 0, 0]
    assert label == 7


def test_mnists_idx_files_are_read(tmp_path: Path) -> None:
    """A file is a magic number, sizes, then bytes. Each part has its own files."""
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 3), ("t10k", 2)):
        sizes = b"".join(size.to_bytes(4, "big") for size in (0x803, count, 28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(sizes + bytes([9]) * count * 784)
        sizes = b"".join(size.to_bytes(4, "big") for size in (0x801, count))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(sizes + bytes(range(count)))
    data = open_data("mnist", tmp_path, 48)
    assert [label for _, label in (data.train[index] for index in range(3))] == [0, 1, 2]
    assert len(data.held_out) == 2
    assert np.unique(np.asarray(data.train[0][0])).tolist() == [9]


def test_a_sorted_tiny_imagenet_is_read(tmp_path: Path) -> None:
    """Both parts have one folder for each class, numbered by name."""
    for part in ("train", "val"):
        image(tmp_path / f"tiny-imagenet-200/{part}/n01/images/1.png", 1)
        image(tmp_path / f"tiny-imagenet-200/{part}/n02/images/1.png", 2)
    data = open_data("tiny_imagenet", tmp_path, 32)
    assert [data.held_out[index][1] for index in range(2)] == [0, 1]


def test_imagenets_folders_are_read(tmp_path: Path) -> None:
    """There is one folder for each WordNet id, and a meta file that names the classes."""
    for part in ("train", "val"):
        image(tmp_path / f"imagenet/{part}/n01440764/1.png", 1)
        image(tmp_path / f"imagenet/{part}/n01443537/1.png", 2)
    classes = {"n01440764": ("tench",), "n01443537": ("goldfish",)}
    torch.save((classes, ["n01440764", "n01443537"]), tmp_path / "imagenet/meta.bin")
    data = open_data("imagenet", tmp_path, 224)
    assert [data.train[index][1] for index in range(2)] == [0, 1]
    assert len(data.held_out) == 2


def test_cocos_stuff_becomes_a_map(tmp_path: Path) -> None:
    """Category 92 is class 0, 183 is the last one. Pixels without annotation are ignored."""
    pytest.importorskip("pycocotools", reason="needs pip install 'pytest-energy[detection]'")
    left, right = [0, 0, 4, 0, 4, 8, 0, 8], [4, 0, 7, 0, 7, 8, 4, 8]
    boxes = [{"category_id": 92, "segmentation": [left]}]
    boxes += [{"category_id": 183, "segmentation": [right]}]
    annotations = [
        {"id": number, "image_id": 5, "iscrowd": 0, "area": 32, "bbox": [0, 0, 8, 8], **box}
        for number, box in enumerate(boxes, start=1)
    ]
    (tmp_path / "coco/annotations").mkdir(parents=True)
    for part in ("train2017", "val2017"):
        image(tmp_path / f"coco/{part}/1.png", 3)
        content = {
            "images": [{"id": 5, "file_name": "1.png", "height": 8, "width": 8}],
            "annotations": annotations,
            "categories": [{"id": 92, "name": "banner"}, {"id": 183, "name": "other"}],
        }
        (tmp_path / f"coco/annotations/stuff_{part}.json").write_text(json.dumps(content))
    _, mask = open_real("coco_stuff", tmp_path, True)[0]
    assert mask[4].tolist() == [0, 0, 0, 0, 91, 91, 91, IGNORED]
