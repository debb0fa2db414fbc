"""Cards and their sensors.

Source of update periods and averaging windows: Yang, Adámek, Armour, "Part-time Power
Measurements", SC'24 (arXiv 2312.02741), for drivers newer than 530. The counter's tick is about
100 ms on data-centre cards, 106 ms on an RTX 4090 and 10 ms on a GTX 1650. Limits, clocks and
memory are the cards' published figures; the idle power is typical. Change a profile with
:func:`dataclasses.replace`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class MigProfile:
    """An instance of a card in MIG mode, without energy counter and power sensor."""

    name: str = "1g.5gb"
    memory_bytes: int = 5 * 2**30


@dataclass(frozen=True)
class Tail:
    """How the power falls when a load ends: two shares of the step, each falling exponentially."""

    fast_share: float = 0.0
    fast_s: float = 0.02
    slow_share: float = 0.0
    slow_s: float = 2.0


@dataclass(frozen=True)
class Profile:
    """A card; times are in seconds, and ``None`` means that the card lacks the quantity."""

    name: str
    architecture: int
    """NVML's number: 4 Pascal, 5 Volta, 6 Turing, 7 Ampere, 8 Ada, 9 Hopper."""
    compute_capability: tuple[int, int]
    idle_w: float
    power_limit_w: float
    min_limit_w: float
    cores: int
    memory_bytes: int
    max_clock_mhz: tuple[int, int, int, int]
    """Clocks of graphics, SM, memory and video."""
    counter_tick_s: float | None
    power_update_s: float
    instant_window_s: float
    """Averaging window of the instantaneous power and of the samples only."""
    usage_window_s: float
    """Averaging window of ``nvmlDeviceGetPowerUsage``."""
    average_window_s: float | None = None
    """Averaging window of field 185."""
    counter_phase_s: float = 0.0
    """The phase of the counter's ticks within their period."""
    counter_window_s: float | None = None
    """The end of each tick that a part-time counter samples; ``None``: the full time."""
    counter_lag_s: float = 0.0
    """Time constant of a first-order low-pass: joules arrive late, but all arrive."""
    counter_delay_s: float = 0.0
    """The counter shows the energy of so long ago."""
    counter_jitter_s: float = 0.0
    """A tick comes up to so much early or late."""
    tail: Tail = Tail()
    """How the power falls when a load ends; without shares it falls at once."""
    power_lag_s: float = 0.0
    """Time constant of a first-order low-pass before the power sensor."""
    power_second_lag_s: float = 0.0
    """Another one beside it, so that both together are not quite of first order."""
    power_second_share: float = 0.0
    """The share of the joules that pass the second one."""
    power_delay_s: float = 0.0
    power_phase_s: float = 0.0
    sample_period_s: float | None = None
    """Time between entries of the driver's ring; ``None``: the power's update period."""
    sample_jitter_s: float = 0.0
    """The stamp of a sample in the ring is up to so much early or late."""
    sample_count: int = 120
    """Entries of the driver's ring; 0: there is no ring."""
    throttle_counters: bool = True
    gain: float = 1.0
    """The board's sensor reading divided by the true value; differs from board to board."""
    module_extra_w: float | None = None
    """Power of the whole module without the GPU; ``None``: no module scope."""
    memory_share: float | None = None
    """The memory's share of the GPU's power; ``None``: no memory scope."""
    ecc: bool | None = True
    temperature_c: int = 35
    brand: int = 14
    mig: tuple[MigProfile, ...] | None = None
    """Instances of a card in MIG mode; empty: MIG is off; ``None``: the card has no MIG."""
    serial: str = "1320021000000"
    part_number: str = "900-21001-0000-000"
    seed: int = 0
    """Selects a board of the model: another seed gives another UUID."""


PASCAL = Profile(
    name="Tesla P100-PCIE-16GB",
    architecture=4,
    compute_capability=(6, 0),
    idle_w=30.0,
    power_limit_w=250.0,
    min_limit_w=125.0,
    cores=3584,
    memory_bytes=16 * 2**30,
    max_clock_mhz=(1328, 1328, 715, 1189),
    counter_tick_s=None,
    power_update_s=0.020,
    instant_window_s=0.010,
    usage_window_s=0.010,
)
"""Older than Volta, so without an energy counter."""

VOLTA = Profile(
    name="Tesla V100-SXM2-16GB",
    architecture=5,
    compute_capability=(7, 0),
    idle_w=40.0,
    power_limit_w=300.0,
    min_limit_w=150.0,
    cores=5120,
    memory_bytes=16 * 2**30,
    max_clock_mhz=(1530, 1530, 877, 1372),
    counter_tick_s=0.100,
    power_update_s=0.020,
    instant_window_s=0.010,
    usage_window_s=0.010,
)

TURING = Profile(
    name="NVIDIA GeForce GTX 1650",
    architecture=6,
    compute_capability=(7, 5),
    idle_w=8.0,
    power_limit_w=75.0,
    min_limit_w=45.0,
    cores=896,
    memory_bytes=4 * 2**30,
    max_clock_mhz=(2100, 2100, 4001, 1950),
    counter_tick_s=0.010,
    power_update_s=0.100,
    instant_window_s=0.100,
    usage_window_s=0.100,
    ecc=None,
    brand=5,
)

GA100 = Profile(
    name="NVIDIA A100-SXM4-40GB",
    architecture=7,
    compute_capability=(8, 0),
    idle_w=55.0,
    power_limit_w=400.0,
    min_limit_w=100.0,
    cores=6912,
    memory_bytes=40 * 2**30,
    max_clock_mhz=(1410, 1410, 1215, 1290),
    counter_tick_s=0.100,
    power_update_s=0.100,
    instant_window_s=0.025,
    usage_window_s=0.025,
    mig=(),
)

ADA = Profile(
    name="NVIDIA GeForce RTX 4090",
    architecture=8,
    compute_capability=(8, 9),
    idle_w=20.0,
    power_limit_w=450.0,
    min_limit_w=150.0,
    cores=16384,
    memory_bytes=24 * 2**30,
    max_clock_mhz=(3105, 3105, 10501, 2415),
    counter_tick_s=0.106,
    power_update_s=0.100,
    instant_window_s=0.100,
    usage_window_s=1.0,
    average_window_s=1.0,
    ecc=False,
    brand=5,
)

HOPPER = Profile(
    name="NVIDIA H100 80GB HBM3",
    architecture=9,
    compute_capability=(9, 0),
    idle_w=70.0,
    power_limit_w=700.0,
    min_limit_w=200.0,
    cores=16896,
    memory_bytes=80 * 2**30,
    max_clock_mhz=(1980, 1980, 2619, 1545),
    counter_tick_s=0.100,
    power_update_s=0.100,
    instant_window_s=0.025,
    usage_window_s=1.0,
    average_window_s=1.0,
    memory_share=0.2,
    mig=(),
)

GRACE_HOPPER = replace(
    HOPPER,
    name="NVIDIA GH200 480GB",
    idle_w=80.0,
    instant_window_s=0.020,
    module_extra_w=100.0,
    mig=None,
)

GA100_PART_TIME = replace(GA100, counter_window_s=0.025)
"""An A100 whose energy counter, like its power sensor, samples a quarter of the time only."""

HOPPER_PART_TIME = replace(HOPPER, counter_window_s=0.025)

MIG = replace(GA100, mig=(MigProfile(), MigProfile("2g.10gb", 10 * 2**30)))
"""An A100 in two MIG instances."""

PROFILES: dict[str, Profile] = {
    "pascal": PASCAL,
    "volta": VOLTA,
    "turing": TURING,
    "ga100": GA100,
    "ga100-part-time": GA100_PART_TIME,
    "ada": ADA,
    "hopper": HOPPER,
    "hopper-part-time": HOPPER_PART_TIME,
    "grace-hopper": GRACE_HOPPER,
    "mig": MIG,
}

CARDS: dict[str, Profile] = {
    "p100": PASCAL,
    "v100": VOLTA,
    "gtx1650": TURING,
    "a100": GA100,
    "rtx4090": ADA,
    "h100": HOPPER,
    "h200": replace(HOPPER, name="NVIDIA H200", memory_bytes=141 * 10**9),
    "gh200": GRACE_HOPPER,
}
"""The boards that ``pytest-energy simulate`` knows by their usual names."""
