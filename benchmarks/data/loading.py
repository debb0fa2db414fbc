"""Batches on the device, with the time that training waited for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, default_collate

from benchmarks.data.samples import Samples


class Batches:
    """The batches of an epoch, each moved to ``device``. The waiting is timed.

    Args:
        dataset: Samples of image and target.
        batch_size: Samples a batch. In training an incomplete last batch is dropped.
        device: Where the batches go.
        train: Whether to shuffle the samples anew for each epoch.
        limit: Batches an epoch; ``None``: all that the data gives.
        workers: Processes that load data; 0: this process loads it.
        seed: The seed of the shuffling.
    """

    def __init__(
        self,
        dataset: Samples,
        *,
        batch_size: int,
        device: str,
        train: bool,
        limit: int | None,
        workers: int,
        seed: int = 0,
    ) -> None:
        self.device = device
        self.waited_s = 0.0
        """Seconds that all iterations so far have waited for batches."""
        num_samples = None if limit is None else limit * batch_size
        generator = torch.Generator().manual_seed(seed)
        sampler = (
            RandomSampler(dataset, num_samples=num_samples, generator=generator)
            if train
            else SequentialSampler(dataset)
        )
        self.limit = limit
        self.loader = DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            drop_last=train,  # a smaller last batch would make one step cheaper than the others
            num_workers=workers,
            persistent_workers=workers > 0,  # else each epoch pays for starting them
            pin_memory=device.startswith("cuda"),  # copies from pinned memory need not block
            collate_fn=collate,
            generator=generator,  # also seeds the workers, and with them the augmentation
        )

    def __len__(self) -> int:
        batches = len(self.loader)
        return batches if self.limit is None else min(batches, self.limit)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        batches = iter(self.loader)
        served = 0
        while self.limit is None or served < self.limit:
            begin = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            images, targets = (move(part, self.device) for part in batch)
            self.waited_s += time.perf_counter() - begin
            served += 1
            yield images, targets


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
