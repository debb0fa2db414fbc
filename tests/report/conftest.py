"""The system's Chromium, without a network, shared by all tests of the report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_energy.model.result import Run
from pytest_energy.report.comparison import Reference
from pytest_energy.report.html.render import render_html

from .handmade import make_result, make_run

__all__ = ["make_result", "make_run"]

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page, ViewportSize

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
    """A page in the browser, with its console messages, its dialogs and its requests."""

    page: Page
    path: Path = field(default_factory=Path)
    complaints: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
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


class Screen:
    """A page that shows one file after another: a page for each takes three times as long."""

    def __init__(self, browser: Browser, *, scripts: bool) -> None:
        self._page = browser.new_page(java_script_enabled=scripts)
        self._page.set_default_timeout(10_000)
        self._shown = Shown(self._page)
        self._page.on("console", lambda message: self._shown.complaints.append(message.text))
        self._page.on("pageerror", lambda error: self._shown.complaints.append(str(error)))
        self._page.on("request", lambda request: self._shown.requests.append(request.url))
        self._page.on("dialog", self._dismiss)

    def _dismiss(self, dialog: Dialog) -> None:
        self._shown.dialogs.append(dialog.message)
        dialog.dismiss()

    def show(self, path: Path, at: str, size: ViewportSize, scheme: str) -> Shown:
        """Open a file as a fresh page would."""
        page = self._page
        page.goto("about:blank")
        page.mouse.move(0, 0)
        page.set_viewport_size(size)
        page.emulate_media(media="null", color_scheme=scheme)  # type: ignore[arg-type]
        self._shown = Shown(page, path)
        page.goto(path.as_uri() + at)
        return self._shown


@pytest.fixture(scope="session")
def screens(browser: Browser) -> Callable[[bool], Screen]:
    """The screens with and without scripts."""
    return cache(lambda scripts: Screen(browser, scripts=scripts))


@pytest.fixture
def show(screens: Callable[[bool], Screen], tmp_path: Path) -> Callable[..., Shown]:
    """Write the page of a run and open the file; it takes the place of the one before."""

    def open_page(
        run: Run,
        *,
        at: str = "",
        older: tuple[Run, ...] = (),
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        scripts: bool = True,
    ) -> Shown:
        path = tmp_path / "report.html"
        older_files = [Reference(f"older{index}.json", run) for index, run in enumerate(older)]
        path.write_text(render_html(run, older_files), "utf-8")
        shown = screens(scripts).show(path, at, {"width": width, "height": height}, scheme)
        if scripts:
            shown.page.wait_for_selector("html[data-ready]")
        return shown

    return open_page
