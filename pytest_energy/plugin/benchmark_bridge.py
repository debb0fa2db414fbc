"""Hand the measured latencies to pytest-benchmark: to its table, its JSON and its comparison.

pytest-benchmark accepts a timer from a marker. The replay timer stands still, except that each
replayed round advances it by the seconds per pass of a measured round. So pytest-benchmark reports
what was measured inside the energy windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

USES: Final = ("only", "json", "save", "autosave", "compare", "compare_fail")
"""The options of pytest-benchmark that write latencies, compare them, or expect its fixture."""


def uses_latencies(config: pytest.Config, *, shows_table: bool) -> bool:
    """Whether pytest-benchmark does anything with latencies; if not, its fixture is not set up.

    Args:
        config: The configuration of pytest.
        shows_table: Whether its table is shown.
    """
    if not config.pluginmanager.has_plugin("benchmark") or hasattr(config, "workerinput"):
        return False  # it is off in workers, and warns if a test requests its fixture
    return shows_table or any(config.getoption(f"benchmark_{name}", None) for name in USES)


class ReplayTimer:
    """A timer for pytest-benchmark that moves only when told to."""

    # pytest-benchmark writes the timer's name into the file of --benchmark-json.
    __name__ = "seconds_per_pass"

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """Return the seconds of this timer."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move the timer forward."""
        self._now_s += seconds


def needs_replay_timer(item: pytest.Item) -> bool:
    """Whether to install a replay timer: not if the test itself uses the ``benchmark`` fixture."""
    return item.config.pluginmanager.has_plugin("benchmark") and "benchmark" not in getattr(
        item, "fixturenames", ()
    )


def install_replay_timer(item: pytest.Item) -> None:
    """Install the replay timer, and keep the options of the test's own ``benchmark`` marker."""
    marker = item.get_closest_marker("benchmark")
    options = {**(marker.kwargs if marker else {}), "timer": ReplayTimer()}
    item.add_marker(pytest.mark.benchmark(**options), append=False)


def publish_latencies(
    request: pytest.FixtureRequest, latencies_s: Sequence[float], extra: Mapping[str, Any]
) -> None:
    """Report one latency per round, and extra information, to pytest-benchmark if it is loaded.

    pytest-benchmark's fixture works once per test. If the test itself uses it, its own latencies
    stay, and the measured ones become extra information.
    """
    if not request.config.pluginmanager.has_plugin("benchmark"):
        return
    benchmark = request.getfixturevalue("benchmark")
    benchmark.extra_info.update(extra)
    marker = request.node.get_closest_marker("benchmark")
    timer = marker.kwargs.get("timer") if marker else None
    if not isinstance(timer, ReplayTimer):
        benchmark.extra_info["energy_latency_s"] = list(latencies_s)
        return
    latencies = iter(latencies_s)
    # The default: profilers and disabled benchmarks do not make exactly one call per round.
    benchmark.pedantic(lambda: timer.advance(next(latencies, 0.0)), rounds=len(latencies_s))
