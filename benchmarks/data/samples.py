"""The base class of all data sets: numbered pairs of an image and its target."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch.utils.data import Dataset


class Samples(Dataset[Any]):
    """A data set with a length, which torch's own type does not promise."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""
