"""The batches of an epoch: all images, each as often as the others."""

from __future__ import annotations

import os
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.data.loading import Batches, default_workers, in_parts
from benchmarks.data.samples import Samples, Subset
from benchmarks.options import LEAST_AT_ONCE


class Numbers(Samples):
    """Images that are their own number."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((1, 1, 1), float(index)), index


def batches(count: int, batch_size: int, images: int | None = None) -> Batches:
    """Shuffled batches of numbers."""
    return Batches(
        Numbers(count), batch_size=batch_size, device="cpu", train=True, images=images, workers=0
    )


@given(count=st.integers(2, 60), batch_size=st.integers(2, 16), factor=st.integers(1, 3))
def test_an_epoch_has_all_images_at_every_batch_size(
    count: int, batch_size: int, factor: int
) -> None:
    """At most one image is left out: a last batch of one has no variance to normalise by."""
    loader = batches(count, batch_size, count * factor)
    targets = [target for _, target in loader]
    seen = Counter(int(number) for target in targets for number in target)
    assert sum(seen.values()) == loader.images
    assert loader.images == count * factor - (count * factor % batch_size == 1)
    assert max(seen.values()) <= factor
    assert len(targets) == len(loader)
    assert min(len(target) for target in targets) > 1 or loader.images == 1


def test_a_subset_is_drawn_from_all_samples_and_is_always_the_same() -> None:
    """The first samples of a sorted data set would be one class."""
    first, again = Subset(Numbers(1000), 50), Subset(Numbers(1000), 50)
    assert first.chosen == again.chosen
    assert len(set(first.chosen)) == 50
    assert max(first.chosen) > 500
    assert Subset(Numbers(10), None).chosen == Subset(Numbers(10), 20).chosen == list(range(10))


@given(count=st.integers(1, 40), most=st.integers(1, 40))
def test_parts_of_a_batch_are_alike_and_complete(count: int, most: int) -> None:
    """No part is larger than allowed, and sizes differ by one at most."""
    images = torch.arange(count)
    parts = list(in_parts(images, images.tolist(), most))
    sizes = [len(part) for part, _ in parts]
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    if count > 1 and most >= LEAST_AT_ONCE:
        assert min(sizes) > 1  # one image alone has no variance
    assert torch.equal(torch.cat([part for part, _ in parts]), images)
    assert [number for _, targets in parts for number in targets] == images.tolist()


def test_there_are_as_many_workers_as_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch warns of more, and more than eight seldom help."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 4})
    assert default_workers() == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert default_workers() == 8


def test_machines_that_cannot_bind_a_process_to_cores_count_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Affinity is missing on macOS and Windows."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert default_workers() == 3
