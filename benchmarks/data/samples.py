"""What all data sets here are: numbered samples of an image and its target."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch.utils.data import Dataset


class Samples(Dataset[Any]):
    """A data set that knows its length, which torch's own type does not promise."""

    @abstractmethod
    def __len__(self) -> int:
        """How many samples."""
