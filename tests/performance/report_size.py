"""Measure the size and speed of the report: 200 benchmarks with traces of 100,000 samples.

Run it by hand; it needs Chromium. A Plotly page of the same numbers is measured for comparison::

    uv run --group performance python tests/performance/report_size.py

With a number behind it, the report of so many benchmarks is measured alone. A page of 1,000 is to
have at most 6 MB, and to be written within 2 s and drawn within 1 s::

    uv run --group test python tests/performance/report_size.py 1000

"written" is the time from a run in memory to the file, in a process that has rendered nothing
before. "drawn" is the time from the start of the navigation until the whole file is parsed, its
script has ended and the visible charts are painted (the first frame after ``load``). It is the
median of several loads in an open browser. Charts further down are painted when the reader scrolls.

The value in brackets is processor time; for the browser, that of the page's main thread. Other
programs disturb it less than wall-clock time.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from report.examples import MODELS, example_run, traced_run

from pytest_energy.model.result import Run
from pytest_energy.model.traces import decode_columns
from pytest_energy.report.html.render import render_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession

BENCHMARKS, SAMPLES, DISTINCT, LOADS, SETTLED_MS = 200, 100_000, 4, 7, 2000
PAINTED = """() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(() =>
    resolve(performance.now() / 1000))))"""


def build_run(number: int) -> Run:
    """Build so many benchmarks. Four distinct traces have all samples; the others share them."""
    models = [
        replace(MODELS[index % len(MODELS)], name=f"model{index}")
        for index in range(number // 30 + 1)
    ]
    run = example_run(models, batch_sizes=(1, 2, 4, 8, 16))
    return traced_run(
        run.model_copy(update={"benchmarks": run.benchmarks[:number]}), SAMPLES, DISTINCT
    )


def render_plotly(run: Run) -> str:
    """Render the same changes, table and traces with Plotly; only the first trace is visible."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=2, cols=1)
    energies = [result.verdict.metrics[0] for result in run.benchmarks]
    figure.add_scatter(
        x=[energy.change for energy in energies],
        y=[result.id for result in run.benchmarks],
        error_x={"array": [(energy.high or 0) - (energy.change or 0) for energy in energies]},
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
    """Return medians of several loads.

    All loads share one tab, because a new window would load the browser's own pages.
    """
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    times, spent = [], []
    page.wait_for_timeout(SETTLED_MS)
    for _ in range(LOADS):
        page.goto("about:blank")
        before_s = main_thread_s(devtools)
        page.goto(path.as_uri(), wait_until="load")
        times.append(page.evaluate(PAINTED))
        spent.append(main_thread_s(devtools) - before_s)
    page.close()
    return f"{statistics.median(times):.2f} s ({statistics.median(spent):.2f})"


def main_thread_s(devtools: CDPSession) -> float:
    """Processor seconds that the page's main thread has spent on tasks."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(float(metric["value"]) for metric in metrics if metric["name"] == "TaskDuration")


def measure(
    name: str, render: Callable[[Run], str], run: Run, browser: Browser, folder: Path
) -> None:
    """Measure one page and print its line."""
    began, spent = time.perf_counter(), time.process_time()
    path = folder / f"{name}.html"
    path.write_text(render(run), "utf-8")
    written_s, spent_s = time.perf_counter() - began, time.process_time() - spent
    size_mb = path.stat().st_size / 1e6
    written = f"{written_s:.2f} s ({spent_s:.2f})"
    print(f"{name:<14} {size_mb:8.2f} MB {written:>15} {drawn(browser, path):>15}")


def main() -> int:
    """Measure both pages, or the report alone of as many benchmarks as the command asks for."""
    from playwright.sync_api import sync_playwright

    number = int(sys.argv[1]) if len(sys.argv) > 1 else BENCHMARKS
    run = build_run(number)
    program = shutil.which("chromium")
    print(f"{number} benchmarks, {SAMPLES} samples a trace")
    print(f"{'page':<14} {'file':>11} {'written':>15} {'drawn':>15}")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        measure("pytest-energy", render_html, run, browser, Path(folder))
        if len(sys.argv) == 1:
            measure("Plotly", render_plotly, run, browser, Path(folder))
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
