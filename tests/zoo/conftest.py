"""Models as small as these gain nothing from threads, and on a busy machine lose by them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.determinism import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Compute in the test's own thread."""
    with one_thread():
        yield
