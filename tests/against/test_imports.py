"""A side that imports another tree is found out."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import pytest

from pytest_energy.against.imports import counterparts, imported_elsewhere, project_names

OWN, OTHER = Path("/trees/base"), Path("/work")


def modules(**files: str) -> dict[str, ModuleType]:
    """Loaded modules with their files; a double underscore stands for a dot."""
    loaded = {}
    for name, file in files.items():
        loaded[name.replace("__", ".")] = module = ModuleType(name)
        module.__file__ = file
    return loaded


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        ("/trees/base/src/pkg/core.py", False),
        ("/work/src/pkg/core.py", True),
        ("/usr/lib/site-packages/pkg/core.py", True),
        ("/trees/base/.venv/lib/site-packages/pkg/core.py", True),
    ],
)
def test_the_project_must_come_from_the_own_tree(file: str, wrong: bool) -> None:
    """The other tree and an installed copy are both wrong."""
    found = imported_elsewhere(OWN, None, OTHER, frozenset({"pkg"}), modules(pkg__core=file))
    assert found == ({"pkg.core": file} if wrong else {})


def test_an_environment_of_its_own_may_hold_the_project() -> None:
    """There the command of the setup has installed it from the own tree."""
    loaded = modules(pkg="/trees/base/.venv/lib/site-packages/pkg/__init__.py")
    own = OWN / ".venv"
    assert imported_elsewhere(OWN, own, OTHER, frozenset({"pkg"}), loaded) == {}


def test_a_helper_from_the_other_tree_is_wrong_whatever_its_name() -> None:
    """Libraries are not, even if they are installed inside the other tree."""
    loaded = modules(helper="/work/tools/helper.py", numpy="/work/.venv/lib/site-packages/numpy.py")
    found = imported_elsewhere(OWN, None, OTHER, frozenset(), loaded)
    assert found == {"helper": "/work/tools/helper.py"}


def test_the_plugin_itself_is_the_same_on_both_sides() -> None:
    """It measures; it is not what is compared."""
    loaded = modules(pytest_energy="/work/pytest_energy/__init__.py")
    assert imported_elsewhere(OWN, None, OTHER, frozenset({"pytest_energy"}), loaded) == {}


def test_a_link_belongs_to_the_tree_of_its_target(tmp_path: Path) -> None:
    """Whether the file or one of its folders is the link."""
    base, head = tmp_path / "base", tmp_path / "head"
    for tree in (base, head):
        (tree / "pkg").mkdir(parents=True)
        (tree / "pkg" / "core.py").touch()
    (base / "linked").symlink_to(head / "pkg")
    (base / "file.py").symlink_to(head / "pkg" / "core.py")
    files = {"core": "pkg/core.py", "folder": "linked/core.py", "file": "file.py"}
    loaded = modules(**{name: str(base / file) for name, file in files.items()})
    assert set(imported_elsewhere(base, None, head, frozenset(), loaded)) == {"folder", "file"}


def test_the_names_of_a_project_are_its_packages_and_modules(tmp_path: Path) -> None:
    """Folders without code are none."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "single.py").touch()
    (tmp_path / "built.abi3.so").touch()
    (tmp_path / f"other{EXTENSION_SUFFIXES[0]}").touch()
    assert project_names([str(tmp_path)]) == {"pkg", "single", "built", "other"}


def test_what_only_one_side_has_built_belongs_to_the_project(tmp_path: Path) -> None:
    """An installed copy of it is found out on the side that has not."""
    for folder in ("base/src", "head/src"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "head/src/built.abi3.so").touch()
    base, head = tmp_path / "base", tmp_path / "head"
    paths = [str(base / "src"), "/usr/lib/python3"]
    names = project_names([*paths, *counterparts(paths, base, head)])
    assert "built" in names
    file = "/usr/lib/site-packages/built.abi3.so"
    assert imported_elsewhere(base, None, head, names, modules(built=file)) == {"built": file}
