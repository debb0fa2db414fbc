"""The latencies of a benchmark, handed to pytest-benchmark: its table, its JSON, its comparison.

pytest-benchmark times with a clock that a marker may replace. Ours stands still except when a
recorded round is replayed, and then moves by that round's seconds a pass, so that what
pytest-benchmark sees is what was measured inside the energy windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest


class ReplayedClock:
    """A timer for pytest-benchmark; its name is what ``--benchmark-json`` shows."""

    __name__ = "seconds_a_pass"

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """Seconds on this clock."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_s += seconds


def lacks_clock(item: pytest.Item) -> bool:
    """Whether a test needs our clock: one that uses the ``benchmark`` fixture keeps its own."""
    return item.config.pluginmanager.has_plugin("benchmark") and "benchmark" not in getattr(
        item, "fixturenames", ()
    )


def prepare(item: pytest.Item) -> None:
    """Give a test our clock, beside whatever its own ``benchmark`` marker says."""
    own = item.get_closest_marker("benchmark")
    options = {**(own.kwargs if own else {}), "timer": ReplayedClock()}
    item.add_marker(pytest.mark.benchmark(**options), append=False)


def publish(
    request: pytest.FixtureRequest, latencies_s: Sequence[float], extra: Mapping[str, Any]
) -> None:
    """Hand latencies, one a round, and joules to pytest-benchmark, where it is loaded.

    Its fixture can be used once a test: where the test uses it, too, the latencies there are the
    test's own, and ours go into the extra information.
    """
    if not request.config.pluginmanager.has_plugin("benchmark"):
        return
    if hasattr(request.config, "workerinput") and "benchmark" not in request.node.funcargs:
        return  # pytest-benchmark is off in workers, and warns a test that asks for its fixture
    benchmark = request.getfixturevalue("benchmark")
    benchmark.extra_info.update(extra)
    marker = request.node.get_closest_marker("benchmark")
    clock = marker.kwargs.get("timer") if marker else None
    if not isinstance(clock, ReplayedClock):
        benchmark.extra_info["energy_latency_s"] = list(latencies_s)
        return
    replay = iter(latencies_s)
    # Profilers and disabled benchmarks call more or less often than there are rounds.
    benchmark.pedantic(lambda: clock.advance(next(replay, 0.0)), rounds=len(latencies_s))
