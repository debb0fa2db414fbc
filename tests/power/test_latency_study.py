"""The comparison of two real revisions by time alone."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from tests.against.conftest import git
from tests.power.latency import LOOPS, Compared, busy, make_repository, study
from tests.power.slices import ESTIMATES, table


def test_the_second_revision_does_ten_per_cent_more_work_in_some_benchmarks(tmp_path: Path) -> None:
    """The others are the same in both."""
    make_repository(tmp_path, same=2, risen=1)
    revisions = [git(tmp_path, "show", f"{name}:engine.py") for name in ("HEAD~1", "HEAD")]
    before, after = (_loops(revision) for revision in revisions)
    assert before == {"same0": LOOPS, "same1": LOOPS, "risen0": LOOPS}
    assert after == {**before, "risen0": 1.1 * LOOPS}


def _loops(engine: str) -> dict[str, int]:
    names: dict[str, dict[str, int]] = {}
    exec(engine, names)
    return names["LOOPS"]


def test_slices_side_by_side_share_the_speed_of_the_machine() -> None:
    """Where it changes between turns, neighbours agree and the medians of both sides do not."""
    base, head = [1.0, 2.0, 2.0, 1.0, 1.0] * 4, [1.0, 2.0, 2.0, 2.0, 1.0] * 4
    assert ESTIMATES["median of neighbours"](base, head) == 0.0
    assert ESTIMATES["medians"](base, head) == pytest.approx(math.log(2.0))


def test_the_table_has_a_row_for_each_length() -> None:
    """Processes that are alike have no scatter; the first column is the length of a slice."""
    pair = ([0.001] * 8, [0.001] * 8)
    header, _, short, long = table([pair, pair], (1, 4))
    assert header == "| slice | medians | lower quartiles | minima | median of neighbours |"
    assert short == "| 1.0 ms | 0.0 % | 0.0 % | 0.0 % | 0.0 % |"
    assert long.startswith("| 4.0 ms |")


def test_a_stopped_study_goes_on(tmp_path: Path) -> None:
    """What the file holds is not compared again, and is read as it was."""
    compared = Compared(
        Counter(unchanged=19, inconclusive=1), Counter(regressed=2), 0.01, 5, 60.0, 2.0
    )
    store = tmp_path / "results.jsonl"
    store.write_text(compared.dump() + "\n", "utf-8")
    assert study(1, (1, 1), 0, store, ()) == [compared]
    assert "the same: 1 inconclusive, 19 unchanged; +10%: 2 regressed" in str(compared)


def test_the_processes_beside_it_end_with_it() -> None:
    """They work and pause in bursts of fixed seeds."""
    with busy(2) as others:
        assert [other.poll() for other in others] == [None, None]
    assert all(other.poll() is not None for other in others)
