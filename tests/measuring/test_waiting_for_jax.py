"""JAX itself, on the CPU."""

from __future__ import annotations

import json
import os
from statistics import median
from typing import Any

import pytest

from pytest_energy.measuring.waiting import synchronizer, waiter_for
from tests.plugin.conftest import QUICK
from tests.plugin.scripted import install

jax: Any = pytest.importorskip("jax", reason="JAX is not installed: uv run --group jax pytest …")


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


SESSION = """
import time
import jax, scripted_meter

begin, end = scripted_meter.ScriptedMeter.begin, scripted_meter.ScriptedMeter.end

def counting(read):
    # A joule for each second of the processor, on all threads: also for work after the window.
    def counted(*arguments):
        scripted_meter.used_j = time.process_time()
        return read(*arguments)

    return counted

scripted_meter.ScriptedMeter.begin = counting(begin)
scripted_meter.ScriptedMeter.end = counting(end)

MATRIX = jax.numpy.ones((800, 800))
product = jax.jit(lambda x: x @ x @ x @ x @ x)
product(MATRIX).block_until_ready()

def test_plain(energy):
    energy.pedantic(product, (MATRIX,), rounds=5)

def test_waited(energy):
    energy.pedantic(lambda: product(MATRIX).block_until_ready(), rounds=5)

def test_window(energy):
    for _ in range(5):
        with energy.window("w"):
            held = product(MATRIX)
"""


def test_joules_are_the_same_with_and_without_a_wait_in_the_body(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any wait a window would end before most of its work."""
    install(pytester.path)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=os.pathsep)
    pytester.makepyfile(test_it=SESSION)
    result = pytester.runpytest_subprocess("--energy", "--energy-meter=scripted", *QUICK)
    result.assert_outcomes(passed=3)
    results = json.loads((pytester.path / ".energy/results.json").read_text("utf-8"))
    plain, waited, window = (
        median(measured["energy_j"] for measured in benchmark["rounds"])
        for benchmark in results["benchmarks"]
    )
    assert plain == pytest.approx(waited, rel=0.3)
    assert window == pytest.approx(waited, rel=0.3)
