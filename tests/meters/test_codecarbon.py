"""The estimate of CPU and RAM: labelled, offline, never zero."""

import logging
import platform
import subprocess
import sys
import time
import warnings

import pytest

from pytest_energy.clocks import CLOCK
from pytest_energy.meters import codecarbon as estimate
from pytest_energy.meters.base import MeterRequest, MeterUnavailableError
from pytest_energy.meters.codecarbon import CodeCarbonMeter, Processor
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.measurement import ReasonCode

PROCESSOR = Processor(model="Example 9000", tdp_w=100.0, sockets=1, threads=4)


@pytest.fixture
def meter():
    """A meter of an invented machine."""
    return CodeCarbonMeter(PROCESSOR, ram_power_w=20.0, ram_gib=31.6)


@pytest.fixture
def kernel_counts(monkeypatch):
    """Set the kernel's counts: ``kernel_counts(busy=…, idle=…)`` in seconds."""
    import psutil

    def install(*, busy: float, idle: float) -> None:
        template = psutil.cpu_times()
        counts = template._replace(**dict.fromkeys(template._fields, 0.0))
        monkeypatch.setattr(psutil, "cpu_times", lambda: counts._replace(user=busy, idle=idle))

    return install


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until the test moves it."""
    now = {"s": 1000.0}
    monkeypatch.setattr(CLOCK, "perf_counter", lambda: now["s"])
    return now


@pytest.mark.parametrize(
    ("busy", "idle", "cpu_power_w"),
    [
        (0.0, 8.0, 10.0),  # no load: a tenth of the TDP
        (4.0, 4.0, 100 * (0.1 + 0.9 * 0.5**3)),  # half load: the cubic
        (8.0, 0.0, 100.0),  # full load: the TDP
    ],
)
def test_energy_is_modelled_power_times_time(meter, kernel_counts, clock, busy, idle, cpu_power_w):
    """Joules are CodeCarbon's power at the window's own load, times the window's length."""
    kernel_counts(busy=100.0, idle=100.0)
    edge = meter.begin()
    clock["s"] += 2.0
    kernel_counts(busy=100.0 + busy, idle=100.0 + idle)

    reading = meter.end(edge)

    assert reading.duration_s == 2.0
    assert reading.channels == pytest.approx({"cpu": 2 * cpu_power_w, "ram": 40.0})
    assert reading.valid


def test_an_empty_window_is_not_zero(meter, kernel_counts, clock):
    """If the kernel's counts have not moved, the model's floor is used, with a remark."""
    kernel_counts(busy=5.0, idle=5.0)
    edge = meter.begin()
    clock["s"] += 0.001

    reading = meter.end(edge)

    assert reading.channels == pytest.approx({"cpu": 0.010, "ram": 0.020})
    assert [(r.code, r.fatal) for r in reading.reasons] == [(ReasonCode.WINDOW_TOO_SHORT, False)]


def test_windows_may_overlap(meter, kernel_counts, clock):
    """A window inside another does not change the load of the outer one."""
    kernel_counts(busy=0.0, idle=0.0)
    outer = meter.begin()
    kernel_counts(busy=8.0, idle=0.0)
    clock["s"] += 2.0
    inner = meter.begin()
    clock["s"] += 2.0
    kernel_counts(busy=8.0, idle=8.0)

    assert meter.end(inner).conditions["cpu.power_w"] == pytest.approx(10.0)
    assert meter.end(outer).conditions["cpu.power_w"] == pytest.approx(100 * (0.1 + 0.9 / 8))


def test_uncertainty_is_that_of_a_model(meter, kernel_counts, clock):
    """The gain covers what the hardware could draw; the resolution does not grow with time."""
    kernel_counts(busy=0.0, idle=0.0)
    edges = [meter.begin(), meter.begin()]
    clock["s"] += 1.0
    kernel_counts(busy=2.0, idle=2.0)
    short = meter.end(edges[0])
    clock["s"] += 9.0
    long = meter.end(edges[1])

    assert short.budget["gain"] == pytest.approx((90**2 / 12 + 20**2 / 6) ** 0.5)
    assert long.budget["gain"] == pytest.approx(10 * short.budget["gain"])
    assert long.budget["resolution"] == short.budget["resolution"] > 0


def test_estimates_say_so(meter):
    """The meter calls itself an estimate and names the power it assumes."""
    assert meter.info.estimated
    assert meter.info.source == "model"
    assert meter.info.details["cpu_tdp_w"] == 100.0
    assert meter.environment.identity["device"] == "Example 9000"
    assert meter.environment.identity["ram_gib"] == 32
    assert meter.environment.context["codecarbon"]


@pytest.fixture
def cpu_name(monkeypatch):
    """Give the machine's CPU this name; ``None``: it has none for Linux nor for CodeCarbon."""
    from codecarbon.core import util

    def name(model):
        monkeypatch.setattr(estimate, "cpu_model", lambda: model or platform.machine())
        monkeypatch.setattr(util, "detect_cpu_model", lambda: None)

    return name


def test_a_known_cpu_has_its_own_tdp(cpu_name):
    """A CPU in CodeCarbon's table has the table's TDP for each socket, without remarks."""
    cpu_name("Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz")

    processor = estimate.find_processor()

    assert processor.tdp_w == 205 * processor.sockets
    assert processor.doubts == ()


@pytest.mark.parametrize(
    "name",
    [
        "Intel(R) Core(TM) i7-10700K CPU @ 3.80GHz",
        "AMD EPYC 7763 64-Core Processor",
        "AMD Ryzen 9 5950X 16-Core Processor",
        "Intel(R) Xeon(R) CPU",
        "Acme Thinker 1",
    ],
)
def test_the_table_is_read_as_codecarbon_reads_it(name):
    """The TDP is that of CodeCarbon's own search with pandas, also where it finds nothing."""
    from codecarbon.core.cpu import TDP
    from codecarbon.input import DataSource

    search = TDP.__new__(TDP)
    table = DataSource().get_cpu_power_data()
    match = search._get_matching_cpu(name, table)

    expected_w = search._get_cpu_constant_power(match, table) if match else None
    assert estimate.table_tdp_w(name) == expected_w


@pytest.mark.parametrize("name", ["Acme Thinker 1", None])
def test_an_unknown_cpu_is_reported(cpu_name, kernel_counts, name):
    """A guessed TDP is a remark in every reading and does not make it invalid."""
    cpu_name(name)
    meter = CodeCarbonMeter(estimate.find_processor(), ram_power_w=20.0, ram_gib=16)

    reading = meter.end(meter.begin())

    reason = reading.reasons[0]
    assert reason.code is ReasonCode.NOTE
    assert not reason.fatal
    assert f"{meter.info.details['cpu_tdp_w']:g} W assumed" in reason.message
    assert meter.info.details["cpu_tdp_source"] == "assumed"
    assert reading.valid


OFFLINE = """
import sys, threading

def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"{event} {arguments}")

class Amd:
    def find_spec(self, name, path, target=None):
        if name == "amdsmi":  # as AMD's bindings behave without AMD's library
            print("libamd_smi.so is missing")
            raise KeyError("libamd_smi.so")

sys.addaudithook(refuse)
sys.meta_path.insert(0, Amd())
from pytest_energy.meters.base import MeterRequest
from pytest_energy.meters.registry import open_meter

meter = open_meter("codecarbon", MeterRequest(country="DEU"))
if slow := {"pandas", "cpuinfo"} & sys.modules.keys():
    raise SystemExit(f"{slow} take seconds to import")
edge = meter.begin()
threads = threading.enumerate()
reading = meter.end(edge)
meter.close()
print(len(threads), reading.valid, *reading.channels)
"""


def test_no_connection_no_thread_and_no_delay():
    """A fresh interpreter makes no socket, no thread and no noise, and loads nothing slow."""
    ended = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1 True cpu ram\n", "")


def test_the_loggers_of_codecarbon_are_left_as_they_were():
    """Opening the meter leaves no log handler behind."""
    logger = logging.getLogger("codecarbon")
    before = list(logger.handlers), logger.level, logger.propagate

    open_meter("codecarbon", MeterRequest()).close()

    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_warnings_of_codecarbon_stay_off_the_terminal(meter, monkeypatch, capfd):
    """What it logs or warns at an edge of a window is no noise in a test's output."""
    from codecarbon.external.hardware import CPU

    def complain(self):
        logging.getLogger("codecarbon").warning("what a noise")
        warnings.warn("what a noise", FutureWarning, stacklevel=1)

    monkeypatch.setattr(CPU, "start", complain)
    meter.end(meter.begin())

    assert capfd.readouterr() == ("", "")


def test_a_real_window_has_joules():
    """On this machine, a window has positive joules below the maximum of the model."""
    meter = open_meter("codecarbon", MeterRequest())
    edge = meter.begin()
    while time.perf_counter() - edge.time_s < meter.shortest_window_s:
        sum(range(1000))

    reading = meter.end(edge)

    details = meter.info.details
    assert reading.duration_s >= meter.shortest_window_s
    assert 0 < reading.channels["cpu"] <= details["cpu_tdp_w"] * reading.duration_s
    assert reading.channels["ram"] == details["ram_power_w"] * reading.duration_s


def test_without_codecarbon_the_remedy_is_given(monkeypatch):
    """If CodeCarbon is not installed, the message says what to install."""
    monkeypatch.setitem(sys.modules, "codecarbon.external.hardware", None)

    with pytest.raises(MeterUnavailableError, match=r"pip install 'pytest-energy\[carbon\]'"):
        open_meter("codecarbon", MeterRequest())


def test_a_ram_model_that_fails_is_no_zero(monkeypatch):
    """If CodeCarbon cannot find the size of the memory, it answers 0 W, and the meter refuses."""
    import psutil

    def fail():
        raise OSError("no /proc")

    monkeypatch.setattr(psutil, "virtual_memory", fail)

    with pytest.raises(MeterUnavailableError, match="no /proc") as caught:
        open_meter("codecarbon", MeterRequest())
    assert caught.value.reason.code is ReasonCode.METER_FAILED


def test_a_failing_helper_of_codecarbon_is_reported(monkeypatch):
    """In a SLURM job without scontrol, as in a container, the message names what is missing."""
    from codecarbon.core import util

    monkeypatch.setattr(util, "SLURM_JOB_ID", "1")
    monkeypatch.setenv("PATH", "")

    with pytest.raises(MeterUnavailableError, match="scontrol") as caught:
        open_meter("codecarbon", MeterRequest())
    assert caught.value.reason.code is ReasonCode.METER_FAILED
