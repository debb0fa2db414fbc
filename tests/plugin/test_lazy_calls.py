"""Calls that only make a coroutine, a generator or a future are refused; async ones are awaited."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import QUICK, Project

FUNCTIONS = """
import asyncio, concurrent.futures, functools
async def answer(): work(1)
def stream(): yield work(1)
async def astream(): yield work(1)
def makes_answer(): return answer()
def makes_stream(): return stream()
def makes_future(): return concurrent.futures.Future()
class Model:
    async def __call__(self): work(1)
"""
LAZY = [
    ("energy(answer)", "energy(answer): answer is a coroutine function", "energy.acall(answer)"),
    ("energy(stream)", "energy(stream): stream is a generator function", "list(stream(…))"),
    ("energy(astream)", "energy(astream): astream is an async generator", "async for"),
    ("energy(makes_answer)", "makes_answer returned a coroutine", "energy.acall(makes_answer)"),
    ("energy(makes_stream)", "makes_stream returned a generator", "list(makes_stream(…))"),
    ("energy(makes_future)", "makes_future returned a future that is not done", ".result()"),
    ("energy(Model())", "is a coroutine function", "energy.acall"),
    ("energy(functools.partial(answer))", "answer is a coroutine function", "asyncio.run"),
    ("energy.pedantic(answer)", "energy.pedantic(answer): answer is", "energy.acall(answer)"),
    ("energy.pedantic(makes_stream)", "makes_stream returned a generator", "list("),
    ("energy.training(answer)", "energy.training(answer): answer is a coroutine", "energy.acall"),
    ("asyncio.run(energy.acall(stream))", "stream is a generator function", "list(stream(…))"),
    ("asyncio.run(energy.acall(work, 1))", "energy.acall(work): expected an async", "energy(work)"),
    ("energy(3)", "energy(3): expected a function, got int", "without calling it"),
    ("energy(work, 1, synchronize=3)", "energy: synchronize(3): expected a function", "int"),
    (
        "energy.inference(answer, input_shape=(1,))",
        "energy.inference(answer): answer is a coroutine function",
        "energy.acall(answer)",
    ),
    ("energy(work, 1, synchronize=stream)", "energy: synchronize(", "does its work in the call"),
    ("energy.pedantic(work, (1,), setup=answer)", "setup(", "does its work in the call"),
    ("energy.inference(work, make_input=answer)", "make_input(", "does its work in the call"),
    ("energy.training(work, evaluate=answer)", "evaluate(", "does its work in the call"),
    ("energy.training(work, evaluate=0.5)", "evaluate(0.5): expected a function", "float"),
    ("energy.compare(a=work, b=work, around={'a': stream})", "around['a'](", "does its work"),
    ("energy.pedantic(work, 1)", "energy.pedantic(args=1)", "expected a tuple such as (1,)"),
    ("energy.pedantic(work, kwargs=[1])", "energy.pedantic(kwargs=[1])", "expected a mapping"),
    ("energy.pedantic(work, setup=lambda: 3)", "setup returned 3", "a tuple (args, kwargs)"),
    ("energy.pedantic(work, (1,), rounds=True)", "rounds=True", "a whole number"),
    ("energy.repeat('a', seconds=True)", "seconds=True", "a finite number above 0"),
    ("energy.pedantic(work(1))", "energy.pedantic(", "expected a function"),
]


@pytest.mark.parametrize("measures", [True, False], ids=["with --energy", "without"])
def test_a_call_that_runs_nothing_is_refused(project: Project, measures: bool) -> None:
    """The function, what it is, and what to write instead."""
    tests = [f"def test_{n}(energy):\n    {call}" for n, (call, _, _) in enumerate(LAZY)]
    project.write("\n".join([FUNCTIONS, *tests]))
    result = project.run() if measures else project.pytester.runpytest_inprocess(*QUICK)
    result.assert_outcomes(failed=len(LAZY))
    errors = [line for line in result.outlines if "errors.UsageError: " in line]
    for call, fault, remedy in LAZY:
        assert any(fault in error and remedy in error for error in errors), call


def test_async_calls_are_measured(project: Project) -> None:
    """Two seconds at 100 W, awaited on the loop of the test, and what it returned."""
    project.write(
        """
import asyncio
async def answer(seconds):
    await asyncio.sleep(0)
    work(seconds)
    return 42
def test_it(energy):
    async def body():
        assert await energy.acall(answer, 2, units={"token": 4}) == 42
    asyncio.run(body())
"""
    )
    project.run().assert_outcomes(passed=1)
    metrics = project.benchmark()["metrics"]
    assert metrics["energy_j"]["value"] == pytest.approx(200.0)
    assert metrics["energy_j_per_token"]["value"] == pytest.approx(50.0)
    project.pytester.runpytest_inprocess(*QUICK).assert_outcomes(passed=1)


def test_a_result_that_is_done_is_measured(project: Project) -> None:
    """A future that is done, and a decorated coroutine that its decorator runs."""
    project.write(
        """
import asyncio, concurrent.futures, functools
def done():
    work(1)
    future = concurrent.futures.Future()
    future.set_result(1)
    return future
def running(function):
    return functools.wraps(function)(lambda: asyncio.run(function()))
@running
async def answer(): work(1)
@pytest.mark.parametrize("function", [done, answer])
def test_it(energy, function):
    energy(function)
"""
    )
    project.run().assert_outcomes(passed=2)


def test_an_own_function_waits_in_each_window(project: Project) -> None:
    """What ``synchronize=`` waits for is inside the window, and its joules count."""
    project.write(
        """
queue = []
def wait():
    work(sum(queue))
    queue.clear()
def test_it(energy):
    with energy.window("decode", synchronize=wait):
        queue.append(3)
"""
    )
    project.run().assert_outcomes(passed=1)
    assert project.benchmark("decode")["metrics"]["energy_j"]["value"] == pytest.approx(300.0)
