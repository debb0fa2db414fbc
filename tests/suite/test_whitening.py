"""ZCA whitening: all directions get about the same variance, and an image stays itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data.samples import Samples
from benchmarks.data.whitening import EPSILON, directions_of, whitening_of
from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.training import Training, remarks_on_data
from benchmarks.workbench import scheduled


def correlated(seed: int, count: int = 400, size: int = 12) -> torch.Tensor:
    """Images of 3 × 2 × 2 values that are mixtures of others, far from zero."""
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(count, size)) @ generator.normal(size=(size, size))
    return torch.from_numpy(5 + mixed).float().reshape(count, 3, 2, 2)


def dense(images: torch.Tensor) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Centred pixels (N, D), and the eigenvalues and eigenvectors of their covariance."""
    pixels = images.flatten(1).double()
    pixels = pixels - pixels.mean(0)
    return pixels, *np.linalg.eigh(np.cov(pixels.T.numpy()))


@settings(max_examples=10, deadline=None)  # the first example imports scikit-learn
@given(st.integers(0, 1000))
def test_with_all_directions_it_is_the_formula_of_zca(seed: int) -> None:
    """(x - μ) U diag(1/√(s + ε)) Uᵀ, computed from the whole covariance."""
    images = correlated(seed)
    pixels, variances, vectors = dense(images)
    matrix = vectors @ np.diag((variances + EPSILON) ** -0.5) @ vectors.T
    expected = (pixels @ torch.from_numpy(matrix)).float().view_as(images)
    torch.testing.assert_close(directions_of(images, 12)(images), expected, rtol=1e-3, atol=1e-3)


def test_whitened_pixels_are_not_correlated() -> None:
    """The covariance is that of ZCA with ε: s / (s + ε) along each direction, near 1."""
    whitened = directions_of(correlated(0), 12)(correlated(0))
    _, variances, _ = dense(correlated(0))
    expected = sorted(variances / (variances + EPSILON))
    _, found, _ = dense(whitened)
    assert sorted(found) == pytest.approx(expected, abs=1e-3)


def test_directions_that_are_left_out_share_their_mean_variance() -> None:
    """The leading five are whitened one by one, the other seven by one factor."""
    images = correlated(1)
    _, variances, vectors = dense(images)
    whitening = directions_of(images, 5)
    assert whitening.rest == pytest.approx((variances[:7].mean() + EPSILON) ** -0.5, rel=1e-3)
    along = torch.from_numpy(vectors[:, :7]).float().T.reshape(7, 3, 2, 2)
    moved = whitening(along + whitening.mean.view(3, 2, 2))
    torch.testing.assert_close(moved, whitening.rest * along, rtol=1e-3, atol=1e-3)


class Pictures(Samples):
    """Random images with their numbers."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], index


@pytest.mark.parametrize(("count", "directions"), [(400, 12), (40, 10), (2, 1)])
def test_few_images_have_few_directions(count: int, directions: int) -> None:
    """A quarter of the images, at most the pixels; noise gives finite images even then."""
    whitening = whitening_of(Pictures(correlated(2)), count)
    assert whitening.directions.shape == (directions, 12)
    assert whitening(correlated(2)).isfinite().all()


@pytest.mark.parametrize("model", ["resnet50", "convnext_tiny"])
def test_paper_a_trains_and_scores_on_whitened_images(model: str) -> None:
    """The training, its scores and the remark; the statistics are those of plain images."""
    row = Row("a", "training", model, "birds")
    schedule = scheduled(row, "small")
    training = Training(row, schedule, "cpu", options=Options(epochs=1))
    assert training.whitening is not None
    for batches in (training.batches, training._held_out, training._seen):
        assert batches.on_device is training.whitening
    (remark,) = remarks_on_data(training, 58_388)
    assert remark == "The images are whitened (ZCA) along 16 of 3,072 directions."


def test_other_papers_do_not_whiten() -> None:
    """Only paper A names it."""
    row = Row("e", "training", "resnet18_cifar", "cifar100")
    assert Training(row, scheduled(row, "small"), "cpu").whitening is None
