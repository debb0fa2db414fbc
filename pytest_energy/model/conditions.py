"""The conditions of a round that may explain a change of its energy."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.model.measurement import Round

TEMPERATURE = "temperature_c"
CLOCK = "clock_mhz"
THROTTLED = "throttled"


@dataclass(frozen=True)
class Condition:
    """A condition that a meter observed on one channel.

    Its text, such as ``gpu0.temperature_c`` or ``gpu0.throttled.thermal``, is a key of a round's
    ``conditions``.
    """

    channel: str
    name: str
    """``temperature_c``, ``clock_mhz``, ``throttled.thermal`` and the like."""

    @classmethod
    def parse(cls, key: str) -> Condition:
        """The condition that :meth:`__str__` wrote as ``key``.

        A channel may contain dots, as ``host0.gpu0`` does, and so may a throttling cause.
        """
        channel, throttled, cause = key.partition(f".{THROTTLED}.")
        if throttled:
            return cls(channel, f"{THROTTLED}.{cause}")
        channel, _, name = key.rpartition(".")
        return cls(channel, name)

    def __str__(self) -> str:
        return f"{self.channel}.{self.name}" if self.channel else self.name

    @property
    def throttled(self) -> bool:
        """Whether this is the share of time for which something throttled the device."""
        return self.name.startswith(f"{THROTTLED}.")

    @property
    def explains_energy(self) -> bool:
        """Whether a change of this condition may explain a change of energy."""
        return self.name in (TEMPERATURE, CLOCK) or self.throttled


def conditions(rounds: Sequence[Round]) -> dict[str, float]:
    """The conditions that may explain a change of energy: medians over the rounds that have them.

    These are clocks, temperatures, and the shares of time during which the device was throttled,
    without shares of 0.
    """
    keys = sorted({key for measured in rounds for key in measured.conditions})
    medians = {
        key: statistics.median(
            measured.conditions[key] for measured in rounds if key in measured.conditions
        )
        for key in keys
        if Condition.parse(key).explains_energy
    }
    return {
        key: value for key, value in medians.items() if value or not Condition.parse(key).throttled
    }
