"""The system's Chromium, without a network, shared by all tests of the report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_energy.model.result import Run
from pytest_energy.report.comparison import Reference
from pytest_energy.report.html.render import render_html

from .handmade import make_result, make_run

__all__ = ["make_result", "make_run"]

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",  # containers run as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
)


@dataclass
class Shown:
    """A page in the browser, with its console messages and its requests."""

    page: Page
    path: Path
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def faultless(self) -> bool:
        """Whether the console is empty, and the page itself was the only request."""
        assert self.complaints == []
        assert self.requests == [self.page.url.split("#")[0]]
        return True

    def texts(self, selector: str) -> list[str]:
        """The texts of the visible elements."""
        elements = self.page.locator(selector).filter(visible=True)
        return [text.strip() for text in elements.all_inner_texts()]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser; the test is skipped if there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium here; install it with: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """Write the page of a run and open the file."""
    opened: list[Page] = []

    def open_page(run: Run, *, at: str = "", older: tuple[Run, ...] = (), **options: Any) -> Shown:
        path = tmp_path / "report.html"
        older_files = [Reference(f"older{index}.json", run) for index, run in enumerate(older)]
        path.write_text(render_html(run, older_files), "utf-8")
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        page = browser.new_page(**options)
        page.set_default_timeout(10_000)
        opened.append(page)
        shown = Shown(page, path)
        page.on("console", lambda message: shown.complaints.append(message.text))
        page.on("pageerror", lambda error: shown.complaints.append(str(error)))
        page.on("request", lambda request: shown.requests.append(request.url))
        page.goto(path.as_uri() + at)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]")
        return shown

    yield open_page
    for page in opened:
        page.close()
