"""Benchmarks that only the reference has: found in the source, since the head's tests run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from pytest_energy.against.trees import Tree, within
from pytest_energy.errors import EnergyError
from pytest_energy.model.git import run_git

FIXTURE: Final = "energy"
"""The argument that makes a test a benchmark."""


def gone_tests(
    base: Tree, tests: Iterable[Path], places: Sequence[Path], patterns: Sequence[str]
) -> list[str]:
    """Name the benchmarks of the base that the head no longer has, without their parameters.

    To be called before the head's test files replace those of the base.

    Args:
        base: The base's tree.
        tests: The test files of the working tree that are compared.
        places: Files and folders of the working tree that the session was asked to collect.
        patterns: The names of test files (pytest's ``python_files``).

    Returns:
        Ids relative to the repository, sorted; a file that cannot be read is named as a whole.
    """
    if base.folder == base.repository:
        return []
    there = {path.resolve() for path in tests if within(path.resolve(), base.repository)}
    lost = {
        path
        for path in _deleted(base)
        if any(fnmatch(path.name, pattern) for pattern in patterns)
        and any(path.is_relative_to(place.resolve()) for place in places)
    }
    found = []
    for path in sorted(there | lost):
        name = path.relative_to(base.repository).as_posix()
        before, after = _tests_of(base.place(path)), _tests_of(path)
        if before is None:
            found.append(f"{name} (it cannot be read there)")
        elif after is not None:
            found += [f"{name}::{test}" for test in before if test not in after]
    return found


def _deleted(base: Tree) -> list[Path]:
    """The files of the base's commit that the working tree does not have."""
    commit = run_git(base.folder, "rev-parse", "HEAD").strip()
    options = ("--name-only", "-z", "--no-renames", "--diff-filter=D")
    try:
        names = run_git(base.repository, "diff", *options, commit, "--").split("\0")
    except EnergyError:  # a repository in the middle of a merge, for example
        return []
    paths = (base.repository / name for name in names if name)
    return [path for path in paths if not path.exists()]


def _tests_of(path: Path) -> list[str] | None:
    """The benchmarks of a file, none if there is no file; ``None`` if it cannot be read."""
    if not path.exists():
        return []
    try:
        return list(_benchmarks(ast.parse(path.read_bytes()).body, ()))
    except (OSError, SyntaxError, ValueError):
        return None


def _benchmarks(body: Iterable[ast.stmt], classes: tuple[str, ...]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _benchmarks(node.body, (*classes, node.name))
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if FIXTURE in {argument.arg for argument in arguments}:
                yield "::".join((*classes, node.name))
