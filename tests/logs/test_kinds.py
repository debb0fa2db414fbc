"""What logs can mean: the joules are right, or the log is refused with the option that settles it.

Each table has the joules, or the words of the refusal or of the remark.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

import pytest

from tests.logs.conftest import Imported

Read = Callable[..., Imported]
MARCH = datetime(2023, 3, 5, 9, 30, tzinfo=UTC)
SECONDS = MARCH.timestamp()
WATTMETER = "--format=wattmeter"


def smi_rows(readings: Iterable[tuple[float, float]], header: str = "timestamp, power.draw [W]") -> str:  # fmt: skip  # noqa: E501
    """A log of nvidia-smi without a column of GPUs."""
    lines = [header]
    for time_s, watts in readings:
        stamp = datetime.fromtimestamp(time_s, UTC).strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]
        lines.append(f"{stamp}, {watts:.2f} W")
    return "\n".join([*lines, ""])


def table(header: str, rows: Iterable[Sequence[object]], separator: str = ",") -> str:
    """A table of any cells."""
    return "\n".join([header, *(separator.join(map(str, row)) for row in rows), ""])


def column(name: str, cells: Sequence[object], separator: str = ",") -> str:
    """A table of seconds and one column."""
    return table(f"time_s{separator}{name}", enumerate(cells), separator)


def power(read: Read, text: str, *options: str) -> Imported:
    """Import a table of ``time_s``."""
    return read(text, WATTMETER, "--time-column=time_s", *options)


@pytest.mark.parametrize("gpus", [2, 3, 8])
@pytest.mark.parametrize(("period_s", "apart_s"), [(0.02, 0.001), (0.05, 0.004), (1.0, 0.003), (1.0, 0.0)])  # fmt: skip  # noqa: E501
@pytest.mark.parametrize("alike", [True, False])
def test_rows_of_several_gpus_are_never_one_channel(
    read: Read, gpus: int, period_s: float, apart_s: float, alike: bool
) -> None:
    """Stamps in bursts tell several GPUs, also of equal power and with lost lines."""
    draw = random.Random(gpus)
    rows = [
        (
            SECONDS + poll * period_s + gpu * apart_s + draw.uniform(0, 5e-4),
            (100 if alike else 60 + 80 * gpu) + draw.uniform(-2, 2),
        )
        for poll in range(150)
        for gpu in range(gpus)
    ]
    assert apart_s * gpus < period_s
    for lost in (0.0, 0.05):
        got = read(smi_rows(row for row in rows if draw.random() >= lost))
        assert got.status == 2
        assert "several devices" in got.err
        assert "--device-column" in got.err


@pytest.mark.parametrize("steps_ms", [(7, 7, 8, 13, 21), (12, 13), (1, 2), (1000,), (95, 100, 110)])
def test_one_gpu_polled_irregularly_is_one_channel(read: Read, steps_ms: Sequence[int]) -> None:
    """Jitter, and the rounding of stamps, are no sign of several devices."""
    draw = random.Random(1)
    time_s, rows = SECONDS, []
    for number in range(500):
        rows.append((time_s, round(draw.uniform(198, 202), 2) if number % 50 else 120.0))
        time_s += draw.choice(steps_ms) / 1e3
    got = read(smi_rows(rows), "--max-gap=10")
    mean = sum((a[1] + b[1]) / 2 * (b[0] - a[0]) for a, b in pairwise(rows))
    assert got.energy_j == pytest.approx(mean, rel=1e-3), got.err


def gpus_in_turn(
    gpus: int, levels: Sequence[float], lost: float = 0.0, period_s: float = 1.0
) -> list[tuple[float, float]]:
    """Rows of GPUs polled in turn at even times, some of which are lost."""
    draw = random.Random(gpus)
    return [
        (SECONDS + poll * period_s + gpu * period_s / gpus, levels[gpu] + draw.uniform(-2, 2))
        for poll in range(80)
        for gpu in range(gpus)
        if draw.random() >= lost
    ]


@pytest.mark.parametrize("gpus", [2, 3, 8])
@pytest.mark.parametrize("lost", [0.0, 0.1, 0.3])
def test_gpus_at_even_times_are_told_by_their_power(read: Read, gpus: int, lost: float) -> None:
    """Rows of one GPU are more alike than neighbours, also where rows are lost."""
    levels = [60 + 70 * (5 * gpu % gpus) for gpu in range(gpus)]
    check(read(smi_rows(gpus_in_turn(gpus, levels, lost))), "alternate between levels")


def test_gpus_that_differ_little_are_a_remark(read: Read) -> None:
    """Cards of one kind differ by some per cent, more than a card's own readings do."""
    got = read(smi_rows(gpus_in_turn(4, [200, 205, 211, 194])))
    assert "perhaps several devices: readings 4 rows apart are more alike" in got.remarks[0], got


@pytest.mark.parametrize("gpus", [2, 4, 8])
@pytest.mark.parametrize("header", ["timestamp, power.draw [W]", "time, gpu_power [W]"])
def test_alike_gpus_at_even_times_are_never_silent(read: Read, gpus: int, header: str) -> None:
    """Nothing in such a log tells one GPU from many: it is said, and options settle it."""
    text = smi_rows(gpus_in_turn(gpus, [200] * gpus), header)
    options = [WATTMETER, "--power-column=gpu_power"] if "gpu_power" in header else []
    got = read(text, *options)
    assert got.status == 0
    assert "one device is assumed" in got.remarks[0]
    assert "--device-column" in got.remarks[0]
    check(read(text, *options, "--period=1"), "--period says 1 s")
    assert read(text, *options, "--one-device").remarks == ()
    assert read(text, *options, f"--period={1 / gpus}", "--one-device").status == 0


@pytest.mark.parametrize("counter", [False, True])
def test_a_table_that_names_no_device_says_so(read: Read, counter: bool) -> None:
    """The number of devices cannot be checked without a column of them; options settle it."""
    draw = random.Random(6)
    watts = [round(draw.uniform(198, 203), 2) for _ in range(40)]
    cells = list(accumulate(watts)) if counter else watts
    text = column("energy [J]" if counter else "power [W]", cells)
    options = ["--energy-column=energy"] if counter else []
    assert "one device is assumed" in power(read, text, *options).remarks[0]
    assert power(read, text, *options, "--one-device").remarks == ()
    assert power(read, text, *options, "--period=1").remarks == ()
    check(power(read, text, *options, "--period=2"), "--period says 2 s")
    named = text.replace("time_s", "outlet,time_s").replace("\n", "\n1,")[:-2]
    assert power(read, named, *options, "--device-column=outlet").remarks == ()


@pytest.mark.parametrize("gpus", [2, 3])
@pytest.mark.parametrize("counter", [False, True])
def test_alike_devices_come_in_groups_of_equal_readings(
    read: Read, gpus: int, counter: bool
) -> None:
    """Devices that read exactly alike leave groups of equal rows; a remark tells how many."""
    draw = random.Random(gpus)
    watts = [round(draw.uniform(100, 300), 2) for _ in range(30)]
    cells = list(accumulate(watts)) if counter else watts
    name = "energy [J]" if counter else "power [W]"
    rows = [(n / gpus, cells[n // gpus]) for n in range(30 * gpus)]
    got = power(read, table(f"time_s,{name}", rows), *(["--energy-column=energy"] * counter))
    assert f"groups of {gpus} equal ones" in got.remarks[0]


def test_counters_in_turn_are_refused(read: Read) -> None:
    """Two counters that differ little, in one column, rise in alternate steps."""
    rows = [(n / 2, 5000 + 200 * (n // 2) + n % 2 * 150) for n in range(60)]
    text = table("time_s,energy [J]", rows)
    check(power(read, text, "--energy-column=energy"), "the counter's steps alternate")


DEVICES = table(
    "time_s,outlet,power [W]", ((n, outlet, 40 * outlet) for n in range(8) for outlet in (1, 2, 3))
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "column 'outlet' has 3 values in turn (1, 2, 3)"),
        (["--device-column=outlet"], 7 * 240),
        (["--device-column=outlet", "--devices=1,3"], 7 * 160),
        (["--device-column=outlet", "--devices=9"], "the log has the devices 1, 2, 3"),
    ],
)
def test_a_column_of_devices(read: Read, options: Sequence[str], expected: object) -> None:
    """Devices in rows are refused until their column is named; those that count can be chosen."""
    check(power(read, DEVICES, *options), expected)


def check(got: Imported, expected: object) -> None:
    """The joules, without a fault, or the words of the refusal."""
    if isinstance(expected, str):
        assert got.status == 2
        assert got.energy_j is None
        assert expected in got.err
        assert got.err.count("\n") == 1
    else:
        assert got.status == 0, got.err or got.remarks
        assert got.energy_j == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        (column("power [W]", [60, 300] * 8), "alternate"),
        (table("time_s,power [W]", [(n % 9, 60 + n // 9) for n in range(18)]), "same time"),
        (table("time_s,who,power [W]", [(n, "ab"[n % 2], 60) for n in range(16)]), "'who'"),
        (table("time_s,Host,power [W]", [(n, f"n{n % 7 // 4}", 60) for n in range(16)]), "'Host'"),
        (table("time_s,count,power [W]", [(n, 2, 60) for n in range(16)]), "'count'"),
    ],
)  # fmt: skip
def test_signs_of_several_devices(read: Read, text: str, sign: str) -> None:
    """Levels, stamps and columns that tell several devices are named; --one-device overrules."""
    check(power(read, text), sign)
    assert "several devices" not in power(read, text, "--one-device").err


def test_columns_of_power_are_added_up(read: Read) -> None:
    """Each column is a channel of its own."""
    text = table("time_s,gpu0_power_w,gpu1_power_w", [(n, 100, 250) for n in range(6)])
    got = power(read, text, "--power-column=gpu0_power_w", "--power-column=gpu1_power_w")
    check(got, 1750)
    assert got.channels == {"gpu0_power_w": pytest.approx(500), "gpu1_power_w": pytest.approx(1250)}


@pytest.mark.parametrize(
    ("header", "step", "seconds"),
    [
        ("t_sec", 1, 1), ("Elapsed (secs)", 1, 1), ("uptime_minutes", 1, 60), ("mins", 1, 60),
        ("Elapsed [HOURS]", 1, 3600), ("hr", 1, 3600), ("days", 1, 86400), ("msec", 100, 0.1),
        ("elapsedMs", 100, 0.1), ("Time (millis)", 100, 0.1), ("t_us", 100000, 0.1),
        ("Zeit (µs)", 100000, 0.1), ("monotonic_ns", 1000000000, 1),
    ],
)  # fmt: skip
def test_units_of_time(read: Read, header: str, step: float, seconds: float) -> None:
    """A unit of time in brackets, or as the last word of a name, is converted."""
    text = table(f"{header},power [W]", [(n * step, 120) for n in range(11)])
    check(read(text, WATTMETER, f"--time-column={header}"), 1200 * seconds)


@pytest.mark.parametrize(
    ("header", "step", "fault"),
    [
        ("Elapsed (ticks)", 1, "'ticks' is not a known unit of time"),
        ("t [m]", 1, "'m' is not a known unit of time"),
        ("clock", 1e6, "--time-unit"),
        ("clock", 1e-4, "--time-unit"),
    ],
)
def test_unknown_units_of_time_are_refused(
    read: Read, header: str, step: float, fault: str
) -> None:
    """A unit that is unknown, or cannot be seconds, is refused; an option settles it."""
    text = table(f"{header},power [W]", [(f"{n * step:g}", 120) for n in range(11)])
    check(read(text, WATTMETER, f"--time-column={header}"), fault)
    if "(" not in header and "[" not in header:
        check(read(text, WATTMETER, f"--time-column={header}", "--time-unit=ms"), 1.2 * step)


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        ("power_mw", 1e-3), ("power_kW", 1e3), ("PowerWatts", 1), ("gpu_power_milliwatts", 1e-3),
        ("P (kW)", 1e3), ("power [uW]", 1e-6), ("Power (µW)", 1e-6), ("GPU0_POWER (mWatts)", 1e-3),
        ("W", 1), ("mW", 1e-3), ("avg_power_w_mean", 1), ("P/W", 1), ("PowerMw", 1e-3),
    ],
)  # fmt: skip
def test_units_of_power_in_names(read: Read, header: str, factor: float) -> None:
    """A unit in brackets or as a word of the name is converted, without a remark."""
    got = power(read, column(header, [1500] * 6), f"--power-column={header}")
    check(got, 7500 * factor)
    assert not [remark for remark in got.remarks if "watts are assumed" in remark]


@pytest.mark.parametrize(
    "header",
    ["power_va", "P (VA)", "power_pct", "P [hp]", "power_kwh", "energy_j", "peakW", "power_mw_kw"],
)
def test_other_units_of_power_are_refused(read: Read, header: str) -> None:
    """A unit of something else, and one that is ambiguous, is refused by the column's name."""
    check(power(read, column(header, [1500] * 6), f"--power-column={header}"), f"column {header!r}")


def test_a_power_without_unit_is_told(read: Read) -> None:
    """Watts are assumed with a remark, and without one where an option says so."""
    text = column("load", [1500] * 6)
    assert "watts are assumed" in power(read, text, "--power-column=load").remarks[0]
    got = power(read, text, "--power-column=load", "--power-unit=mW")
    check(got, 7.5)
    assert "watts are assumed" not in " ".join(got.remarks)


@pytest.mark.parametrize(
    ("header", "joules"),
    [
        ("energy_uj", 1e-6), ("total_joules", 1), ("E (mJ)", 1e-3), ("E [Ws]", 1),
        ("energy_wh", 3600), ("watt_hours", 3600), ("total_microjoules", 1e-6), ("kWs", 1e3),
    ],
)  # fmt: skip
def test_units_of_a_counter(read: Read, header: str, joules: float) -> None:
    """A counter's unit can be a word of its name."""
    cells = [1_000_000 + 150 * n for n in range(31)]
    check(power(read, column(header, cells), f"--energy-column={header}"), 4500 * joules)


@pytest.mark.parametrize("header", ["energy", "total", "E (cal)", "energy [kVAh]", "total_kw"])
def test_a_counter_of_no_known_unit_is_refused(read: Read, header: str) -> None:
    """A counter without a unit is refused, never read as kilowatt hours."""
    cells = [1_000_000 + 150 * n for n in range(31)]
    check(power(read, column(header, cells), f"--energy-column={header}"), "unit")


@pytest.mark.parametrize(
    ("cells", "separator", "options", "expected"),
    [
        (["200,5"] * 6, ";", [], 1002.5),
        (["1.250"] * 6, ";", [], "--decimal"),
        (["1.250"] * 6, "\t", [], "--decimal"),
        (["187.320 W"] * 6, ";", [], "--decimal"),
        (['"1,250"'] * 6, ",", [], "--decimal"),
        (["1.250"] * 6, ";", ["--decimal=comma"], 6250),
        (["1.250"] * 6, ";", ["--decimal=point"], 6.25),
        (["1.250"] * 6, ",", [], 6.25),
        (["1.250"] * 5 + ["1.25"], ";", [], 6.25),
        (["1.250"] * 5 + ["987,5"], ";", [], 6118.75),
        (["1,234.5"] * 6, ";", [], 6172.5),
        (["1.234,5"] * 6, ";", [], 6172.5),
        (["1'234"] * 6, ";", [], 6170),
        (["1 234"] * 6, ";", [], 6170),
        (["1250.000"] * 6, ";", [], 6250),
        (["2.5e2"] * 6, ";", [], 1250),
        (["1,5", "2.5"] * 3, ";", [], "--decimal"),
        (["1,00,000"] * 6, ";", [], "is not a number"),
        (["05.03.2024"] * 6, ";", [], "is not a number"),
    ],
)
def test_decimal_signs(
    read: Read, cells: Sequence[str], separator: str, options: Sequence[str], expected: object
) -> None:
    """Three digits behind a sign are ambiguous unless the file or an option decides."""
    check(power(read, column("power [W]", cells, separator), *options), expected)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([int((SECONDS + n) * 1e3) for n in range(6)], 1000),
        ([int((SECONDS + n) * 1e6) for n in range(6)], 1000),
        ([int(SECONDS + n) * 10**9 for n in range(6)], 1000),
        ([f"202403050930{n:02d}" for n in range(6)], 1000),
        ([f"2024030{n + 1}" for n in range(6)], 1000 * 86400),
        ([900_000_000 + n for n in range(6)], "no date from 2000 to 2100"),
        ([5_700_000_000 + n for n in range(6)], "no date from 2000 to 2100"),
        ([f"1970-01-01T00:00:0{n}Z" for n in range(6)], "before 2000 or after 2100"),
        ([1_700_000_000_000 + n * 10**9 for n in range(6)], "days apart"),
        ([f"{45356.395 + n / 86400:.9f}" for n in range(6)], "spreadsheet"),
    ],
)
def test_numbers_as_times(read: Read, times: Sequence[object], expected: object) -> None:
    """Epochs in any unit, and dates in digits, are told apart; impossible times are refused."""
    check(read(table("time,power [W]", [(time, 200) for time in times]), WATTMETER), expected)


@pytest.mark.parametrize(
    "form",
    [
        "%d.%m.%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S+0100", "%H:%M:%S",
        "%I:%M:%S %p", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S UTC %Y", "%Y%m%dT%H%M%SZ",
        "%d/%b/%Y:%H:%M:%S +0000", "%Y.%m.%d %H:%M:%S", "[%Y-%m-%d %H:%M:%S]", "%Y%m%d %H%M%S",
        "%Y-%m-%dT%H:%M:%S.%f000Z", "%b %d %Y %H:%M:%S", "%Y-%m-%d_%H:%M:%S",
    ],
)  # fmt: skip
def test_forms_of_dates(read: Read, form: str) -> None:
    """Dates that have one reading only are read without an option."""
    times = [(MARCH + timedelta(seconds=n)).strftime(form) for n in range(6)]
    check(read(table("time;power [W]", [(time, 200) for time in times], ";"), WATTMETER), 1000)


@pytest.mark.parametrize("form", ["%d/%m/%Y %H:%M:%S", "%m-%d-%Y %I:%M:%S %p", "%d/%m/%y %H:%M:%S"])
def test_ambiguous_dates_need_their_form(read: Read, form: str) -> None:
    """Day and month are told apart by a day above 12, or by --time-format."""

    def log(day: int) -> str:
        moments = [MARCH.replace(day=day) + timedelta(seconds=n) for n in range(6)]
        return table("time,power [W]", [(moment.strftime(form), 200) for moment in moments])

    check(read(log(5), WATTMETER), "--time-format")
    check(read(log(5), WATTMETER, f"--time-format={form}"), 1000)
    if "%Y" in form:
        check(read(log(20), WATTMETER), 1000)


def test_a_date_and_a_time_in_two_columns(read: Read) -> None:
    """--time-column can be repeated."""
    text = table("Date,Time,P [W]", [("5.3.2024", f"09:30:0{n}.123", 200) for n in range(6)])
    options = ["--time-column=Date", "--time-column=Time", "--power-column=P"]
    check(read(text, WATTMETER, *options), 1000)


def test_times_of_day_pass_midnight(read: Read) -> None:
    """A time of day that begins again is the next day's."""
    times = ["23:59:58", "23:59:59", "00:00:00", "00:00:01"]
    check(read(table("time,power [W]", [(time, 200) for time in times]), WATTMETER), 600)


COUNTED = [8_000_000 + 600 * n for n in range(301)]


@pytest.mark.parametrize("places", [[150], [150, 151], [10, 200]])
@pytest.mark.parametrize("value", [180, 0, 2**63 - 1, 2**32 - 1, 10**12, 7_900_000, 8_500_000])
def test_a_glitch_of_a_counter_is_left_out(read: Read, places: list[int], value: int) -> None:
    """A counter that goes on as before has not been reset; the glitch is told."""
    cells = [value if n in places else counted for n, counted in enumerate(COUNTED)]
    got = power(read, column("energy [J]", cells), "--energy-column=energy")
    check(got, 180_000)
    assert any("left out" in remark for remark in got.remarks)


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        (
            column("energy [J]", [*COUNTED[:9], 0, *COUNTED[10:]]),
            "wattmeter: 1 reading of the counter does not fit those around it and was left out",
        ),
        (
            column("energy [J]", [*COUNTED[:9], 0, 1, *COUNTED[11:]]),
            "wattmeter: 2 readings of the counter do not fit those around them and were left out",
        ),
        (
            column("power [W]", ["200", "1e8", *["201"] * 9]),
            "wattmeter: 1 of 11 readings is above the limit of the device (up to 1e+08 W) and was"
            " left out",
        ),
        (
            column("power [W]", ["200", "201", "9999", *["201"] * 9]),
            "wattmeter: 1 reading is the largest of a display; left out",
        ),
        (column("power [W]", ["200", -5, *["201"] * 9]), "wattmeter: 1 of 11 readings is negative"),
        (
            column("power [W]", ["200", "4294967295", *["201"] * 9]),
            "1 cell of 'power [W]' holds no reading (4294967295); left out",
        ),
        (
            column("power [W]", ["200", "n/a", *["201"] * 9]),
            "wattmeter: 1 of 11 rows has no value (line 3)",
        ),
    ],
)
def test_remarks_agree_with_their_count(read: Read, text: str, remark: str) -> None:
    """One reading was left out, two readings were."""
    options = ["--energy-column=energy"] if "energy" in text else []
    assert remark in power(read, text, *options).remarks


def test_a_counter_that_begins_with_a_zero(read: Read) -> None:
    """The jump from it is no energy."""
    got = power(read, column("energy [J]", [0, *COUNTED[1:]]), "--energy-column=energy")
    check(got, 179_400)
    assert "left out" in got.remarks[-1]


@pytest.mark.parametrize(
    "cells",
    [
        [20, 20, 21, 22, 24, 24],
        [2000, 2005, 2010, 2015, 2020],
        [500, 800, 500, 800, 510, 820] * 3,
    ],
)
def test_joules_of_rows_are_no_counter(read: Read, cells: Sequence[int]) -> None:
    """A column that does not look like a counter is refused; an option says what it is."""
    text, option = column("energy [J]", cells), "--energy-column=energy"
    check(power(read, text, option), "--energy-per-row")
    check(power(read, text, option, "--energy-per-row"), sum(cells))


def test_a_lost_row_of_joules_makes_the_log_invalid(read: Read) -> None:
    """A row that is missing is missing energy."""
    text = table("time_s,energy [J]", [(n, 20 + n % 3) for n in range(60) if n != 30])
    got = power(read, text, "--energy-column=energy", "--energy-per-row")
    assert got.status == 1
    assert "no row for 1 s" in got.remarks[0]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (column("power [W]", ["0.00"] * 20), []),
        (column("energy [J]", ["481516.234"] * 20), ["--energy-column=energy"]),
        (column("energy [J]", [0] * 20), ["--energy-column=energy", "--energy-per-row"]),
        (
            column("energy [J]", [5] * 3 + [6] + [-7] * 9),
            ["--energy-column=energy", "--energy-per-row"],
        ),
    ],
)
def test_what_never_moves_is_invalid(read: Read, text: str, options: Sequence[str]) -> None:
    """Zero where nothing was measured is never a result."""
    got = power(read, text, *options)
    assert got.status == 1
    assert got.energy_j is None
    assert got.remarks


@pytest.mark.parametrize(
    "cell", ["9223372036854775807", "18446744073709551615", "4294967295", "9.223372036854776e+18",
             "2147483632", "-1", "-9999", "1e30", "65535", "9999"]
)  # fmt: skip
def test_sentinels_are_no_readings(read: Read, cell: str) -> None:
    """Numbers that stand for no reading are left out, with a remark."""
    got = power(read, column("power [W]", ["200", "201"] * 20 + [cell] + ["200", "201"] * 20))
    assert got.energy_j == pytest.approx(200.5 * 80, rel=1e-3)
    assert any("left out" in remark for remark in got.remarks)


@pytest.mark.parametrize(("header", "limit"), [(", power.limit [W]", ", 115.00 W"), ("", "")])
def test_readings_above_the_limit_are_left_out(read: Read, header: str, limit: str) -> None:
    """A reading above the logged limit, or above any GPU's, is told."""
    high = "593.00" if limit else "99000.00"
    rows = [
        f"0, 2024/03/05 09:30:{n:02d}.000, {high if n == 5 else '30.00'} W{limit}"
        for n in range(20)
    ]
    got = read("\n".join([f"index, timestamp, power.draw [W]{header}", *rows, ""]))
    check(got, 570)
    assert "above the limit" in got.remarks[0]


@pytest.mark.parametrize(
    "cell",
    ["[GPU requires reset]", "[Insufficient Permissions]", "nan", "None", "-", "unavailable",
     "null", "n.a.", "#N/A", "[Anything At All]", ""],
)  # fmt: skip
def test_cells_without_value(read: Read, cell: str) -> None:
    """A GPU that stops telling its power ends there, and that is told."""
    rows = [
        f"{gpu}, 2024/03/05 09:30:{n:02d}.000, {cell if gpu and n > 5 else f'{90 + 90 * gpu}.00 W'}"
        for n in range(11)
        for gpu in (0, 1)
    ]
    got = read("\n".join(["index, timestamp, power.draw [W]", *rows, ""]))
    check(got, 1800)
    assert got.channels == {"gpu0": pytest.approx(900), "gpu1": pytest.approx(900)}
    assert "5 of 11 rows have no value" in got.remarks[0]


PLAIN = smi_rows([(SECONDS + n, 200) for n in range(6)])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "cp1252"])
def test_encodings(read: Read, encoding: str) -> None:
    """PowerShell writes UTF-16, Windows programs their code page."""
    header, _, rows = PLAIN.partition("\n")
    text = f"{header}, Lüfter\n" + rows.replace("W\n", "W, 3\n")
    check(read(text.encode(encoding)), 1000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PLAIN.replace("\n", "\r\n"), None),
        (PLAIN.replace(":02.000, 200.00 W\n", ":02.000, 200.00 W\n   \n"), None),
        (PLAIN.replace("W\n", "W,\n"), None),
        (PLAIN + "\0" * 300, None),
        ("Tue Mar  5 09:29:59 UTC 2024\n" + PLAIN, "line 1"),
        ("nohup: ignoring input\n" + PLAIN, "line 1"),
        ("# gpu node\n" + PLAIN, "line 1"),
        (PLAIN + "\nAverage Power (Watt) = 200.0\n", "line 9"),
        (PLAIN.replace("W\n", "W\nUnable to determine: GPU is lost.\n", 3)[:-1] + "\n", "line 3"),
    ],
)  # fmt: skip
def test_lines_around_the_table(read: Read, text: str, told: str | None) -> None:
    """Lines that are no readings are left out; a remark names those that have text."""
    got = read(text, "--one-device")
    check(got, 1000)
    assert got.remarks == () if told is None else told in got.remarks[0]


@pytest.mark.parametrize("cut", [1, 4, 6, 8, 15, 25])
def test_a_last_line_that_was_cut(read: Read, cut: int) -> None:
    """A logger that is killed inside a number leaves a line that is not read."""
    got = read(PLAIN[:-cut])
    check(got, 1000 if cut == 1 else 800)
    assert cut == 1 or got.remarks


def test_rows_in_reverse_order(read: Read) -> None:
    """A table with its newest row first is turned round, with a remark."""
    got = power(read, table("time_s,power [W]", [(20 - n, 100 + n) for n in range(21)]))
    check(got, 2200)
    assert "reverse" in got.remarks[0]


def test_stamps_of_whole_seconds(read: Read) -> None:
    """Several readings a second are refused, or spread over it if they are of one device."""
    text = table("time_s,power [W]", [(n // 4, 100 + n) for n in range(80)])
    check(power(read, text), "--one-device")
    got = power(read, text, "--one-device")
    assert got.energy_j == pytest.approx(sum(100 + n for n in range(79)) / 4, rel=0.01)
    assert "spread" in got.remarks[0]


def test_a_log_without_times_needs_its_period(read: Read) -> None:
    """--period counts the rows, with a remark that lost lines go unnoticed."""
    dmon = "# gpu    pwr  gtemp\n# Idx      W      C\n" + "    0    200     41\n" * 6
    check(read(dmon), "--period")
    got = read(dmon, "--period=1")
    check(got, 1000)
    assert "not noticed" in got.remarks[0]


def test_a_fast_poll_of_a_slow_sensor_has_no_gap(read: Read) -> None:
    """A sensor that updates every 100 ms and is polled every 7 to 21 ms has no gap at 60 ms."""
    draw = random.Random(3)
    time_s, rows = SECONDS, []
    for number in range(1500):
        rows.append((time_s, round(200 + 40 * random.Random(int(time_s * 10)).random(), 2)))
        time_s += 0.06 if number % 200 == 199 else draw.choice([7, 7, 8, 9, 13, 21]) / 1e3
    got = read(smi_rows(rows), "--one-device")
    assert got.status == 0, got.remarks
    assert got.remarks == ()


def test_a_column_in_brackets_of_local_time(read: Read) -> None:
    """Words in brackets that name a zone or a form are no units."""
    times = [int(SECONDS) + n for n in range(6)]
    text = table("time (UTC),power [W]", [(time, 200) for time in times])
    check(read(text, WATTMETER, "--time-column=time"), 1000)


def test_a_header_may_name_the_zone(read: Read) -> None:
    """``time [UTC]`` holds for dates without a zone, whatever the option says."""
    rows = [(f"2023-03-05 09:30:0{n}", 200) for n in range(6)]
    got = read(table("time [UTC],power [W]", rows), WATTMETER, "--timezone=Asia/Tokyo")
    check(got, 1000)
    assert got.start == SECONDS


def test_a_duration_without_unit_is_told(read: Read) -> None:
    """The joules of rows do not depend on it, but the time does."""
    text = table("time_s,energy [J],took", [(10 * n, 20 + n % 3, 10) for n in range(9)])
    options = ["--energy-column=energy", "--energy-per-row", "--duration-column=took"]
    got = power(read, text, *options)
    check(got, 189)
    assert "seconds are assumed" in got.remarks[0]


def test_lost_readings_are_told_and_widen_the_interval(read: Read) -> None:
    """What a lost reading may hide is learnt from the others."""
    draw = random.Random(5)
    watts = [draw.uniform(100, 300) for _ in range(200)]
    lost = set(range(20, 180, 9))
    full = sum(watts) - (watts[0] + watts[-1]) / 2
    text = table("time_s,power [W]", [(n, w) for n, w in enumerate(watts) if n not in lost])
    got = power(read, text)
    assert any("18 readings are missing, by the usual 1 s" in remark for remark in got.remarks)
    assert abs(got.energy_j - full) <= got.uncertainty_j < 0.05 * full


def test_lost_rows_of_regular_windows_are_told(read: Read) -> None:
    """Rows with durations of their own show by their rhythm that one is missing."""
    text = table(
        "start_time,window_name,elapsed_time,gpu0_energy",
        [(SECONDS + 10 * n, n, 8, 900 + n % 7) for n in range(30) if n != 12],
    )
    assert any("1 reading is missing, by the usual 10 s" in remark for remark in read(text).remarks)


def test_a_counter_that_begins_with_a_load(read: Read) -> None:
    """A first step at the power of a device is energy, with a remark."""
    cells = [0.0, 380.0, *(380.0 + 12 * n for n in range(1, 40))]
    got = power(read, column("energy [J]", cells), "--energy-column=energy")
    check(got, 848)
    assert "from 0 to 380 J in one step, at 31.7 times" in got.remarks[-1]


def test_rows_that_overlap_are_refused(read: Read) -> None:
    """Nested windows would count joules twice; those that count can be chosen."""
    rows = ["1000000000,epoch,30,3000", "1000000000,step,9,900", "1000000010,step,9,900"]
    text = "\n".join(["start_time,window_name,elapsed_time,gpu0_energy", *rows, ""])
    assert read(text).status == 2
    check(read(text, "--device-column=window_name", "--devices=epoch"), 3000)


@pytest.mark.parametrize("cell", ["999.9", "9999.9", "655.35", "327.67", "99999"])
def test_the_largest_number_of_a_display_is_no_reading(read: Read, cell: str) -> None:
    """All nines, and 16 bits, are left out if no reading comes near them, wherever the point is."""
    got = power(read, column("power [W]", ["200", "201"] * 20 + [cell] + ["200", "201"] * 20))
    assert got.energy_j == pytest.approx(200.5 * 80, rel=1e-3)
    assert any("largest of a display" in remark for remark in got.remarks)
    high = power(read, column("power [W]", [9200, 9999, 9300, 9400, 9150, 9250]))
    check(high, 9999 + 9300 + 9400 + 9150 + 9225)


PER_ROW = ["--energy-column=energy", "--energy-per-row"]


@pytest.mark.parametrize(
    ("row", "joules", "remark"),
    [
        (0, 200, "1 of 11 rows has 0 J; perhaps their joules are missing"),
        (4000, 4200, "one row has 4000 J, 200 times as much as any other"),
        (65535, None, "1 row is the largest of a display"),
        (3e7, None, "3e+07 W on average, which is impossible"),
    ],
)
def test_rows_of_no_or_too_much_energy(
    read: Read, row: float, joules: float | None, remark: str
) -> None:
    """A row of 0 J, or of far more than the others, is never silent."""
    got = power(read, column("energy [J]", [20] * 5 + [row] + [20] * 5), *PER_ROW)
    assert got.energy_j == (None if joules is None else pytest.approx(joules))
    assert any(remark in found for found in got.remarks)


def test_a_last_row_that_is_the_total_is_left_out(read: Read) -> None:
    """The sum of the rows at the end of a table would count all of them twice."""
    rows = [20, 21, 22, 23, 21, 20]
    got = power(read, column("energy [J]", [*rows, sum(rows)]), *PER_ROW)
    check(got, sum(rows))
    assert "is the total of those before it" in got.remarks[0]


@pytest.mark.parametrize("columns", ["gpu0_energy", "gpu0_energy,gpu1_energy"])
def test_a_window_of_zeus_with_0_j_is_told(read: Read, columns: str) -> None:
    """A GPU that is on draws power in each window."""
    header = f"start_time,window_name,elapsed_time,{columns}"
    count = columns.count(",") + 1
    rows = [(SECONDS + 9 * n, n, 9, *[0 if n == 3 else 900 + n % 5] * count) for n in range(12)]
    got = read(table(header, rows))
    assert (
        sum("1 of 12 rows has 0 J; a GPU that is on" in remark for remark in got.remarks) == count
    )


def test_a_run_of_codecarbon_with_0_kwh_is_told(read: Read) -> None:
    """CodeCarbon writes 0 kWh where it read nothing."""
    header = "timestamp,run_id,duration,energy_consumed"
    rows = [(f"2024-03-05T0{n}:00:00", n, 60, 0.0 if n == 2 else 0.01) for n in range(4)]
    assert any("1 of 4 rows has 0 J" in remark for remark in read(table(header, rows)).remarks)


@pytest.mark.parametrize("cell", ["0", "0.00", "-0.0"])
def test_a_zero_among_readings_is_told(read: Read, cell: str) -> None:
    """A wattmeter may read 0 W, or miss a reading; the remark leaves no doubt unsaid."""
    got = power(read, column("power [W]", ["200.1", "200.2"] * 5 + [cell] + ["200.3"] * 3))
    assert any("1 of 14 readings is 0 W; is that power, or" in remark for remark in got.remarks)


@pytest.mark.parametrize(
    ("cells", "option", "remark"),
    [
        ([200 + n % 7 for n in range(60)] + [203.5] * 120, "", "120 readings in a row are equal"),
        (
            [*accumulate([200] * 60), *[12000] * 30, *accumulate([200] * 60, initial=12000)],
            "--energy-column=energy",
            "the counter stands still for 31 s (32 readings)",
        ),
        (
            [200 * n + (n > 20) * 9000 for n in range(40)],
            "--energy-column=energy",
            "from 4000 to 13200 J in one step, at 46 times the power of any other",
        ),
    ],
)  # fmt: skip
def test_a_sensor_that_stands_still_or_jumps_is_told(
    read: Read, cells: Sequence[float], option: str, remark: str
) -> None:
    """What may be a sensor that died, or a number that was set, is a remark."""
    text = column("energy [J]" if option else "power [W]", cells)
    got = power(read, text, *filter(None, [option]))
    assert any(remark in found for found in got.remarks), got.remarks


def test_lost_rows_are_counted_where_many_are_lost(read: Read) -> None:
    """Steps of whole periods show that rows are missing, even if every fourth is."""
    text = table(
        "timestamp,run_id,duration,energy_consumed",
        [
            (f"2024-03-{5 + n // 24:02d}T{n % 24:02d}:00:00", n, 600, 0.05)
            for n in range(28)
            if n % 4 != 1
        ],
    )
    assert any("7 readings are missing, by the usual 3600 s" in r for r in read(text).remarks)


@pytest.mark.parametrize("space", ["\u2009", "\u2007", "\u202f", "\u00a0", " ", "'"])
def test_spaces_between_thousands(read: Read, space: str) -> None:
    """Thin and narrow spaces group digits, too."""
    text = table("time_s;power [W]", [(n, f"1{space}250,5") for n in range(6)], ";")
    check(power(read, text), 6252.5)


def test_utf_16_that_was_cut_inside_a_character(read: Read) -> None:
    """The half of a character at the end is no fault."""
    got = read(PLAIN.encode("utf-16")[:-9])
    check(got, 800)


def test_columns_of_one_name_are_added_up(read: Read) -> None:
    """``power [W]`` and ``power [kW]`` are two channels; only their unit differs."""
    rows = [(n, 200 + n % 3, 0.1) for n in range(12)]
    text = table("time_s,power [W],power [kW]", rows)
    got = power(read, text, "--power-column=power [W]", "--power-column=power [kW]")
    assert got.energy_j == pytest.approx(301 * 11, rel=0.01)
    assert got.channels.keys() == {"power [W]", "power [kW]"}


@pytest.mark.parametrize(
    ("present", "words"),
    [
        (lambda n: n < 20, "gpu1: its last reading is 19.996 s before the log ends"),
        (lambda n: n > 20, "gpu1: its first reading is 21.004 s after the log begins"),
        (lambda n: n not in (7, 38, 39), None),
    ],
)
def test_a_device_that_has_no_rows_for_a_while_is_told(
    read: Read, present: Callable[[int], bool], words: str | None
) -> None:
    """A GPU that falls out leaves no cell without a value; the others go on."""
    rows = [
        (f"{gpu}, {datetime.fromtimestamp(SECONDS + n + gpu * 0.004, UTC):%Y/%m/%d %H:%M:%S.%f}"[:-3], f" {watts + n % 4}.00 W")  # noqa: E501
        for n in range(40)
        for gpu, watts in enumerate((80, 240))
        if gpu == 0 or present(n)
    ]  # fmt: skip
    got = read(table("index, timestamp, power.draw [W]", rows))
    assert got.status == 0, got.err
    told = [remark for remark in got.remarks if "the log" in remark]
    assert [remark.startswith(words or "") for remark in told] == [True] * (words is not None)


def test_a_plug_whose_rows_end_early_is_told(read: Read) -> None:
    """So is one whose rows have joules of their own; windows of their own length are none."""
    draw = random.Random(0)
    rows = [
        (60 * n, plug, f"{draw.uniform(2, 3):.3f}")
        for n in range(20)
        for plug in ("a", "b")
        if plug == "a" or n < 12
    ]
    options = ("--energy-column=total", "--energy-per-row", "--device-column=plug")
    got = power(read, table("time_s,plug,total [Wh]", rows), *options)
    assert got.status == 0, got.err
    assert any(r.startswith("b: its last reading is 480 s before") for r in got.remarks)


def test_a_time_that_does_not_exist_in_its_zone_is_refused(read: Read) -> None:
    """Where summer time begins, an hour is skipped: a clock that shows it is of another zone."""
    rows = [(f"2025-03-30 02:30:{n:02d}", 100 + n % 2) for n in range(10)]
    got = read(table("time,power [W]", rows), "--timezone=Europe/Berlin")
    assert got.status == 2
    assert "2025-03-30 02:30:00 does not exist in this time zone" in got.err
    assert "--timezone" in got.err
    assert read(table("time,power [W]", rows), "--timezone=Asia/Tokyo").status == 0


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("avg power [W],max power [W]", "'avg power [W]' and 'max power [W]' may be statistics"),
        ("power.average [W],power.instant [W]", "may be statistics of one power"),
        ("psu1 [W],psu2 peak [W]", "column 'psu2 peak [W]' is named as a peak"),
        ("power.limit [W],other [W]", "column 'power.limit [W]' is named as a limit"),
        ("avg psu1 [W],avg psu2 [W]", None),
    ],
)
def test_statistics_of_one_power_are_not_added_up_silently(
    read: Read, header: str, words: str | None
) -> None:
    """A mean and a maximum are of one power; a remark says so, wherever both are named."""
    rows = [(n, 200 + n % 3, 300 + n % 4) for n in range(12)]
    options = [f"--power-column={name}" for name in header.split(",")]
    got = power(read, table(f"time_s,{header}", rows), *options)
    told = [remark for remark in got.remarks if "statistics" in remark or "is named as" in remark]
    assert [words is not None and words in remark for remark in told] == [True] * (
        words is not None
    )


@pytest.mark.parametrize("decimals", [2, 3])
def test_the_interval_contains_what_a_coarse_counter_hides(read: Read, decimals: int) -> None:
    """A counter in kWh with few decimals moves in each row, yet in coarse steps."""
    draw = random.Random(decimals)
    errors = []
    for _ in range(20):
        start = draw.uniform(100, 200)
        powers_w = [draw.uniform(2000, 6000) for _ in range(40)]
        counted_kwh = list(accumulate([start, *(watts * 60 / 3.6e6 for watts in powers_w)]))
        scale = 10**decimals
        cells = [f"{int(each * scale) / scale:.{decimals}f}" for each in counted_kwh]
        rows = [(60 * n, cell) for n, cell in enumerate(cells)]
        got = power(read, table("time_s,total [kWh]", rows), "--energy-column=total")
        assert got.energy_j is not None
        error_j = abs(got.energy_j - sum(powers_w) * 60)
        assert 0 < got.uncertainty_j < 2.1 * 3.6e6 / scale
        errors.append(error_j <= got.uncertainty_j)
    assert sum(errors) >= 18


def test_the_interval_of_a_fine_counter_is_not_widened(read: Read) -> None:
    """Steps of a millijoule do not matter beside rows of some hundred joules."""
    draw = random.Random(0)
    cells = [int(each) for each in accumulate(draw.uniform(2e5, 3e5) for _ in range(30))]
    got = power(read, table("time_s,energy_mj", enumerate(cells)), "--energy-column=energy_mj")
    assert got.uncertainty_j == 0


def test_a_header_that_comes_again_may_have_a_column_without_a_name(read: Read) -> None:
    """HWiNFO ends its lines with a comma, and repeats its header at the end."""
    draw = random.Random(0)
    header = 'Date,Time,"CPU [W]","GPU Power [W]",'
    rows = [
        (f"5.3.2024,09:30:{n:02d}.100", draw.uniform(60, 70), 250 + n % 2, "") for n in range(20)
    ]
    text = table(header, [*rows, (header,), (",,Intel,NVIDIA,",)])
    options = ("--time-column=Date", "--time-column=Time", "--power-column=GPU Power")
    got = read(text, WATTMETER, *options)
    assert got.energy_j == pytest.approx(250.5 * 19, rel=0.01), got.err


@pytest.mark.parametrize(
    ("column", "option", "expected"),
    [
        ('node_rapl_joules_total{path="/sys"}', "--energy-column", 200 * 19),
        ('power_watts {instance="a:9100"}', "--power-column", None),
    ],
)
def test_labels_of_prometheus_are_no_unit(
    read: Read, column: str, option: str, expected: float | None
) -> None:
    """Braces with an equals sign hold labels; the unit is a word of the name before them."""
    quoted = '"' + column.replace('"', '""') + '"'
    cells = [4000 + 200 * n if expected else 150 + n % 2 for n in range(20)]
    got = power(read, table(f"time_s,{quoted}", enumerate(cells)), f"{option}={column}")
    assert got.energy_j == pytest.approx(expected or 150.5 * 19, rel=0.01), got.err
    assert not any("names no unit" in remark for remark in got.remarks)


def test_rows_with_words_are_no_headers(read: Read) -> None:
    """PTDaemon names each value in each row, also those that --columns names."""
    rows = [f"Time,03-20-2024 09:30:{n:02d}.000,Watts,{250 + n % 2}.000000" for n in range(12)]
    options = ("--columns=t,time,w,power", "--time-column=time", "--power-column=power")
    got = read("\n".join([*rows, ""]), WATTMETER, *options)
    assert got.energy_j == pytest.approx(250.5 * 11, rel=0.01), got.err


def test_joules_of_rows_that_never_change_name_their_option(read: Read) -> None:
    """A smart plug writes the same watt-hours each minute; its rows are no counter."""
    rows = [(60 * n, 2.5) for n in range(12)]
    got = power(read, table("time_s,total [Wh]", rows), "--energy-column=total")
    assert got.status == 1
    assert any("say --energy-per-row" in remark for remark in got.remarks)


def test_a_column_without_any_value_is_named(read: Read) -> None:
    """The error names the column, and how to read another one."""
    rows = [(f"2024/03/05 09:30:{n:02d}.000", "[N/A]", f"{200 + n % 3}.00 W") for n in range(10)]
    got = read(table("timestamp, power.draw [W], power.draw.instant [W]", rows))
    assert got.status == 2
    assert "'power.draw [W]' has no value in any row" in got.err
    assert "--power-column" in got.err


def test_a_long_cell_is_quoted_in_part(read: Read) -> None:
    """An error can be read at a terminal, whatever a log contains."""
    rows = [(n, "9" * 5000 if n == 5 else 200 + n % 3) for n in range(10)]
    got = power(read, table("time_s,power [W]", rows))
    assert got.status == 2
    assert "line 7" in got.err
    assert len(got.err) < 300
