"""What ``@pytest.mark.energy(...)`` sets, apart from the formats that pytest starts without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_energy.model.metrics import Direction


@dataclass(frozen=True)
class MeterChoice:
    """What measures one test, if not the session's meter."""

    meter: str | None
    """The meter's name; ``None``: the session's, or that which has the channels."""
    channels: tuple[str, ...] = ()
    """The channels whose joules count; empty for all."""

    def __str__(self) -> str:
        """As the marker has it."""
        named = [f"meter={self.meter!r}"] if self.meter else []
        return ", ".join([*named, *([f"channels={[*self.channels]}"] if self.channels else [])])


@dataclass(frozen=True)
class MarkerSettings:
    """The keywords of ``@pytest.mark.energy(...)``."""

    tolerance: float | None = None
    """Accepted relative change of the energy."""
    tolerances: Mapping[str, float] = field(default_factory=dict)
    """Accepted relative changes by metric."""
    rounds: int | None = None
    passes: int | None = None
    epochs: int | None = None
    max_time: float | None = None
    """Seconds."""
    window_s: float | None = None
    max_joules: Mapping[str, float] = field(default_factory=dict)
    """Most joules, by metric: ``energy_j``, or joules per unit of work."""
    better: Mapping[str, Direction] = field(default_factory=dict)
    """Which values of own metrics are better."""
    meter: str | None = None
    """The meter of this test, if not that of the session."""
    channels: tuple[str, ...] = ()
    """The channels whose joules count; empty for all."""

    @property
    def choice(self) -> MeterChoice | None:
        """What measures the test; ``None`` for the session's meter."""
        chosen = self.meter is not None or self.channels
        return MeterChoice(self.meter, self.channels) if chosen else None


UNMARKED: Final = MarkerSettings()
"""What most tests have."""
