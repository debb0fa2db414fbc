"""The comparison of two real revisions by time alone."""

from __future__ import annotations

from pathlib import Path

from tests.against.conftest import git
from tests.power.latency import LOOPS, make_repository


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
