"""The templates: compiled once for all sessions of a user, if there is a place to keep them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_energy.report.html import templating
from pytest_energy.report.html.render import render_html

from .examples import MODELS, example_run


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    templating.environment.cache_clear()
    yield tmp_path
    templating.environment.cache_clear()


def page() -> str:
    """A page of a process that has rendered nothing before."""
    templating.environment.cache_clear()
    return render_html(example_run(MODELS[:1]))


def test_compiled_templates_are_kept(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process compiles none, and its page is the same."""
    first = page()
    assert len(list(kept.rglob("pytest-energy-*.cache"))) > 10
    monkeypatch.setattr("jinja2.Environment._compile", None)  # a call raises
    assert page() == first


@pytest.mark.parametrize("content", [b"", b"no bytecode", None])
def test_broken_files_are_compiled_again(kept: Path, content: bytes | None) -> None:
    """A file that was cut off, or is of something else, costs nothing but time."""
    first = page()
    for path in kept.rglob("pytest-energy-*.cache"):
        path.write_bytes(path.read_bytes()[:-50] if content is None else content)
    assert page() == first


def test_the_page_does_not_need_the_folder(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is none, or that holds no more files, keeps nothing."""
    first = page()
    (kept / "file").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(kept / "file"))
    assert page() == first
    monkeypatch.setattr(tempfile, "tempdir", str(kept / "missing"))
    assert page() == first


def test_a_full_disk_keeps_nothing(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is rendered, and no file is left."""

    def full(*arguments: object, **keywords: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    assert "<!doctype html>" in page()
    assert [path for path in kept.rglob("*") if path.is_file()] == []
