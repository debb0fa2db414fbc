"""The script for real cards answers every question, tried on a simulated one."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from pytest_energy.testing import PROFILES, SimulatedNvml
from tests.virtual import virtual_machine

sys.path.insert(0, str(Path(__file__).parent))

import card

BESIDE = {"reading"}
"""A process reads beside the load, which needs the real clock."""


class Steps(threading.Event):
    """Lets one thread that waits for this event take turns with the test on the virtual clock.

    The thread sleeps in its waits, and the test in its own sleeps. Whoever is due first runs alone.
    """

    machine: SimulatedNvml
    current: Steps | None = None

    def __init__(self) -> None:
        super().__init__()
        self._parked, self._turn = threading.Semaphore(0), threading.Semaphore(0)
        self._due_s = 0.0
        Steps.current = self

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep for ``timeout`` of virtual time, as the thread."""
        if not self.is_set():
            self._due_s = self.machine.now_s() + (timeout or 0.0)
            self._parked.release()
            self._turn.acquire()
        return self.is_set()

    def set(self) -> None:
        """Wake the thread for the last time."""
        super().set()
        self._turn.release()

    def sleep(self, length_s: float) -> None:
        """Sleep as the test; the thread runs whenever it is due meanwhile."""
        until_s = self.machine.now_s() + length_s
        self._parked.acquire()
        while self._due_s <= until_s:
            self.machine.advance(max(0.0, self._due_s - self.machine.now_s()))
            self._turn.release()
            self._parked.acquire()
        self._parked.release()
        self.machine.advance(max(0.0, until_s - self.machine.now_s()))


@contextmanager
def stepped(machine: SimulatedNvml) -> Iterator[None]:
    """Run the thread of the step response on a machine's virtual clock.

    Its sleep replaces that of the virtual clock, so it must end before the clock does.
    """
    sleep = time.sleep

    def slept(length_s: float) -> None:
        thread = Steps.current
        if thread is None or thread.is_set():
            sleep(length_s)
        else:
            thread.sleep(length_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Steps, "machine", machine, raising=False)
        patch.setattr(Steps, "current", None)
        # not in the module threading: each thread waits for an event of its own when it starts
        namespace = SimpleNamespace(Event=Steps, Thread=threading.Thread)
        patch.setattr(card, "threading", namespace)
        patch.setattr(time, "sleep", slept)
        yield


def asked(
    machine: SimulatedNvml,
    seconds: float,
    minutes: float = 10.0,
    questions: Set[str] = card.QUESTIONS.keys(),
) -> dict[str, Any]:
    """The answers of a simulated card, as read from JSON."""

    def load(duration_s: float) -> None:
        with machine.load(300.0):
            time.sleep(duration_s)

    card.library.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            chosen = {name: card.QUESTIONS[name] for name in card.QUESTIONS if name in questions}
            patch.setattr(card, "QUESTIONS", chosen)
            return json.loads(json.dumps(card.answers(load, seconds, minutes), allow_nan=False))
    finally:
        card.library.stop()


@pytest.mark.slow
def test_every_question_has_its_answer(tmp_path: Path) -> None:
    """Each is answered, the answers are those of the simulated card, and a page shows them."""
    with SimulatedNvml(replace(PROFILES["ada"], counter_tick_s=0.02)) as machine:
        beside = asked(machine, 0.2, questions=BESIDE)["answers"]
    with virtual_machine("ada") as machine, stepped(machine):
        found = asked(machine, 0.5, questions=card.QUESTIONS.keys() - BESIDE)
    found["answers"] |= beside
    told = found["answers"]
    assert told.keys() == card.QUESTIONS.keys()
    assert not [name for name, answer in told.items() if {"error", "not_asked"} & answer.keys()]
    assert found["tick_s"] == pytest.approx(0.106, rel=0.02)
    steps = told["step_response"]["power_w_by_s_after_load"]
    assert max(power_w for _, power_w in steps) == pytest.approx(300.0, rel=0.05)
    assert steps[-1][1] == pytest.approx(20.0, abs=4.0)  # at rest again
    lengths = told["window_lengths"]
    assert lengths["1"][0] == pytest.approx(lengths["0.1"][0], rel=0.1)
    assert set(told["reading"]) == {"0.0005", "0.01", "0.1", "1"}
    assert set(told["square_waves"]["0.05"]) == {"0", "0.25", "0.5", "0.75"}
    assert 1 < told["stamps"]["stamps"] == told["stamps"]["values"]
    assert 0.05 < told["stamps"]["oldest_s"] < 0.2
    assert abs(told["stamps"]["ring_age_when_new_s"]) < 0.05
    assert told["scopes"]["energy 83"] == pytest.approx(20.0, rel=0.3)
    assert told["scopes"]["energy 191 module"] is None
    assert told["call_costs"]["counter"] > 0
    assert told["which_fields"]["energy 83"] is True
    assert told["counter_and_power"]["idle"][0] == pytest.approx(20.0, rel=0.2)
    assert told["scatter"]["mean_power_w"] == pytest.approx(300.0, rel=0.05)
    shown = page_by_command(found, tmp_path)
    assert shown.startswith("# simulated NVIDIA GeForce RTX 4090\n")
    assert all(f"## {question}\n" in shown for question, _, _ in card.QUESTIONS.values())


def page_by_command(found: dict[str, Any], folder: Path) -> str:
    """What the second command of docs/sensors.md prints for these answers."""
    text = (Path(__file__).parents[2] / "docs" / "sensors.md").read_text("utf-8")
    (words,) = re.findall(r"^python tests/accuracy/card\.py (--page \S+) >", text, re.MULTILINE)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(folder)
        Path("card.json").write_text(json.dumps(found), "utf-8")
        patch.setattr(sys, "argv", ["card.py", *words.split()])
        card.main()
    return printed.getvalue()


def test_what_a_card_cannot_answer_is_an_answer() -> None:
    """A card without a counter, and a time that is too short: both are said, and on the page."""
    with virtual_machine("pascal") as machine:
        machine.fail("nvmlDeviceGetTemperature", pynvml.NVML_ERROR_UNKNOWN)
        found = asked(machine, 0.3, minutes=0.06)
    told = found["answers"]
    assert told["step_response"] == {"error": "the device has no energy counter"}
    assert "needs" in told["scatter"]["not_asked"]
    shown = card.page(found)
    assert "The card gave no answer: the device has no energy counter." in shown
    assert "Not asked: needs" in shown


def test_all_questions_fit_into_ten_minutes() -> None:
    """With windows of 5 s and a tick of 100 ms."""
    needed_s = sum(windows * 5.5 + 1 for _, _, windows in card.QUESTIONS.values())
    assert needed_s < 60 * card.MINUTES
