"""The engine ``local``: the cards of this machine, one shard on each at a time.

A shard sees its card only, by ``CUDA_VISIBLE_DEVICES``. The accelerator ``cpu`` is this machine
without any card.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pytest_energy.clocks import CLOCK
from pytest_energy.errors import UsageError
from pytest_energy.fleet.accelerators import is_meant
from pytest_energy.fleet.engine import EngineRequest, Outcome, Started, Task
from pytest_energy.fleet.shard import ShardSession
from pytest_energy.meters.base import MeterUnavailableError

POLL_S: Final = 0.1
CPU: Final = "cpu"


@dataclass(frozen=True)
class Card:
    """A card of this machine."""

    uuid: str
    """As ``CUDA_VISIBLE_DEVICES`` accepts it; empty: no card."""
    model: str

    def fits(self, accelerator: str) -> bool:
        """Whether it is of the kind ``accelerator``."""
        return is_meant(accelerator, self.model)


def find_cards() -> list[Card]:
    """The cards that CUDA shows to this process, and the processor."""
    from pytest_energy.meters.nvml import driver
    from pytest_energy.meters.nvml.devices.selection import select_devices

    cards: list[Card] = []
    with suppress(MeterUnavailableError):
        driver.start()
        try:
            cards += [
                Card(device.candidate.uuid, device.candidate.name)
                for device in select_devices(None)
            ]
        finally:
            driver.stop()
    return [*cards, Card("", CPU)]


class LocalEngine:
    """Runs shards on this machine.

    Args:
        request: What every engine gets; this one has no options.
    """

    def __init__(self, request: EngineRequest) -> None:
        if request.options:
            raise UsageError(f"--engine-option {min(request.options)}: 'local' has no options")
        self._root = request.root
        self._cards = find_cards()
        self._queue: list[Task] = []
        self._running: dict[Card, tuple[Task, ShardSession]] = {}

    def check(self, accelerators: Sequence[str]) -> None:
        """Check that each accelerator exists.

        Raises:
            UsageError: One does not.
        """
        models = Counter(card.model for card in self._cards)
        there = ", ".join(f"{model} ({number})" for model, number in models.items())
        for name in accelerators:
            if not any(card.fits(name) for card in self._cards):
                raise UsageError(f"no accelerator {name} on this machine, which has {there}")

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks; those of an earlier process have ended with it."""
        self._queue += tasks

    def poll(self, timeout_s: float) -> list[Started | Outcome]:
        """What happened since the last call."""
        deadline_s = CLOCK.monotonic() + timeout_s
        while True:
            events: list[Started | Outcome] = [*self._ended(), *self._begun()]
            if events or CLOCK.monotonic() >= deadline_s:
                return events
            CLOCK.sleep(POLL_S)

    def _ended(self) -> list[Outcome]:
        ended = [card for card, (_, session) in self._running.items() if session.has_ended()]
        return [self._running.pop(card)[1].outcome() for card in ended]

    def _begun(self) -> list[Started]:
        begun = []
        for task in list(self._queue):
            free = [card for card in self._cards if card not in self._running]
            if card := next((card for card in free if card.fits(task.accelerator)), None):
                self._queue.remove(task)
                variables = {"CUDA_VISIBLE_DEVICES": card.uuid}
                self._running[card] = task, ShardSession(task, self._root, variables)
                begun.append(Started(task.shard, f"{card.model} {card.uuid}".strip()))
        return begun

    def close(self) -> None:
        """Stop all sessions."""
        self._queue.clear()
        while self._running:
            self._running.popitem()[1][1].stop()
