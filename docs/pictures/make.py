"""Make the README's pictures from invented data, and say so in each picture."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from report.examples import MODELS, example_run, run_of, traced_run

from pytest_energy.model.result import Run
from pytest_energy.report.html.render import render_html

HERE = Path(__file__).parent
TOP = (0, 62, 1080, 388)
"""Of the page in light mode, what the README's first screen has room for: no links, no filter."""
NOTE = "Example with invented data: nothing here was measured."


def build_run() -> Run:
    """A run with every kind of chart in the pictures."""
    run = example_run(MODELS[2:], ("baseline", "blurpool", "bf16"), rounds=4)
    return traced_run(run_of(run.benchmarks, notes=[NOTE]), samples=4000, distinct=2)


def shoot(browser: Browser, page_path: Path, name: str, scheme: str, at: str = "") -> None:
    """Take one picture."""
    size = {"width": 1080, "height": 1020}
    page = browser.new_page(viewport=size, color_scheme=scheme)
    page.goto(f"{page_path.as_uri()}{at}")
    page.wait_for_selector("html[data-ready]")
    if at:
        page.wait_for_selector("#drawer .power output")
        page.evaluate("document.activeElement.blur()")  # no ring around the drawer
        page.evaluate(
            "note => document.querySelector('#drawer .subtitle').append(' · ' + note)", NOTE
        )
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(HERE / name, optimize=True)
    page.close()


def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder, "report.html")
        path.write_text(render_html(build_run()), "utf-8")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        shoot(browser, path, "report-light.png", "light")
        with Image.open(HERE / "report-light.png") as picture:
            picture.crop(TOP).save(HERE / "report-top.png", optimize=True)
        shoot(browser, path, "report-trace-dark.png", "dark", "#test_inference[resnet101-baseline]")
        browser.close()


if __name__ == "__main__":
    main()
