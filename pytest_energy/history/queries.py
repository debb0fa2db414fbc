"""SQL over the history, by DuckDB: the views ``points`` and ``runs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.history.store import Snapshot, Store

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RUNS_VIEW: Final = """
CREATE VIEW runs AS
SELECT run_id, min(created) AS created, any_value("commit") AS "commit",
       any_value(branch) AS branch, bool_or(dirty) AS dirty, bool_and(complete) AS complete,
       list(DISTINCT machine ORDER BY machine) AS machines, count(*) AS benchmarks,
       count(*) FILTER (outcome = 'regressed') AS regressed, any_value(report) AS report
FROM points GROUP BY run_id
"""
FORMATS: Final = {
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".csv": "FORMAT csv, HEADER",
    ".json": "FORMAT json, ARRAY true",
}
"""By the end of the file's name: how DuckDB writes it."""


@dataclass(frozen=True)
class Answer:
    """The rows of a query."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Queries:
    """A connection to all points of a store, as they were when it was opened.

    Args:
        store: The store.

    Raises:
        EnergyError: A file of the store is damaged.
    """

    def __init__(self, store: Store) -> None:
        import duckdb

        self._connection: DuckDBPyConnection = duckdb.connect(
            config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        )
        # Times are UTC in the store and in what is shown.
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET enable_progress_bar = false")
        if not store.is_local:
            self._connection.register_filesystem(store.fs)
        self._create_views(store, store.snapshot())

    def _create_views(self, store: Store, snapshot: Snapshot) -> None:
        self._connection.register("pending", snapshot.pending)
        tables = ["SELECT * FROM pending"]
        if snapshot.parts:
            paths = [_address(store, part.path) for part in snapshot.parts]
            listed = ", ".join(_quoted(path) for path in paths)
            repeated = [(_address(store, path), run) for path, run in snapshot.repeated()]
            again = " OR ".join(
                f"(filename = {_quoted(path)} AND run_id = {_quoted(run)})"
                for path, run in repeated
            )
            where = f"WHERE NOT ({again})" if again else ""
            tables.append(
                "SELECT * EXCLUDE (filename)"
                f" FROM read_parquet([{listed}], filename = true) {where}"
            )
        self._connection.execute(f"CREATE VIEW points AS {' UNION ALL BY NAME '.join(tables)}")
        self._connection.execute(RUNS_VIEW)

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> Answer:
        """Run a query.

        Raises:
            UsageError: DuckDB does not accept it; the text is DuckDB's.
        """
        import duckdb

        try:
            found = self._connection.execute(sql, list(parameters))
            columns = tuple(str(column[0]) for column in found.description or ())
            return Answer(columns, found.fetchall())
        except duckdb.IOException as error:
            raise EnergyError(
                f"{error}; if another process compacts the store, try again"
            ) from None
        except duckdb.Error as error:
            raise UsageError(f"the query failed: {error}") from None

    def export(self, path: Path, sql: str) -> int:
        """Write a query's rows to a file and return how many they are.

        Args:
            path: Ends in ``.parquet``, ``.csv`` or ``.json``.
            sql: The query.

        Raises:
            UsageError: The file's name has another end, or DuckDB does not accept the query.
        """
        how = FORMATS.get(path.suffix)
        if how is None:
            raise UsageError(f"{path}: a name that ends in {', '.join(FORMATS)} expected")
        answer = self.ask(f"COPY ({sql.strip().rstrip(';')}) TO {_quoted(str(path))} ({how})")
        return int(answer.rows[0][0])


def _address(store: Store, path: str) -> str:
    return path if store.is_local else str(store.fs.unstrip_protocol(path))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
