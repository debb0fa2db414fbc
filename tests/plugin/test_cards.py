"""How many GPUs ``-n`` asks for with ``--energy-against``, and which tests each of them gets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.errors import UsageError
from pytest_energy.plugin.alternation import cards
from pytest_energy.plugin.alternation.cards import PAIRS, reserve_cards, share, take_workers
from pytest_energy.plugin.gpu_locks import LOCK_FOLDER_VARIABLE, Gpu
from pytest_energy.settings import Settings
from tests.texts import CHARACTERS

TESTS = ["t.py::a", "t.py::b", "t.py::c", "t.py::d"]


def config(**options: Any) -> Any:
    """The configuration of a session with pytest-xdist and these options."""
    values = {"numprocesses": None, "maxprocesses": None, "dist": "no", "collectonly": False}
    option = SimpleNamespace(**values | options)
    return SimpleNamespace(
        option=option, getoption=lambda name, default=None: vars(option)[name], stash=pytest.Stash()
    )


@pytest.mark.parametrize(
    ("options", "pairs"),
    [
        ({"numprocesses": 2}, 2),
        ({"numprocesses": "auto"}, "auto"),
        ({"numprocesses": 4, "maxprocesses": 3, "dist": "load"}, 3),
        ({"numprocesses": 0}, None),
        ({}, None),
        ({"numprocesses": 2, "dist": "loadscope"}, None),
    ],
)
def test_the_number_of_workers_is_taken_from_xdist(
    options: dict[str, Any], pairs: int | str | None
) -> None:
    """Then xdist starts none; a distribution that it alone knows stays, and is refused later."""
    session = config(**options)
    take_workers(session)
    assert session.stash.get(PAIRS, None) == pairs
    if pairs is not None:
        assert session.option.numprocesses == 0


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[Gpu]:
    """Two visible GPUs, and locks of their own."""
    visible = [Gpu("GPU-a", "a"), Gpu("GPU-b", "b")]
    monkeypatch.setenv(LOCK_FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(cards, "visible_gpus", lambda selected: tuple(visible))
    return visible


def reserve(pairs: int | str | None, **settings: Any) -> list[str]:
    """The GPUs that a session with ``-n`` reserves."""
    session = config()
    if pairs is not None:
        session.stash[PAIRS] = pairs
    reserved = reserve_cards(session, Settings(against="main", **settings))
    return [reservation.gpu.uuid for reservation in reserved]


@pytest.mark.parametrize(
    ("pairs", "reserved"),
    [(None, []), (1, ["GPU-a"]), (2, ["GPU-a", "GPU-b"]), ("auto", ["GPU-a", "GPU-b"])],
)
def test_each_pair_has_a_gpu_of_its_own(
    gpus: list[Gpu], pairs: int | str | None, reserved: list[str]
) -> None:
    """A word asks for all that are visible; without -n one pair measures as before."""
    assert reserve(pairs) == reserved


def test_more_pairs_than_gpus_are_refused(gpus: list[Gpu]) -> None:
    """Two pairs on one card would disturb each other; the message says what to do."""
    with pytest.raises(UsageError, match=r"-n 3: .* only 2 are visible; use -n 2 or -n auto"):
        reserve(3)


def test_pairs_need_gpus(gpus: list[Gpu]) -> None:
    """All processors are one device, and time alone needs the whole machine."""
    with pytest.raises(UsageError, match="--energy-meter=none measures none; leave out -n"):
        reserve(2, meter="none")
    gpus.clear()
    with pytest.raises(UsageError, match="no GPU is visible; leave out -n"):
        reserve("auto")


def test_a_test_prefers_the_board_of_its_baseline() -> None:
    """The others fill up the cards that have the fewest."""
    preferred = {"t.py::a": frozenset({"b"}), "t.py::c": frozenset({"elsewhere"})}
    assert share(TESTS, ["a", "b"], preferred, {}) == [
        ["t.py::b", "t.py::c"],
        ["t.py::a", "t.py::d"],
    ]


@given(st.lists(st.text(CHARACTERS), unique=True), st.integers(1, 8))
def test_every_test_is_shared_out_once_and_evenly(tests: list[str], number: int) -> None:
    """No card has two more than another."""
    shares = share(tests, [str(card) for card in range(number)], {}, {})
    assert sorted(test for part in shares for test in part) == sorted(tests)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_long_test_has_a_card_for_itself() -> None:
    """Cards end at about the same time; a test of unknown length counts as one of the middle."""
    seconds = {"t.py::c": 30.0, "t.py::a": 5.0, "t.py::b": 5.0}
    assert share(TESTS, ["a", "b"], {}, seconds) == [["t.py::c"], ["t.py::a", "t.py::b", "t.py::d"]]


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=20), st.integers(1, 4))
def test_no_card_waits_longer_than_the_longest_test(seconds: list[float], number: int) -> None:
    """Otherwise a test of the last card would end sooner on the first one."""
    known = {f"t{index}": length for index, length in enumerate(seconds)}
    shares = share(list(known), [str(card) for card in range(number)], {}, known)
    totals = [sum(known[test] for test in part) for part in shares]
    assert max(totals) - min(totals) <= max(seconds) * (1 + 1e-9)
