"""What all tests share: the simulated machine, loaded as users load it, and pytest in pytest."""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pkgutil import walk_packages

import hypothesis
import pytest

import pytest_energy
from pytest_energy.model.revision import COMMITS
from pytest_energy.plugin.gpu_locks import LOCK_FOLDER_VARIABLE
from pytest_energy.simulation.build import SimulationError, build_libraries
from tests.forks import (
    TORCH,
    Server,
    fork_server,
    further_server,
    patch_popen,
    quicker_parts,
)

pytest_plugins = ["pytester", "pytest_energy.testing"]

# How long an example takes depends on what else runs on the machine.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# A shell starts commands in the background with Ctrl-C ignored, and tests send it to processes that
# would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

STRICT = (
    "error",
    # pycocotools 2.0.11 decodes its masks by NumPy 1's protocol
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    # docstrings of torchao 0.18: Python warns of them once, when it compiles the module
    "ignore:invalid escape sequence",
    # pytest-benchmark before 5.3 opens the file of --benchmark-json once for each parse of options
    "ignore:unclosed file <_io.BufferedWriter name='b.json'>:ResourceWarning",
)
"""The filters of warnings for tests. pytest calls these hooks for what lies in this folder, so the
benchmarks of the same session keep Python's own filters."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Make warnings of a test errors, unless the test has a filter of its own."""
    # The first marker is applied first, so the filters of the test itself win.
    item.add_marker(pytest.mark.filterwarnings(*STRICT), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Let a test run a loop of asyncio, as long as the one of the browser of other tests waits."""
    if "browser" in getattr(item, "fixturenames", ()):
        return (yield)
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return (yield)
    finally:
        asyncio._set_running_loop(loop)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Let no collection of garbage look through all modules, now or later.

    Each would take a third of a second, and sessions inside this process leave so much garbage that
    every few of them bring one about.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        atexit.register(gc.unfreeze)  # extension modules warn of objects that are never freed


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """Make warnings at the import of a test module errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return (yield)


hypothesis.settings.register_profile("quick", max_examples=40, deadline=None)
hypothesis.settings.register_profile("deep", max_examples=2000, deadline=None)
hypothesis.settings.load_profile("quick")  # --hypothesis-profile loads another one after this

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
UNUSED_PLUGINS = (
    "-p no:hypothesispytest -p no:anyio -p no:fakefs -p no:time_machine -p no:platformdirs "
    "-p no:legacypath -p no:pastebin"
)
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
        yield


@pytest.fixture(scope="session")
def _quick_sessions() -> Iterator[None]:
    """Take from each session inside this process a third of its time.

    pytester forgets the modules that a session imports, so the next one would import them anew. And
    pytest, pluggy and this plugin read the entry points of all that is installed, in each session.
    """
    for module in walk_packages(pytest_energy.__path__, "pytest_energy."):
        # An engine of fleets may lack its library, and a module of tests has a marker that is
        # unknown in a session without plugins.
        with suppress(ModuleNotFoundError, pytest.fail.Exception):
            importlib.import_module(module.name)
    for name in ("email.parser", "jinja2"):
        importlib.import_module(name)
    with pytest.MonkeyPatch.context() as patch:
        for owner, attribute, value in quicker_parts():
            patch.setattr(owner, attribute, value)
        yield


@pytest.fixture(scope="session")
def _fork_servers(_own_surroundings: None) -> Iterator[tuple[Server, ...]]:
    """One on the real clock, and one on the virtual clock of a simulated machine."""
    with ExitStack() as stack:
        servers = [stack.enter_context(fork_server())]
        with suppress(SimulationError):  # without a compiler there is no such machine
            clock = str(build_libraries().clock)
            servers.append(stack.enter_context(fork_server(LD_PRELOAD=clock)))
        yield tuple(servers)


@pytest.fixture(scope="session")
def _torch_fork_server(_fork_servers: tuple[Server, ...]) -> Iterator[Server]:
    with further_server(_fork_servers[0], TORCH) as server:
        yield server


def _fork(_fork_servers: tuple[Server, ...]) -> Iterator[None]:
    """Fork the Python processes that a test starts, which saves their imports: tests/forks.py."""
    undo = patch_popen(*_fork_servers)
    yield
    undo()


forks = pytest.fixture(_fork)
module_forks = pytest.fixture(_fork, scope="module")
"""The same for a whole module, with its fixtures."""


@pytest.fixture
def torch_forks(forks: None, _torch_fork_server: Server) -> Iterator[None]:
    """As ``forks``, but torch, torchvision and transformers are imported as well.

    It asks for ``forks``, so that it is the last to replace ``Popen``, and is asked first.
    """
    undo = patch_popen(_torch_fork_server)
    yield
    undo()


@pytest.fixture
def pytester(
    _quick_sessions: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """Load no plugins that its sessions do not use: pytester itself has cleared the options."""
    monkeypatch.setenv("PYTEST_ADDOPTS", UNUSED_PLUGINS)
    # Sessions inside this process are so short that a file is changed within one second, to a text
    # of the same length: Python would take its bytecode for that of the new text. Other tests write
    # bytecode, or each run compiles anew what they import.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return pytester
