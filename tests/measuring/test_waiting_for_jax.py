"""JAX itself, on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_energy.measuring.waiting import synchronizer, waiter_for

jax: Any = pytest.importorskip("jax", reason="JAX is not installed: uv run --with jax pytest …")


def test_a_call_is_awaited_with_and_without_its_own_wait() -> None:
    """After the wait the arrays are ready, whatever the body did."""
    matrix = jax.numpy.ones((600, 600))
    product = jax.jit(lambda x: {"product": x @ x @ x @ x})
    for returned in (product(matrix), jax.block_until_ready(product(matrix))):
        wait = waiter_for(returned)
        assert wait is not None
        wait(returned)
        assert returned["product"].is_ready()


def test_a_window_waits_for_arrays_that_are_still_computed() -> None:
    """The end of a window waits for what its body has started."""
    matrix = jax.numpy.ones((600, 600))
    product = matrix @ matrix @ matrix @ matrix
    synchronizer()()
    assert product.is_ready()
