"""Plugins that run tests in a way in which nothing of them can be measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

RERUNNING: Final = {
    "rerunfailures": ("reruns", "--reruns"),
    "pytest-retry": ("retries", "--retries"),
    "flaky": ("force_flaky", "--force-flaky"),
}
"""By plugin: the option that makes it run failed tests again, as pytest and as people call it."""


def refuse_runners(measuring: Sequence[pytest.Item], *, against: str | None) -> None:
    """Check that no plugin takes the tests that measure to where they cannot be measured.

    Args:
        measuring: The tests that use the fixture.
        against: The revision of ``--energy-against``, whose sides run each test themselves.

    Raises:
        pytest.UsageError: A test would run in a process of its own, or could not be run again.
    """
    for item in measuring:
        if where := _asks_for(item, "forked", "--forked"):
            raise pytest.UsageError(
                f"{item.nodeid}: {where} runs the test in a process of its own, from which no"
                " measurement comes back; leave it out for tests that use the energy fixture"
            )
        for plugin, (option, spelling) in RERUNNING.items() if against else ():
            if item.config.pluginmanager.has_plugin(plugin) and (
                where := _asks_for(item, option, spelling, marker="flaky")
            ):
                raise pytest.UsageError(
                    f"{item.nodeid}: {where} has no effect with --energy-against={against}, which"
                    " measures a test several times itself; leave it out"
                )


def _asks_for(item: pytest.Item, option: str, spelling: str, marker: str = "") -> str | None:
    """Where a plugin is asked to run a test: an option, a marker, or nowhere."""
    if item.config.getoption(option, None):
        return spelling
    name = marker or option
    return f"@pytest.mark.{name}" if item.get_closest_marker(name) else None
