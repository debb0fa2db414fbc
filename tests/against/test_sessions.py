"""Whole sessions that compare two revisions of a repository."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import jsonschema
import pytest

from pytest_energy.model.json_files import results_json_schema
from tests.against.conftest import TEST, Repository, git, walk_once
from tests.plugin.scripted import script

pytestmark = pytest.mark.slow

SUITE = """
import pytest
import engine
from scripted_meter import work

@pytest.mark.parametrize("size", [1, 2])
def test_sizes(energy, size):
    energy(work, 0.01 * size)

def test_it(energy):
    energy(engine.run)

def test_pedantic(energy):
    energy.pedantic(engine.run, rounds=3, iterations=2)

def test_windows(energy):
    for _ in range(3):
        with energy.window("prefill"):
            work(0.03)
        with energy.window("decode"):
            engine.run()

def test_training(energy):
    energy.training(lambda: work(0.05), epochs=10)

def test_plain():
    pass
"""


def test_a_rise_of_ten_percent_fails_and_the_rest_passes(repository: Repository) -> None:
    """Calls, pedantic, windows and training alternate; the file has blocks, seed and control."""
    repository.write("benchmarks/test_it.py", SUITE)
    repository.commit("the suite")
    repository.engine(0.011)
    done = repository.run("--energy-against=HEAD", "--energy-output=html:page.html")
    assert done.returncode == 1, done.stdout
    assert "test_pedantic" in (repository.folder / "page.html").read_text("utf-8")
    outcomes = {one["id"].split("::", 1)[1]: one for one in repository.results()["benchmarks"]}
    assert {name: one["verdict"]["outcome"] for name, one in outcomes.items()} == {
        "test_sizes[1]": "unchanged",
        "test_sizes[2]": "unchanged",
        "test_it": "regressed",
        "test_pedantic": "regressed",
        "test_windows::prefill": "unchanged",
        "test_windows::decode": "regressed",
        "test_training": "unchanged",
    }
    assert "3 failed, 4 passed" in done.stdout
    assert "+10.0 %" in done.stdout
    assert "exceed HEAD (" in done.stdout
    assert "--energy-update" not in done.stdout
    jsonschema.validate(repository.results(), results_json_schema())
    comparison = outcomes["test_it"]["comparison"]
    assert comparison["commit"] == git(repository.folder, "rev-parse", "HEAD").strip()
    assert [len(block["base"]) for block in comparison["blocks"]] == [3, 3, 3, 3]
    assert [block["differences"]["energy_j"] for block in comparison["blocks"]] == pytest.approx(
        [0.0953] * 4, abs=1e-4
    )
    against = repository.results()["run"]["against"]
    assert against["seed"] == comparison["seed"]
    assert set(against["controls"].values()) == {"unchanged"}
    assert len(repository.worktrees()) == 1


def test_rounds_of_both_sides_alternate(repository: Repository) -> None:
    """No window of one side overlaps one of the other, and each side is first and last."""
    repository.write(
        "engine.py",
        "import time\nfrom scripted_meter import work\n"
        "def run():\n    time.sleep(0.01)\n    work(0.01)\n",
    )
    repository.commit()
    (block,) = walk_once(repository).states[TEST].contests[TEST].blocks
    sides = {"base": block.base, "head": block.head}
    rounds = [(one.start, one.duration_s, side) for side in sides for one in sides[side]]
    rounds.sort()
    first, second = block.first, {"base": "head", "head": "base"}[block.first]
    assert [side for _, _, side in rounds] == [first, second, second, first, first, second]
    ends = [start + duration for start, duration, _ in rounds]
    assert all(end <= start for end, (start, _, _) in zip(ends, rounds[1:], strict=False))


def test_each_side_imports_its_own_tree(repositories: Callable[[str], Repository]) -> None:
    """In a src layout, a branch is compared with an uncommitted working tree."""
    repository = repositories("src")
    git(repository.folder, "branch", "old")
    repository.engine(0.02)
    repository.commit()
    repository.engine(0.009)
    (block,) = walk_once(repository, revision="old").states[TEST].contests[TEST].blocks
    assert block.differences["energy_j"] == pytest.approx(math.log(0.9))


def test_a_merge_base_is_the_reference(repository: Repository) -> None:
    """What the other branch did since the branching does not count."""
    git(repository.folder, "checkout", "--quiet", "-b", "topic")
    repository.engine(0.01)
    repository.commit()
    git(repository.folder, "checkout", "--quiet", "main")
    repository.engine(0.02)
    repository.commit()
    git(repository.folder, "checkout", "--quiet", "topic")
    comparing = walk_once(repository, revision="merge-base:main")
    (block,) = comparing.states[TEST].contests[TEST].blocks
    assert block.differences["energy_j"] == pytest.approx(0.0)


def test_a_wrong_tree_is_an_error(repository: Repository) -> None:
    """A package that the test imports from an installed place is never compared with itself."""
    (repository.library / "site-packages").mkdir()
    installed = repository.library / "site-packages" / "engine.py"
    installed.write_text((repository.folder / "engine.py").read_text("utf-8"), "utf-8")
    repository.write(
        "benchmarks/conftest.py", f"import sys\nsys.path.insert(0, {str(installed.parent)!r})\n"
    )
    repository.commit()
    done = repository.run("--energy-against=HEAD")
    assert done.returncode == 4, done.stdout
    assert f"the base side imported engine from {installed}" in done.stdout
    assert "--energy-against-setup" in done.stdout
    assert len(repository.worktrees()) == 1


def test_new_and_gone_benchmarks_are_named(repository: Repository) -> None:
    """A test that cannot run on the base is new; one that only the base has is gone."""
    cases = "import engine, pytest\n@pytest.mark.parametrize('name', engine.NAMES)\n"
    body = "def test_it(energy, name):\n    energy(engine.run)\n"
    later = "def test_later(energy):\n    energy(engine.later)\n"
    repository.engine(0.01, "NAMES = ['kept', 'gone']\n")
    repository.commit()
    repository.engine(0.01, "NAMES = ['kept', 'added']\n")
    with (repository.folder / "engine.py").open("a") as file:
        file.write("\ndef later():\n    work(0.02)\n")
    repository.write("benchmarks/test_it.py", cases + body + later)
    done = repository.run("--energy-against=HEAD")
    assert done.returncode == 0, done.stdout
    assert repository.outcome("test_it[kept]") == "unchanged"
    assert repository.outcome("test_it[added]") == "new"
    assert repository.outcome("test_later") == "new"
    assert "no attribute 'later'" in done.stdout
    assert "gone: benchmarks/test_it.py::test_it[gone] exists on HEAD (" in done.stdout
    assert "Not measured: what changed in benchmarks/test_it.py since HEAD (" in done.stdout


def test_self_passes_without_a_worktree(repository: Repository) -> None:
    """The suite against itself is unchanged, and needs no control."""
    done = repository.run("--energy-against=self")
    assert done.returncode == 0, done.stdout
    assert repository.outcome() == "unchanged"
    assert repository.results()["run"]["against"]["controls"] == {}
    (benchmark,) = repository.results()["benchmarks"]
    assert benchmark["comparison"]["visible"]["energy_j"] >= 0.05
    assert "smallest rises that are called regressed here" in done.stdout


MOVING = """
import atexit, os
from pathlib import Path
from scripted_meter import work

BASE = '"name": "base"' in os.environ.get("PYTEST_ENERGY_SIDE", "")
OWN = Path(__file__).parent / f"{os.getpid()}.base"
if BASE:
    OWN.touch()
    atexit.register(OWN.unlink)

def run():
    elder = [path for path in OWN.parent.glob("*.base") if int(path.stem) < os.getpid()]
    work(0.012 if BASE and elder else 0.01)
"""
"""Of two processes of the base, the one that started later uses more."""


def test_a_control_that_moves_makes_the_session_inconclusive(repository: Repository) -> None:
    """Where the base differs from itself, nothing is called changed or unchanged."""
    repository.write("engine.py", MOVING)
    repository.commit()
    done = repository.run("--energy-against=HEAD", "--energy-against-blocks=4")
    assert repository.outcome() == "inconclusive", done.stdout
    assert "moved, measured base against base" in done.stdout
    assert done.returncode == 0
    controls = repository.results()["run"]["against"]["controls"]
    assert controls == {"benchmarks/test_it.py::test_it": "regressed"}


def test_the_plugins_own_control_is_a_control(repository: Repository) -> None:
    """With --energy-control it is measured once a block, and base against base."""
    script(repository.library, channel="cpu")
    repository.write(
        "conftest.py",
        "from pytest_energy.plugin.control import benchmarks\n"
        "from scripted_meter import work\n"
        "def load(*operands): work(0.02)\n"
        "benchmarks.multiply_on_cpu = benchmarks.copy_on_cpu = load\n"
        "benchmarks.CPU_SIDE = benchmarks.CPU_BYTES = 1\n",
    )
    repository.commit()
    done = repository.run("--energy-against=HEAD", "--energy-control")
    assert done.returncode == 0, done.stdout
    controls = repository.results()["run"]["against"]["controls"]
    for kind in ("test_matmul", "test_copy"):
        assert controls[f"energy_control.py::{kind}[begin]"] == "unchanged"
        assert repository.outcome(f"{kind}[begin]") == "unchanged"
    assert len(repository.results()["benchmarks"]) == 3


def test_a_selection_passes_to_the_sides(repository: Repository) -> None:
    """By -k, by -m and by node id, only the selected tests are measured."""
    repository.write("benchmarks/test_it.py", SUITE)
    # against itself, since it needs no control: those start a third side
    done = repository.run("--energy-against=self", "-k", "sizes", "benchmarks/test_it.py")
    assert done.returncode == 0, done.stdout
    assert len(repository.results()["benchmarks"]) == 2


def test_a_failing_test_fails_and_a_skipped_one_is_skipped(repository: Repository) -> None:
    """The head's outcome is that of the test, with pytest's own text."""
    repository.write(
        "benchmarks/test_it.py",
        "import pytest\n"
        "def test_wrong(energy):\n    assert 1 + 1 == 3, 'sums'\n"
        "def test_no(energy):\n    pytest.skip('no card')\n",
    )
    repository.commit()
    done = repository.run("--energy-against=HEAD", "-rfs")
    assert "1 failed, 1 skipped" in done.stdout
    assert "FAILED benchmarks/test_it.py::test_wrong - AssertionError: sums" in done.stdout
    assert "no card" in done.stdout


def test_a_setup_gives_each_side_an_environment_of_its_own(repository: Repository) -> None:
    """The command runs in both trees; the sides use the .venv that it made."""
    repository.write(
        "make.sh",
        f"{sys.executable} -m venv --system-site-packages --without-pip .venv\n"
        "echo 'SECONDS = '$(cat size) > built.py\n",
    )
    repository.write(".gitignore", "__pycache__\n.energy\n.venv\nbuilt.py\n")
    repository.write(
        "engine.py",
        "import built\nfrom scripted_meter import work\ndef run():\n    work(built.SECONDS)\n",
    )
    repository.write("size", "0.01")
    repository.commit()
    repository.write("size", "0.02")
    repository.write("built.py", "SECONDS = 5")  # of an older build
    comparing = walk_once(repository, against_setup="sh make.sh")
    (block,) = comparing.states[TEST].contests[TEST].blocks
    assert block.differences["energy_j"] == pytest.approx(math.log(2))
