"""Conditions of rounds: their text, and the ones that may explain a change of energy."""

from __future__ import annotations

import pytest

from pytest_energy.model.conditions import Condition, conditions
from pytest_energy.model.measurement import Round


@pytest.mark.parametrize(
    ("key", "channel", "name"),
    [
        ("gpu0.temperature_c", "gpu0", "temperature_c"),
        ("host1.gpu0.clock_mhz", "host1.gpu0", "clock_mhz"),
        ("gpu0.throttled.thermal", "gpu0", "throttled.thermal"),
        ("host1.gpu0.throttled.power-cap", "host1.gpu0", "throttled.power-cap"),
        ("mine", "", "mine"),
    ],
)
def test_a_condition_is_parsed_and_written_alike(key: str, channel: str, name: str) -> None:
    """The keys in results stay as they are, whatever the channel is called."""
    condition = Condition.parse(key)
    assert condition == Condition(channel, name)
    assert str(condition) == key


def test_medians_are_over_the_rounds_that_have_the_condition() -> None:
    """Conditions that explain nothing are left out, and so are throttled shares of 0."""
    seen = [
        {"gpu0.temperature_c": 60.0, "gpu0.throttled.thermal": 0.0, "edges.energy_j": 3.0},
        {"gpu0.temperature_c": 64.0, "gpu0.throttled.power-cap": 0.2},
        {},
    ]
    rounds = [
        Round(start=0.0, duration_s=1.0, passes=1, energy_j=1.0, conditions=values)
        for values in seen
    ]
    assert conditions(rounds) == {"gpu0.temperature_c": 62.0, "gpu0.throttled.power-cap": 0.2}
