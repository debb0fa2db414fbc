"""The data of the suite: stand-ins, and real data that is there or missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from benchmarks.data import KINDS, DataLayoutError, DataMissingError, open_data
from benchmarks.data.augmentation import Transformed, augmented, plain
from benchmarks.data.digits import Digits
from benchmarks.data.real import IGNORED, SOURCES, open_image, open_real
from benchmarks.data.shapes import Shapes, boxes_of
from tests.suite.trees import DAMAGED_EXIF, plant, save_image


@pytest.mark.parametrize("dataset", sorted(KINDS))
def test_without_a_folder_every_data_set_has_a_stand_in_that_says_what_it_is(dataset: str) -> None:
    """Digits stand in for classification, shapes for other tasks; the name says which."""
    data = open_data(dataset, None, 32)
    assert data.name == ("digits" if KINDS[dataset].task == "classification" else "shapes")
    image, _ = data.train[0]
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.uint8


@pytest.mark.parametrize("dataset", sorted(KINDS))
def test_a_folder_without_the_data_is_refused_with_what_must_lie_where(
    dataset: str, tmp_path: Path
) -> None:
    """The error names the data set, the folder and each missing path."""
    with pytest.raises(DataMissingError) as caught:
        open_data(dataset, tmp_path, 32)
    text = str(caught.value)
    assert dataset in text
    assert str(tmp_path) in text
    assert all(name in text for name in SOURCES[dataset].needs)
    assert "Nothing is downloaded" in text


def test_the_digits_parts_do_not_overlap_and_hold_every_class() -> None:
    """The split of the 1797 digits is fixed, and each part has ten classes."""
    train, held_out = Digits(True, 8), Digits(False, 8)
    assert len(train) + len(held_out) == 1797
    assert set(held_out.labels.tolist()) == set(range(10)) == set(train.labels.tolist())
    seen = {image.numpy().tobytes() for image in train.images}
    shared = sum(image.numpy().tobytes() in seen for image in held_out.images)
    assert shared <= 2  # two pairs of equal drawings at most


def test_shapes_are_the_same_on_every_machine() -> None:
    """An image depends only on its number, not on global random state."""
    first = Shapes("segmentation", True, 48)[5]
    torch.manual_seed(99)
    second = Shapes("segmentation", True, 48)[5]
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_the_parts_of_the_shapes_differ() -> None:
    """The held-out images are not among the training ones."""
    train, held_out = Shapes("segmentation", True, 48), Shapes("segmentation", False, 48)
    assert not torch.equal(train[0][0], held_out[0][0])


def test_boxes_fit_what_is_visible() -> None:
    """A box is tight, and a hidden shape has no box."""
    owners = torch.zeros(10, 10, dtype=torch.long)
    owners[2:5, 3:9] = 3
    target = boxes_of(owners, torch.tensor([0, 1, 2]))
    assert target["boxes"].tolist() == [[3.0, 2.0, 9.0, 5.0]]
    assert target["labels"].tolist() == [2]


def test_boxes_and_masks_show_the_same_shapes() -> None:
    """Every pixel of a shape in the mask lies in a box of the same kind."""
    _, mask = Shapes("segmentation", True, 64)[7]
    _, target = Shapes("detection", True, 64)[7]
    for kind in range(3):
        inside = torch.zeros(64, 64, dtype=torch.bool)
        for box, label in zip(target["boxes"].long().tolist(), target["labels"], strict=True):
            if label == kind:
                inside[box[1] : box[3], box[0] : box[2]] = True
        assert not (mask == kind + 1)[~inside].any()


def test_random_scaling_changes_image_and_mask_together() -> None:
    """Scaling, cropping and flipping give image and mask one size, and add no class."""
    transform = augmented(("scale_crop", "flip"), 32, 64)
    image, mask = Transformed(Shapes("segmentation", True, 64), transform)[3]
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.float32
    assert mask.shape == (32, 32)
    assert set(mask.unique().tolist()) <= {0, 1, 2, 3, IGNORED}


def test_the_held_out_part_is_not_augmented() -> None:
    """Reading a held-out sample twice gives equal images."""
    held_out = Transformed(Digits(False, 16), plain(16))
    assert torch.equal(held_out[0][0], held_out[0][0])


def _image(path: Path, size: tuple[int, int] = (40, 30), value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path)


def test_cityscapes_masks_hold_the_19_trained_classes(tmp_path: Path) -> None:
    """Road (7) becomes 0. A class that is not evaluated becomes the ignored number."""
    for part in ("train", "val"):
        _image(tmp_path / f"cityscapes/leftImg8bit/{part}/ulm/ulm_0_0_leftImg8bit.png")
        labels = np.full((30, 40), 7, np.uint8)
        labels[0] = 0
        path = tmp_path / f"cityscapes/gtFine/{part}/ulm/ulm_0_0_gtFine_labelIds.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(labels).save(path)
    _, mask = open_real("cityscapes", tmp_path, True)[0]
    assert set(mask[0].tolist()) == {IGNORED}
    assert set(mask[1:].unique().tolist()) == {0}


def test_folders_a_class_are_read(tmp_path: Path) -> None:
    """The birds are an ImageFolder tree. Classes are numbered by name."""
    for part in ("train", "test"):
        _image(tmp_path / f"birds/{part}/albatross/1.png")
        _image(tmp_path / f"birds/{part}/wren/1.png")
    data = open_data("birds", tmp_path, 32)
    assert data.name == "birds"
    assert data.train[1][1] == 1


def test_an_unsorted_validation_part_is_refused(tmp_path: Path) -> None:
    """Tiny-ImageNet as packed has all of val in one folder, which would give wrong labels."""
    _image(tmp_path / "tiny-imagenet-200/train/n01/1.png")
    _image(tmp_path / "tiny-imagenet-200/val/images/1.png")
    with pytest.raises(DataLayoutError, match="lacks a folder of images, n01 in train or val"):
        open_data("tiny_imagenet", tmp_path, 32)


def test_an_unsorted_validation_part_of_imagenet_is_refused(tmp_path: Path) -> None:
    """Classes are numbered by folder: one that val lacks would shift the labels after it."""
    for path in ("train/n01440764", "train/n01443537", "val/n01443537"):
        _image(tmp_path / f"imagenet/{path}/1.JPEG")
    (tmp_path / "imagenet/meta.bin").touch()
    with pytest.raises(DataLayoutError, match="lacks a folder of n01440764 in train or val"):
        open_data("imagenet", tmp_path, 32)


def test_more_classes_than_outputs_are_refused(tmp_path: Path) -> None:
    """The birds have grown since the paper: a label beyond 399 would end in the loss's kernel."""
    for part in ("train", "test"):
        for number in range(401):
            (tmp_path / f"birds/{part}/{number}").mkdir(parents=True)
    with pytest.raises(DataLayoutError, match="401 classes, and the model has outputs for 400"):
        open_data("birds", tmp_path, 32)


@pytest.mark.parametrize("dataset", ["birds", "cityscapes", "imagenet"])
def test_empty_folders_are_missing_data(dataset: str, tmp_path: Path) -> None:
    """A folder that was made before its archive arrived skips the row, as one that is not there."""
    folders = [name for name in SOURCES[dataset].needs if "." not in name]
    for name in folders:
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(DataMissingError) as caught:
        open_data(dataset, tmp_path, 32)
    assert set(caught.value.missing) >= set(folders)


@pytest.mark.parametrize(
    ("dataset", "name", "fault"),
    [
        ("cifar100", "cifar-100-python/train", "unreadable: Dataset not found or corrupted"),
        ("mnist", "MNIST/raw/train-images-idx3-ubyte", "unreadable: "),
        ("imagenet", "imagenet/meta.bin", "unreadable: "),
    ],
)
def test_a_damaged_file_names_the_data_set_and_its_source(
    dataset: str, name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that was cut off is no traceback of a library, and none of its advice to download."""
    plant(dataset, tmp_path, monkeypatch)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataLayoutError) as caught:
        open_data(dataset, tmp_path, 32)
    text = str(caught.value)
    assert text.startswith(f"{dataset} below --energy-data {tmp_path}: {fault}")
    assert "download=True" not in text


def xview(root: Path, *labels: str) -> None:
    """Labelled images of 40 × 20 pixels as ultralytics' script leaves them, and one unlabelled."""
    (root / "xView/labels/train").mkdir(parents=True)
    _image(root / "xView/images/val/900.tif", (40, 20))
    for number, text in enumerate(labels):
        _image(root / f"xView/images/train/{number:02}.tif", (40, 20))
        (root / f"xView/labels/train/{number:02}.txt").write_text(text)


def test_boxes_of_text_files_are_read_in_pixels(tmp_path: Path) -> None:
    """A centred box of half the image's sides becomes its corners."""
    xview(tmp_path, "", "7 0.5 0.5 0.5 0.5\n")
    data = open_data("xview", tmp_path, 32)
    _, target = data.train[0]
    assert target["boxes"].tolist() == [[10.0, 5.0, 30.0, 15.0]]
    assert isinstance(target["boxes"], tv_tensors.BoundingBoxes)
    assert target["labels"].tolist() == [7]
    assert data.held_out[0][1]["boxes"].shape == (0, 4)


def test_every_tenth_labelled_image_of_xview_is_held_out(tmp_path: Path) -> None:
    """The published validation images have no labels; the split says that it is ours."""
    xview(tmp_path, *["7 0.5 0.5 0.5 0.5\n"] * 21)
    _image(tmp_path / "xView/images/train/99.tif")  # has no label file
    data = open_data("xview", tmp_path, 32)
    assert (len(data.train), len(data.held_out)) == (18, 3)
    assert "split is ours" in data.split


def test_an_xview_without_labels_is_refused(tmp_path: Path) -> None:
    """The folders have files, and no image has boxes."""
    xview(tmp_path)
    _image(tmp_path / "xView/images/train/1.tif")
    (tmp_path / "xView/labels/train/2.txt").touch()
    with pytest.raises(DataLayoutError, match="0 images of images/train have a file"):
        open_data("xview", tmp_path, 32)


@pytest.mark.parametrize(
    "line", ["73 0.5 0.5 0.1 0.1", "7 200 300 50 60", "7 0.5 0.5 0.1", "-1 0.5 0.5 0.1 0.1", "a"]
)
def test_labels_of_another_conversion_are_refused(line: str, tmp_path: Path) -> None:
    """A number of xView's own has no output, and pixels are no shares."""
    xview(tmp_path, "", f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(DataLayoutError, match=f"labels/train/01.txt has the line '{line}'"):
        open_data("xview", tmp_path, 32).train[0]


def test_boxes_outside_of_a_crop_are_removed(tmp_path: Path) -> None:
    """The square in the centre of 40 × 20 loses a box at the left edge, and its label."""
    xview(tmp_path, "", "7 0.5 0.5 0.2 0.2\n3 0.05 0.5 0.1 0.4\n")
    sample = Transformed(open_data("xview", tmp_path, 20).train, plain(20))[0]
    assert sample[1]["labels"].tolist() == [7]
    assert sample[1]["boxes"].shape == (1, 4)


def test_a_damaged_exif_block_is_no_error(tmp_path: Path) -> None:
    """Pillow warns of it, and the pixels are whole."""
    path = tmp_path / "imagenet.JPEG"
    save_image(path, 100, exif=DAMAGED_EXIF)
    with pytest.warns(UserWarning, match="EXIF"), Image.open(path):
        pass
    assert open_image(path).size == (40, 32)
