"""Projects as they are laid out in the world: each side measures the code of its own tree."""

from __future__ import annotations

import math
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.against.comparing import Comparing
from pytest_energy.errors import UsageError
from tests.against.conftest import TEST, Repository, walk_once

pytestmark = pytest.mark.slow

RISE = pytest.approx(math.log(1.1))


@pytest.fixture
def project(repositories: Callable[[str], Repository]) -> Any:
    """Makes a repository whose configuration says nothing of where to import from."""

    def make(package: str) -> Repository:
        repository = repositories(package)
        repository.write("pytest.ini", "[pytest]\n")
        repository.write(".gitignore", "__pycache__\n.venv\n*.so\n")
        return repository

    return make


def change(comparing: Comparing) -> float:
    """The logarithm of head over base in the only block."""
    state = comparing.states[TEST]
    assert state.failure is None
    return state.contests[TEST].blocks[0].differences["energy_j"]


@pytest.mark.parametrize("package", ["", "src"])
def test_flat_and_src_layouts_need_nothing(project: Any, package: str) -> None:
    """A rise of ten percent in the working tree is seen."""
    repository = project(package)
    repository.commit()
    repository.engine(0.011)
    assert change(walk_once(repository)) == RISE


EDITABLE = """
set -e
{python} -m venv --without-pip .venv
echo "$PWD/code" > .venv/lib/python{version}/site-packages/__editable__.engine.pth
"""
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_an_editable_installation_in_an_environment_of_each_side(project: Any) -> None:
    """The package is found by its installation only, in a folder that no rule knows."""
    repository = project("code")
    repository.write("make.sh", EDITABLE.format(python=sys.executable, version=VERSION))
    repository.commit()
    repository.engine(0.011)
    assert change(walk_once(repository, against_setup="sh make.sh")) == RISE


def environment(folder: Path, pth: str) -> Path:
    """Make an environment with one line in a .pth file; return its interpreter."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    site = folder / "lib" / f"python{VERSION}" / "site-packages"
    (site / "__editable__.engine.pth").write_text(pth + "\n", "utf-8")
    return folder / "bin" / "python"


def test_an_editable_installation_of_the_working_tree_yields_to_the_own_tree(
    project: Any, tmp_path: Path
) -> None:
    """It is the usual state of a workstation: the base must not import the working tree."""
    repository = project("src")
    repository.commit()
    repository.engine(0.011)
    python = environment(tmp_path / "installed", str(repository.folder / "src"))
    assert change(walk_once(repository, against_python=python)) == RISE


FINDER = """
import importlib.util, sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "engine":
            return importlib.util.spec_from_file_location(name, {file!r})

sys.meta_path.insert(0, Finder)
"""


def test_an_editable_finder_that_comes_first_is_an_error(
    project: Any, tmp_path: Path, killed: list[str]
) -> None:
    """Some build systems install one: it would let the base measure the working tree.

    The head, which waits for its turn to open the meter, ends by itself.
    """
    repository = project("src")
    repository.commit()
    repository.engine(0.011)
    file = str(repository.folder / "src" / "engine.py")
    (repository.library / "engine_finder.py").write_text(FINDER.format(file=file), "utf-8")
    python = environment(tmp_path / "installed", "import engine_finder")
    with pytest.raises(UsageError, match=f"the base side imported engine from {file}, not from"):
        walk_once(repository, against_python=python)
    assert killed == []


NATIVE = """
#include <Python.h>

static PyObject *seconds(PyObject *self, PyObject *unused) {{
    return PyFloat_FromDouble({seconds});
}}

static PyMethodDef methods[] = {{{{"seconds", seconds, METH_NOARGS, NULL}}, {{NULL}}}};
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "native", NULL, -1, methods}};

PyMODINIT_FUNC PyInit_native(void) {{ return PyModule_Create(&module); }}
"""
BUILD = "cc -shared -fPIC -I{include} native.c -o src/native{suffix}"
COMPILED = """
import native
from scripted_meter import work

def run():
    work(native.seconds())
"""


@pytest.fixture
def compiled(project: Any) -> Repository:
    """A repository with a part in C, which takes ten percent more in the working tree."""
    repository: Repository = project("src")
    repository.write("src/engine.py", COMPILED)
    paths = {"include": sysconfig.get_paths()["include"]}
    repository.write(
        "build.sh", BUILD.format(**paths, suffix=sysconfig.get_config_var("EXT_SUFFIX"))
    )
    repository.write("native.c", NATIVE.format(seconds=0.01))
    repository.commit()
    repository.write("native.c", NATIVE.format(seconds=0.011))
    return repository


def test_a_compiled_part_is_built_on_each_side(compiled: Repository) -> None:
    """The command of the set-up builds it in both trees."""
    assert change(walk_once(compiled, against_setup="sh build.sh")) == RISE


def test_a_compiled_part_that_is_not_built_makes_the_benchmark_new(compiled: Repository) -> None:
    """The fresh worktree has no build; the working tree's is not used instead."""
    subprocess.run(["sh", "build.sh"], cwd=compiled.folder, check=True)
    (result,) = walk_once(compiled).final()
    assert result.verdict.outcome == "new"
    assert "No module named 'native'" in result.verdict.notes[0]


def test_an_installed_copy_of_a_compiled_part_is_an_error(compiled: Repository) -> None:
    """The base would measure it instead of its own, and find no change."""
    subprocess.run(["sh", "build.sh"], cwd=compiled.folder, check=True)
    (built,) = (compiled.folder / "src").glob("native*.so")
    (compiled.library / built.name).write_bytes(built.read_bytes())
    with pytest.raises(UsageError, match="the base side imported native from"):
        walk_once(compiled)
