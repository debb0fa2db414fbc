"""The store: appended to by several writers, compacted, and never half written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pyarrow
import pyarrow.parquet as parquet
import pytest

from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.history import store as module
from pytest_energy.history.queries import Queries
from pytest_energy.history.store import Store
from tests.history.runs import history, result_of, run_of

COUNT = "SELECT count(*), count(DISTINCT run_id), sum(energy_j) FROM points"


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store in a folder, and one in a place that only fsspec knows."""
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    yield "memory://store"
    fsspec.filesystem("memory").store.clear()


def test_runs_are_kept_and_compacted(url: str) -> None:
    """The same points are read from JSON files, from Parquet, and from joined Parquet."""
    runs = history(40, 3)
    store = Store(url)
    assert store.add((run, None) for run in runs) == [True] * 40
    total = sum(r.metrics["energy_j"].value for run in runs for r in run.benchmarks)
    before = store.snapshot()
    assert before.parts
    assert before.pending.num_rows == 8 * 3
    assert Queries(store).ask(COUNT).rows == [(120, 40, pytest.approx(total))]
    store.compact()
    after = store.snapshot()
    assert not after.pending.num_rows
    assert len(after.parts) == 2, "one file for each month"
    assert Queries(store).ask(COUNT).rows == [(120, 40, pytest.approx(total))]


def test_the_same_run_added_again_is_one_run(url: str) -> None:
    """Before and after it was compacted."""
    runs = [(run, None) for run in history(3, 2)]
    store = Store(url)
    store.add(runs[:2])
    assert store.add(runs) == [False, False, True]
    store.compact()
    assert store.add(runs) == [False, False, False]
    assert len(store.run_ids()) == 3


def test_adding_reads_no_points_of_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number does not make it slower: names of files say which runs there are."""
    store = Store(str(tmp_path))
    runs = [(run, None) for run in history(3, 2)]
    store.add(runs[:2])
    monkeypatch.setattr(store.fs, "cat_file", None)
    assert store.add(runs) == [False, False, True]


def test_a_run_of_no_benchmarks_is_not_added(url: str) -> None:
    """It has no points."""
    assert Store(url).add([(run_of(0, []), None)]) == [False]


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Eight writers, each with runs that others add as well, compact at any time."""
    runs = history(12, 2)

    def add(writer: int) -> None:
        store = Store(str(tmp_path))
        for run in runs[writer:] + runs[:writer]:
            store.add([(run, None)])
            store.compact()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert Queries(Store(str(tmp_path))).ask(COUNT).rows[0][:2] == (24, 12)


def test_a_run_in_two_files_is_read_once(tmp_path: Path) -> None:
    """As after a process that was killed between writing Parquet and deleting its sources."""
    store = Store(str(tmp_path))
    store.add((run, None) for run in history(3, 2))
    saved = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    store.compact()
    for path, content in list(saved.items())[:2]:
        path.write_bytes(content)
    store.compact()
    assert len(store.snapshot().parts) == 1 or len(store.snapshot().repeated()) == 2
    for path, content in saved.items():
        path.write_bytes(content)
    assert Queries(store).ask(COUNT).rows[0][:2] == (6, 3)


def test_overlapping_parquet_files_are_read_once(tmp_path: Path) -> None:
    """As while another process joins files: the joined one and its sources are there."""
    ours, other = Store(str(tmp_path / "a")), Store(str(tmp_path / "b"))
    runs = [(run, None) for run in history(4, 2)]
    ours.add(runs[:3])
    other.add(runs[1:])
    for store in (ours, other):
        store.compact()
    for path in (tmp_path / "b").rglob("*.parquet"):
        path.rename(tmp_path / "a" / path.relative_to(tmp_path / "b"))
    assert len(ours.snapshot().parts) == 2
    assert Queries(ours).ask(COUNT).rows[0][:2] == (8, 4)
    ours.compact()
    assert len(ours.snapshot().parts) == 1
    assert Queries(ours).ask(COUNT).rows[0][:2] == (8, 4)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a half file nor a temporary one, and what was added before stays."""
    store = Store(str(tmp_path))
    runs = [(run, None) for run in history(2, 2)]
    store.add(runs[:1])
    monkeypatch.setattr(store.fs, "mv", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.add(runs[1:])
    assert len(list(tmp_path.rglob("*.*"))) == 1
    assert len(store.run_ids()) == 1


def test_a_killed_writers_temporary_file_is_ignored_and_later_removed(tmp_path: Path) -> None:
    """It was never a run."""
    store = Store(str(tmp_path))
    store.add((run, None) for run in history(2, 2))
    left = tmp_path / module.RUNS / "x.json.0123456789ab.tmp"
    left.write_text("{", "utf-8")
    assert len(store.run_ids()) == 2
    store.compact()
    assert left.exists(), "its writer may be at work"
    import os

    os.utime(left, (0, 0))
    store.compact()
    assert not left.exists()


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "[" * 100_000, '{"schema": "other"}', '{"points": [{"x": 1}]}'],
    ids=["cut", "list", "deep", "other", "points"],
)
def test_a_damaged_run_is_named(tmp_path: Path, content: str) -> None:
    """With what to do."""
    path = tmp_path / module.RUNS / "2026-01-01-x.json"
    path.parent.mkdir()
    path.write_text(content, "utf-8")
    with pytest.raises(EnergyError, match=r"2026-01-01-x\.json: not a run of the history"):
        Store(str(tmp_path)).snapshot()


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    """Rather than left out."""
    path = tmp_path / module.PARTS / "nvidia-h100" / "2026-01" / "0123.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1")
    with pytest.raises(EnergyError, match=r"0123\.parquet"):
        Store(str(tmp_path)).snapshot()


def test_a_parquet_file_of_another_program_is_named(tmp_path: Path) -> None:
    """It lacks what the history writes beside its columns."""
    path = tmp_path / module.PARTS / "nvidia-h100" / "2026-01" / "0123.parquet"
    path.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.table({"a": [1]}), path)
    with pytest.raises(EnergyError, match=r"0123\.parquet: not a Parquet file of the history"):
        Store(str(tmp_path)).snapshot()


def test_an_unknown_url_is_refused() -> None:
    """With the library's own words."""
    with pytest.raises(UsageError, match="--store=nothing://"):
        Store("nothing://bucket")


def test_a_merged_run_of_two_machines_is_one_run(tmp_path: Path) -> None:
    """Its points lie with their machines."""
    here = result_of("bench.py::test_a", 1.0)
    there = here.model_copy(update={"identity": {"device": "NVIDIA A100"}})
    store = Store(str(tmp_path))
    run = run_of(0, [here, there])
    store.add([(run, None)])
    store.compact()
    assert {part.machine for part in store.snapshot().parts} == {
        "nvidia-a100",
        "nvidia-h100-80gb-hbm3",
    }
    assert Queries(store).ask("SELECT machines, benchmarks FROM runs").rows == [
        (["nvidia-a100", "nvidia-h100-80gb-hbm3"], 2)
    ]
    assert store.add([(run, None)]) == [False]


def test_strange_values_survive(tmp_path: Path) -> None:
    """Names with quotes, emoji and half surrogates; missing joules stay missing."""
    names = ['it\'s "x" 🔥\n', "half \ud800 pair", "x" * 5000]
    results = [result_of(name, 1.0) for name in names]
    missing = results[0].model_copy(update={"id": "none", "metrics": {}, "status": "unmeasured"})
    store = Store(str(tmp_path))
    store.add([(run_of(0, [*results, missing]), None)])
    for _ in range(2):
        rows = dict(Queries(store).ask("SELECT test, energy_j FROM points").rows)
        assert len(rows) == 4
        assert rows["none"] is None
        assert rows[names[0]] == 1.0
        store.compact()


def test_a_run_is_one_json_file(tmp_path: Path) -> None:
    """Which names its schema."""
    Store(str(tmp_path)).add((run, None) for run in history(1, 2))
    (path,) = tmp_path.rglob("*.json")
    document = json.loads(path.read_text("utf-8"))
    assert document["schema"] == module.HISTORY_SCHEMA
    assert [point["test"] for point in document["points"]] == [
        "bench.py::test_0",
        "bench.py::test_1",
    ]
