"""The same seeds and algorithms for every run: two runs on a machine give the same accuracy.

``torch.use_deterministic_algorithms`` stays off. Some operators of the papers' models have no
deterministic form, such as the gradient of bilinear upsampling on a GPU. The slower algorithms
would also change the measured joules. This module fixes three things instead: every random
generator, cuDNN's choice of algorithms (its benchmark mode chooses by timing), and TF32. TF32 is
off, so ``float32`` means what it meant in the papers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def settle(seed: int = 0) -> None:
    """Seed Python, NumPy and torch, and fix the algorithms of torch's backends."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread inside the ``with`` block.

    More threads do not make a small run faster. On a busy machine they wait for one another at
    every layer, which makes the run several times slower. Sums that are split among threads would
    also differ from machine to machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
