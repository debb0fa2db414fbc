"""The simulated machine: set the load of its devices, inject faults, read the true energy.

All times are seconds of ``time.perf_counter()``. On Linux this is the monotonic clock, which is the
same in every process.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from pytest_energy.simulation import layout
from pytest_energy.simulation.build import SimulationError

STATE_VARIABLE = "PYTEST_ENERGY_NVML_SIM"
CONTROL = "control.so"
"""The name of the library beside the state, for processes that drive the machine."""
_GPU_IS_LOST = 15
_REFUSALS = {-1: "it lies in the past or before the last change", -2: "its script is full"}


class Machine:
    """A simulated machine that exists; any process that can map its state can drive it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._control = _load_control(path.parent / CONTROL)
        with path.open("r+b") as file:
            memory = mmap.mmap(file.fileno(), self._control.nvml_sim_state_size())
        self._state = layout.State.from_buffer(memory)
        self._address = ctypes.c_void_p(ctypes.addressof(self._state))

    @classmethod
    def attached(cls) -> Machine:
        """The machine on which this process was started; the process that created it ends it.

        Raises:
            SimulationError: This process was not started on a simulated machine.
        """
        path = os.environ.get(STATE_VARIABLE)
        if not path:
            raise SimulationError(
                f"no simulated machine: {STATE_VARIABLE} is not set; start this process inside the"
                " 'with' block of a SimulatedNvml"
            )
        return Machine(Path(path))

    # ---- time ----

    def now_s(self) -> float:
        """The machine's time: real, or virtual if it has a virtual clock."""
        return int(self._control.nvml_sim_now_ns(self._address)) * 1e-9

    def advance(self, duration_s: float) -> None:
        """Let virtual time pass.

        Raises:
            SimulationError: The machine runs on the real clock.
        """
        if not self._state.virtual_clock:
            raise SimulationError(
                "the machine runs on the real clock; sleep instead, or create it with"
                " virtual_clock=True"
            )
        with self._locked():
            self._state.virtual_ns += ns(duration_s)

    # ---- power, and the truth ----

    def set_power(self, power_w: float, device: int = 0, at_s: float | None = None) -> float:
        """Draw ``power_w`` from now on or from ``at_s`` on; return the time of the change."""
        return self._append(layout.Segment(high_w=power_w), device, at_s)

    def set_pulses(
        self,
        high_w: float,
        low_w: float,
        period_s: float,
        duty: float = 0.5,
        phase_s: float = 0.0,
        device: int = 0,
        at_s: float | None = None,
    ) -> float:
        """Draw a square wave; return the time of the change.

        The wave is ``high_w`` for the first ``duty`` of each period, and ``low_w`` for the rest of
        it. It begins ``phase_s`` after the start of a period.
        """
        if period_s <= 0 or not 0 <= duty <= 1 or phase_s < 0:
            raise SimulationError(
                f"pulses need period_s > 0, duty in 0..1 and phase_s >= 0; "
                f"got {period_s}, {duty} and {phase_s}"
            )
        segment = layout.Segment(
            period_ns=ns(period_s), phase_ns=ns(phase_s), high_w=high_w, low_w=low_w, duty=duty
        )
        return self._append(segment, device, at_s)

    @contextmanager
    def load(self, power_w: float, device: int = 0) -> Iterator[None]:
        """Draw ``power_w`` as a compute process while the block runs, then the earlier power."""
        with self._restoring(device), self.process(os.getpid(), device):
            self.set_power(power_w, device)
            yield

    @contextmanager
    def pulsed_load(
        self,
        high_w: float,
        low_w: float,
        period_s: float,
        duty: float = 0.5,
        phase_s: float = 0.0,
        device: int = 0,
    ) -> Iterator[None]:
        """Draw a square wave while the block runs; see :meth:`set_pulses` and :meth:`load`."""
        with self._restoring(device), self.process(os.getpid(), device):
            self.set_pulses(high_w, low_w, period_s, duty, phase_s, device)
            yield

    def record(self, powers_w: Sequence[float], step_s: float, device: int = 0) -> None:
        """Store a recording of power for :meth:`replayed_load`: means over steps of ``step_s``.

        Raises:
            SimulationError: There are more samples than a device holds.
        """
        self._check_device(device)
        if len(powers_w) > layout.MAX_RECORDED:
            raise SimulationError(
                f"a recording of {len(powers_w)} samples does not fit; a device holds "
                f"{layout.MAX_RECORDED}"
            )
        energies_j = accumulate(power_w * step_s for power_w in powers_w)
        with self._locked():
            target = self._state.devices[device]
            target.recorded_step_ns = ns(step_s)
            target.recorded_j[: len(powers_w)] = list(energies_j)

    @contextmanager
    def replayed_load(
        self, load: range, tail: range, rest_w: float, duration_s: float, device: int = 0
    ) -> Iterator[None]:
        """Draw the recorded power while the block runs, then its recorded tail, then ``rest_w``.

        Args:
            load: The samples of the load; a longer block repeats them. It ends with the last one.
            tail: The samples that follow its end.
            rest_w: The power after the tail.
            duration_s: How long the block will run.
            device: The device.
        """
        self._check_device(device)
        step_ns = self._state.devices[device].recorded_step_ns
        whole_ns = len(load) * step_ns
        begun = layout.Segment(
            period_ns=whole_ns,
            phase_ns=-ns(duration_s) % whole_ns,
            recorded_from=load.start,
            recorded_count=len(load),
        )
        ended = layout.Segment(high_w=rest_w, recorded_from=tail.start, recorded_count=len(tail))
        with self.process(os.getpid(), device):
            self._append(begun, device, None)
            try:
                yield
            finally:
                self._append(ended, device, None)

    def shorten_script(self, device: int = 0) -> None:
        """Forget the oldest quarter of a nearly full power script.

        For loads that change the power without end. The sensors look back for seconds only; the
        true energy of a time that was forgotten is no longer known.
        """
        target = self._state.devices[device]
        if target.segment_count < layout.MAX_SEGMENTS - 8:
            return
        with self._locked():
            dropped = target.segment_count // 4
            size = ctypes.sizeof(layout.Segment)
            first = ctypes.addressof(target.segments)
            ctypes.memmove(
                first, first + dropped * size, (target.segment_count - dropped) * size
            )  # a segment holds the joules before it, so the others stay as they are
            target.segment_count -= dropped

    def rest_power_w(self, device: int = 0) -> float:
        """The power that the device draws now, without pulses and tails."""
        self._check_device(device)
        target = self._state.devices[device]
        return float(target.segments[target.segment_count - 1].high_w)

    @property
    def has_virtual_clock(self) -> bool:
        """Whether its time is virtual."""
        return bool(self._state.virtual_clock)

    def true_energy_j(self, start_s: float, end_s: float, device: int = 0) -> float:
        """The true joules of the device between two times: the exact integral of its power."""
        self._check_device(device)
        return float(self._control.nvml_sim_energy_j(self._address, device, ns(start_s), ns(end_s)))

    # ---- what happens to a device ----

    def configure(self, device: int = 0, **values: Any) -> None:
        """Change properties or sensors of a device now: fields of ``layout.Device`` by name.

        For example ``configure(temperature_c=80, power_limit_mw=350_000, gain=1.02)``. Texts are
        ``str``, clocks are four numbers.
        """
        self._check_device(device)
        target = self._state.devices[device]
        unknown = sorted(values.keys() - {field[0] for field in layout.Device._fields_})
        if unknown:
            raise SimulationError(
                f"a simulated device has no {', '.join(unknown)}; see layout.Device for its fields"
            )
        with self._locked():
            for name, value in values.items():
                assign(target, name, value)

    def fail(
        self,
        function: str,
        code: int,
        *,
        device: int | None = None,
        field: int | None = None,
        at_s: float | None = None,
        until_s: float | None = None,
        after_calls: int = 0,
        times: int | None = None,
    ) -> None:
        """Make a function of NVML fail.

        Args:
            function: The name without a version, such as ``nvmlInit``; ``*``: every function that
                concerns a device.
            code: The return code, ``pynvml.NVML_ERROR_…``.
            device: The device for which it fails; ``None``: all.
            field: Only this field of ``nvmlDeviceGetFieldValues`` has the return code.
            at_s: The failure begins at this time.
            until_s: The failure ends at this time.
            after_calls: The number of calls that still succeed.
            times: The number of calls that then fail; ``None``: all.
        """
        fault = layout.Fault(
            function=function.encode(),
            device=-1 if device is None else device,
            field=field or 0,
            code=code,
            from_ns=0 if at_s is None else ns(at_s),
            until_ns=_until_ns(until_s),
            after_calls=after_calls,
            times=times or 0,
        )
        with self._locked():
            self._state.fault_count = _put(self._state.faults, self._state.fault_count, fault)

    def recover(self) -> None:
        """End all failures."""
        with self._locked():
            self._state.fault_count = 0

    def lose(self, device: int = 0, at_s: float | None = None, after_calls: int = 0) -> None:
        """Lose the device: every call that concerns it fails with GPU_IS_LOST."""
        self.fail("*", _GPU_IS_LOST, device=device, at_s=at_s, after_calls=after_calls)

    def reset_counter(self, device: int = 0, at_s: float | None = None) -> None:
        """Restart the energy counter from zero, as when the driver is reloaded."""
        moment_s = self.now_s() if at_s is None else at_s
        self.configure(device, counter_reset_ns=ns(moment_s))

    def throttle(
        self,
        reasons: int,
        share: float = 1.0,
        device: int = 0,
        at_s: float | None = None,
        until_s: float | None = None,
    ) -> None:
        """Throttle the device for ``share`` of the time, for ``nvmlClocksEventReason…`` reasons.

        This changes the answers of NVML, not the power.
        """
        self._check_device(device)
        target = self._state.devices[device]
        start_ns = ns(self.now_s() if at_s is None else at_s)
        throttle = layout.Throttle(
            from_ns=start_ns, until_ns=_until_ns(until_s), reasons=reasons, share=share
        )
        with self._locked():
            target.throttle_count = _put(target.throttles, target.throttle_count, throttle)

    def stop_throttling(self, device: int = 0) -> None:
        """End all throttling of the device; the throttled time counted so far remains."""
        self._check_device(device)
        target = self._state.devices[device]
        now_ns = ns(self.now_s())
        with self._locked():
            for throttle in target.throttles[: target.throttle_count]:
                throttle.until_ns = min(throttle.until_ns, now_ns)

    def add_process(
        self,
        pid: int,
        device: int = 0,
        *,
        memory_bytes: int = 500 * 2**20,
        graphics: bool = False,
        name: str = "",
        sm_percent: int = 0,
        at_s: float | None = None,
        until_s: float | None = None,
    ) -> None:
        """Put a process on the device, from now or ``at_s`` until ``until_s``.

        Args:
            pid: The process, which need not exist.
            device: The device.
            memory_bytes: Its memory on the device.
            graphics: Whether it draws; otherwise it computes.
            name: What the driver calls it; empty: the driver does not know.
            sm_percent: What it uses of the multiprocessors.
            at_s: When it begins; ``None``: now.
            until_s: When it ends; ``None``: never.
        """
        self._occupy(
            device,
            layout.Process(
                from_ns=ns(self.now_s() if at_s is None else at_s),
                until_ns=_until_ns(until_s),
                used_memory_bytes=memory_bytes,
                pid=pid,
                graphics=int(graphics),
                sm_percent=sm_percent,
                name=name.encode(),
            ),
        )

    @contextmanager
    def process(self, pid: int, device: int = 0) -> Iterator[None]:
        """Put a compute process on the device while the block runs."""
        entry = self._occupy(device, layout.Process(until_ns=layout.FOREVER, pid=pid))
        try:
            yield
        finally:
            with self._locked():
                entry.until_ns = 0

    # ---- what was asked of it ----

    @property
    def device_count(self) -> int:
        """The number of devices, including MIG instances, which follow their card."""
        return int(self._state.device_count)

    def uuid(self, device: int = 0) -> str:
        """The device's UUID in NVML."""
        self._check_device(device)
        return str(self._state.devices[device].uuid.decode())

    def calls(self, function: str) -> int:
        """The number of calls of a function on this machine; its name has no version."""
        functions = self._state.functions[: self._state.function_count]
        return sum(
            entry.calls for entry in functions if _versionless(entry.name.decode()) == function
        )

    # ---- inside ----

    def _append(self, segment: layout.Segment, device: int, at_s: float | None) -> float:
        self._check_device(device)
        segment.start_ns = 0 if at_s is None else ns(at_s)
        start_ns = self._control.nvml_sim_append(self._address, device, ctypes.byref(segment))
        if start_ns in _REFUSALS:
            raise SimulationError(f"device {device}: no change of power: {_REFUSALS[start_ns]}")
        return float(start_ns) * 1e-9

    def _occupy(self, device: int, process: layout.Process) -> layout.Process:
        """Put a process on a device, in the slot of an ended process or in a new one."""
        self._check_device(device)
        target = self._state.devices[device]
        now_ns = ns(self.now_s())
        with self._locked():
            present = target.process_count
            ended = (i for i in range(present) if target.processes[i].until_ns <= now_ns)
            place = next(ended, present)
            target.process_count = max(present, _put(target.processes, place, process))
        return target.processes[place]  # type: ignore[no-any-return]  # an element of an array

    @contextmanager
    def _restoring(self, device: int) -> Iterator[None]:
        """Restore the earlier power after the block; a square wave continues in its phase."""
        self._check_device(device)
        target = self._state.devices[device]
        before = target.segments[target.segment_count - 1]
        try:
            yield
        finally:
            segment = layout.Segment.from_buffer_copy(before)
            elapsed_ns = ns(self.now_s()) - before.start_ns + before.phase_ns
            segment.phase_ns = elapsed_ns % before.period_ns if before.period_ns else 0
            if not before.period_ns:
                segment.recorded_count, segment.fast_w, segment.slow_w = 0, 0.0, 0.0
                self._add_tail(segment, device)
            self._append(segment, device, None)

    def _add_tail(self, rest: layout.Segment, device: int) -> None:
        """Let the power fall to that of ``rest`` as the device's tail says."""
        target = self._state.devices[device]
        loaded = target.segments[target.segment_count - 1]
        step_w = _power_w(loaded, ns(self.now_s())) - rest.high_w
        rest.fast_w, rest.fast_s = target.tail_fast_share * step_w, target.tail_fast_s
        rest.slow_w, rest.slow_s = target.tail_slow_share * step_w, target.tail_slow_s

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._control.nvml_sim_lock(self._address)
        try:
            yield
        finally:
            self._control.nvml_sim_unlock(self._address)

    def _check_device(self, device: int) -> None:
        if not 0 <= device < self.device_count:
            raise SimulationError(
                f"no simulated device {device}: there are {self.device_count}, counted from 0"
            )


def ns(time_s: float) -> int:
    """Nanoseconds, the unit of times in the state."""
    return round(time_s * 1e9)


def _power_w(segment: layout.Segment, at_ns: int) -> float:
    """The power of a constant or pulsed section at a moment."""
    if not segment.period_ns:
        return float(segment.high_w)
    position_ns = (at_ns - segment.start_ns + segment.phase_ns) % segment.period_ns
    in_pulse = position_ns < segment.duty * segment.period_ns
    return float(segment.high_w if in_pulse else segment.low_w)


def assign(target: ctypes.Structure, name: str, value: Any) -> None:
    """Set a field of a structure; a text or a group of numbers is converted."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(getattr(target, name), ctypes.Array) and not isinstance(value, bytes):
        getattr(target, name)[:] = value
    else:
        setattr(target, name, value)


def _load_control(library: Path) -> ctypes.CDLL:
    """The library's control functions, with their types."""
    control = ctypes.CDLL(str(library))
    for name in ("state_size", "lock_offset", "now_ns", "append"):
        getattr(control, f"nvml_sim_{name}").restype = ctypes.c_int64
    energy_j = control.nvml_sim_energy_j
    energy_j.restype = ctypes.c_double
    energy_j.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_int64]
    if control.nvml_sim_lock_offset() != ctypes.sizeof(layout.State):
        raise SimulationError("simulation/layout.py and nvml_sim/state.h differ: change both")
    return control


def _until_ns(time_s: float | None) -> int:
    return layout.FOREVER if time_s is None else ns(time_s)


def _put(entries: Any, place: int, entry: ctypes.Structure) -> int:
    """Write into a fixed array of the state; return its number of entries."""
    if place == len(entries):
        raise SimulationError(f"a simulated machine has room for {place} of {type(entry).__name__}")
    entries[place] = entry
    return place + 1


def _versionless(function: str) -> str:
    name, _, version = function.rpartition("_v")
    return name if name and version.isdigit() else function
