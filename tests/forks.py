"""Python processes of tests, forked from one that has imported pytest and this plugin.

Several hundred tests start pytest in a process of its own, and that process starts further ones.
Importing what each needs takes a second of processor time, a fork some milliseconds. With the
fixture ``forks``, ``subprocess.Popen`` asks a server for a fork if the command is this Python with
one of :data:`MODULES` or :data:`PROGRAMS`. The process is a child of the one that asks, with its
own PID, session, standard streams, environment and exit status; ``Popen`` waits for it and signals
it as usual. Any other command is started as usual, also where Python or the loader reads another
environment at the start (:data:`AT_THE_START`), and where :data:`VARIABLE` forbids it. With the
fixture ``torch_forks``, the server has imported :data:`TORCH` as well.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import importlib
import inspect
import io
import json
import os
import random
import re
import runpy
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from importlib.metadata import Distribution, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from _pytest.fixtures import FixtureManager
from _pytest.nodes import Node

VARIABLE: Final = "PYTEST_ENERGY_TESTS_FORK"
"""The variable with which a test forbids forks to a command: ``no``."""
SIDE: Final = "pytest_energy.plugin.alternation.side_start"
TORCHRUN: Final = "torch.distributed.run"
HELPERS: Final = tuple(
    f"pytest_energy.meters.{name}" for name in ("nvml.sources.helper", "rapl.turnover")
)
RUN_ALONE: Final = (SIDE, *HELPERS, TORCHRUN)
"""Modules that only run as programs: Python warns if such a module is imported already."""
MODULES: Final = ("pytest", "pytest_energy", *RUN_ALONE)
TORCH: Final = (
    *("torch", "torch._dynamo", TORCHRUN, "torch.utils.flop_counter"),  # optimizers import dynamo
    *("torchvision", "transformers"),
)
"""What tests with torch import: four seconds of each process."""
WORKER: Final = "import sys;exec(eval(sys.stdin.readline()))"
"""The program of execnet, with which pytest-xdist starts a worker."""
COMMAND_LINE: Final = "import sys; from pytest_energy.cli import main; sys.exit(main())"
"""The program of the command ``pytest-energy``."""
PROGRAMS: Final = (WORKER, COMMAND_LINE)
COMMAND: Final = re.compile(
    rf"(?P<python>[^\0]+)(?P<flags>(\0-u|\0-P)*)"
    rf"(\0-m\0?(?P<module>{'|'.join(map(re.escape, MODULES))})"
    rf"|\0-c\0(?P<text>{'|'.join(map(re.escape, PROGRAMS))}))"
    r"(?P<arguments>(\0[^\0]*)*)"
)
"""The words of a command that can be forked, with zeros between them."""
AT_THE_START: Final = (
    *("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START", "LD_PRELOAD"),
    "OMP_NUM_THREADS",
    *("PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONHOME", "PYTHONIOENCODING"),
    *("PYTHONOPTIMIZE", "PYTHONPYCACHEPREFIX", "PYTHONUTF8", "PYTHONWARNINGS"),
)
LARGEST: Final = 2**17
"""Bytes of the largest request."""
PATIENCE_S: Final = 120.0
"""The longest wait for a server: it imports for seconds, and the machine may be busy."""
FREE_DESCRIPTOR: Final = 500
"""Descriptors from here on are free in a fork, while it moves its own to their places."""
EXECUTE: Final = inspect.signature(vars(subprocess.Popen)["_execute_child"])
PRCTL: Final = ctypes.CDLL(None).prctl
WARMING: Final = """
import importlib, pkgutil
import _pytest.stepwise, scipy.optimize
import pytest_energy
import pytest_energy.meters.nvml.opening
import pytest_energy.meters.nvml.sources.helper
from scripted_meter import work

for stage in ("against", "gate", "plugin", "report", "session", "uncertainty"):
    package = importlib.import_module(f"pytest_energy.{stage}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

def test_measured(energy):
    energy(work, 0.01)
"""
"""A benchmark that imports what the sessions of tests import."""


class Server:
    """Asks another process, a child of this one, for forks of itself.

    Args:
        connect: Returns the connection to a process that runs :func:`serve`.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()
        self.environment = dict(os.environ)
        """With which the server has started."""

    def fork(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> int:
        """Return the PID of a new child of this process.

        Raises:
            OSError: The server has ended, or does not answer.
        """
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
                self._connection.settimeout(PATIENCE_S)
            be_subreaper(1)
            try:
                socket.send_fds(self._connection, [json.dumps(request).encode()], descriptors)
                answer = self._connection.recv(16)
            finally:
                be_subreaper(0)
        if not answer:
            raise ConnectionError("the server of forks has ended")
        return int(answer)


def be_subreaper(value: int) -> None:
    """Whether a descendant becomes a child of this process when its own parent ends."""
    PRCTL(36, value, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


@contextmanager
def fork_server(**variables: str) -> Iterator[Server]:
    """A server that starts when it is first needed, and ends when its connection is closed.

    Args:
        variables: What its environment has beside that of this process.
    """
    with ExitStack() as stack:

        def connect() -> socket.socket:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                command = [sys.executable, __file__, str(theirs.fileno())]
                environment = {**server.environment, "PYTHONPATH": ""}
                process = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()])
            stack.callback(process.wait, PATIENCE_S)
            return stack.enter_context(ours)

        server = Server(connect)
        server.environment.update(variables)
        yield server


@contextmanager
def further_server(first: Server, modules: Sequence[str]) -> Iterator[Server]:
    """A fork of a server, which imports further modules first, and serves as that one does."""
    with ExitStack() as stack:

        def connect() -> socket.socket:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                pid = first.fork({"imports": modules}, [theirs.fileno()])
            stack.callback(os.waitpid, pid, 0)
            return stack.enter_context(ours)

        server = Server(connect)
        server.environment = first.environment
        yield server


def patch_popen(*servers: Server) -> Callable[[], None]:
    """Let ``subprocess.Popen`` fork where that is the same as a start; return what undoes this.

    The first server whose environment fits is asked.
    """
    popen: Any = subprocess.Popen
    execute = popen._execute_child

    def execute_child(self: Any, *arguments: Any) -> None:
        given = EXECUTE.bind(self, *arguments).arguments
        for server in servers:
            if request := request_for(given, server.environment):
                break
        else:
            execute(self, *arguments)
            return
        ends = [given["p2cread"], given["c2pwrite"], given["errwrite"]]
        streams = [number if end == -1 else end for number, end in enumerate(ends)]
        self.pid = server.fork(request, [*streams, *given["pass_fds"]])
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[end] for end in pipes))

    popen._execute_child = execute_child

    def undo() -> None:
        popen._execute_child = execute

    return undo


def request_for(given: Mapping[str, Any], start: Mapping[str, str]) -> dict[str, Any] | None:
    """What to ask a server for, or ``None`` for a process that must be started as usual.

    Args:
        given: The arguments of ``Popen._execute_child``.
        start: The environment in which the server has started.
    """
    environment = os.environ if given["env"] is None else given["env"]
    folder = given["cwd"] or Path.cwd()
    unusual = (given["shell"], given["preexec_fn"], given["executable"], not given["close_fds"])
    if any(unusual) or given.get("process_group", -1) not in (None, -1):
        return None
    if not isinstance(given["args"], (list, tuple)) or not Path(folder).is_dir():
        return None
    if environment.get(VARIABLE) == "no":
        return None
    if read_at_the_start(environment) != read_at_the_start(start):
        return None
    command = COMMAND.fullmatch("\0".join(map(os.fspath, given["args"])))
    if command is None or command["python"] != sys.executable:
        return None
    return {
        "flags": command["flags"],
        "program": command["module"] or command["text"],
        "arguments": (command["arguments"] or "").split("\0")[1:],
        "folder": os.fspath(folder),
        "environment": dict(environment),
        "numbers": [0, 1, 2, *given["pass_fds"]],
        "new_session": given["start_new_session"],
    }


def read_at_the_start(environment: Mapping[str, str]) -> list[str | None]:
    """The values that Python and the loader read; machines have links to one virtual clock."""
    values = [environment.get(name) for name in AT_THE_START]
    return [os.path.realpath(value) if value and "/" in value else value for value in values]


# In the server


def serve(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork until the connection is closed; return in each fork what is asked of it.

    A fork becomes a child of the process that asks, since the process between them ends at once.
    """
    while True:
        message, descriptors, *_ = socket.recv_fds(connection, LARGEST, 32)
        if not message:
            os._exit(0)
        ours, theirs = os.pipe()
        between = os.fork()
        if between == 0:
            between = os.getpid()
            pid = os.fork()
            if pid:
                os.write(theirs, b"%d" % pid)
                os._exit(0)
            os.close(ours)
            os.close(theirs)
            connection.close()
            while os.getppid() == between:
                time.sleep(1e-4)
            return json.loads(message), descriptors
        os.waitpid(between, 0)
        connection.send(os.read(ours, 16))
        for descriptor in (ours, theirs, *descriptors):
            os.close(descriptor)


# In a fork


def become(request: Mapping[str, Any], descriptors: Sequence[int], base: Sequence[str]) -> None:
    """Make the fork what Python is before it runs a program.

    Args:
        request: Of :func:`request_for`.
        descriptors: The open files for the numbers in the request.
        base: The paths of the Python itself.
    """
    free = [fcntl.fcntl(number, fcntl.F_DUPFD, FREE_DESCRIPTOR) for number in descriptors]
    for number in descriptors:
        os.close(number)
    for source, target in zip(free, request["numbers"], strict=True):
        os.dup2(source, target)
        os.close(source)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    open_streams(unbuffered="-u" in request["flags"])
    places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    own = (
        []
        if "-P" in request["flags"] or os.environ.get("PYTHONSAFEPATH")
        else ["" if request["program"] in PROGRAMS else str(Path.cwd())]
    )
    sys.path[:] = [*own, *map(os.path.abspath, places), *base]
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    random.seed()
    find_libraries(os.environ.get("LD_LIBRARY_PATH", ""))


def find_libraries(folders: str) -> None:
    """Let ctypes find what the loader would, which reads ``LD_LIBRARY_PATH`` at a start only."""
    load: Any = ctypes.CDLL.__init__

    def load_from_folders(self: Any, name: str | None, *arguments: Any, **keywords: Any) -> None:
        if name and "/" not in str(name):
            places = (Path(folder, name) for folder in folders.split(os.pathsep) if folder)
            name = next((str(place) for place in places if place.exists()), name)
        load(self, name, *arguments, **keywords)

    if folders:
        ctypes.CDLL.__init__ = load_from_folders  # type: ignore[method-assign]


def open_streams(*, unbuffered: bool) -> None:
    """Open the standard streams as Python does."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for name, number, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        raw = open(number, "wb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
        by_line = number == 2 or os.isatty(number)
        stream = io.TextIOWrapper(
            raw, "utf-8", errors, line_buffering=by_line, write_through=unbuffered
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def run_to_its_end(request: Mapping[str, Any]) -> None:
    """Run the program, and end as Python does, but for the modules, which it would take apart.

    That took a third of a short session: it writes to the memory that forks share. A program that
    ends by another exception, or with a message, ends in Python's own way.
    """
    try:
        run(request)
        status: Any = 0
    except SystemExit as end:
        status = 0 if end.code is None else end.code
        if not isinstance(status, int):
            raise
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def run(request: Mapping[str, Any]) -> None:
    """Run the program as Python does."""
    if request["program"] in PROGRAMS:
        sys.argv = ["-c", *request["arguments"]]
        exec(request["program"], vars(sys.modules["__main__"]))
    else:
        sys.argv = [request["program"], *request["arguments"]]
        runpy.run_module(request["program"], run_name="__main__", alter_sys=True)


def read_once(name: str) -> property:
    """An attribute of distributions that is read once where one is installed beside this Python.

    pytest, pluggy and this plugin read the attributes of all distributions in each session.
    """
    read: Any = vars(Distribution)[name].fget
    installed = sysconfig.get_path("purelib")
    known: dict[str, Any] = {}

    def value(distribution: Distribution) -> Any:
        place = str(getattr(distribution, "_path", ""))
        if not place.startswith(installed):
            return read(distribution)
        if place not in known:
            known[place] = read(distribution)
        return known[place]

    return property(value)


def looked_at_once() -> Callable[..., None]:
    """A ``FixtureManager.parsefactories`` that passes over plugins without fixtures.

    pytest unwraps each attribute of each of its 45 plugins, in each session.
    """
    look: Any = FixtureManager.parsefactories
    empty: dict[Any, bool] = {}
    """By plugin, or its class: whether it has no fixtures. These are the same in each session."""

    def is_empty(plugin: Any) -> bool:
        kind = plugin if isinstance(plugin, ModuleType) else type(plugin)
        name = kind.__name__ if isinstance(plugin, ModuleType) else kind.__module__
        if name.partition(".")[0] not in UNCHANGED or isinstance(plugin, Node):
            return False
        if kind not in empty:
            parts = (vars(part) for part in getattr(kind, "__mro__", [kind]))
            values = (value for part in parts for value in part.values())
            empty[kind] = not any(isinstance(value, FIXTURE) for value in values)
        return empty[kind]

    def parse_factories(manager: Any, *arguments: Any, **keywords: Any) -> None:
        if not is_empty(keywords["holder"] if "holder" in keywords else arguments[0]):
            look(manager, *arguments, **keywords)

    return parse_factories


FIXTURE: Final = type(pytest.fixture(lambda: None))
"""Of any fixture: a class of its own since pytest 8.4, before that functions, as others are."""
UNCHANGED: Final = ("_pytest", "pytest_benchmark", "pytest_energy", "xdist")
"""Packages whose plugins are the same in each session."""


def quicker_parts() -> Iterator[tuple[type, str, Any]]:
    """What takes a third of a short session, done once: owner, name and value of attributes."""
    for name in ("entry_points", "files", "metadata"):
        yield Distribution, name, read_once(name)
    yield FixtureManager, "parsefactories", looked_at_once()


PLUGINS: Final = ("energy", "benchmark", "xdist", "xdist.looponfail")
"""What most sessions load. A fork imports any other plugin itself."""


def warm() -> None:
    """Run a session of pytest, so that the modules come from pytest's own importer."""
    from tests.plugin.scripted import install

    for owner, attribute, value in quicker_parts():
        setattr(owner, attribute, value)
    with tempfile.TemporaryDirectory(prefix="pytest-energy-forks-") as folder:
        sys.path.insert(0, folder)
        install(Path(folder))
        Path(folder, "test_warming.py").write_text(WARMING)
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        os.chdir(folder)
        options = ("--energy", "--energy-meter=scripted", "--energy-passes=2", "-pno:cacheprovider")
        names = {point.name for point in entry_points(group="pytest11")}
        unused = [f"-pno:{name}" for name in names.difference(PLUGINS)]
        os.environ.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD", None)
        output = io.StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            status = pytest.main([*options, *unused])
        os.chdir("/")
    if status:
        sys.exit(f"a session that warms the server failed:\n{output.getvalue()}")
    for name in list(sys.modules):
        own = name.partition(".")[0] in ("scripted_meter", "test_warming", "tests")
        if own or name in RUN_ALONE:
            del sys.modules[name]


@contextmanager
def without_garbage() -> Iterator[None]:
    """Collect garbage once after many imports, and never again look through what they left."""
    gc.disable()
    yield
    gc.collect()
    gc.freeze()
    gc.enable()


def warm_further(modules: Sequence[str]) -> None:
    """Import what the first server has not."""
    with without_garbage():
        for module in modules:
            importlib.import_module(module)
        for name in RUN_ALONE:
            sys.modules.pop(name, None)


def main(connection: socket.socket) -> None:
    """Serve as the process that forks, and run a program in each fork."""
    base = sys.path[1:]
    sys.path[0] = str(Path(__file__).parents[1])
    with without_garbage():
        warm()
    while True:
        request, descriptors = serve(connection)
        if "imports" in request:  # a further server
            connection = socket.socket(fileno=descriptors[0])
            warm_further(request["imports"])
            continue
        if request["new_session"]:
            os.setsid()
        if request["program"] in HELPERS:  # they start no process
            break
        ours, connection = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork():  # the process that was asked for, with a server of its own
            connection.close()
            number = fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, FREE_DESCRIPTOR)
            patch_popen(Server(partial(socket.socket, fileno=number)))
            ours.close()
            break
        ours.close()
        for descriptor in descriptors:
            os.close(descriptor)
    become(request, descriptors, base)
    run_to_its_end(request)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
