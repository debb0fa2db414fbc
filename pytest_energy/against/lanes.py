"""Several cards at the same time: a thread for each, which waits for the sides of its card.

The thread of a card goes on only when the session asks for more news. So with one card nothing
else runs in this process while a side measures, and what the session prints or saves takes no part
in a window of the processors.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_energy.against.campaign import Campaign
from pytest_energy.against.side import RunningSides, StoppedError

Post = Callable[[Any], None]
"""Hands one piece of news to the session; returns when the session asks for more."""
Job = Callable[[Campaign, Post], None]


@dataclass(frozen=True)
class _Ended:
    """The job of a card is done, or failed."""

    error: BaseException | None


@dataclass
class Lanes:
    """Drives the campaigns of all cards."""

    campaigns: Sequence[Campaign]
    sides: RunningSides
    """Of all cards."""
    _threads: list[threading.Thread] = field(default_factory=list)
    _news: queue.SimpleQueue[tuple[threading.Semaphore, Any]] = field(
        default_factory=queue.SimpleQueue
    )
    _waiting: list[threading.Semaphore] = field(default_factory=list)

    def each(self, job: Job) -> Iterator[Any]:
        """Do a job on all cards at once.

        Yields:
            The news of any card, as it comes.

        Raises:
            EnergyError: What ended the job on a card.
        """
        for campaign in self.campaigns:
            go_on = threading.Semaphore(0)
            self._waiting.append(go_on)
            thread = threading.Thread(target=self._drive, args=(job, campaign, go_on), daemon=True)
            self._threads.append(thread)
            thread.start()
        active = len(self.campaigns)
        while active:
            go_on, news = self._news.get()
            if not isinstance(news, _Ended):
                yield news
                go_on.release()
            elif news.error is not None:
                raise news.error
            else:
                active -= 1

    def _drive(self, job: Job, campaign: Campaign, go_on: threading.Semaphore) -> None:
        def post(news: Any) -> None:
            self._news.put((go_on, news))
            go_on.acquire()
            if self.sides.stopped:
                raise StoppedError

        try:
            job(campaign, post)
        except StoppedError:
            error = None
        except BaseException as raised:  # the session raises it
            error = raised
        else:
            error = None
        self._news.put((go_on, _Ended(error)))

    def stop(self) -> None:
        """End all sides and threads, whatever they are doing."""
        self.sides.stop()
        for go_on in self._waiting:
            go_on.release()
        for thread in self._threads:
            thread.join()
