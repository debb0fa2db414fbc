"""The line of progress of a comparison."""

from __future__ import annotations

from pytest_energy.against.standing import Standing, describe_standings


def test_a_single_card_shows_block_decided_time_and_benchmark() -> None:
    """The whole id comes last, because it may be cut off."""
    standing = Standing("block 2 of at most 24", 3, 10, "b/test_a.py::test_a", 20.4, 469.0)
    assert describe_standings({"card 0": standing}) == (
        "block 2 of at most 24 · 3 of 10 decided · 20 s a block, at most 8 min left"
        " · b/test_a.py::test_a"
    )


def test_the_first_block_knows_no_time() -> None:
    """An unknown time is left out."""
    standing = Standing("screening 1 of 2 by the baselines", 0, 2, "test_a.py::test_a")
    text = "screening 1 of 2 by the baselines · 0 of 2 decided · test_a.py::test_a"
    assert describe_standings({"card 0": standing}) == text


def test_several_cards_show_what_each_does() -> None:
    """Decided tests are summed; the slowest card says how long it may take."""
    standings = {
        "card 1": Standing("block 3 of at most 24", 1, 5, "test_b.py::test_b", 9.0, 30.0),
        "card 0": Standing("block 2 of at most 24", 2, 5, "test_a.py::test_a", 9.0, 90.0),
    }
    assert describe_standings(standings) == (
        "3 of 10 decided · at most 90 s left · card 0 block 2, test_a · card 1 block 3, test_b"
    )
