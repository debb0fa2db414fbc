"""Create a simulated machine for this process and its children."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pytest_energy.simulation import layout
from pytest_energy.simulation.build import SimulationError, build_libraries
from pytest_energy.simulation.machine import CONTROL, STATE_VARIABLE, Machine, assign, ns
from pytest_energy.simulation.profiles import PROFILES, MigProfile, Profile

_LIBRARY = "libnvidia-ml.so.1"
_CLOCK = "clock.so"
_BOARDS = uuid.UUID("6f1f0b1c-6f0e-4b52-9f0e-3d1c6a0f5f43")
_SCRIPT_BEGINS_BEFORE_S = 3600.0  # idle before the machine is created: averages look back
_VIRTUAL_START_S = 100_000.0
_NVIDIA_SMI = """#!/bin/sh
[ "$1" = --help ] && echo 'simulated: there is nothing but this help' && exit 0
echo 'nvidia-smi: the simulated machine answers through NVML only' >&2
exit 2
"""


class SimulatedNvml(Machine):
    """A machine with simulated GPUs, which exists during the ``with`` block.

    Inside the block, the real bindings (``pynvml``) of this process use this machine, and so does
    every child process that inherits ``os.environ``. A child process can also drive it, by
    :meth:`~pytest_energy.simulation.machine.Machine.attached`.
    """

    def __init__(
        self,
        *profiles: Profile | str,
        virtual_clock: bool = False,
        library: bool = True,
        call_cost_s: float = 20e-6,
        clock_read_cost_s: float = 100e-9,
        driver_version: str = "560.35.03",
    ) -> None:
        """Describe the machine.

        Args:
            profiles: One for each card, a name in ``PROFILES`` or a ``Profile``; none: one
                ``hopper``.
            virtual_clock: Child processes, which must have one thread, run on a virtual clock:
                sleeping takes no real time, and reading a clock or calling NVML takes a fixed
                virtual time.
            library: Whether ``libnvidia-ml.so.1`` can be found.
            call_cost_s: Virtual time of a call of NVML.
            clock_read_cost_s: Virtual time of reading a clock.
            driver_version: The driver's version.

        Raises:
            SimulationError: No profile has that name.
        """
        self._profiles = tuple(_profile(profile) for profile in profiles or ("hopper",))
        self._library = library
        self._settings = {
            "virtual_clock": int(virtual_clock),
            "virtual_ns": ns(_VIRTUAL_START_S),
            "call_cost_ns": ns(call_cost_s),
            "clock_read_cost_ns": ns(clock_read_cost_s),
            "driver_version": driver_version,
            "nvml_version": f"12.{driver_version}",
            "cuda_version": 12060,
        }
        self._leave = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nvml-sim-")))
            library = _furnish(folder, with_library=self._library)
            super().__init__(_create_state(folder / "state"))
            self._set_up()
            inherited = self.environment()
            inherited.pop("LD_PRELOAD", None)
            stack.enter_context(_environment(inherited))
            stack.enter_context(_bindings(library))
            self._leave = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave.close()

    def environment(self) -> dict[str, str]:
        """The variables to add to a child process's environment so that it uses this machine.

        Inside the ``with`` block ``os.environ`` already has them, except ``LD_PRELOAD``. That is
        for processes that are to run on the virtual clock, and this process is not.
        """
        folder = self._path.parent
        variables = {
            STATE_VARIABLE: str(self._path),
            "LD_LIBRARY_PATH": _before_others(folder / "lib", "LD_LIBRARY_PATH"),
            "PATH": _before_others(folder / "bin", "PATH"),
        }
        if self._state.virtual_clock:
            variables["LD_PRELOAD"] = _before_others(folder / _CLOCK, "LD_PRELOAD")
        return variables

    def _set_up(self) -> None:
        for name, value in self._settings.items():
            assign(self._state, name, value)
        self._state.epoch_offset_ns = time.time_ns() - time.perf_counter_ns()
        self._state.created_ns = ns(self.now_s())
        for bus, profile in enumerate(self._profiles, start=1):
            card = self._add(_card(profile, bus), profile.idle_w)
            for place, instance in enumerate(profile.mig or ()):
                self._add(_card(profile, bus) | _instance(card, place, instance), 0.0)

    def _add(self, values: Mapping[str, Any], idle_w: float) -> int:
        index = self.device_count
        if index == layout.MAX_DEVICES:
            raise SimulationError(
                f"a simulated machine has at most {index} devices, instances included"
            )
        for name, value in values.items():
            assign(self._state.devices[index], name, value)
        self._state.device_count = index + 1
        self.set_power(idle_w, index, self.now_s() - _SCRIPT_BEGINS_BEFORE_S)
        return index


def _profile(card: Profile | str) -> Profile:
    if isinstance(card, Profile):
        return card
    if card not in PROFILES:
        raise SimulationError(f"no simulated card {card!r}; choose one of {', '.join(PROFILES)}")
    return PROFILES[card]


def _card(profile: Profile, bus: int) -> dict[str, Any]:
    """The state's fields for a card in slot ``bus``."""
    board = uuid.uuid5(_BOARDS, f"{profile.name}/{bus}/{profile.seed}")
    limit_mw = round(profile.power_limit_w * 1e3)
    return {
        "name": profile.name,
        "uuid": f"GPU-{board}",
        "serial": profile.serial,
        "part_number": profile.part_number,
        "bus_id": f"00000000:{bus:02X}:00.0",
        "pci_bus": bus,
        "parent": -1,
        "mig_mode": -1 if profile.mig is None else int(bool(profile.mig)),
        "architecture": profile.architecture,
        "compute_major": profile.compute_capability[0],
        "compute_minor": profile.compute_capability[1],
        "cores": profile.cores,
        "brand": profile.brand,
        "ecc": -1 if profile.ecc is None else int(profile.ecc),
        "persistence": 1,
        "temperature_c": profile.temperature_c,
        "clock_mhz": profile.max_clock_mhz,
        "max_clock_mhz": profile.max_clock_mhz,
        "power_limit_mw": limit_mw,
        "default_limit_mw": limit_mw,
        "max_limit_mw": limit_mw,
        "min_limit_mw": round(profile.min_limit_w * 1e3),
        "memory_bytes": profile.memory_bytes,
        **_sensors(profile),
    }


def _sensors(profile: Profile) -> dict[str, Any]:
    return {
        "counter_tick_ns": ns(profile.counter_tick_s or 0.0),
        "counter_phase_ns": ns(profile.counter_phase_s),
        "counter_window_ns": ns(profile.counter_window_s or 0.0),
        "counter_lag_ns": ns(profile.counter_lag_s),
        "counter_delay_ns": ns(profile.counter_delay_s),
        "counter_jitter_ns": ns(profile.counter_jitter_s),
        "counter_reset_ns": layout.FOREVER,
        "tail_fast_share": profile.tail.fast_share,
        "tail_fast_s": profile.tail.fast_s,
        "tail_slow_share": profile.tail.slow_share,
        "tail_slow_s": profile.tail.slow_s,
        "power_update_ns": ns(profile.power_update_s),
        "power_phase_ns": ns(profile.power_phase_s),
        "power_lag_ns": ns(profile.power_lag_s),
        "power_delay_ns": ns(profile.power_delay_s),
        "power_second_lag_ns": ns(profile.power_second_lag_s),
        "power_second_share": profile.power_second_share,
        "instant_window_ns": ns(profile.instant_window_s),
        "usage_window_ns": ns(profile.usage_window_s),
        "average_window_ns": ns(profile.average_window_s or 0.0),
        "sample_period_ns": ns(profile.sample_period_s or profile.power_update_s),
        "sample_jitter_ns": ns(profile.sample_jitter_s),
        "sample_count": profile.sample_count,
        "throttle_counters": int(profile.throttle_counters),
        "gain": profile.gain,
        "counter_gain": 1.0,
        "module_extra_w": -1.0 if profile.module_extra_w is None else profile.module_extra_w,
        "memory_share": -1.0 if profile.memory_share is None else profile.memory_share,
    }


def _instance(card: int, place: int, instance: MigProfile) -> dict[str, Any]:
    """The fields that differ in a MIG instance: no counter, no power, no samples, no limit."""
    return {
        "parent": card,
        "mig_mode": -1,
        "gpu_instance": place + 1,
        "uuid": f"MIG-{uuid.uuid5(_BOARDS, f'{card}/{place}/{instance.name}')}",
        "name": f"MIG {instance.name}",
        "memory_bytes": instance.memory_bytes,
        "counter_tick_ns": 0,
        "instant_window_ns": 0,
        "usage_window_ns": 0,
        "average_window_ns": 0,
        "sample_count": 0,
        "power_limit_mw": 0,
        "default_limit_mw": 0,
        "throttle_counters": 0,
    }


def _create_state(path: Path) -> Path:
    control = ctypes.CDLL(str(path.parent / CONTROL))
    control.nvml_sim_state_size.restype = ctypes.c_int64
    path.touch(mode=0o600)
    os.truncate(path, control.nvml_sim_state_size())
    failed = control.nvml_sim_create(str(path).encode())
    if failed:
        raise SimulationError(f"cannot create a simulated machine in {path}: {os.strerror(failed)}")
    return path


def _furnish(folder: Path, *, with_library: bool) -> Path:
    """Put the files that processes load into the machine's folder; return the path of NVML.

    NVML is a copy, because a loaded library belongs to one machine. If no NVML is to be found, the
    file is empty: the loader refuses it and does not search further.
    """
    libraries = build_libraries()
    (folder / CONTROL).symlink_to(libraries.nvml)
    (folder / _CLOCK).symlink_to(libraries.clock)
    for name in ("lib", "bin"):
        (folder / name).mkdir()
    if with_library:
        shutil.copyfile(libraries.nvml, folder / "lib" / _LIBRARY)
        _write_program(folder / "bin" / "nvidia-smi")
    else:
        (folder / "lib" / _LIBRARY).touch()
    return folder / "lib" / _LIBRARY


def _write_program(path: Path) -> None:
    """Tools such as CodeCarbon use NVML only if there is an ``nvidia-smi``."""
    path.write_text(_NVIDIA_SMI, encoding="utf-8")
    path.chmod(0o755)


def _before_others(path: Path, variable: str) -> str:
    others = os.environ.get(variable, "").split(":")
    return ":".join([str(path), *(other for other in others if other not in ("", str(path)))])


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _bindings(library: Path) -> Iterator[None]:
    """Let ``pynvml`` of this process load ``library``.

    The loader reads its search path only when a process starts, so the name is resolved here. The
    bindings are otherwise unchanged, and load the real library again after the block.
    """
    import pynvml  # type: ignore[import-untyped]

    def load(name: str, *arguments: Any, **options: Any) -> ctypes.CDLL:
        return ctypes.CDLL(str(library) if name == _LIBRARY else name, *arguments, **options)

    functions = pynvml._nvmlGetFunctionPointer_cache
    before = (pynvml.CDLL, pynvml.nvmlLib, pynvml._nvmlLib_refcount, dict(functions))
    pynvml.CDLL, pynvml.nvmlLib, pynvml._nvmlLib_refcount = load, None, 0
    functions.clear()
    try:
        yield
    finally:
        pynvml.CDLL, pynvml.nvmlLib, pynvml._nvmlLib_refcount, saved = before
        functions.clear()
        functions.update(saved)
