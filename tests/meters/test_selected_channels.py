"""Some channels of a meter."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.meters.base import Adjustable, Edge, LearnsPrograms, Meter, Reading
from pytest_energy.meters.combined import CombinedMeter
from pytest_energy.meters.selected_channels import owner_of, select_channels
from pytest_energy.model.measurement import Environment, MeterInfo, Quantity


@dataclass
class Fixed:
    """A meter whose channels use 1 J, 2 J and so on in each window."""

    name: str
    channels: tuple[str, ...]
    windows: int = 0
    shortest_window_s: float = 0.1
    idle_power_w: dict[str, Quantity] = field(default_factory=dict)

    @property
    def info(self) -> MeterInfo:
        return MeterInfo(name=self.name, source="counter")

    @property
    def environment(self) -> Environment:
        return Environment(identity={"device": self.name})

    def spent_j(self) -> float | None:
        return 1.0

    def begin(self) -> Edge:
        self.windows += 1
        return Edge(0.0, 0.0, None)

    def end(self, edge: Edge) -> Reading:
        joules = {name: float(place) for place, name in enumerate(self.channels, start=1)}
        return Reading(1.0, joules, {"resolution": 0.5})

    def close(self) -> None:
        pass


def window_of(meter: Meter) -> Reading:
    """One window."""
    return meter.end(meter.begin())


def test_the_joules_of_other_channels_are_left_out() -> None:
    """The identity has the channels, so that other sums are not compared with it."""
    meter = select_channels(Fixed("rapl", ("cpu", "dram")), ["dram"])
    reading = window_of(meter)
    assert (reading.channels, reading.budget) == ({"dram": 2.0}, {"resolution": 0.5})
    assert meter.channels == ("dram",)
    assert meter.environment.identity == {"device": "rapl", "channels": ["dram"]}
    assert meter.spent_j() is None


def test_what_is_revised_is_selected_as_well() -> None:
    """The revised joules of the other channels are left out, too."""

    class Revising(Fixed):
        def end(self, edge: Edge) -> Reading:
            first = super().end(edge)
            later = replace(first, channels={"cpu": 1.5, "dram": 2.5})
            return replace(first, revised=lambda: later)

    reading = window_of(select_channels(Revising("rapl", ("cpu", "dram")), ["dram"]))
    assert (reading.channels, reading.by_now().channels) == ({"dram": 2.0}, {"dram": 2.5})
    assert window_of(Fixed("rapl", ("cpu",))).by_now().channels == {"cpu": 1.0}


def test_all_channels_are_the_meter_itself() -> None:
    """Nothing of its identity changes."""
    meter = Fixed("rapl", ("cpu", "dram"))
    assert select_channels(meter, ["dram", "cpu"]) is meter


def test_a_part_without_any_of_them_is_not_read() -> None:
    """Its edges would only take time, and an idle GPU is no concern of the CPU."""
    gpu, cpu = Fixed("nvml", ("gpu0",)), Fixed("rapl", ("cpu", "dram"))
    meter = select_channels(CombinedMeter([gpu, cpu]), ["cpu"])
    assert window_of(meter).channels == {"cpu": 1.0}
    assert (gpu.windows, cpu.windows) == (0, 1)
    both = select_channels(CombinedMeter([gpu, cpu]), ["cpu", "gpu0"])
    assert window_of(both).channels == {"gpu0": 1.0, "cpu": 1.0}


def test_a_channel_that_is_nowhere_is_an_error() -> None:
    """The text has the channels that there are."""
    gpu = Fixed("nvml", ("gpu0",))
    with pytest.raises(UsageError, match="no channel 'gpu7'; nvml has gpu0"):
        select_channels(gpu, ["gpu7"])
    with pytest.raises(UsageError, match="no channel 'gpu7' here; known are cpu, dram, gpu0"):
        owner_of(["gpu7"], gpu)
    assert owner_of(["gpu0"], gpu) is None
    assert owner_of(["cpu", "dram"], gpu) == owner_of(["cpu"], None) == "rapl"


@dataclass
class Told(Fixed):
    """A meter that checks settings and learns from programs."""

    calls: list[str] = field(default_factory=list)

    def accept_settings(self) -> None:
        self.calls.append("accepted")

    def next_program(self, name: str) -> None:
        self.calls.append(name)


def test_what_a_test_tells_its_meter_reaches_the_whole_meter() -> None:
    """Its channels are of devices whose settings the test may change."""
    whole = Told("nvml", ("gpu0", "gpu1"))
    for meter in (select_channels(whole, ["gpu0"]), select_channels(Fixed("a", ("b", "c")), ["b"])):
        assert isinstance(meter, Adjustable)
        assert isinstance(meter, LearnsPrograms)
        meter.accept_settings()
        meter.next_program("decode")
    assert whole.calls == ["accepted", "decode"]
