"""Whether a side imported the project from its own tree: else a thing is compared with itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Final

from pytest_energy.against.trees import within

RULER: Final = "pytest_energy"
"""The plugin itself measures on both sides, so both sides must have the same one."""


def project_names(paths: Sequence[str]) -> frozenset[str]:
    """The top names that can be imported from folders of a tree: packages and modules.

    Compiled modules are among them, as far as they are built.
    """
    found: set[str] = set()
    for folder in map(Path, paths):
        found |= {path.stem for path in folder.glob("*.py")}
        found |= {path.parent.name for path in folder.glob("*/__init__.py")}
        for suffix in EXTENSION_SUFFIXES:
            found |= {path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}")}
    return frozenset(name for name in found - {RULER} if name.isidentifier())


def counterparts(paths: Sequence[str], tree: Path, other: Path) -> list[str]:
    """The same folders in the other tree.

    A module that only one side has built must not come from an installed copy on the other side.
    """
    folders = [Path(path) for path in paths]
    return [str(other / one.relative_to(tree)) for one in folders if one.is_relative_to(tree)]


def imported_elsewhere(
    tree: Path,
    environment: Path | None,
    other: Path,
    names: frozenset[str],
    modules: Mapping[str, ModuleType] | None = None,
) -> dict[str, str]:
    """The modules of the project that this process did not import from its own tree.

    Args:
        tree: The side's own tree.
        environment: The side's own environment, if it has one: there the project may be installed.
        other: The tree of the other side; nothing may come from there, whatever its name.
        names: The top names of the project.
        modules: By default those of this process.

    Returns:
        By the name of each module: its file.
    """
    found = {}
    # A side asks after each test, with torch for thousands of modules: hence strings, each made
    # once.
    own, other_tree = f"{tree}{os.sep}", f"{other}{os.sep}"
    installed = f"{environment}{os.sep}" if environment else None
    for name, module in list((sys.modules if modules is None else modules).items()):
        file = getattr(module, "__file__", None)
        top = name.partition(".")[0]
        if not isinstance(file, str) or top == RULER:
            continue
        path = _resolve(file)
        if path.startswith(own) and within(Path(path), tree):
            continue
        if installed is not None and path.startswith(installed):
            continue
        elsewhere = path.startswith(other_tree) and other != tree and within(Path(path), other)
        if elsewhere or top in names:
            found[name] = file
    return found


@cache
def _resolve(path: str) -> str:
    """As ``os.path.realpath``, but each folder is looked at once for all that is in it."""
    folder, name = os.path.split(path)
    if folder in ("", path) or name in ("", ".", ".."):
        return os.path.realpath(path)
    path = os.path.join(_resolve(folder), name)  # noqa: PTH118 - strings: see above
    return os.path.realpath(path) if os.path.islink(path) else path  # noqa: PTH114 - see above
