"""Compile the simulated NVML with the system's compiler, once for each version of its sources."""

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
# -Bsymbolic: the clock and the library are built from one source; each must use its own copy
_TARGETS = {
    "libnvidia-ml.so.1": ("nvml.c", "state.c", "sensors.c"),
    "libnvml_sim_clock.so": ("clock.c", "state.c"),
}


class SimulationError(EnergyError):
    """The simulated machine cannot be built, or it cannot do what was asked."""


@dataclass(frozen=True)
class Libraries:
    """The compiled libraries in their folder."""

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
    """Compile the libraries, or find those that an earlier process compiled from these sources.

    Raises:
        SimulationError: There is no C compiler, or it failed; the text has the remedy.
    """
    compiler = _find_compiler()
    folder = _cache_folder() / f"nvml-sim-{_digest(compiler)}"
    for name, parts in _TARGETS.items():
        if not (folder / name).is_file():
            _compile(compiler, [SOURCES / part for part in parts], folder / name)
    return Libraries(folder)


def _find_compiler() -> tuple[str, ...]:
    """The compiler's command; ``CC`` may have arguments, as in ``ccache gcc``."""
    chosen = os.environ.get("CC")
    for command in (chosen,) if chosen else ("cc", "gcc", "clang"):
        name, *arguments = shlex.split(command)
        path = shutil.which(name)
        if path:
            return (path, *arguments)
    missing = f"{chosen} (from CC) is not" if chosen else "none of cc, gcc, clang is"
    raise SimulationError(
        f"the simulated NVML needs a C compiler, but {missing} on the path; install one "
        "(Debian, Ubuntu: apt-get install gcc libc6-dev) or name one in CC"
    )


def _cache_folder() -> Path:
    """A folder that only this user can write, because processes load what lies there.

    It lies beside other temporary files and not in the home, because tests often set another HOME.
    """
    if not hasattr(os, "getuid"):
        raise SimulationError("the simulated NVML needs Linux, whose loader takes its library")
    folder = Path(tempfile.gettempdir()) / f"pytest-energy-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o022:
        raise SimulationError(
            f"other users own or can write {folder}; remove it, or name another folder for "
            "temporary files in TMPDIR"
        )
    return folder


def _digest(compiler: tuple[str, ...]) -> str:
    digest = hashlib.sha256(" ".join((*compiler, *_FLAGS)).encode())
    for path in sorted(SOURCES.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(compiler: tuple[str, ...], sources: list[Path], target: Path) -> None:
    """Compile beside the target and rename, so that several workers may build at the same time."""
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent.parent) as scratch:
        library = Path(scratch) / target.name
        command = [*compiler, *_FLAGS, *map(str, sources), "-o", str(library), "-lm", "-lpthread"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise SimulationError(
                f"{shlex.join(compiler)} cannot compile the simulated NVML "
                f"(exit status {result.returncode}): {result.stderr.strip() or 'no message'}"
            )
        library.replace(target)
