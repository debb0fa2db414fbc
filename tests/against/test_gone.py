"""Benchmarks that only the reference has are named."""

from __future__ import annotations

from pathlib import Path

from pytest_energy.against.gone import gone_tests
from pytest_energy.against.trees import Tree, resolve, worktree
from tests.against.conftest import Repository

OLD = """
class TestGroup:
    def test_inner(self, energy): ...
def test_kept(energy): ...
def test_lost(energy, size): ...
def test_plain(): ...
"""


def gone(repository: Repository, *tests: str, place: str = ".") -> list[str]:
    """Compare the working tree with the last commit."""
    folder = repository.folder
    with worktree(resolve("HEAD", folder)) as base:
        files = [folder / test for test in tests]
        return gone_tests(Tree(base, folder.resolve()), files, [folder / place], ["test_*.py"])


def test_a_removed_test_is_named_and_a_plain_one_is_not(repository: Repository) -> None:
    """Also one of a class; what stays is not named, whatever changed in it."""
    repository.write("benchmarks/test_it.py", OLD)
    repository.commit()
    repository.write("benchmarks/test_it.py", "def test_kept(energy, size): ...")
    assert gone(repository, "benchmarks/test_it.py") == [
        "benchmarks/test_it.py::TestGroup::test_inner",
        "benchmarks/test_it.py::test_lost",
    ]


def test_the_tests_of_a_deleted_file_are_named(repository: Repository) -> None:
    """If the session would have collected it; a file that is no test file has none."""
    repository.write("benchmarks/test_old.py", OLD)
    repository.write("benchmarks/helper.py", OLD)
    repository.write("other/test_old.py", OLD)
    repository.commit()
    for name in ("benchmarks/test_old.py", "benchmarks/helper.py", "other/test_old.py"):
        (repository.folder / name).unlink()
    names = ["TestGroup::test_inner", "test_kept", "test_lost"]
    assert gone(repository, "benchmarks/test_it.py", place="benchmarks") == [
        f"benchmarks/test_old.py::{name}" for name in names
    ]


def test_an_old_file_that_is_no_python_is_named_as_a_whole(repository: Repository) -> None:
    """Nobody knows which benchmarks it had."""
    repository.write("benchmarks/test_it.py", "def test_it(energy:")
    repository.commit()
    repository.write("benchmarks/test_it.py", "def test_it(energy): ...")
    assert gone(repository, "benchmarks/test_it.py") == [
        "benchmarks/test_it.py (it cannot be read there)"
    ]


def test_new_files_and_the_working_tree_itself_have_nothing_gone(
    repository: Repository, tmp_path: Path
) -> None:
    """A file outside the repository is not looked at."""
    repository.write("benchmarks/test_new.py", OLD)
    outside = tmp_path / "test_outside.py"
    outside.write_text(OLD)
    assert gone(repository, "benchmarks/test_new.py", str(outside)) == []
    tree = Tree(repository.folder, repository.folder)
    assert gone_tests(tree, [], [repository.folder], ["test_*.py"]) == []
