"""How large the report is and how fast: 200 benchmarks with traces of 100,000 samples.

Run by hand, beside a Plotly page of the same numbers; needs Chromium::

    uv run --group performance python tests/performance/report_size.py

Written: seconds from a run in memory to the file, in a process that has rendered nothing before.
Drawn: seconds from the start of the navigation until the whole file is parsed, its script is done
and the charts on the screen are painted (the first frame after ``load``); the median of several
loads in a browser that is already open. Charts further down are painted when one scrolls there.
In brackets the seconds that the processor spent, for the browser those of the page's main thread:
other programs disturb them less.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from report.examples import example_run, traced_run

from pytest_energy.model.result import Run
from pytest_energy.model.traces import decode_columns
from pytest_energy.report.html.render import render_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession

BENCHMARKS, SAMPLES, DISTINCT, LOADS, SETTLED_MS = 200, 100_000, 4, 7, 2000
PAINTED = """() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(() =>
    resolve(performance.now() / 1000))))"""


def build_run() -> Run:
    """Two hundred benchmarks; four traces made of all samples, each packed fifty times."""
    run = example_run(batch_sizes=(1, 2, 4, 8, 16))
    return traced_run(
        run.model_copy(update={"benchmarks": run.benchmarks[:BENCHMARKS]}), SAMPLES, DISTINCT
    )


def render_plotly(run: Run) -> str:
    """The same changes, table and traces as a Plotly page, one trace shown and the rest hidden."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=2, cols=1)
    energies = [one.verdict.metrics[0] for one in run.benchmarks]
    figure.add_scatter(
        x=[one.change for one in energies],
        y=[one.id for one in run.benchmarks],
        error_x={"array": [(one.high or 0) - (one.change or 0) for one in energies]},
        mode="markers",
        row=1,
        col=1,
    )
    for index, result in enumerate(run.benchmarks):
        columns = decode_columns((result.trace or [])[0])
        figure.add_scatter(
            x=columns.duration_s.cumsum(),
            y=columns.energy_j / columns.duration_s,
            name=result.id,
            visible=True if index == 0 else "legendonly",
            row=2,
            col=1,
        )
    figure.update_layout(height=1200)
    page = go.Figure(figure).to_html(include_plotlyjs=True)
    assert isinstance(page, str)
    return page


def drawn(browser: Browser, path: Path) -> str:
    """Medians of several loads in one tab: a new window would load the browser's own pages."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    told = page.context.new_cdp_session(page)
    told.send("Performance.enable", {"timeDomain": "threadTicks"})
    times, spent = [], []
    page.wait_for_timeout(SETTLED_MS)
    for _ in range(LOADS):
        page.goto("about:blank")
        before_s = main_thread_s(told)
        page.goto(path.as_uri(), wait_until="load")
        times.append(page.evaluate(PAINTED))
        spent.append(main_thread_s(told) - before_s)
    page.close()
    return f"{statistics.median(times):.2f} s ({statistics.median(spent):.2f})"


def main_thread_s(told: CDPSession) -> float:
    """Processor seconds that the main thread has spent on tasks."""
    metrics = told.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")


def measure(
    name: str, render: Callable[[Run], str], run: Run, browser: Browser, folder: Path
) -> None:
    """Print one line."""
    began, spent = time.perf_counter(), time.process_time()
    path = folder / f"{name}.html"
    path.write_text(render(run), "utf-8")
    written_s, spent_s = time.perf_counter() - began, time.process_time() - spent
    size_mb = path.stat().st_size / 1e6
    written = f"{written_s:.2f} s ({spent_s:.2f})"
    print(f"{name:<14} {size_mb:8.2f} MB {written:>15} {drawn(browser, path):>15}")


def main() -> int:
    """Measure both pages."""
    from playwright.sync_api import sync_playwright

    run = build_run()
    program = shutil.which("chromium")
    print(f"{BENCHMARKS} benchmarks, {SAMPLES} samples a trace")
    print(f"{'page':<14} {'file':>11} {'written':>15} {'drawn':>15}")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        measure("pytest-energy", render_html, run, browser, Path(folder))
        measure("Plotly", render_plotly, run, browser, Path(folder))
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
