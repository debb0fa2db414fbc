"""Networks in a fraction of the time: few blocks a stage, and few random numbers, repeated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod
from typing import Any, Final

import pytest
import torch
from torch import Tensor
from torchvision.models import ResNet

from benchmarks.zoo.models import transfer

DRAWN: Final = 4093
"""Numbers drawn for a tensor. It is a prime, so no two filters of a convolution are equal."""
BLOCKS: Final = [2, 1, 1, 1]
"""Blocks of the stages of a residual network: each kind that a deeper one has."""
UNITS: Final = 64
"""Units of the hidden layers of the head for transfer learning."""


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


def cut_depth(patch: pytest.MonkeyPatch) -> None:
    """Build residual networks with few blocks a stage, and heads for transfer with few units."""
    build = ResNet.__init__

    def cut(self: ResNet, block: Any, layers: list[int], *arguments: Any, **keywords: Any) -> None:
        assert all(few <= many for few, many in zip(BLOCKS, layers, strict=True))
        build(self, block, BLOCKS, *arguments, **keywords)

    patch.setattr(ResNet, "__init__", cut)
    patch.setattr(transfer, "WIDTH", UNITS)
