"""A pair of sides on each of several GPUs: how many ``-n`` asks for, which, and who gets what."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.plugin.gpu_locks import Reservation, lock_folder, reserve_gpu, visible_gpus
from pytest_energy.settings import NO_METER, Settings

PAIRS = pytest.StashKey[int | str]()
"""How many GPUs ``-n`` asks for; a word (``auto``, ``logical``) for all that are visible."""
SHARED: Final = ("no", "load")
"""Values of ``--dist`` that say nothing about which worker gets which test."""


def take_workers(config: pytest.Config) -> None:
    """Take ``-n`` from pytest-xdist, which then starts no workers.

    A comparison and its sides distribute nothing: the session starts a pair of sides on each GPU.
    """
    asked = config.getoption("numprocesses", None)
    if not asked or config.getoption("dist") not in SHARED:
        return
    most = config.getoption("maxprocesses", None)
    config.stash[PAIRS] = min(asked, most) if most and isinstance(asked, int) else asked
    config.option.numprocesses = 0


def reserve_cards(config: pytest.Config, settings: Settings) -> tuple[Reservation, ...]:
    """Reserve the GPUs that ``-n`` asks for; none without ``-n``.

    Raises:
        UsageError: There are fewer GPUs, or something else than GPUs is measured.
    """
    asked = config.stash.get(PAIRS, None)
    if asked is None or config.option.collectonly:
        return ()
    where = f"--energy-against={settings.against} -n {asked}"
    gpus = list(visible_gpus(settings.devices))
    if not gpus or settings.meter == NO_METER:
        why = "no GPU is visible" if not gpus else f"--energy-meter={NO_METER} measures none"
        raise UsageError(
            f"{where}: a pair of sides is measured on each of several GPUs, and {why}; leave out -n"
        )
    number = asked if isinstance(asked, int) else len(gpus)
    if number > len(gpus):
        raise UsageError(
            f"{where}: a pair of sides needs a GPU of its own, and only {len(gpus)}"
            f" {'is' if len(gpus) == 1 else 'are'} visible; use -n {len(gpus)} or -n auto, or show"
            " more of them (--energy-devices, CUDA_VISIBLE_DEVICES)"
        )
    reservations = []
    for _ in range(number):
        reservation = reserve_gpu(gpus, 0, lock_folder())
        gpus.remove(reservation.gpu)
        reservations.append(reservation)
    return tuple(reservations)


def share(
    tests: Sequence[str],
    boards: Sequence[str],
    preferred: Mapping[str, frozenset[str]],
    seconds: Mapping[str, float],
) -> list[list[str]]:
    """Share the tests out to the cards, for an equal time as far as their baselines allow.

    All blocks of a test must come from one card. A baseline is compared most closely on the board
    that it was measured on. The longest tests are shared out first. A test of unknown length counts
    as one of the middle.

    Args:
        tests: Their ids, in order.
        boards: The board of each card.
        preferred: The boards of each test's baselines.
        seconds: Of a round of each test, where its baselines tell.

    Returns:
        For each card its tests, in order.
    """
    usual = statistics.median(seconds.values()) if seconds else 1.0
    lengths = {test: seconds.get(test, usual) for test in tests}
    shares: list[set[str]] = [set() for _ in boards]
    for test in sorted(tests, key=lengths.__getitem__, reverse=True):
        known = preferred.get(test, frozenset())
        able = [part for part, board in zip(shares, boards, strict=True) if board in known]
        min(able or shares, key=lambda part: sum(map(lengths.__getitem__, part))).add(test)
    return [[test for test in tests if test in part] for part in shares]
