"""Compile the simulated NVML with the system's compiler, once for each state of its sources."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pytest_energy.errors import EnergyError

SOURCES = Path(__file__).parent / "nvml_sim"
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-s", "-Wl,-Bsymbolic")
# -Bsymbolic: the clock and the library share a source, and must not share its functions
_TARGETS = {
    "libnvidia-ml.so.1": ("nvml.c", "state.c", "sensors.c"),
    "libnvml_sim_clock.so": ("clock.c", "state.c"),
}


class SimulationError(EnergyError):
    """The simulated machine cannot be built, or was asked for what it cannot do."""


@dataclass(frozen=True)
class Libraries:
    """What was compiled, in its folder."""

    folder: Path

    @property
    def nvml(self) -> Path:
        """The library that answers as ``libnvidia-ml.so.1``."""
        return self.folder / "libnvidia-ml.so.1"

    @property
    def clock(self) -> Path:
        """The virtual clock, for ``LD_PRELOAD``."""
        return self.folder / "libnvml_sim_clock.so"


@cache
def build_libraries() -> Libraries:
    """Compile, or find what an earlier process compiled from the same sources.

    Raises:
        SimulationError: There is no C compiler, or it failed; the text says what to do.
    """
    compiler = _find_compiler()
    folder = _cache_folder() / f"nvml-sim-{_digest(compiler)}"
    for name, parts in _TARGETS.items():
        if not (folder / name).is_file():
            _compile(compiler, [SOURCES / part for part in parts], folder / name)
    return Libraries(folder)


def _find_compiler() -> tuple[str, ...]:
    """The command that compiles; ``CC`` may have arguments, as in ``ccache gcc``."""
    wanted = os.environ.get("CC")
    for command in (wanted,) if wanted else ("cc", "gcc", "clang"):
        name, *arguments = shlex.split(command)
        found = shutil.which(name)
        if found:
            return (found, *arguments)
    raise SimulationError(
        f"the simulated NVML needs a C compiler, and {wanted or 'none of cc, gcc, clang'} "
        f"{'(from CC) ' if wanted else ''}is not on the path; install one "
        "(Debian, Ubuntu: apt-get install gcc libc6-dev) or name one in CC"
    )


def _cache_folder() -> Path:
    """A folder of this user's alone, since what lies there is loaded into processes.

    Beside other temporary files and not in the home: tests like to have homes of their own.
    """
    folder = Path(tempfile.gettempdir()) / f"pytest-energy-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise SimulationError(
            f"{folder} belongs to others or can be written by them: remove it, or name another "
            "folder for temporary files in TMPDIR"
        )
    return folder


def _digest(compiler: tuple[str, ...]) -> str:
    digest = hashlib.sha256(" ".join((*compiler, *_FLAGS)).encode())
    for path in sorted(SOURCES.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(compiler: tuple[str, ...], sources: list[Path], target: Path) -> None:
    """Compile beside the target and rename, so that workers may build at once."""
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent.parent) as scratch:
        made = Path(scratch) / target.name
        command = [*compiler, *_FLAGS, *map(str, sources), "-o", str(made), "-lm", "-lpthread"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise SimulationError(
                f"{shlex.join(compiler)} cannot compile the simulated NVML "
                f"(exit status {result.returncode}): {result.stderr.strip() or 'no message'}"
            )
        made.replace(target)
