"""What all tests share: the simulated machine, loaded as users load it, and pytest in pytest."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator

import pytest

from pytest_energy.model.revision import COMMITS
from pytest_energy.plugin.gpu_locks import LOCK_FOLDER_VARIABLE

pytest_plugins = ["pytester", "pytest_energy.testing"]


STRICT = (
    "error",
    # pycocotools 2.0.11 decodes its masks by NumPy 1's protocol
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
)
"""The filters of warnings for tests. pytest calls these hooks for what lies in this folder, so the
benchmarks of the same session keep Python's own filters."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Make warnings of a test errors, unless the test has a filter of its own."""
    # The first marker is applied first, so the filters of the test itself win.
    item.add_marker(pytest.mark.filterwarnings(*STRICT), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """Make warnings at the import of a test module errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return (yield)


SURROUNDINGS = (
    "BUILD_NUMBER",
    "CI",
    "CI_NODE_TOTAL",
    "CUDA_VISIBLE_DEVICES",
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "GITLAB_CI",
    "PYTEST_XDIST_TESTRUNUID",
    "PYTEST_XDIST_WORKER",
    "PYTEST_XDIST_WORKER_COUNT",
    *COMMITS,
)
"""Variables that change what pytest or this plugin prints or measures."""
UNUSED_PLUGINS = "-p no:hypothesispytest -p no:anyio -p no:fakefs -p no:time_machine"
"""Options of the sessions inside tests: they use none of these, and load for half their time."""

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the cores are shared by the workers

if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    # Images of containers often set it. Each worker and each session inside a test would then
    # compile all that it imports, which takes longer than the session itself.
    os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="pytest-energy-bytecode-")
    atexit.register(shutil.rmtree, os.environ["PYTHONPYCACHEPREFIX"], ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Isolate the sessions inside tests from the CI system and from the locks of other sessions."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SURROUNDINGS:
            patch.delenv(name, raising=False)
        patch.setenv(LOCK_FOLDER_VARIABLE, str(tmp_path_factory.mktemp("locks")))
        patch.setenv("PYTEST_ADDOPTS", UNUSED_PLUGINS)
        # Sessions inside this process are so short that a file is changed within one second, to a
        # text of the same length: Python would take its bytecode for that of the new text.
        patch.setattr(sys, "dont_write_bytecode", True)
        yield


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Load no plugins that its sessions do not use: pytester itself has cleared the options."""
    monkeypatch.setenv("PYTEST_ADDOPTS", UNUSED_PLUGINS)
    return pytester
