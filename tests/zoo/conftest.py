"""Tests of the zoo compute in one thread: more make small models slower on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.determinism import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Compute in one thread."""
    with one_thread():
        yield
