"""An append-only store of runs: one JSON file a run, compacted to Parquet by machine and month.

::

    STORE/
      runs/2026-11-29T041500Z-0f3c….json                     one run, just added
      points/nvidia-h200/2026-11/5b1d….parquet               many runs of a machine and a month

Nothing is ever changed in place. A file is named after its content, so that the same run added
twice is one file, and writers need no lock. A run may for a moment lie in two files, while one
process compacts: a reader takes each run of a machine and a month once.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.history.points import COLUMNS, Point, points_of
from pytest_energy.model.result import Run

if TYPE_CHECKING:
    import pyarrow
    from fsspec import AbstractFileSystem

HISTORY_SCHEMA: Final = "pytest-energy/history/1"
RUNS: Final = "runs"
PARTS: Final = "points"
FEWEST_RUNS: Final = 32
"""Added runs that are compacted together; likewise Parquet files of a machine and a month."""
OLD_S: Final = 3600.0
"""A temporary file of this age has no writer any more."""
_RUNS_KEY: Final = b"pytest-energy.runs"
_TRIES: Final = 5


@dataclass(frozen=True)
class Part:
    """A Parquet file: the points that some runs have of one machine and one month."""

    path: str
    runs: frozenset[str]

    @property
    def folder(self) -> str:
        """The folder of the machine and the month."""
        return self.path.rpartition("/")[0]

    @property
    def machine(self) -> str:
        """The folder name of the kind of machine."""
        return self.path.split("/")[-3]


@dataclass(frozen=True)
class Snapshot:
    """All that the store holds at one moment."""

    parts: tuple[Part, ...]
    pending: pyarrow.Table
    """Points that no Parquet file has yet."""

    def repeated(self) -> list[tuple[str, str]]:
        """Runs of parts to leave out, as path and run: another part of the folder has them."""
        seen: dict[str, set[str]] = defaultdict(set)
        again = []
        for part in self.parts:
            again += [(part.path, run) for run in sorted(part.runs & seen[part.folder])]
            seen[part.folder] |= part.runs
        return again


class Store:
    """A folder, or any place that fsspec can reach, that holds the history.

    Args:
        url: A path, or a URL such as ``s3://bucket/history``.

    Raises:
        UsageError: fsspec has no library for the URL.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        try:
            self.fs: AbstractFileSystem
            self.fs, root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"--store={url}: {error}") from None
        self.url = url
        self.root = str(root).rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)

    def add(self, runs: Iterable[tuple[Run, str | None]]) -> list[bool]:
        """Append runs; whether each was new.

        Args:
            runs: Each run with a link to its report, or ``None``.

        Raises:
            OSError: A file cannot be written; what was added before stays.
        """
        known = self.run_ids()
        added = []
        pending = 0
        for run, report in runs:
            points = points_of(run, report)
            is_new = bool(points) and points[0]["run_id"] not in known
            if is_new:
                known.add(points[0]["run_id"])
                self._write(self._run_path(points[0]), _to_json(points))
                pending += 1
            added.append(is_new)
            if pending == FEWEST_RUNS:
                self.compact(FEWEST_RUNS)
                pending = 0
        if pending:
            self.compact(FEWEST_RUNS)
        return added

    def run_ids(self) -> set[str]:
        """The ids of all runs, which are read without their points."""
        # Runs first: one that is compacted meanwhile is then seen twice, not missed.
        added = {path.rpartition("-")[2].removesuffix(".json") for path in self._pending_files()}
        return added.union(*(part.runs for part in self._parts()))

    def _run_path(self, point: Point) -> str:
        when = str(point["created"]).replace(":", "")
        return f"{self.root}/{RUNS}/{when}-{point['run_id']}.json"

    def compact(self, fewest: int = 1) -> None:
        """Move added runs to Parquet, and join small Parquet files.

        Args:
            fewest: Leave fewer added runs, and fewer files of a machine and a month, as they are.
        """
        self._remove_old_temporaries()
        pending = self._pending_files()
        for begin in range(0, len(pending) if len(pending) >= fewest else 0, FEWEST_RUNS):
            files = pending[begin : begin + FEWEST_RUNS]
            read = {path: table for path in files if (table := self._read_run(path)) is not None}
            self._write_parts(read.values())
            self._delete(read)
        by_folder: dict[str, list[Part]] = defaultdict(list)
        for part in self._parts():
            by_folder[part.folder].append(part)
        for parts in by_folder.values():
            if len(parts) >= max(2, fewest):
                self._join(parts)

    def _write_parts(self, tables: Iterable[pyarrow.Table]) -> None:
        import pyarrow
        import pyarrow.compute as compute

        groups: dict[str, list[pyarrow.Table]] = defaultdict(list)
        for table in tables:
            for machine in table["machine"].unique().to_pylist():
                rows = table.filter(compute.equal(table["machine"], machine))
                month = rows["created"][0].as_py().strftime("%Y-%m")
                groups[f"{self.root}/{PARTS}/{machine}/{month}"].append(rows)
        for folder, parts in groups.items():
            self._write_part(folder, pyarrow.concat_tables(parts))

    def _write_part(self, folder: str, table: pyarrow.Table) -> str:
        import pyarrow.parquet as parquet

        runs = sorted(set(table.column("run_id").to_pylist()))
        name = hashlib.sha256("\n".join(runs).encode()).hexdigest()[:16]
        table = table.replace_schema_metadata({_RUNS_KEY: json.dumps(runs)})
        content = BytesIO()
        ordered = table.sort_by([("test", "ascending"), ("created", "ascending")])
        parquet.write_table(ordered, content, compression="zstd")
        path = f"{folder}/{name}.parquet"
        self._write(path, content.getvalue())
        return path

    def _join(self, parts: Sequence[Part]) -> None:
        import pyarrow
        import pyarrow.compute as compute
        import pyarrow.parquet as parquet

        left_out = Snapshot(tuple(parts), ()).repeated()
        tables = []
        for part in parts:
            try:
                table = parquet.read_table(BytesIO(self.fs.cat_file(part.path)), schema=_schema())
            except FileNotFoundError:  # another process has joined it
                return
            again = [run for path, run in left_out if path == part.path]
            kept = compute.invert(compute.is_in(table["run_id"], pyarrow.array(again, "string")))
            tables.append(table.filter(kept))
        path = self._write_part(parts[0].folder, pyarrow.concat_tables(tables))
        self._delete(part.path for part in parts if part.path != path)

    def snapshot(self) -> Snapshot:
        """What the store holds.

        Raises:
            EnergyError: Other processes change it again and again, or a file of it is damaged.
        """
        for _ in range(_TRIES):
            # Runs first: one that is compacted meanwhile is then seen twice, not missed.
            tables = [self._read_run(path) for path in self._pending_files()]
            listed = self._part_files()
            parts = self._parts()
            # A listing is not atomic: one that changed meanwhile may lack a joined file.
            if listed == [part.path for part in parts] == self._part_files():
                read = [table for table in tables if table is not None]
                if len(read) == len(tables):
                    return Snapshot(tuple(parts), _not_in(parts, read))
        raise EnergyError(f"{self.url}: other processes change it; try again")

    def _pending_files(self) -> list[str]:
        return [path for path in self._files(RUNS) if path.endswith(".json")]

    def _part_files(self) -> list[str]:
        return [path for path in self._files(PARTS) if path.endswith(".parquet")]

    def _read_run(self, path: str) -> pyarrow.Table | None:
        """The points of an added run; ``None`` if its file has been compacted meanwhile."""
        try:
            content = self.fs.cat_file(path)
        except FileNotFoundError:
            return None
        try:
            document = json.loads(content)
            if document["schema"] != HISTORY_SCHEMA:
                raise ValueError(
                    f"schema {document['schema']!r} found, {HISTORY_SCHEMA!r} expected"
                )
            return table_of(document["points"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise EnergyError(
                f"{path}: not a run of the history ({error}); delete it and add its results again"
            ) from None

    def _parts(self) -> list[Part]:
        import pyarrow.parquet as parquet
        from pyarrow import ArrowException

        parts = []
        for path in self._part_files():
            try:
                with self.fs.open(path, "rb") as file:
                    metadata = parquet.read_metadata(file).metadata
                parts.append(Part(path, frozenset(json.loads(metadata[_RUNS_KEY]))))
            except FileNotFoundError:  # joined meanwhile
                continue
            except (ArrowException, ValueError, KeyError, TypeError, RecursionError) as error:
                raise EnergyError(f"{path}: not a Parquet file of the history ({error})") from None
        return parts

    def _files(self, folder: str) -> list[str]:
        try:
            found: list[str] = self.fs.find(f"{self.root}/{folder}")
        except FileNotFoundError:
            return []
        return sorted(found)

    def _write(self, path: str, content: bytes) -> None:
        """Write a file whole or not at all: object stores do so by themselves."""
        self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if not self.is_local:
            self.fs.pipe_file(path, content)
            return
        temporary = f"{path}.{uuid.uuid4().hex[:12]}.tmp"
        try:
            self.fs.pipe_file(temporary, content)
            self.fs.mv(temporary, path)
        except BaseException:
            self._delete([temporary])
            raise

    def _delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            try:
                self.fs.rm_file(path)
            except FileNotFoundError:  # another process was faster
                continue

    def _remove_old_temporaries(self) -> None:
        """Remove what killed processes left; a running one writes for less than an hour."""
        if not self.is_local:
            return
        for path in (*self._files(RUNS), *self._files(PARTS)):
            if path.endswith(".tmp") and self._age_s(path) > OLD_S:
                self._delete([path])

    def _age_s(self, path: str) -> float:
        """Seconds since a file was written; 0 if it is gone."""
        try:
            return time.time() - float(self.fs.modified(path).timestamp())
        except FileNotFoundError:
            return 0.0


def _not_in(parts: Sequence[Part], tables: Sequence[pyarrow.Table]) -> pyarrow.Table:
    """The points that no part has."""
    import pyarrow

    points = pyarrow.concat_tables([_schema().empty_table(), *tables])
    compacted = {(part.machine, run) for part in parts for run in part.runs}
    keys = zip(points["machine"].to_pylist(), points["run_id"].to_pylist(), strict=True)
    return points.filter(pyarrow.array([key not in compacted for key in keys], "bool"))


def _to_json(points: Sequence[Point]) -> bytes:
    document = {"schema": HISTORY_SCHEMA, "points": points}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    quantity = pa.struct({"value": pa.float64(), "uncertainty": pa.float64(), "unit": pa.string()})
    kinds: dict[str, Any] = {
        "text": pa.string(),
        "number": pa.float64(),
        "count": pa.int64(),
        "flag": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
        "metrics": pa.map_(pa.string(), quantity),
    }
    return pa.schema([(column.name, kinds[column.kind]) for column in COLUMNS])


def table_of(points: Sequence[Point]) -> pyarrow.Table:
    """The points as a table; ValueError or TypeError if one does not fit the columns."""
    import pyarrow as pa

    rows = [
        {
            **point,
            "created": datetime.fromisoformat(point["created"]),
            "metrics": list(point["metrics"].items()),
        }
        for point in points
    ]
    return pa.Table.from_pylist(rows, schema=_schema())
