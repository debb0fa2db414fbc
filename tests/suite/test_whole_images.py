"""Whole images for the validation of a segmentation."""

from __future__ import annotations

import torch
from torchvision import tv_tensors

from benchmarks.data import IGNORED
from benchmarks.data.samples import Samples
from benchmarks.data.whole import WholeImages
from benchmarks.rows import Row
from benchmarks.training import Training
from benchmarks.workbench import scheduled


class Wide(Samples):
    """Images of 20 × 50 and of 20 × 30 pixels whose masks have one class each."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        width = (50, 30)[index]
        image = tv_tensors.Image(torch.zeros(3, 20, width, dtype=torch.uint8))
        return image, tv_tensors.Mask(torch.full((20, width), index))


def test_no_pixel_is_cut_off_and_padding_does_not_count() -> None:
    """The shorter side has the base size; the rest up to a multiple of 64 is ignored."""
    (wide, wide_mask), (narrow, narrow_mask) = WholeImages(Wide(), 40, "cpu", 0)
    assert wide.shape == (1, 3, 64, 128)
    assert narrow.shape == (1, 3, 64, 64)
    assert (wide_mask == 0).sum() == 40 * 100
    assert (narrow_mask == 1).sum() == 40 * 60
    assert (wide_mask == IGNORED).sum() == 64 * 128 - 40 * 100


def test_a_segmentation_is_scored_whole_and_in_its_square_centre() -> None:
    """The score of whole images has the plain name, that of the centre a name of its own."""
    row = Row("c", "training", "bisenet_resnet18", "cityscapes", "ge_theta")
    training = Training(row, scheduled(row, "small"), "cpu")
    scores = training.evaluate()
    assert {"miou", "accuracy", "square_miou", "train_miou"} <= scores.keys()
    images, _ = next(iter(training._whole or ()))
    assert images.shape == (1, 3, 128, 128)  # twice the crop's 64 pixels, as 1024 is of 512
