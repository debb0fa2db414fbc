"""RAPL on an invented powercap tree whose true power is known."""

import itertools
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.base import MeterRequest, MeterUnavailableError
from pytest_energy.meters.rapl import meter as rapl
from pytest_energy.meters.rapl.meter import open_meter
from pytest_energy.meters.rapl.turnover import WrapHistory
from pytest_energy.meters.rapl.zones import UNKNOWN_LIMIT_W, Zone, find_zones, spent_uj
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.uncertainty.gum import combine, expand

RANGE_UJ = 262_143_328_850
TICK_S = 1e-3


@dataclass
class Powercap:
    """A powercap tree and the clock of its counters; each reading of the clock takes 20 µs."""

    root: Path
    now_s: float = 1000.0
    powers_w: dict[str, float] = field(default_factory=dict)
    exact_uj: dict[str, float] = field(default_factory=dict)
    ranges_uj: dict[str, int] = field(default_factory=dict)
    ticks_s: dict[str, float] = field(default_factory=dict)
    opened: list[rapl.RaplMeter] = field(default_factory=list)
    helpers: list["Helper"] = field(default_factory=list)
    asked: int = 0
    """How often a meter asked its helper."""

    def add(self, folder, name, power_w=0.0, count_uj=0, range_uj=RANGE_UJ, tick_s=TICK_S, **files):
        """Add a zone that draws ``power_w``, with more files such as a power limit."""
        (self.root / folder).mkdir()
        contents = {"name": name, "max_energy_range_uj": range_uj, **files}
        for file, content in contents.items():
            (self.root / folder / file).write_text(f"{content}\n")
        self.powers_w[folder], self.exact_uj[folder] = power_w, float(count_uj)
        self.ranges_uj[folder], self.ticks_s[folder] = range_uj, tick_s
        self._write(folder, self.exact_uj[folder])

    def advance(self, seconds):
        """Let time pass: each counter shows its zone's energy up to its last tick."""
        before, self.now_s = self.now_s, self.now_s + seconds
        for folder, power_w in self.powers_w.items():
            tick = int(self.now_s / self.ticks_s[folder]) * self.ticks_s[folder]
            if tick > before:
                self._write(folder, self.exact_uj[folder] + power_w * (tick - before) * 1e6)
            self.exact_uj[folder] += power_w * seconds * 1e6
        for helper in self.helpers if seconds > 1 else ():
            helper.look()

    def perf_counter(self):
        """The clock."""
        self.advance(20e-6)
        return self.now_s

    def _write(self, folder, exact_uj):
        count = int(exact_uj) % (self.ranges_uj[folder] + 1)
        (self.root / folder / "energy_uj").write_text(f"{count}\n")


@dataclass
class Helper:
    """The helper process on the tree's clock; each answer takes 5 ms."""

    tree: Powercap
    counters: list
    history: WrapHistory | None = None
    ended: bool = False

    def look(self):
        counts = [int(path.read_text()) for path, _ in self.counters]
        if self.history is None:
            ranges = [range_uj for _, range_uj in self.counters]
            self.history = WrapHistory(ranges, counts, self.tree.now_s)
        self.history.look(counts, self.tree.now_s)

    def since(self, time_s, counts):
        self.tree.asked += 1
        self.tree.advance(5e-3)
        self.look()
        return None if self.ended else self.history.since(time_s, counts)

    def close(self):
        self.ended = True


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """A tree without zones; its clock replaces that of the meter."""
    tree = Powercap(tmp_path / "powercap")
    tree.root.mkdir()
    monkeypatch.setattr(CLOCK, "perf_counter", tree.perf_counter)
    monkeypatch.setattr(CLOCK, "sleep", tree.advance)

    def start_helper(counters, period_s):
        tree.helpers.append(Helper(tree, counters))
        tree.helpers[-1].look()
        return tree.helpers[-1]

    monkeypatch.setattr(rapl, "WrapCounter", start_helper)
    yield tree
    for meter in tree.opened:
        meter.close()


def opened(powercap):
    """The meter of the tree; both are closed together."""
    meter = open_meter(MeterRequest(), powercap.root)
    powercap.opened.append(meter)
    return meter


def window(powercap, meter, seconds):
    """The reading of a window in which ``seconds`` pass."""
    edge = meter.begin()
    powercap.advance(seconds)
    return meter.end(edge)


@given(start=st.integers(0, RANGE_UJ), spent=st.integers(0, RANGE_UJ), range_uj=st.just(RANGE_UJ))
def test_a_turn_over_loses_nothing(start, spent, range_uj):
    """From any start, the difference of the counter is right, also past its range."""
    end = (start + spent) % (range_uj + 1)

    assert spent_uj(start, end, range_uj) == spent


@given(st.lists(st.integers(0, RANGE_UJ // 8), min_size=1, max_size=8), st.integers(0, RANGE_UJ))
def test_windows_in_a_row_add_up(parts, start):
    """The joules of successive windows add up to those of the whole."""
    edges = [count % (RANGE_UJ + 1) for count in itertools.accumulate(parts, initial=start)]
    pieces = sum(spent_uj(*pair, RANGE_UJ) for pair in itertools.pairwise(edges))

    assert pieces == spent_uj(edges[0], edges[-1], RANGE_UJ) == sum(parts)


def test_packages_and_memory_are_summed_by_channel(powercap):
    """Two sockets with memory: the channels cpu and dram are sums over both sockets."""
    powercap.add("intel-rapl:0", "package-0", power_w=100)
    powercap.add("intel-rapl:0:0", "core", power_w=70)
    powercap.add("intel-rapl:0:1", "dram", power_w=10)
    powercap.add("intel-rapl:1", "package-1", power_w=50)
    powercap.add("intel-rapl:1:0", "dram", power_w=5)
    meter = opened(powercap)

    reading = window(powercap, meter, 2.0)

    assert reading.valid
    assert meter.channels == ("cpu", "dram")
    assert reading.channels == pytest.approx({"cpu": 300.0, "dram": 30.0}, rel=1e-3)
    assert sum(reading.channels.values()) == pytest.approx(
        330.0, abs=3 * reading.budget["resolution"]
    )
    assert meter.environment.identity["device_count"] == 2


def test_the_period_of_the_counter_is_measured(powercap):
    """The tick in the results is the measured one, and the shortest window depends on it."""
    powercap.add("intel-rapl:0", "package-0", power_w=100)

    meter = opened(powercap)

    assert meter.info.tick_s == pytest.approx(TICK_S, rel=0.05)
    assert meter.shortest_window_s == pytest.approx(200 * TICK_S, rel=0.05)


@pytest.mark.parametrize("power_w", [0.0, 100.0])
def test_a_counter_that_hardly_moves_is_refused(powercap, power_w):
    """With one update or none while it is watched, the period is unknown: nothing is measured."""
    powercap.add("intel-rapl:0", "package-0", power_w=power_w, count_uj=7, tick_s=3.0)

    with pytest.raises(
        MeterUnavailableError, match=r"package-0 was updated \d times in 2.5 s"
    ) as e:
        opened(powercap)
    assert e.value.reason.code is ReasonCode.UNSUPPORTED


def test_memory_that_counts_nothing_is_left_out(powercap):
    """A memory zone at 0, as desktop processors have, is named as missing and is no channel."""
    powercap.add("intel-rapl:0", "package-0", power_w=100)
    powercap.add("intel-rapl:0:0", "dram", power_w=0)

    meter = opened(powercap)

    assert meter.channels == ("cpu",)
    assert meter.info.details["missing"] == ["dram (intel-rapl:0:0): its counter stands at 0"]


@pytest.mark.parametrize("tick_s", [0.1, 1.0])
@pytest.mark.parametrize("length_s", [1.5, 2.75, 10.0])
def test_slow_counters_are_aligned(powercap, tick_s, length_s):
    """With updates every 100 ms or 1 s, a load between idle times is right within its interval."""
    powercap.add("intel-rapl:0", "package-0", power_w=40, tick_s=tick_s)
    powercap.add("intel-rapl:0:0", "dram", power_w=10, tick_s=tick_s)
    meter = opened(powercap)
    assert meter.info.tick_s == pytest.approx(tick_s, rel=0.02)
    assert meter.idle_power_w["cpu"].value == pytest.approx(40, rel=2e-3)

    for pause_s in (0.13, 0.37, 0.61, 0.9):
        powercap.advance(pause_s)
        edge = meter.begin()
        powercap.powers_w["intel-rapl:0"] = 200.0
        powercap.advance(length_s)
        powercap.powers_w["intel-rapl:0"] = 40.0
        reading = meter.end(edge)
        assert reading.valid
        assert reading.duration_s == pytest.approx(length_s, abs=1e-3)
        stated_j = expand(combine(reading.budget.values()))
        assert reading.channels["cpu"] == pytest.approx(200 * length_s, abs=2 * stated_j)
        # Where only one whole tick fits into the window, what follows the load is less well known.
        largest = 0.04 if length_s < 2 * tick_s else 0.02
        assert stated_j < largest * 200 * length_s


def test_a_slow_counter_that_wraps_is_right(powercap):
    """A slow counter that wraps several times within a window gives the same joules."""
    powercap.add("intel-rapl:0", "package-0", power_w=100, tick_s=0.1, range_uj=60_000_000_000)
    meter = opened(powercap)
    edge = meter.begin()
    for _ in range(35):  # 600 s a wrap
        powercap.advance(60)

    reading = meter.end(edge)

    assert reading.valid
    assert reading.channels["cpu"] == pytest.approx(210_000, rel=1e-5)


def test_a_slow_counter_that_is_lost_gives_no_joules(powercap):
    """If the counter cannot be read while its update is awaited, the channel is absent."""
    powercap.add("intel-rapl:0", "package-0", power_w=100, tick_s=0.1)
    meter = opened(powercap)
    edge = meter.begin()
    powercap.advance(1.0)
    powercap.powers_w.clear()
    (powercap.root / "intel-rapl:0" / "energy_uj").unlink()

    reading = meter.end(edge)

    assert not reading.channels
    assert reading.reasons[0].code is ReasonCode.METER_FAILED


def test_negative_joules_are_no_energy(powercap, monkeypatch):
    """Where more is subtracted than was counted, the channel is absent and the reason says so."""
    powercap.add("intel-rapl:0", "package-0", power_w=100, tick_s=0.1)
    meter = opened(powercap)
    edge = meter.begin()
    next_tick_s, advance = powercap.now_s + 0.1, powercap.advance

    def asleep_until_the_next_tick(seconds):
        powercap.powers_w["intel-rapl:0"] = 0.0 if powercap.now_s < next_tick_s else 100.0
        advance(seconds)

    monkeypatch.setattr(powercap, "advance", asleep_until_the_next_tick)
    monkeypatch.setattr(CLOCK, "sleep", asleep_until_the_next_tick)

    reading = meter.end(edge)

    assert not reading.channels
    assert reading.reasons[0].code is ReasonCode.NEGATIVE_ENERGY
    assert "package-0: negative energy" in reading.reasons[0].message


LIMITED = {"constraint_0_power_limit_uw": 650_000_000, "constraint_1_max_power_uw": 800_000_000}


@pytest.mark.parametrize(
    ("files", "highest_w"),
    [
        (LIMITED, 1600),
        ({**LIMITED, "enabled": 1}, 1600),
        ({**LIMITED, "enabled": 0}, UNKNOWN_LIMIT_W),
        ({"constraint_0_power_limit_uw": 0}, UNKNOWN_LIMIT_W),
        ({"constraint_0_power_limit_uw": 4_095_000_000}, UNKNOWN_LIMIT_W),
        ({"constraint_0_max_power_uw": ""}, UNKNOWN_LIMIT_W),
        ({}, UNKNOWN_LIMIT_W),
    ],
)
def test_the_highest_power_is_that_of_the_zones_limits(powercap, files, highest_w):
    """A zone's own limits decide what power is plausible; without them nearly everything is."""
    powercap.add("intel-rapl:0", "package-0", **files)

    assert [zone.highest_power_w for zone in find_zones(powercap.root)] == [highest_w]


@pytest.mark.parametrize("files", [{}, LIMITED])
def test_a_large_package_is_no_reset(powercap, files):
    """A package of 650 W is measured."""
    powercap.add("intel-rapl:0", "package-0", power_w=650, **files)

    reading = window(powercap, opened(powercap), 2.0)

    assert reading.valid
    assert reading.channels["cpu"] == pytest.approx(1300, rel=1e-3)


def test_more_than_the_limit_allows_is_a_reset(powercap):
    """A counter that jumped by more than twice the zone's limit was reset."""
    powercap.add("intel-rapl:0", "package-0", power_w=100, constraint_0_power_limit_uw=200_000_000)
    meter = opened(powercap)
    edge = meter.begin()
    powercap.exact_uj["intel-rapl:0"] += 500e6
    powercap.advance(1.0)

    assert meter.end(edge).reasons[0].code is ReasonCode.COUNTER_RESET


def test_the_helper_is_not_asked_at_the_edges(powercap):
    """Its answer takes time, in which the devices of all meters draw power: 5 ms here."""
    powercap.add("intel-rapl:0", "package-0", power_w=100)
    meter = opened(powercap)
    powercap.asked = 0

    began_s = powercap.now_s
    reading = window(powercap, meter, 2.0)

    assert powercap.asked == 0
    assert powercap.now_s - began_s < 2.001
    assert reading.duration_s == pytest.approx(2.0, abs=2e-4)


def test_the_stated_uncertainty_holds_the_truth(powercap):
    """In at least 93 of 100 windows at any phase, the 95 % interval contains the true joules."""
    powercap.add("intel-rapl:0", "package-0", power_w=100)
    meter = opened(powercap)
    phases = random.Random(1)

    held = 0
    for _ in range(300):
        powercap.advance(phases.uniform(0, 5 * TICK_S))
        duration_s = phases.uniform(0.1, 0.2)
        reading = window(powercap, meter, duration_s)
        error_j = abs(reading.channels["cpu"] - 100 * duration_s)
        held += error_j <= expand(combine(reading.budget.values()))

    assert held >= 0.93 * 300


def test_idle_power_is_measured_at_opening(powercap):
    """Each channel's idle power is its power while the meter was opened."""
    powercap.add("intel-rapl:0", "package-0", power_w=30)
    powercap.add("intel-rapl:0:0", "dram", power_w=4)

    idle = opened(powercap).idle_power_w

    assert idle["cpu"].value == pytest.approx(30, rel=5e-3)
    assert idle["dram"].value == pytest.approx(4, rel=5e-3)
    assert idle["cpu"].unit == "W"


def test_a_window_over_the_turn_over_is_right(powercap):
    """A counter that wraps around inside a window gives the same joules as any other."""
    powercap.add("intel-rapl:0", "package-0", power_w=100, count_uj=RANGE_UJ - 200_000_000)
    meter = opened(powercap)
    before = int((powercap.root / "intel-rapl:0" / "energy_uj").read_text())

    reading = window(powercap, meter, 3.0)

    assert int((powercap.root / "intel-rapl:0" / "energy_uj").read_text()) < before
    assert reading.channels["cpu"] == pytest.approx(300, rel=1e-3)


def test_a_window_of_few_updates_is_too_short(powercap):
    """With fewer than a hundred updates there are no valid joules; the message has the length."""
    powercap.add("intel-rapl:0", "package-0", power_w=100)
    meter = opened(powercap)

    reading = window(powercap, meter, 0.05)

    (reason,) = reading.reasons
    assert reason.code is ReasonCode.WINDOW_TOO_SHORT
    assert "at least 0.1 s are needed; run at least 2.0 × as many passes" in reason.message
    assert not reading.valid
    assert window(powercap, meter, meter.shortest_window_s).valid


@pytest.mark.parametrize("turns", [0.5, 3.5, 7])
def test_a_window_of_many_turns_is_right(powercap, turns):
    """While the helper process runs, a window may have any length."""
    powercap.add("intel-rapl:0", "package-0", power_w=100, range_uj=60_000_000_000)
    powercap.add("intel-rapl:0:0", "dram", power_w=10, range_uj=60_000_000_000)
    meter = opened(powercap)
    edge = meter.begin()
    for _ in range(int(turns * 10)):  # 600 s a turn
        powercap.advance(60)

    reading = meter.end(edge)

    assert reading.valid
    assert reading.channels == pytest.approx({"cpu": turns * 60_000, "dram": turns * 6_000})


def test_a_window_that_could_hide_a_whole_turn_is_invalid(powercap):
    """Without the helper process there are no joules past one wrap; the message has the limit."""
    powercap.add("intel-rapl:0", "package-0", power_w=100, range_uj=60_000_000_000)
    meter = opened(powercap)
    meter.close()

    short = window(powercap, meter, 60_000 / UNKNOWN_LIMIT_W - 1)
    long = window(powercap, meter, 60_000 / UNKNOWN_LIMIT_W + 1)

    assert short.valid
    (reason,) = long.reasons
    assert reason.code is ReasonCode.COUNTER_RESET
    assert "keep windows below 15 s" in reason.message
    assert not long.valid
    assert not long.channels


def test_a_counter_that_falls_is_invalid(powercap):
    """A counter that went back, as after a suspend, is a reset: no joules, never negative ones."""
    powercap.add("intel-rapl:0", "package-0", power_w=100, count_uj=RANGE_UJ // 2)
    meter = opened(powercap)
    edge = meter.begin()
    powercap.exact_uj["intel-rapl:0"] = 0.0
    powercap.advance(1.0)

    reading = meter.end(edge)

    assert reading.reasons[0].code is ReasonCode.COUNTER_RESET
    assert not reading.channels


@pytest.mark.parametrize("moment", ["begin", "end"])
def test_a_zone_that_is_lost_takes_its_channel_with_it(powercap, moment):
    """If one of two sockets is unreadable, the cpu channel is absent, never half as large."""
    powercap.add("intel-rapl:0", "package-0", power_w=100)
    powercap.add("intel-rapl:1", "package-1", power_w=100)
    powercap.add("intel-rapl:0:0", "dram", power_w=10)
    meter = opened(powercap)

    def lose():
        del powercap.powers_w["intel-rapl:1"]
        (powercap.root / "intel-rapl:1" / "energy_uj").unlink()

    if moment == "begin":
        lose()
    edge = meter.begin()
    powercap.advance(1.0)
    if moment == "end":
        lose()
    reading = meter.end(edge)

    assert set(reading.channels) == {"dram"}
    assert not reading.valid
    assert reading.reasons[0].code is ReasonCode.METER_FAILED
    assert "package-1" in reading.reasons[0].message


def test_the_platform_is_read_only_where_it_is_alone(powercap):
    """The zone psys contains the packages; with both, their joules would count twice."""
    powercap.add("intel-rapl:1", "psys", power_w=200)
    assert opened(powercap).channels == ("psys",)

    powercap.add("intel-rapl:0", "package-0", power_w=100)
    assert opened(powercap).channels == ("cpu",)


def test_the_second_way_to_a_package_is_left_out(powercap):
    """intel-rapl-mmio is another interface to the same package and is not counted."""
    powercap.add("intel-rapl:0", "package-0", power_w=100)
    powercap.add("intel-rapl-mmio:0", "package-0", power_w=100)

    assert [zone.path.name for zone in find_zones(powercap.root)] == ["intel-rapl:0"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_machine_without_rapl_says_so(powercap, exists):
    """Without zones, the error names what is missing and a remedy."""
    if not exists:
        shutil.rmtree(powercap.root)

    with pytest.raises(MeterUnavailableError, match="modprobe intel_rapl_msr") as caught:
        opened(powercap)
    assert caught.value.reason.code is ReasonCode.NO_METER


def test_a_counter_that_may_not_be_read_names_the_remedy(powercap, monkeypatch):
    """If only root may read, the error has the command that allows it."""
    powercap.add("intel-rapl:0", "package-0", power_w=100)

    def refuse(zone):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Zone, "read_uj", refuse)  # root, who may run this, is never refused

    with pytest.raises(
        MeterUnavailableError, match=r"sudo chmod a\+r .*intel-rapl:\*/energy_uj"
    ) as caught:
        opened(powercap)
    assert caught.value.reason.code is ReasonCode.NO_PERMISSION


@pytest.mark.parametrize(
    ("file", "content"),
    [("energy_uj", "many"), ("max_energy_range_uj", ""), ("max_energy_range_uj", "0")],
)
def test_a_damaged_zone_is_named(powercap, file, content):
    """A counter that is no number is refused with the zone's name, never taken for zero."""
    powercap.add("intel-rapl:0", "package-0", power_w=0)
    (powercap.root / "intel-rapl:0" / file).write_text(content)

    with pytest.raises(MeterUnavailableError, match="package-0") as caught:
        opened(powercap)
    assert caught.value.reason.code is ReasonCode.METER_FAILED
