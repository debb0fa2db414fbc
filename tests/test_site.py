"""The site: it is built without a warning, and its page on the API has the public names."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_energy.fixture import Energy, WindowHandle
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.model.outcomes import Outcome
from pytest_energy.options import OPTIONS
from pytest_energy.plugin import MARKER

ROOT = Path(__file__).parents[1]
SPHINX = """
import gc, sys
from sphinx.cmd.build import main

gc.disable()  # it was a fifth of the time: all pages are kept to the end
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as the documented command builds it: a broken link is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-c", SPHINX, "-W", "-q", "-d", f"{folder}/cache", "docs"]
    built = subprocess.run(
        [*command, str(folder / "html")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


def test_every_page_is_in_the_site(site: Path) -> None:
    """A page that no table of contents names would be a warning, and there is none."""
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert pages <= {page.stem for page in site.glob("*.html")}
    assert len(pages) > 15


SESSIONS = {"begin_runs", "close", "counts", "end", "pause_by"}
"""What the session calls of a handle."""


@pytest.mark.parametrize("of", [Energy, WindowHandle])
def test_the_page_on_the_api_has_every_public_call(site: Path, of: type) -> None:
    """Each public name of the fixture and of a window's handle, except what the session calls."""
    text = (site / "api.html").read_text("utf-8")
    names = {name for name in vars(of) if not name.startswith("_")} - SESSIONS
    assert len(names) > 5
    assert [name for name in sorted(names) if f".{name}" not in text] == []


def words(page: Path) -> str:
    """The visible text of a page."""
    return html.unescape(re.sub(r"<[^>]+>", " ", page.read_text("utf-8")))


def test_the_reference_has_every_option_and_its_ini_twin(site: Path) -> None:
    """The table is made from the options themselves."""
    text = words(site / "options.html")
    assert [option.flag for option in OPTIONS if option.flag not in text] == []
    assert [option.ini for option in OPTIONS if option.ini not in text] == []


def test_the_reference_has_every_argument_of_the_marker() -> None:
    """The page explains what the marker's own help names."""
    page = (ROOT / "docs" / "options.md").read_text("utf-8").partition("## The marker")[2]
    arguments = MARKER.partition("(")[2].partition(")")[0].split(", ")
    assert len(arguments) > 5
    assert [name for name in arguments if not re.search(rf"`{name}[`=]", page)] == []


def test_the_reference_has_every_outcome_and_reason(site: Path) -> None:
    """Each reason code has a sentence of its own."""
    text = words(site / "results.html")
    assert [outcome for outcome in Outcome if outcome.value not in text] == []
    assert [code for code in ReasonCode if f"'{code.value}'" not in text] == []


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    """Pages can be read without a network."""
    for page in site.glob("*.html"):
        text = page.read_text("utf-8")
        assert 'src="http' not in text, page.name
        assert 'rel="stylesheet" href="http' not in text, page.name
