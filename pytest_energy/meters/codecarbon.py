"""CodeCarbon's model of CPU and RAM: estimated joules for machines that cannot measure.

Only CodeCarbon's hardware objects are used. Its tracker is never created, and so neither are its
scheduler threads, its country look-up, its cloud probes and its telemetry: nothing here opens a
connection or starts a thread. The CPU's load is the kernel's count between the two edges, so
nothing runs inside a window.

The models (CodeCarbon 3.3, ``external/hardware.py`` and ``external/ram.py``):

* CPU: ``TDP · (0.1 + 0.9 · load³)``, with the load of the whole machine;
* RAM: a constant 5 W (1.5 W on ARM) for each memory module that such a machine probably has.

Neither model was fitted to the machine at hand, so the type B uncertainty is large. The CPU's power
is assumed to lie between a tenth of the TDP and the TDP (uniform, GUM 4.3.7), the RAM's between 0
and twice its estimate (triangular, GUM 4.3.9). Like the gain of a sensor, this error is the same in
all windows of one machine, so its term is called ``gain``. The term ``resolution`` differs from
window to window.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import os
import platform
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, cast

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.base import Edge, MeterRequest, MeterUnavailableError, Reading
from pytest_energy.model.conditions import Condition
from pytest_energy.model.environment import cpu_model
from pytest_energy.model.measurement import Environment, MeterInfo, Quantity, Reason, ReasonCode
from pytest_energy.uncertainty.gum import combine, uniform

if TYPE_CHECKING:
    from codecarbon.external.hardware import CPU

FLOOR: Final = 0.1
"""Share of the TDP that the model gives an idle CPU."""
STEEPEST: Final = 3 * (1 - FLOOR)
"""Largest slope of the modelled power, in TDP per unit of load: at full load."""
TICKS_A_WINDOW: Final = 10
"""Kernel ticks in the shortest window: its load is known to 10 %, better than the model."""

REMEDY: Final = "install CodeCarbon with: pip install 'pytest-energy[carbon]'"


@dataclass(frozen=True)
class Processor:
    """The CPU as CodeCarbon describes it, with its assumed power at full load."""

    model: str
    tdp_w: float
    """The TDP of all sockets together."""
    sockets: int
    threads: int
    doubts: tuple[str, ...] = ()
    """Why the TDP is a guess; empty if CodeCarbon's table lists the CPU."""


class CodeCarbonMeter:
    """CPU and RAM by CodeCarbon's model; windows may overlap."""

    channels = ("cpu", "ram")

    def __init__(self, processor: Processor, ram_power_w: float, ram_gib: float) -> None:
        self._processor = processor
        self._ram_power_w = ram_power_w
        self._ram_gib = ram_gib
        # Windows counts the time of processes in steps of 1/64 s.
        self._tick_s = 1 / (os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 64)
        self._opened = self.begin()
        self._spent_j = 0.0

    @property
    def info(self) -> MeterInfo:
        """An estimate, with its assumptions."""
        return MeterInfo(
            name="codecarbon",
            source="model",
            estimated=True,
            details={
                "cpu_tdp_w": self._processor.tdp_w,
                "cpu_tdp_source": "assumed" if self._processor.doubts else "CodeCarbon's CPU table",
                "cpu_model": "TDP × (0.1 + 0.9 × load³)",
                "ram_power_w": self._ram_power_w,
            },
        )

    @property
    def environment(self) -> Environment:
        """The processor and the memory, with CodeCarbon's version, which may explain a drift."""
        identity = {
            "device": self._processor.model,
            "device_count": self._processor.sockets,
            "cpu_threads": self._processor.threads,
            "cpu_tdp_w": self._processor.tdp_w,
            "ram_gib": round(self._ram_gib),
            "meter": "codecarbon",
            "meter_source": "model",
            "estimated": True,
        }
        return Environment(identity=identity, context={"codecarbon": version("codecarbon")})

    @property
    def shortest_window_s(self) -> float:
        """Long enough for the kernel's count of busy time to resolve the load."""
        return TICKS_A_WINDOW * self._tick_s

    @property
    def idle_power_w(self) -> Mapping[str, Quantity]:
        """Empty: a model does not measure idle power."""
        return {}

    def spent_j(self) -> float | None:
        """Joules since the meter was opened: the sum over the times between the calls of this."""
        reading = self.end(self._opened)
        # CodeCarbon gives the load since its last reading only, so a window cannot be ended twice.
        self._opened = self.begin()
        self._spent_j += sum(reading.channels.values())
        return self._spent_j

    def begin(self) -> Edge:
        """Open a window by reading the kernel's count of busy time."""
        cpu = _load_model(self._processor)
        with _collected_warnings():
            cpu.start()
        return Edge(start=CLOCK.time(), time_s=CLOCK.perf_counter(), state=cpu)

    def end(self, edge: Edge) -> Reading:
        """Close the window: its joules are the modelled power at its load, times its duration."""
        duration_s = CLOCK.perf_counter() - edge.time_s
        cpu = cast("CPU", edge.state)
        with _collected_warnings():
            powers_w = {"cpu": float(cpu.total_power().W), "ram": self._ram_power_w}
        return Reading(
            duration_s=duration_s,
            channels={name: power_w * duration_s for name, power_w in powers_w.items()},
            budget=self._budget(duration_s),
            conditions={
                str(Condition(name, "power_w")): power_w for name, power_w in powers_w.items()
            },
            reasons=(*self._doubts(), *self._length(duration_s)),
        )

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _budget(self, duration_s: float) -> dict[str, float]:
        tdp_w = self._processor.tdp_w
        cpu_gain_w = uniform((1 - FLOOR) * tdp_w)
        ram_gain_w = self._ram_power_w / math.sqrt(6)  # triangular between 0 and twice the estimate
        # each thread's busy time is off by up to a tick at either edge
        busy_s = uniform(2 * self._tick_s) / math.sqrt(self._processor.threads)
        return {
            "gain": combine((cpu_gain_w, ram_gain_w)) * duration_s,
            "resolution": STEEPEST * tdp_w * busy_s,
        }

    def _doubts(self) -> Iterator[Reason]:
        for doubt in self._processor.doubts:
            yield Reason(code=ReasonCode.NOTE, message=doubt, fatal=False)

    def _length(self, duration_s: float) -> Iterator[Reason]:
        """A remark only: the load's uncertainty is small beside that of the model."""
        if duration_s < self.shortest_window_s:
            message = (
                f"the CPU's load is hardly resolved in a window of {duration_s:.4g} s;"
                f" make it at least {self.shortest_window_s:.4g} s long"
            )
            yield Reason(code=ReasonCode.WINDOW_TOO_SHORT, message=message, fatal=False)


def open_meter(request: MeterRequest) -> CodeCarbonMeter:
    """Open the estimate for this machine; the devices in ``request`` are GPUs and do not matter.

    Raises:
        MeterUnavailableError: CodeCarbon is not installed or cannot describe the machine.
    """
    try:
        # its logger gets a handler of standard error now, and AMD's bindings print what they miss
        noise = io.StringIO()
        with _collected_warnings(), redirect_stdout(noise), redirect_stderr(noise):
            import codecarbon.external.hardware  # noqa: F401  # needs psutil, rapidfuzz and more
    except ImportError as error:
        message = f"no estimate of CPU and RAM energy: {error}; {REMEDY}"
        raise MeterUnavailableError(ReasonCode.NO_METER, message) from None
    try:
        processor, memory = find_processor(), find_memory()
    except OSError as error:  # in a SLURM job CodeCarbon runs scontrol, installed or not
        message = f"no estimate of CPU and RAM energy: CodeCarbon failed: {error}"
        raise MeterUnavailableError(ReasonCode.METER_FAILED, message) from None
    return CodeCarbonMeter(processor, *memory)


def find_processor() -> Processor:
    """The CPU and its TDP from CodeCarbon's table, or by CodeCarbon's guess.

    CodeCarbon assumes 4 W a thread for a CPU that is not in its table, and 85 W for a CPU whose
    name cannot be read; ``doubts`` then says so.
    """
    from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE
    from codecarbon.core.util import count_cpus, count_physical_cpus
    from codecarbon.external.hardware import POWER_CONSTANT

    with _collected_warnings() as doubts:
        sockets, threads, model = count_physical_cpus(), count_cpus(), cpu_name()
        listed_w = table_tdp_w(model) if model else None
    if model and listed_w:
        return Processor(model, listed_w * sockets, sockets, threads, tuple(doubts))
    # the guess by threads covers all sockets already
    tdp_w = float(threads * DEFAULT_POWER_PER_CORE if model else POWER_CONSTANT)
    guess = f"CodeCarbon does not know the TDP of CPU {model!r}: {tdp_w:g} W assumed"
    return Processor(model or "unknown", tdp_w, sockets, threads, (guess, *doubts))


def cpu_name() -> str | None:
    """The CPU's name; CodeCarbon's own way to it takes a second and is used only without Linux's.

    ``None`` if it cannot be read.
    """
    if (model := cpu_model()) != platform.machine():
        return model
    from codecarbon.core.util import detect_cpu_model

    return detect_cpu_model() or None


def table_tdp_w(model: str) -> float | None:
    """The TDP of one such CPU in CodeCarbon's table, as its ``TDP`` finds it; ``None`` without it.

    The table is read without pandas, whose import takes seconds.
    """
    from codecarbon.core.cpu import TDP

    path = files("codecarbon") / "data" / "hardware" / "cpu_power.csv"
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    finder = TDP.__new__(TDP)  # its own constructor reads the name and the table once more
    columns: Any = {"Name": [row["Name"] for row in rows]}
    match = finder._get_matching_cpu(model, columns)
    return next((float(row["TDP"]) for row in rows if row["Name"] == match), None)


def find_memory() -> tuple[float, float]:
    """Modelled power in watts and size in GiB of the machine's memory.

    Raises:
        MeterUnavailableError: CodeCarbon cannot find out the size.
    """
    from codecarbon.external.ram import RAM

    with _collected_warnings() as faults:
        ram = RAM(tracking_mode="machine")
        power_w = float(ram.total_power().W)
    if power_w <= 0:  # CodeCarbon's answer after a failure
        message = f"no estimate of RAM energy: {'; '.join(faults)}"
        raise MeterUnavailableError(ReasonCode.METER_FAILED, message)
    return power_w, float(ram.machine_memory_GB)


def _load_model(processor: Processor) -> CPU:
    from codecarbon.external.hardware import CPU, MODE_CPU_LOAD

    # One object for each window, because it stores the counts of its last reading.
    tdp: Any = processor.tdp_w  # annotated as int, but a float in CodeCarbon's own table
    with _collected_warnings():
        return CPU("", MODE_CPU_LOAD, processor.model, tdp, tracking_mode="machine")


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Collect CodeCarbon's warnings instead of letting them appear on the terminal."""
    logger = logging.getLogger("codecarbon")
    before = logger.handlers, logger.level, logger.propagate
    collector = _Collector()
    logger.handlers, logger.propagate = [collector], False
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():  # of the libraries that it imports
            warnings.simplefilter("ignore")
            yield collector.messages
    finally:
        logger.handlers, logger.propagate = before[0], before[2]
        logger.setLevel(before[1])


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
