"""How tests are shared out among shards, and what a name of an accelerator means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.errors import UsageError
from pytest_energy.fleet.accelerators import is_meant, parse_accelerators
from pytest_energy.fleet.durations import expected_durations
from pytest_energy.fleet.sharding import divide

WEIGHTS = st.dictionaries(st.text("abcdef", min_size=1), st.floats(0, 1e4), max_size=30)


@given(WEIGHTS, st.integers(1, 12))
def test_every_module_is_in_one_shard(weights: dict[str, float], number: int) -> None:
    """No module is lost or run twice, no shard is empty, and each keeps the order of the suite."""
    shards = divide(weights, number)
    assert sorted(module for shard in shards for module in shard) == sorted(weights)
    assert all(shards)
    assert len(shards) <= number
    order = list(weights)
    assert all(list(shard) == sorted(shard, key=order.index) for shard in shards)


@given(WEIGHTS.filter(bool), st.integers(1, 12))
def test_no_shard_is_much_heavier_than_need_be(weights: dict[str, float], number: int) -> None:
    """Graham's bound: 4/3 − 1/(3n) of the best, which is at least the mean and the longest."""
    heaviest = max(sum(weights[module] for module in shard) for shard in divide(weights, number))
    # The shard became the heaviest by its last module, when it was the least loaded one.
    mean = sum(weights.values()) / number
    assert heaviest <= mean + max(weights.values()) * (1 - 1 / number) + 1e-6


@given(WEIGHTS, st.integers(1, 12), st.randoms())
def test_the_division_does_not_depend_on_the_order(weights, number, random) -> None:
    """The same suite collected in another order is shared out alike."""
    names = list(weights)
    random.shuffle(names)
    again = divide({name: weights[name] for name in names}, number)
    assert {frozenset(shard) for shard in again} == {
        frozenset(shard) for shard in divide(weights, number)
    }


def test_the_longest_comes_first() -> None:
    """Four modules of 4, 3, 3 and 2 seconds make two shards of six."""
    weights = {"c": 3.0, "a": 4.0, "d": 2.0, "b": 3.0}
    assert set(divide(weights, 2)) == {("a", "d"), ("c", "b")}


def test_unknown_modules_take_as_long_a_test_as_known_ones() -> None:
    """Seconds of this kind of card count before those of others."""
    durations = {"a": {"NVIDIA H100 80GB HBM3": 4.0, "NVIDIA A100": 40.0}, "gone": {"x": 9.0}}
    modules = {"a": 2, "new": 3}
    assert expected_durations(modules, durations, "H100") == {"a": 4.0, "new": 6.0}
    assert expected_durations(modules, durations, "L40S") == {"a": 22.0, "new": 33.0}
    assert expected_durations(modules, {}, "H100") is None


@pytest.mark.parametrize(
    ("name", "model", "meant"),
    [
        ("H100", "NVIDIA H100 80GB HBM3", True),
        ("a100", "NVIDIA A100-SXM4-40GB", True),
        ("rtx4090", "NVIDIA GeForce RTX 4090", True),
        ("L4", "NVIDIA L40S", False),
        ("A100", "NVIDIA RTX A1000", False),
        ("cpu", "cpu", True),
    ],
)
def test_a_kind_of_card_is_a_whole_word_of_its_model(name: str, model: str, meant: bool) -> None:
    """Case and separators do not count."""
    assert is_meant(name, model) == meant


@pytest.mark.parametrize("text", ["", "A100:", "A100:0", "A100:x", "A 100", "A100:-1", ":2"])
def test_a_malformed_accelerator_is_refused(text: str) -> None:
    """The error has the text and an example."""
    with pytest.raises(UsageError, match="such as H100 or A100:2"):
        parse_accelerators([text])


def test_a_kind_is_named_once() -> None:
    """Two shares of one kind would measure every test twice on it."""
    assert parse_accelerators(["H100", "A100:2"]) == {"H100": 1, "A100": 2}
    with pytest.raises(UsageError, match="named twice; write h100:COUNT"):
        parse_accelerators(["H100", "h100:3"])
