"""Batches on the device, with the time that training waited for them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, default_collate

from benchmarks.data.samples import Samples

MOST_WORKERS: Final = 8
"""More processes that load data seldom help one GPU."""


def default_workers() -> int:
    """One process for each core that this process may use, up to :data:`MOST_WORKERS`."""
    # macOS and Windows cannot bind a process to cores.
    bound = hasattr(os, "sched_getaffinity")
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)) if bound else os.cpu_count() or 1)


class Batches:
    """The batches of an epoch, each moved to ``device``. The waiting is timed.

    Args:
        dataset: Samples of image and target.
        batch_size: Samples a batch. The last batch may be smaller. In training a last batch of one
            image is left out, because batch normalisation has no variance for it.
        device: Where the batches go.
        train: Whether to shuffle the samples anew for each epoch.
        images: Samples an epoch in training; ``None``: all. More than the data has are repeated,
            each equally often.
        workers: Processes that load data; 0: this process loads it.
        seed: The seed of the shuffling.
        on_device: Changes the images of a batch on the device; ``None``: they stay as they are.
    """

    def __init__(
        self,
        dataset: Samples,
        *,
        batch_size: int,
        device: str,
        train: bool,
        images: int | None = None,
        workers: int,
        seed: int = 0,
        on_device: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.device = device
        self.on_device = on_device
        self.waited_s = 0.0
        """Seconds that all iterations so far have waited for batches."""
        self.images = images or len(dataset)
        """Samples an epoch."""
        if train and batch_size > 1 and self.images > 1 and self.images % batch_size == 1:
            self.images -= 1
        generator = torch.Generator().manual_seed(seed)
        sampler = (
            RandomSampler(dataset, num_samples=self.images, generator=generator)
            if train
            else SequentialSampler(dataset)
        )
        self.loader = DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,  # else each epoch pays for starting them
            pin_memory=device.startswith("cuda"),  # copies from pinned memory need not block
            collate_fn=collate,
            generator=generator,  # also seeds the workers, and with them the augmentation
        )

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        batches = iter(self.loader)
        while True:
            begin = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            images, targets = (move(part, self.device) for part in batch)
            self.waited_s += time.perf_counter() - begin
            yield self.on_device(images) if self.on_device else images, targets


def collate(samples: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Stack images and targets. Targets that are dictionaries (boxes) stay a list."""
    images, targets = zip(*samples, strict=True)
    if isinstance(targets[0], dict):
        return torch.stack(images), list(targets)
    return torch.stack(images), default_collate(list(targets))


def move(part: Any, device: str) -> Any:
    """Move a tensor, or a list of dictionaries of tensors, to ``device``."""
    if isinstance(part, list):
        return [{name: move(value, device) for name, value in item.items()} for item in part]
    return part.to(device, non_blocking=True)


def in_parts(
    images: torch.Tensor, targets: Any, most: int | None
) -> Iterator[tuple[torch.Tensor, Any]]:
    """Split a batch into parts of at most ``most`` images, as equal as possible."""
    if most is None or len(images) <= most:
        yield images, targets
        return
    begin = 0
    for part in images.tensor_split(-(-len(images) // most)):
        yield part, targets[begin : begin + len(part)]
        begin += len(part)
