"""The scores of the papers, on outputs whose score is known."""

from __future__ import annotations

import pytest
import torch

from benchmarks.data.real import IGNORED
from benchmarks.scores import Precision, UndefinedScoreError, scores_of, suppressed


def test_accuracy_is_the_share_of_right_classes() -> None:
    """Three of four images are right, in two batches."""
    scores = scores_of("classification", 10, "cpu")
    scores.update(torch.eye(10)[[1, 2]], torch.tensor([1, 2]))
    scores.update(torch.eye(10)[[3, 4]], torch.tensor([3, 9]))
    assert float(scores.compute()["accuracy"]) == pytest.approx(0.75)


def test_miou_leaves_ignored_pixels_out() -> None:
    """Class 0 lacks one of its two pixels, class 1 has one too many, and 255 does not count."""
    logits = torch.eye(3)[torch.tensor([[[0, 1, 1, 1]]])].permute(0, 3, 1, 2)
    scores = scores_of("segmentation", 3, "cpu")
    scores.update(logits, torch.tensor([[[0, 0, 1, IGNORED]]]))
    computed = scores.compute()
    assert float(computed["miou"]) == pytest.approx(0.5)
    assert float(computed["accuracy"]) == pytest.approx(2 / 3)


def test_only_the_best_of_overlapping_boxes_stays() -> None:
    """Two boxes on one object become one. A box of another class or at another place stays."""
    boxes = torch.tensor(
        [[10.0, 10, 8, 8], [10, 10, 8, 7.5], [10, 10, 8, 8], [40, 40, 8, 8], [70, 70, 8, 8]]
    )
    scores = torch.tensor([[0.9, 0], [0.8, 0], [0, 0.7], [0.6, 0], [0.0001, 0]])
    best = suppressed(torch.cat([boxes, scores], dim=1).T)
    assert best["scores"].tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert best["labels"].tolist() == [0, 1, 0]
    assert best["boxes"][0].tolist() == [6, 6, 14, 14]


def test_a_precision_without_true_boxes_is_an_error() -> None:
    """Torchmetrics returns -1, which is no precision."""
    pytest.importorskip("pycocotools", reason="needs pip install 'pytest-energy[detection]'")
    scores = Precision()
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
    scores.update(torch.zeros(1, 64, 5), [nothing])
    with pytest.raises(UndefinedScoreError, match="none of the scored images has a true box"):
        scores.compute()
