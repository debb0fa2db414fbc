"""The line of progress of a comparison: what each card does, what is decided, how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """How far the comparison on one card is."""

    doing: str
    """``block 2 of at most 24``."""
    decided: int
    total: int
    """Tests of this card."""
    test: str
    """The test that begins."""
    block_s: float | None = None
    """Seconds of a block; ``None`` in the first one."""
    most_s: float | None = None
    """Seconds until the limits end it."""


def describe_standings(standings: Mapping[str, Standing]) -> str:
    """The most important part first, because the end may be cut off.

    Args:
        standings: By the name of the card.
    """
    (_, first), *others = sorted(standings.items())
    if not others:
        return " · ".join([first.doing, _decided(first), *_times(first), first.test])
    total = Standing(
        "",
        sum(standing.decided for standing in standings.values()),
        sum(standing.total for standing in standings.values()),
        "",
    )
    most_s = [standing.most_s for standing in standings.values() if standing.most_s is not None]
    left = [f"at most {_minutes(max(most_s))} left"] if most_s else []
    cards = [f"{name} {_briefly(standing)}" for name, standing in sorted(standings.items())]
    return " · ".join([_decided(total), *left, *cards])


def _decided(standing: Standing) -> str:
    return f"{standing.decided} of {standing.total} decided"


def _times(standing: Standing) -> list[str]:
    if standing.block_s is None or standing.most_s is None:
        return []
    return [f"{_minutes(standing.block_s)} a block, at most {_minutes(standing.most_s)} left"]


def _briefly(standing: Standing) -> str:
    """``block 2, test_it``: the file's name has no room where several cards are shown."""
    return f"{standing.doing.partition(' of ')[0]}, {standing.test.rpartition('::')[2]}"


def _minutes(duration_s: float) -> str:
    return f"{duration_s:.0f} s" if duration_s < 100 else f"{duration_s / 60:.0f} min"
