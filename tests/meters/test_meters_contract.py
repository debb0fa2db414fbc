"""The contract for meters: it accepts the package's own, and names each broken promise."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.meters.base import Edge, MeterRequest, MeterUnavailableError, Reading
from pytest_energy.meters.codecarbon import CodeCarbonMeter, Processor
from pytest_energy.meters.combined import CombinedMeter
from pytest_energy.meters.nvml import open_meter as open_nvml
from pytest_energy.meters.rapl.meter import open_meter as open_rapl
from pytest_energy.model.measurement import Environment, MeterInfo, Quantity, Reason, ReasonCode
from pytest_energy.testing import BrokenContractError, SimulatedNvml, meter_contract
from tests.virtual import Seconds, virtual_time

POWER_W = 5.0
ENDED = threading.Event()
"""The end of a test, for threads that it leaves behind."""


@pytest.fixture
def _virtual_time() -> Iterator[None]:
    """The meter of the tests needs no real time."""
    with virtual_time(Seconds()):
        yield
    ENDED.set()
    ENDED.clear()


class Constant:
    """A meter that keeps its contract: a device that always draws 5 W."""

    channels: tuple[str, ...] = ("board",)
    environment = Environment(identity={"device": "Example board"})
    info = MeterInfo(name="example", source="counter", details={"zones": ["all"]})
    shortest_window_s = 0.1

    def __init__(self) -> None:
        self.idle_power_w = {"board": Quantity(value=POWER_W, unit="W")}
        self.opened_s = time.perf_counter()

    def spent_j(self) -> float | None:
        return POWER_W * (time.perf_counter() - self.opened_s)

    def begin(self) -> Edge:
        return Edge(start=time.time(), time_s=time.perf_counter(), state=None)

    def end(self, edge: Edge) -> Reading:
        duration_s = time.perf_counter() - edge.time_s
        reasons = ()
        if duration_s < self.shortest_window_s:
            reasons = (Reason(code=ReasonCode.WINDOW_TOO_SHORT, message="too short"),)
        return Reading(
            duration_s=duration_s,
            channels={"board": POWER_W * duration_s},
            budget={"resolution": 0.01},
            reasons=reasons,
        )

    def close(self) -> None:
        pass


@pytest.mark.usefixtures("_virtual_time")
def test_a_meter_that_keeps_its_contract_passes() -> None:
    """The example that the broken meters below differ from."""
    meter_contract(lambda request: Constant())


@pytest.mark.parametrize(
    "nvml_sim", ["hopper", "pascal", "ada", ("ga100", "ga100")], indirect=True, ids=str
)
def test_the_nvml_meter_keeps_its_contract(nvml_sim: SimulatedNvml) -> None:
    """With a counter, without one, and on two devices."""
    meter_contract(open_nvml, MeterRequest(wait_idle_s=1.0))


def test_the_work_runs_in_each_window(nvml_sim: SimulatedNvml) -> None:
    """A load of the caller's own is measured instead of sleep."""
    lengths_s = []

    def work(duration_s: float) -> None:
        lengths_s.append(duration_s)
        with nvml_sim.load(300.0):
            time.sleep(duration_s)

    meter_contract(open_nvml, work=work)
    assert len(lengths_s) == 3


def test_the_rapl_meter_keeps_its_contract(counting_package: Path) -> None:
    """On a tree of files that counts as the kernel does."""
    meter_contract(lambda request: open_rapl(request, counting_package))


def test_estimates_and_sums_keep_the_contract(counting_package: Path) -> None:
    """A meter that is made of others, an estimate among them."""
    pytest.importorskip("codecarbon")
    processor = Processor("Example CPU", 100.0, sockets=1, threads=2)
    meter_contract(
        lambda request: CombinedMeter(
            [Constant(), CodeCarbonMeter(processor, ram_power_w=5.0, ram_gib=16.0)]
        )
    )


def test_a_meter_that_cannot_measure_is_no_broken_contract(tmp_path: Path) -> None:
    """The test sees the meter's own error and may skip."""
    with pytest.raises(MeterUnavailableError, match="no RAPL"):
        meter_contract(lambda request: open_rapl(request, tmp_path))


def reading(**changes: Any) -> Callable[[Constant, Edge], Reading]:
    """An ``end`` whose reading is changed."""
    return lambda meter, edge: replace(Constant.end(meter, edge), **changes)


def edge(**changes: Any) -> Callable[[Constant], Edge]:
    """A ``begin`` whose edge is changed."""
    return lambda meter: replace(Constant.begin(meter), **changes)


def raising(*arguments: object) -> Any:
    """A method that fails."""
    raise OSError("no such device")


def falling() -> Callable[[Constant], float]:
    """Spent joules that go down."""
    values = iter(range(100, 0, -1))
    return lambda meter: float(next(values))


def close_once(meter: Constant) -> None:
    """Fail at the second call."""
    if meter.opened_s < 0:
        raise OSError("closed already")
    meter.opened_s = -1.0


def begin_with_thread(meter: Constant) -> Edge:
    """Leave a thread behind that runs into the window."""
    threading.Thread(target=ENDED.wait).start()
    return Constant.begin(meter)


def late_end(meter: Constant, edge: Edge) -> Reading:
    """Count the time that ``end`` waits."""
    time.sleep(0.4)
    return Constant.end(meter, edge)


def lost_later(meter: Constant, edge: Edge) -> Reading:
    """Revise a reading to less than nothing once another window has ended."""
    first, ended = Constant.end(meter, edge), vars(meter).setdefault("ended", [])
    ended.append(edge)
    number = len(ended)
    later = replace(first, channels={"board": -1.0})
    return replace(first, revised=lambda: later if len(ended) > number else first)


NAN = float("nan")


@pytest.mark.usefixtures("_virtual_time")
@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"channels": ()}, "channels is empty"),
        ({"channels": ("",)}, "no text or empty"),
        ({"channels": ("board", "board")}, "a name twice"),
        ({"info": None}, "info is a NoneType; it must be a MeterInfo"),
        ({"info": MeterInfo(name="", source="counter")}, "info has no name"),
        ({"info": MeterInfo(name="a", source="b", tick_s=0.0)}, r"info\.tick_s is 0\.0"),
        ({"environment": {}}, "environment is a dict"),
        ({"environment": Environment()}, "identity is empty"),
        (
            {"info": Constant.info.model_copy(update={"details": {"zones": {1}}})},
            "info cannot be written as JSON",
        ),
        ({"shortest_window_s": NAN}, "shortest_window_s is nan"),
        ({"idle_power_w": {"fan": Quantity(value=1.0, unit="W")}}, "idle_power_w has 'fan'"),
        ({"idle_power_w": {"board": Quantity(value=1.0, unit="J")}}, "it must be a Quantity of"),
        ({"spent_j": lambda meter: -1.0}, r"window 1: spent_j\(\) is -1\.0"),
        ({"spent_j": falling()}, r"spent_j\(\) fell from 100\.0 to 99\.0"),
        ({"begin": raising}, "a method raised OSError: no such device"),
        ({"end": raising}, "must be a Reason in the Reading"),
        ({"begin": begin_with_thread}, "begin started a thread"),
        ({"begin": edge(time_s=0.0)}, r"Edge\.time_s is not time\.perf_counter"),
        ({"begin": edge(start=0.0)}, "seconds since the epoch"),
        ({"end": reading(duration_s=0.0)}, r"duration_s is 0\.0"),
        ({"end": late_end}, "to the call of end"),
        ({"end": reading(channels={"board": 1.0, "fan": 1.0})}, "has channel 'fan'"),
        ({"end": reading(channels={"board": -1.0})}, r"'board' has -1\.0 J"),
        ({"end": reading(channels={"board": NAN})}, "'board' has nan J"),
        (
            {"end": reading(channels={})},
            r"\['board'\] have no joules, but the Reading has no fatal",
        ),
        ({"end": reading(channels={"board": 0.0})}, "have exactly 0 J; leave out a channel"),
        ({"end": reading(budget={})}, "the budget is empty"),
        ({"end": reading(budget={"gain": -1.0})}, "the budget has -1.0 J for 'gain'"),
        ({"end": reading(conditions={"board.clock_mhz": None})}, "condition 'board.clock_mhz' is"),
        (
            {"end": reading(reasons=(Reason(code=ReasonCode.NOTE, message=""),))},
            "a reason has no message",
        ),
        ({"end": reading(reasons=())}, "no reason has the code 'window-too-short'"),
        (
            {"end": reading(revised=lambda: Reading(0.1, {}))},
            "revised: the duration and the channels must be those that end returned",
        ),
        ({"end": lost_later}, "window 1, revised: channel 'board' has -1.0 J"),
        ({"end": reading(revised=lambda: raising())}, "revised: it raised OSError"),
        ({"close": raising}, "the first call of close raised OSError"),
        ({"close": close_once}, "the second call of close raised OSError"),
    ],
)
def test_each_broken_promise_is_named(broken: dict[str, Any], sentence: str) -> None:
    """One thing is wrong with the meter, and the message says which."""

    class Broken(Constant):
        def __init__(self) -> None:
            super().__init__()
            if "idle_power_w" in broken:
                self.idle_power_w = broken["idle_power_w"]

    for name, value in broken.items():
        if name != "idle_power_w":
            setattr(Broken, name, value)
    with pytest.raises(BrokenContractError, match=sentence):
        meter_contract(lambda request: Broken())


@pytest.mark.usefixtures("_virtual_time")
def test_all_broken_promises_are_named_at_once() -> None:
    """The author of a meter sees them in one run."""

    class Broken(Constant):
        channels = ("board", "fan")
        shortest_window_s = -1.0

    with pytest.raises(BrokenContractError) as caught:
        meter_contract(lambda request: Broken())
    assert len(caught.value.broken) >= 2
    assert "shortest_window_s is -1.0" in str(caught.value)
    assert "channels ['fan'] have no joules" in str(caught.value)


@pytest.mark.usefixtures("_virtual_time")
def test_a_meter_that_fails_its_contract_is_closed() -> None:
    """Nothing stays open behind a failed test."""
    closed = []

    class Broken(Constant):
        channels = ()

        def close(self) -> None:
            closed.append(True)

    with pytest.raises(BrokenContractError):
        meter_contract(lambda request: Broken())
    assert closed
