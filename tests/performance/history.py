"""Measure the history at its full size: ``python -m tests.performance.history``.

It adds runs of made-up benchmarks, queries them and writes the dashboard. Run it on a machine that
does nothing else.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pytest_energy.history.dashboard import Since, write_site
from pytest_energy.history.queries import Queries
from pytest_energy.history.store import Store
from pytest_energy.model.json_files import dump_run
from tests.history.runs import history

QUERY = "SELECT machine, test, avg(energy_j), count(*) FROM points GROUP BY 1, 2"


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of some work."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="[%(default)s]")
    parser.add_argument("--tests", type=int, default=1000, help="[%(default)s]")
    parser.add_argument("--dashboard", action="store_true", help="write the dashboard, too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "store"
        store = Store(str(folder))
        quarter = asked.runs // 4
        for first in range(0, 4 * quarter, quarter):
            spent = 0.0
            for night in range(first, first + quarter):
                made = history(1, asked.tests, first=night, seed=night)  # not counted
                spent += seconds(lambda made=made: store.add([(made[0], None)]))  # type: ignore[misc]
            print(f"runs {first} to {first + quarter}: added in {spent:.1f} s", flush=True)
        json_bytes = len(dump_run(made[0])) * asked.runs
        begin_s = time.perf_counter()
        queries = Queries(store)
        opened_s = time.perf_counter()
        rows = len(queries.ask(QUERY).rows)
        ended_s = time.perf_counter()
        print(
            f"query of {rows} groups: {ended_s - opened_s:.2f} s of wall time,"
            f" after {opened_s - begin_s:.2f} s to open the store"
        )
        print(f"store {size(folder) / 1e6:.1f} MB, results.json {json_bytes / 1e6:.1f} MB in all")
        if asked.dashboard:
            site = Path(temporary) / "site"
            spent = seconds(lambda: write_site(queries, site, Since("the first runs")))
            index = (site / "index.html").stat().st_size
            print(
                f"dashboard in {spent:.1f} s: index {index / 1e6:.2f} MB, {size(site) / 1e6:.1f} MB"
            )


if __name__ == "__main__":
    main()
