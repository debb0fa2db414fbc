"""The trees of the two sides: which commit, a worktree for it, and what is imported from where."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_energy.against.folders import remove_leftovers, session_folder
from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.model.comparison import describe_reference
from pytest_energy.model.git import commit_of, is_shallow, run_git

SELF: Final = "self"
"""The reference that compares the working tree with itself."""
MERGE_BASE: Final = "merge-base:"
INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
"""Folders of installed packages, which belong to no tree even where they lie in one."""


@dataclass(frozen=True)
class Reference:
    """What the working tree is compared with."""

    name: str
    """As the user wrote it."""
    repository: Path
    """The top folder of the working tree."""
    commit: str | None
    """``None`` for ``self`` outside a repository."""

    @property
    def is_self(self) -> bool:
        """Whether both sides are the working tree."""
        return self.name == SELF

    def __str__(self) -> str:
        return describe_reference(self.name, self.commit)


def resolve(name: str, root: Path) -> Reference:
    """Find the commit of a reference.

    Args:
        name: A branch, tag or commit, ``merge-base:BRANCH`` or ``self``.
        root: A folder of the working tree.

    Raises:
        UsageError: There is no repository, or no such commit in it.
    """
    where = f"--energy-against={name}"
    try:
        top = Path(run_git(root, "rev-parse", "--show-toplevel").strip()).resolve()
    except EnergyError as error:
        if name == SELF:
            return Reference(name, root.resolve(), None)
        raise UsageError(
            f"{where}: {root} is not in a git repository ({error}); run it in a clone, or compare"
            f" the working tree with itself (--energy-against={SELF})"
        ) from None
    try:
        commit = _commit_of(name, top)
    except EnergyError as error:
        if name == SELF:  # a repository without a commit
            return Reference(name, top, None)
        raise UsageError(f"{where}: {_why_not_found(name, top, error)}") from None
    return Reference(name, top, commit)


def _commit_of(name: str, top: Path) -> str:
    if name.startswith(MERGE_BASE):
        branch = name.removeprefix(MERGE_BASE)
        commit = commit_of(top, branch)
        try:
            return run_git(top, "merge-base", "HEAD", commit).strip()
        except EnergyError:  # git says nothing
            raise EnergyError(f"HEAD and {branch} have no common commit here") from None
    return commit_of(top, "HEAD" if name == SELF else name)


def _why_not_found(name: str, top: Path, error: EnergyError) -> str:
    text = (
        f"no such commit in {top} ({error}); expected a branch, tag or commit, merge-base:BRANCH"
        " or self"
    )
    if is_shallow(top):
        text += "; the clone is shallow: fetch the whole history (git fetch --unshallow, or"
        text += " fetch-depth: 0 in GitHub's checkout)"
    return text


@contextmanager
def worktree(reference: Reference) -> Iterator[Path]:
    """Check the commit out in a temporary folder, which is removed at the end whatever happens.

    For ``self`` the working tree is the base as well, and nothing is checked out.

    Raises:
        EnergyError: git cannot check it out.
    """
    if reference.is_self or reference.commit is None:
        yield reference.repository
        return
    remove_leftovers()
    try:
        with session_folder("against") as folder:
            tree = folder / "base"
            # A hook of the user's after a checkout is meant for the working tree.
            run_git(
                reference.repository,
                *("-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--detach", "--quiet"),
                *(str(tree), reference.commit),
            )
            yield tree
    finally:
        # Now that the folder is gone, git forgets it, and those of sessions that were killed.
        run_git(reference.repository, "worktree", "prune")


def within(path: Path, tree: Path) -> bool:
    """Whether a path belongs to a tree, and not to packages that are installed inside it."""
    return path.is_relative_to(tree) and INSTALLED.isdisjoint(path.relative_to(tree).parts)


@dataclass(frozen=True)
class Tree:
    """Where one side runs."""

    folder: Path
    repository: Path
    """The working tree, whose places :meth:`place` maps to this tree."""

    def place(self, path: Path) -> Path:
        """The same place in this tree; paths outside the working tree stay."""
        path = path.resolve()
        if not within(path, self.repository):
            return path
        return self.folder / path.relative_to(self.repository)

    def import_paths(self, search: Iterable[str]) -> tuple[str, ...]:
        """The folders to import from first: those of the session, ``src``, and the tree itself.

        Args:
            search: ``sys.path`` of the session.
        """
        ours = (Path(entry or os.curdir).resolve() for entry in search)
        mapped = [self.place(entry) for entry in ours if within(entry, self.repository)]
        usual = [self.folder / "src", self.folder]
        return tuple(dict.fromkeys(str(path) for path in (*mapped, *usual) if path.is_dir()))


def overlay(tree: Tree, tests: Iterable[Path], configuration: Path | None) -> list[Path]:
    """Put the head's test files, ``conftest.py`` files and configuration into the base's tree.

    Args:
        tree: The base's.
        tests: The test files of the working tree.
        configuration: The file with pytest's options.

    Returns:
        The files that had another content in the base's tree, from the top of the tree.
    """
    if tree.folder == tree.repository:
        return []
    files = {path.resolve() for path in tests}
    folders = {folder for path in files for folder in _between(path.parent, tree.repository)}
    conftests = {folder / "conftest.py" for folder in folders}
    wanted = files | conftests | ({configuration.resolve()} if configuration else set())
    places = [path for path in sorted(wanted) if within(path, tree.repository)]
    changed = [path for path in places if _replaces(path, tree.place(path))]
    for path in places:
        _copy(path, tree.place(path))
    return [path.relative_to(tree.repository) for path in changed]


def _replaces(source: Path, target: Path) -> bool:
    """Whether a file would be lost: a test that only the head has replaces nothing."""
    if not target.is_file():
        return False
    return not source.is_file() or source.read_bytes() != target.read_bytes()


def _between(folder: Path, top: Path) -> Sequence[Path]:
    """``folder`` and those above it, up to ``top``."""
    return [one for one in (folder, *folder.parents) if one.is_relative_to(top)]


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    else:
        target.unlink(missing_ok=True)  # a conftest.py that the head no longer has
