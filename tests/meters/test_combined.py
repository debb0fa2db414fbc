"""Several meters as one."""

import math
import time
from dataclasses import dataclass, field, replace

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.meters import nvml as nvml_meter
from pytest_energy.meters import registry
from pytest_energy.meters.base import Edge, MeterRequest, MeterUnavailableError, Reading
from pytest_energy.meters.combined import CombinedMeter
from pytest_energy.meters.rapl import meter as rapl_meter
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.measurement import Environment, MeterInfo, Quantity, Reason, ReasonCode
from pytest_energy.testing import PROFILES, SimulatedNvml

LOST = Reason(code=ReasonCode.DEVICE_LOST, message="gpu1 is lost")


@dataclass
class Part:
    """A meter with fixed readings that records its calls."""

    name: str
    joules: dict[str, float]
    tick_s: float | None = None
    source: str = "counter"
    estimated: bool = False
    reasons: tuple[Reason, ...] = ()
    missing: tuple[str, ...] = ()
    duration_s: float = 2.0
    idle_w: float | None = 1.0
    identity: dict = field(default_factory=dict)
    calls: list = field(default_factory=list)

    @property
    def info(self):
        return MeterInfo(
            name=self.name,
            source=self.source,
            estimated=self.estimated,
            tick_s=self.tick_s,
            details={"zones": 1},
        )

    @property
    def channels(self):
        return tuple(self.joules)

    @property
    def environment(self):
        identity = {**self.identity, "meter": self.name, "meter_source": self.source}
        return Environment(identity=identity, context={"driver": f"{self.name} 1"})

    @property
    def shortest_window_s(self):
        return 10 * (self.tick_s or 0)

    @property
    def idle_power_w(self):
        if self.idle_w is None:
            return {}
        return {channel: Quantity(value=self.idle_w, unit="W") for channel in self.joules}

    def begin(self):
        self.calls.append(("begin", self.name))
        return Edge(start=float(len(self.calls)), time_s=0.0, state=self.name)

    def end(self, edge):
        assert edge.state == self.name
        self.calls.append(("end", self.name))
        read = {name: value for name, value in self.joules.items() if name not in self.missing}
        return Reading(
            duration_s=self.duration_s,
            channels=read,
            budget={"resolution": 3.0 if self.name == "nvml" else 4.0},
            conditions={f"{self.name}.seen": 1.0},
            reasons=self.reasons,
        )

    def close(self):
        self.calls.append(("close", self.name))


def nvml(**changes):
    """A meter of two GPUs."""
    identity = {"device": "Example GPU", "device_count": 2}
    return Part("nvml", {"gpu0": 10.0, "gpu1": 20.0}, tick_s=0.1, identity=identity, **changes)


def rapl(**changes):
    """A meter of a CPU and its memory."""
    identity = {"device": "Example CPU", "zones": ["package-0"]}
    return Part("rapl", {"cpu": 5.0, "dram": 1.0}, tick_s=0.001, identity=identity, **changes)


def test_channels_stand_side_by_side():
    """The sum has every channel of its parts, their uncertainties combined."""
    combined = CombinedMeter([nvml(), rapl()])

    reading = combined.end(combined.begin())

    assert combined.channels == ("gpu0", "gpu1", "cpu", "dram")
    assert reading.channels == {"gpu0": 10.0, "gpu1": 20.0, "cpu": 5.0, "dram": 1.0}
    assert reading.budget == {"resolution": 5.0}
    assert reading.conditions == {"nvml.seen": 1.0, "rapl.seen": 1.0}
    assert reading.valid
    assert set(combined.idle_power_w) == set(combined.channels)


@pytest.mark.parametrize("order", [("nvml", "rapl"), ("rapl", "nvml")])
def test_the_slow_counter_is_outside(order):
    """In any order of names, the meter that waits for its tick begins first and ends last."""
    calls = []
    parts = {"nvml": nvml(calls=calls), "rapl": rapl(calls=calls)}
    combined = CombinedMeter([parts[name] for name in order])

    edge = combined.begin()
    combined.end(edge)
    combined.close()

    assert [call for call in calls if call[0] != "close"] == [
        ("begin", "nvml"),
        ("begin", "rapl"),
        ("end", "rapl"),
        ("end", "nvml"),
    ]
    assert edge.start == 2.0  # that of rapl, which began last
    assert {call for call in calls if call[0] == "close"} == {("close", "nvml"), ("close", "rapl")}


@pytest.mark.parametrize(
    ("idle_w", "gpu0_j", "edges_j"),
    [(2.0, 10 - 0.5 * 2, 0.5 * (2 * 4**2 / 12) ** 0.5), (None, 9.0, 0.5 * (4**2 + 8**2) ** 0.5)],
)
def test_the_time_that_a_part_waits_is_in_no_other_window(idle_w, gpu0_j, edges_j):
    """Half a second in which the inner meter ended costs the outer one no idle joules."""
    outer = nvml(duration_s=2.5, idle_w=idle_w)
    combined = CombinedMeter([outer, rapl(duration_s=2.0)])

    reading = combined.end(combined.begin())

    assert reading.duration_s == 2.0
    assert reading.channels["gpu0"] == pytest.approx(gpu0_j)
    assert reading.channels["cpu"] == 5.0
    if idle_w is None:
        edges_j /= 12**0.5
    assert reading.budget["edges"] == pytest.approx(edges_j)


def test_the_sum_is_revised_when_a_part_is():
    """The other parts stay as they are, and the time outside the window stays left out."""
    later = []

    class Revising(Part):
        def end(self, edge):
            first = super().end(edge)
            return replace(first, revised=lambda: replace(first, **dict(later)))

    gpus = Revising("nvml", {"gpu0": 10.0, "gpu1": 20.0}, tick_s=0.1, duration_s=3.0)
    meter = CombinedMeter([gpus, rapl()])
    reading = meter.end(meter.begin())
    later += [("channels", {"gpu0": 12.0, "gpu1": 20.0}), ("budget", {"resolution": 1.0})]
    by_now = reading.by_now()
    assert by_now.channels["gpu0"] == pytest.approx(reading.channels["gpu0"] + 2.0)
    assert by_now.channels["cpu"] == reading.channels["cpu"] == 5.0
    assert by_now.budget["resolution"] == pytest.approx(math.hypot(1.0, 4.0))
    assert by_now.budget["edges"] == reading.budget["edges"]
    final = CombinedMeter([nvml(), rapl()])
    assert final.end(final.begin()).revised is None


def test_a_part_that_fails_makes_the_sum_invalid():
    """A lost GPU is reported and makes the sum invalid: the sum is never just smaller."""
    combined = CombinedMeter([nvml(missing=("gpu1",), reasons=(LOST,)), rapl()])

    reading = combined.end(combined.begin())

    assert not reading.valid
    assert reading.reasons == (LOST,)
    assert set(combined.channels) - set(reading.channels) == {"gpu1"}


def test_changed_settings_are_accepted_by_the_parts_that_check_them():
    """A processor has none, so its meter need not know of them."""

    class Adjusted(Part):
        def accept_settings(self):
            self.calls.append("accepted")

    gpu, processor = Adjusted("nvml", {"gpu0": 10.0}), rapl()
    CombinedMeter([gpu, processor]).accept_settings()
    assert (gpu.calls, processor.calls) == (["accepted"], [])


def test_parts_that_learn_from_programs_are_told_of_them():
    """A processor has no tail, so its meter need not know of programs."""

    class Learning(Part):
        def next_program(self, name):
            self.calls.append(name)

    gpu, processor = Learning("nvml", {"gpu0": 10.0}), rapl()
    CombinedMeter([gpu, processor]).next_program("decode")
    assert (gpu.calls, processor.calls) == (["decode"], [])


def test_names_sources_and_identity_are_merged():
    """The first meter names the device; facts of the second with the same name get a prefix."""
    combined = CombinedMeter([nvml(), rapl(source="model", estimated=True)])

    assert combined.info == MeterInfo(
        name="nvml+rapl",
        source="counter+model",
        estimated=True,
        tick_s=0.1,
        details={"nvml.zones": 1, "rapl.zones": 1},
    )
    assert combined.shortest_window_s == 1.0
    assert combined.environment.identity == {
        "meter": "nvml+rapl",
        "meter_source": "counter+model",
        "device": "Example GPU",
        "device_count": 2,
        "rapl.device": "Example CPU",
        "zones": ["package-0"],
    }
    assert combined.environment.context == {"driver": "nvml 1", "rapl.driver": "rapl 1"}


def test_nothing_is_counted_twice():
    """Two meters of one channel are refused by name."""
    with pytest.raises(UsageError, match="'rapl\\+rapl' would count cpu, dram twice"):
        CombinedMeter([rapl(), rapl()])


@pytest.fixture
def installed(monkeypatch):
    """Install only these openers as meters; an exception stands for one that cannot be loaded."""

    @dataclass
    class Point:
        name: str
        opener: object
        value: str = "their.package:open_meter"

        def load(self):
            if isinstance(self.opener, Exception):
                raise self.opener
            return self.opener

    def install(**openers):
        points = [Point(name, opener) for name, opener in openers.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: points)
        return points

    return install


def refuse(request):
    """An opener that refuses."""
    raise MeterUnavailableError(ReasonCode.NO_PERMISSION, "RAPL may not be read")


def test_a_plus_opens_the_sum(installed):
    """The name nvml+rapl opens both meters as one."""
    installed(nvml=lambda request: nvml(), rapl=lambda request: rapl())

    assert open_meter("nvml+rapl", MeterRequest()).channels == ("gpu0", "gpu1", "cpu", "dram")


def test_a_part_that_does_not_open_closes_the_others(installed):
    """If one part of a sum cannot be opened, that is an error, and the others are closed."""
    part = nvml()
    installed(nvml=lambda request: part, rapl=refuse)

    with pytest.raises(MeterUnavailableError, match="RAPL may not be read"):
        open_meter("nvml+rapl", MeterRequest())
    assert part.calls == [("close", "nvml")]


@pytest.mark.parametrize("name", ["nvml+", "+", "nvml+nonsense"])
def test_a_part_that_nobody_has_is_named(installed, name):
    """An unknown part of a sum is a usage error that lists the installed meters."""
    installed(nvml=lambda request: nvml())

    with pytest.raises(UsageError, match="choose one of auto, nvml"):
        open_meter(name, MeterRequest())


@pytest.mark.parametrize(
    ("working", "chosen"),
    [
        (("nvml", "rapl", "codecarbon"), "nvml"),
        (("rapl", "codecarbon"), "rapl"),
        (("codecarbon",), "codecarbon"),
    ],
)
def test_auto_takes_measured_before_estimated(installed, working, chosen):
    """The first of NVML, RAPL and the estimate that opens is used."""
    meters = {
        name: (lambda request, name=name: Part(name, {"cpu": 1.0})) if name in working else refuse
        for name in ("codecarbon", "rapl", "nvml")
    }
    installed(**meters)

    assert open_meter("auto", MeterRequest()).info.name == chosen


def opener(name, **attributes):
    """An opener of a meter of that name, with attributes."""

    def open_part(request):
        return Part(name, {"cpu": 1.0})

    vars(open_part).update(attributes)
    return open_part


@pytest.mark.parametrize(
    ("stated", "order"),
    [
        ({}, ("nvml", "rapl", "theirs", "codecarbon")),
        ({"auto_order": 50}, ("theirs", "nvml", "rapl", "codecarbon")),
        ({"auto_order": 150.5}, ("nvml", "theirs", "rapl", "codecarbon")),
        ({"auto_order": 1000}, ("nvml", "rapl", "codecarbon", "theirs")),
        ({"auto_order": 100}, ("nvml", "theirs", "rapl", "codecarbon")),
    ],
)
def test_auto_tries_meters_of_other_packages_in_their_order(installed, stated, order):
    """A package's meter states its place; without one it comes before the estimate."""
    installed(codecarbon=refuse, rapl=refuse, nvml=refuse, theirs=opener("theirs", **stated))

    assert registry.auto_order() == order
    assert open_meter("auto", MeterRequest()).info.name == "theirs"


@pytest.mark.parametrize("order", ["first", None, True, float("nan")])
def test_an_order_that_is_no_number_is_an_error(installed, order):
    """The error names the meter and the value."""
    installed(nvml=refuse, theirs=opener("theirs", auto_order=order))

    with pytest.raises(UsageError, match=f"'theirs': auto_order is {order!r}"):
        open_meter("auto", MeterRequest())


@pytest.mark.parametrize("name", ["auto", "theirs", "theirs+rapl"])
@pytest.mark.parametrize(
    ("opened", "words"),
    [
        (lambda request: 1 / 0, "'theirs' cannot be opened: ZeroDivisionError: division by zero"),
        (lambda request: None, "'theirs': its opener returned None, which has no info, channels"),
    ],
)
def test_a_meter_of_another_package_that_is_broken_is_named(installed, opened, words, name):
    """Its author sees the cause, and its user what to do; nothing else measures in its place."""
    opened.auto_order = 50
    installed(rapl=opener("rapl"), theirs=opened)

    with pytest.raises(UsageError, match=words) as caught:
        open_meter(name, MeterRequest())
    assert "--energy-meter" in str(caught.value)


@pytest.mark.parametrize("name", ["auto", "theirs"])
def test_a_meter_that_cannot_be_loaded_is_an_error(installed, name):
    """A broken package is named and never silently replaced by another meter."""
    installed(rapl=opener("rapl"), theirs=ModuleNotFoundError("No module named 'their'"))

    with pytest.raises(UsageError, match=r"'theirs' .* their.package:open_meter: No module"):
        open_meter(name, MeterRequest())


def test_two_packages_with_one_name_are_an_error(installed):
    """It would be chance which of the two measures."""
    points = installed(rapl=opener("rapl"), other=opener("other"))
    points[1].name, points[1].value = "rapl", "another:open_meter"

    with pytest.raises(UsageError, match="two meters are called 'rapl'"):
        open_meter("rapl", MeterRequest())


def test_named_devices_are_never_replaced_by_the_processor(installed):
    """With --energy-devices, auto tries no meter of processors: that would be another device."""
    installed(nvml=refuse, rapl=opener("rapl"), codecarbon=opener("codecarbon"))

    with pytest.raises(UsageError, match=r"^--energy-devices=0,1: .*RAPL may not be read"):
        open_meter("auto", MeterRequest(devices=("0", "1")))
    assert open_meter("rapl", MeterRequest(devices=("0",))).info.name == "rapl"


@pytest.fixture
def machine(counting_package, quick_opening):
    """Two simulated GPUs and an invented package of 50 W, whose thread needs the real clock."""
    card = replace(PROFILES["ada"], counter_tick_s=0.01)
    with SimulatedNvml(card, card) as sim:
        meters = [
            nvml_meter.open_meter(MeterRequest()),
            rapl_meter.open_meter(MeterRequest(), counting_package),
        ]
        combined = CombinedMeter(meters)
        yield sim, combined
        combined.close()


def test_gpus_and_a_processor_together(machine):
    """Each channel has its true joules; if a GPU is lost, the sum has none, and the others have."""
    sim, combined = machine

    edge = combined.begin()
    start_s = sim.now_s()
    with sim.load(300, device=0), sim.load(200, device=1):
        time.sleep(0.5)
    end_s = sim.now_s()
    reading = combined.end(edge)

    assert reading.valid
    assert combined.channels == ("gpu0", "gpu1", "cpu")
    assert reading.channels["cpu"] == pytest.approx(50 * reading.duration_s, rel=0.03)
    for device, channel in enumerate(("gpu0", "gpu1")):
        true_j = sim.true_energy_j(start_s, end_s, device)
        assert reading.channels[channel] == pytest.approx(true_j, rel=0.02)

    edge = combined.begin()
    time.sleep(0.2)
    sim.lose(1)
    reading = combined.end(edge)

    assert not reading.valid
    assert "gpu1" not in reading.channels
    assert {"gpu0", "cpu"} <= set(reading.channels)
    assert ReasonCode.DEVICE_LOST in [reason.code for reason in reading.reasons]
