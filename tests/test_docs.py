"""The pages of the documentation: their lines are short, and the things they name exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.options import ALIASES, OPTIONS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_energy"
CHANGELOG = ROOT / "CHANGELOG.md"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / ".github").glob("*.md"),
    ]
)
CURRENT = [page for page in PAGES if page != CHANGELOG]
"""The changelog also names what was removed."""
LONGEST = 100
FENCE = "```"
OPTION = r"--energy(?:-[a-z]+)*"
WITH_COMMANDS = ("baseline", "history")
"""Commands of ``pytest-energy`` that have commands of their own."""


def each(pages: list[Path]) -> pytest.MarkDecorator:
    """Run a test once for each page."""
    names = [str(page.relative_to(ROOT)) for page in pages]
    return pytest.mark.parametrize("page", pages, ids=names)


def split(page: Path) -> tuple[list[tuple[int, str]], list[str]]:
    """The numbered lines of a page's prose, and the lines of its code blocks."""
    prose, code, inside = [], [], False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if line.lstrip().startswith(FENCE):
            inside = not inside
        elif inside:
            code.append(line)
        else:
            prose.append((number, line))
    return prose, code


def snippets(page: Path) -> list[str]:
    """All code of a page: the lines of its blocks, and its code spans."""
    prose, code = split(page)
    text = "\n".join(line for _, line in prose)
    return [*code, *(span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", text))]


def links(page: Path) -> list[tuple[str, str]]:
    """The file and the heading of each link of a page that stays inside the project."""
    text = "\n".join(line for _, line in split(page)[0])
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]+`", "", text))
    inside = [target for target in targets if not target.startswith(("http:", "https:"))]
    return [(file, heading) for file, _, heading in (target.partition("#") for target in inside)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = [line.lstrip("# ") for _, line in split(page)[0] if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[list[str]]:
    """Each command of ``pytest-energy`` on a page, with its own command where it has one."""
    for snippet in snippets(page):
        for called in re.findall(r"(?:^|[$ ])pytest-energy ([a-z].*)", snippet):
            words = shlex.split(called.replace("'", ""), comments=True)
            count = 2 if words[0] in WITH_COMMANDS and len(words) > 1 else 1
            yield [word for word in words[:count] if re.fullmatch(r"[a-z-]+", word)]


@each(PAGES)
def test_lines_are_short(page: Path) -> None:
    """Prose has at most 100 characters a line; tables, code and lines with a link may be longer."""
    long = [
        f"{page.relative_to(ROOT)}:{number}: {len(line)} characters"
        for number, line in split(page)[0]
        if len(line) > LONGEST and not line.lstrip().startswith("|") and "](" not in line
    ]
    assert long == []


@each(PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file of the project and, after a hash, a heading in it."""
    for file, heading in links(page):
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name} links to {file}"
        assert not heading or heading in anchors(target), f"{page.name} links to {file}#{heading}"


@each(CURRENT)
def test_options_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each ``--energy`` option is one of pytest, ``pytest-energy import`` or the suite."""
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    options = {"--energy", *(option.flag for option in (*OPTIONS, *ALIASES))}
    options |= set(re.findall(OPTION, capsys.readouterr().out))
    options |= set(re.findall(OPTION, (ROOT / "benchmarks" / "conftest.py").read_text("utf-8")))
    assert set(re.findall(OPTION, page.read_text("utf-8"))) <= options


@each(CURRENT)
def test_commands_exist(page: Path) -> None:
    """Each command of ``pytest-energy`` that a page names explains itself."""
    for command in commands(page):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--help"])
        assert ended.value.code == 0, f"{page.name} names pytest-energy {' '.join(command)}"


@each(CURRENT)
def test_modules_exist(page: Path) -> None:
    """Each module of this project that a page starts with ``python -m`` is one."""
    for snippet in snippets(page):
        for module in re.findall(
            r"python -m ((?:benchmarks|tests|pytest_energy)[a-z_.]*)", snippet
        ):
            assert find_spec(module), f"{page.name} starts {module}"


@each(CURRENT)
def test_source_files_exist(page: Path) -> None:
    """Each source file that a page names with its folder lies there, or there in the package."""
    for span in re.findall(r"`([\w./]+/[\w.]+\.(?:py|j2|css))`", page.read_text("utf-8")):
        assert (ROOT / span).exists() or (PACKAGE / span).exists(), f"{page.name} names {span}"


def test_the_tree_of_the_package_is_there() -> None:
    """Each folder and module of the tree in docs/architecture.md exists."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    tree = text.partition("## The tree")[2].split(FENCE)[1].partition("templates/")[0]
    modules = re.findall(r"\b\w+\.py\b", tree)
    assert len(modules) > 40
    assert set(modules) <= {path.name for path in PACKAGE.rglob("*.py")}
    folders = re.findall(r"^ +(\w+)/", tree, re.MULTILINE)
    assert set(folders) <= {path.name for path in PACKAGE.rglob("*") if path.is_dir()}


def test_the_pages_name_commands_and_links() -> None:
    """The tests above find something to check."""
    assert ["baseline", "prune"] in [command for page in CURRENT for command in commands(page)]
    assert ("docs/gate.md", "") in links(ROOT / "README.md")
    assert "how-sure" in anchors(ROOT / "docs" / "gate.md")
