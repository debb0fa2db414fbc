"""Tests of the zoo compute in one thread, and can draw few numbers for weights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.determinism import one_thread
from tests.suite.quick_weights import repeat_draws


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Compute in one thread: more make small models slower on a busy machine."""
    with one_thread():
        yield


@pytest.fixture
def repeated_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat random numbers in large tensors, which takes a tenth of the time of drawing them."""
    repeat_draws(monkeypatch)
