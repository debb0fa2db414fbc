"""The same seeds and the same algorithms, so that two runs on a machine give the same accuracy.

``torch.use_deterministic_algorithms`` stays off: some operators of the papers' models (bilinear
upsampling's gradient on a GPU, for one) have no deterministic form, and the slower algorithms would
change the joules that are to be measured. What is fixed instead: every random generator, cuDNN's
choice of algorithms (its benchmark mode would choose by timing), and TF32, which is off, so that
``float32`` means what it meant in the papers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def settle(seed: int = 0) -> None:
    """Seed Python, NumPy and torch, and fix the choices that torch's backends would make."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread for a while.

    What a small run computes gains nothing from more. On a busy machine threads that wait for one
    another at every layer make it several times slower, and sums split among them would differ
    from machine to machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
