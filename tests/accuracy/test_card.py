"""The script for real cards answers every question, tried on a simulated one."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from pytest_energy.testing import SimulatedNvml

sys.path.insert(0, str(Path(__file__).parent))

import card


@pytest.mark.slow
def test_every_question_has_its_answer() -> None:
    """Tick, fields, fast reading, square waves, counter against power, scatter: all there."""
    with SimulatedNvml("ada") as machine:

        def load(seconds: float) -> None:
            with machine.load(300.0):
                time.sleep(seconds)

        card.library.start()
        answers = json.loads(json.dumps(card.answers(load, 0.3, 3)))
        card.library.stop()
    assert answers["tick_s"] == pytest.approx(0.106, rel=0.02)
    assert answers["fields"]["energy 83"] is True
    assert answers["fields"]["samples"] is True
    assert 1 < answers["counter_stamps"]["stamps"] == answers["counter_stamps"]["values"]
    assert 0.05 < answers["counter_stamps"]["oldest_s"] < 0.15
    assert answers["scatter"]["mean_power_w"] == pytest.approx(300.0, rel=0.05)
    assert answers["counter_and_power"]["idle"][0] == pytest.approx(20.0, rel=0.2)
    assert set(answers["square_waves"]) == {"0.05", "0.1", "0.13", "0.2"}
    assert len(answers["power_w_by_pause_between_reads_s"]) == 4
