"""What the command line says about trainings, besides the plugin's own options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LEAST_AT_ONCE: Final = 3
"""The smallest ``--micro-batch``: parts of at most two images would leave one image of an odd batch
alone. The mean of a whole map has no variance over one image, so BiSeNet cannot normalise it."""


def _silent(_: str) -> None:
    """Say nothing: for a session without a terminal."""


@dataclass(frozen=True)
class Options:
    """The options of ``conftest.py``. ``None`` means that one was not given."""

    epochs: int | None = None
    """``--energy-epochs``: epochs to measure."""
    workers: int | None = None
    """``--data-workers``: processes that load data; 0: the training process loads it."""
    epoch_images: int | None = None
    """``--epoch-images``: the most images of an epoch at full scale."""
    micro_batch: int | None = None
    """``--micro-batch``: the most images in memory at once; gradients are accumulated."""
    score_epochs: bool = False
    """``--score-epochs``: whether the model is scored after each measured epoch, too."""
    announce: Callable[[str], None] = _silent
    """Prints a sentence before a benchmark runs."""
