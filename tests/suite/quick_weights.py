"""Random weights in a fraction of the time: a few numbers are drawn, and repeated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod
from typing import Any, Final

import pytest
import torch
from torch import Tensor

DRAWN: Final = 4093
"""Numbers drawn for a tensor. It is a prime, so no two filters of a convolution are equal."""


def repeat_draws(patch: pytest.MonkeyPatch) -> None:
    """Fill large tensors on the CPU with repeated draws, which have the same distribution."""
    for name in ("normal_", "uniform_"):
        patch.setattr(Tensor, name, partialmethod(_fill, getattr(Tensor, name)))


def _fill(tensor: Tensor, draw: Callable[..., Tensor], *arguments: Any, **keywords: Any) -> Tensor:
    if tensor.is_meta or tensor.numel() <= DRAWN:
        return draw(tensor, *arguments, **keywords)
    numbers = draw(torch.empty(DRAWN, dtype=tensor.dtype), *arguments, **keywords)
    places = numbers.repeat(-(-tensor.numel() // DRAWN))[: tensor.numel()]
    return tensor.copy_(places.view(tensor.shape))
