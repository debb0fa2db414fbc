"""A study that was ended goes on from what it has measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import store


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    """A second run takes the lines of the first one, of the same name only."""
    kept = store.Store(tmp_path)
    assert not kept.holds("lag 50 ms")
    assert kept.lines("lag 50 ms", lambda: ["1", "2"]) == ["1", "2"]
    assert kept.holds("lag 50 ms")
    assert kept.lines("lag 50 ms", lambda: ["3"]) == ["1", "2"]
    assert kept.lines("lag 100 ms", lambda: ["3"]) == ["3"]


def test_other_code_measures_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of another state of the meter are not taken."""
    kept = store.Store(tmp_path)
    kept.lines("lag 50 ms", lambda: ["1"])
    monkeypatch.setattr(store, "state", lambda: "other")
    assert kept.lines("lag 50 ms", lambda: ["2"]) == ["2"]


def test_a_measurement_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Half of the lines are no result."""
    kept = store.Store(tmp_path)
    with pytest.raises(ZeroDivisionError):
        kept.lines("lag 50 ms", lambda: [str(1 // 0)])
    assert kept.lines("lag 50 ms", lambda: ["1"]) == ["1"]
