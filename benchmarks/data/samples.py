"""The base class of all data sets: numbered pairs of an image and its target."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch.utils.data import Dataset


class Samples(Dataset[Any]):
    """A data set with a length, which torch's own type does not promise."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""


class Subset(Samples):
    """Some samples of a data set, drawn at random.

    Data sets are often sorted by class, so their first samples would show the first classes only.

    Args:
        inner: The whole data set.
        count: Samples to draw without replacement; ``None``, or more than there are: all, in their
            own order.
        seed: The seed of the draw: the same samples on every machine.
    """

    def __init__(self, inner: Samples, count: int | None, seed: int = 0) -> None:
        self.inner = inner
        self.chosen = list(range(len(inner)))
        if count is not None and count < len(inner):
            generator = torch.Generator().manual_seed(seed)
            self.chosen = torch.randperm(len(inner), generator=generator)[:count].tolist()

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Any:
        return self.inner[self.chosen[index]]
