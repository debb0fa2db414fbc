"""Several cards at the same time: their news, their errors, and their end."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_energy.against.lanes import Lanes, Post
from pytest_energy.against.side import RunningSides, StoppedError
from pytest_energy.errors import UsageError


def lanes(*names: str) -> Lanes:
    """A lane for each name."""
    campaigns: list[Any] = [SimpleNamespace(name=name) for name in names]
    return Lanes(campaigns, RunningSides())


def test_news_of_all_cards_arrive_each_once() -> None:
    """The session gets them as they come; a card without news delays no other."""

    def job(campaign: Any, post: Post) -> None:
        for number in range(3):
            post((campaign.name, number))

    assert sorted(lanes("a", "b").each(job)) == [(name, n) for name in "ab" for n in range(3)]


def test_a_card_goes_on_only_when_the_session_asks_for_more() -> None:
    """With one card nothing else runs in this process while a side measures."""
    begun = []

    def job(campaign: Any, post: Post) -> None:
        for number in range(2):
            begun.append(number)
            post(number)

    news = lanes("a").each(job)
    assert next(news) == 0
    assert begun == [0]
    assert next(news) == 1
    assert list(news) == []


def test_an_error_of_a_card_ends_the_session() -> None:
    """It is raised where the session waits."""

    def job(campaign: Any, post: Post) -> None:
        raise UsageError(f"the {campaign.name} side cannot be started")

    with pytest.raises(UsageError, match="the a side cannot be started"):
        next(lanes("a").each(job))


def test_a_stop_ends_every_card() -> None:
    """Whether it waits for the session, or for a side that was killed."""
    at_work = threading.Event()
    ended = []

    def job(campaign: Any, post: Post) -> None:
        try:
            post("begun")
            at_work.set()
            while not both.sides.stopped:  # a side at work
                at_work.wait(0.01)
            raise StoppedError
        finally:
            ended.append(campaign.name)

    both = lanes("a", "b")
    news = both.each(job)
    assert next(news) == "begun"
    assert next(news) == "begun"  # the other card waits until the session asks again
    at_work.wait()
    both.stop()
    assert sorted(ended) == ["a", "b"]
