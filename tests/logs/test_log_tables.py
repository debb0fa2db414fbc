"""What tables say about their numbers: factors, units, dates, second headers, sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.logs.conftest import Imported

Read = Callable[..., Imported]
OPTIONS = ("--format=wattmeter", "--time-column=t_s", "--one-device")


def table(header: str, rows: Sequence[Sequence[object]]) -> str:
    """A table of any cells."""
    return "\n".join([header, *(",".join(map(str, row)) for row in rows), ""])


def seconds(*cells: object) -> list[tuple[object, ...]]:
    """Six rows of seconds and these cells."""
    return [(n, *cells) for n in range(6)]


@pytest.mark.parametrize(
    "name",
    [
        "power_cW", "P_dW", "power_deciwatts", "power_W_x10", "tenths_of_watts", "power_10mW",
        "power_dBm", "hundredth_w", "load_TW", "P daW", "power_x100_w",
    ],
)  # fmt: skip
def test_a_factor_in_the_name_of_a_power_is_refused(read: Read, name: str) -> None:
    """A unit that is not known with its prefix or factor is never read as watts."""
    got = read(table(f"t_s,{name}", seconds(1500)), *OPTIONS, f"--power-column={name}")
    assert got.status == 2
    assert "hints at a factor of its unit" in got.err


@pytest.mark.parametrize(
    "name", ["power_w_1", "gpu0_w", "Node10 W", "rail_12V_W", "power_avg_10min_w"]
)
def test_digits_in_the_name_of_a_power_are_no_factor(read: Read, name: str) -> None:
    """A number that counts devices, volts or minutes stands in many names."""
    got = read(table(f"t_s,{name}", seconds(150)), *OPTIONS, f"--power-column={name}")
    assert got.energy_j == pytest.approx(750), got.err


@pytest.mark.parametrize("name", ["ticks", "t_10ms", "Sample", "frame", "cpu_cycles", "t_100ns"])
def test_columns_that_count_are_no_times(read: Read, name: str) -> None:
    """Ticks and frames have a length that the log does not name."""
    text = table(f"{name},power [W]", seconds(150))
    got = read(text, "--format=wattmeter", f"--time-column={name}")
    assert got.status == 2
    assert "--time-unit" in got.err


@pytest.mark.parametrize(("step", "status"), [(60, 0), (300, 0), (100, 2), (250, 2), (500, 2)])
def test_times_that_are_probably_milliseconds_are_refused(
    read: Read, step: int, status: int
) -> None:
    """Numbers without a unit that are 100 or 250 apart are no seconds; minutes are."""
    got = read(table("time,power [W]", [(n * step, 150) for n in range(6)]), "--one-device")
    assert got.status == status
    assert status == 0 or "--time-unit" in got.err


@pytest.mark.parametrize(
    ("units", "joules"), [("s,mW", 0.75), ("[ms],[W]", 0.75), ("(s),(kW)", 750e3), ("s,", 750)]
)
def test_a_line_of_units_behind_the_header(read: Read, units: str, joules: float) -> None:
    """Data loggers write the units in a line of their own."""
    text = table("time,power", [*units.split("\n"), *seconds(150)][1:])
    got = read(text.replace("time,power\n", f"time,power\n{units}\n"), "--one-device")
    assert got.energy_j == pytest.approx(joules), got.err


@pytest.mark.parametrize(
    ("units", "joules"),
    [(["mW"] * 6, 0.75), (["W", "kW"] * 3, None), (["kWh"] * 6, "a unit of energy"),
     (["%"] * 6, "not a known unit")],
)  # fmt: skip
def test_a_column_of_units(read: Read, units: Sequence[str], joules: float | str | None) -> None:
    """Each number is in the unit beside it."""
    rows = [(n, 150 if unit != "kW" else 0.15, unit) for n, unit in enumerate(units)]
    got = read(table("t_s,power,unit", rows), *OPTIONS)
    if isinstance(joules, str):
        assert joules in got.err
    else:
        assert got.energy_j == pytest.approx(joules or 750), got.err


def test_a_power_without_unit_that_is_unusual_is_refused(read: Read) -> None:
    """Milliwatts without a unit would be 1000 times the joules."""
    got = read(table("t_s,load", seconds(210_000)), *OPTIONS, "--power-column=load")
    assert got.status == 2
    assert "2.1e+05 W is unusual" in got.err


@pytest.mark.parametrize(
    ("rows", "start", "covered"),
    [
        ([("2023-05-03", f"23:59:{n}") for n in range(50, 60)], None, 9),
        ([("2023-05-03", "12:00:00"), ("2023-05-04", "12:00:00")], "2023-05-03", 86400),
        ([("14.5.2023", "22:00:00"), ("15.5.2023", "23:00:00")], "2023-05-14", 90000),
    ],
)
def test_dates_beside_times_of_day_count(
    read: Read, rows: Sequence[tuple[str, str]], start: str | None, covered: float
) -> None:
    """A pause of more than a day is not taken for one of an hour."""
    text = table("day,time,power [W]", [(*row, 10) for row in rows])
    got = read(text, "--one-device")
    assert got.energy_j == pytest.approx(10 * covered)
    assert (got.start > 1.6e9) == (start is not None)


@pytest.mark.parametrize(
    "header", ["t_s,power [W],temp", "power [W],t_s", "t_s,power_mw", "t_s,load"]
)
def test_a_second_header_with_other_columns_is_refused(read: Read, header: str) -> None:
    """A log that goes on with other columns is not read as if it were one table."""
    cells = ",".join("7" for _ in header.split(","))
    text = table("t_s,power [W]", seconds(150)) + f"{header}\n{cells}\n{cells}\n"
    got = read(text, *OPTIONS)
    assert got.status == 2
    assert "line 8" in got.err
    assert "split the log there" in got.err


def test_columns_of_one_name_are_told_apart_by_their_place(read: Read) -> None:
    """Which of two equal names counts is not guessed."""
    text = table("t_s,power [W],power [W]", seconds(150, 250))
    got = read(text, *OPTIONS)
    assert got.status == 2
    assert "power #2 [W], power #3 [W]" in got.err
    assert read(text, *OPTIONS, "--power-column=power #3").energy_j == pytest.approx(1250)
    got = read(text, *OPTIONS, "--power-column=power #3", "--power-column=power #3 [W]")
    assert "named twice" in got.err


def test_a_channel_that_is_the_sum_of_others_is_refused(read: Read) -> None:
    """A total and its parts would count joules twice."""
    text = table("t_s,all_w,cpu_w,gpu_w", [(n, 300 + n, 100, 200 + n) for n in range(6)])
    columns = [f"--power-column={name}_w" for name in ("all", "cpu", "gpu")]
    assert "all_w is the sum of the other channels" in read(text, *OPTIONS, *columns).err
    assert read(text, *OPTIONS, *columns[1:]).energy_j == pytest.approx(1512.5)
    constant = table("t_s,total_w,cpu_w,gpu_w", seconds(300, 100, 200))
    columns[0] = "--power-column=total_w"
    assert "total_w is the sum" in read(constant, *OPTIONS, *columns).err


def domains(read: Read, names: Sequence[str], *options: str) -> Imported:
    """Rows of joules of each domain in turn."""
    rows = [(n, 20 + n % 3 + place, name) for n in range(6) for place, name in enumerate(names)]
    per_row = ["--energy-column=energy", "--energy-per-row", "--device-column=event"]
    return read(table("t_s,energy [J],event", rows), *OPTIONS[:2], *per_row, *options)


@pytest.mark.parametrize(
    "names",
    [
        ("power/energy-pkg/", "power/energy-cores/"),
        ("power/energy-psys/", "power/energy-pkg/"),
        ("package-0", "uncore"),
    ],
)
def test_domains_that_contain_each_other_are_refused(read: Read, names: Sequence[str]) -> None:
    """RAPL's package contains the cores; one of the two can be chosen."""
    assert f"{names[0]} contains {names[1]}" in domains(read, names).err
    assert domains(read, names, f"--devices={names[0]}").energy_j == pytest.approx(126)


@pytest.mark.parametrize(
    ("names", "remarks"),
    [
        (("power/energy-pkg/", "power/energy-ram/"), 0),
        (("package-0", "package-1"), 0),
        (("Total", "fan"), 1),
    ],
)
def test_names_of_channels_that_may_contain_others_are_told(
    read: Read, names: Sequence[str], remarks: int
) -> None:
    """Domains side by side add up; a total beside a part is a remark."""
    got = domains(read, names)
    assert got.energy_j == pytest.approx(126 + 132), got.err
    assert sum("count twice" in remark for remark in got.remarks) == remarks
    assert domains(read, names, f"--devices={names[1]}").remarks == ()


@pytest.mark.parametrize(
    "line", ["total,900", "avg,150", ",150", "Summe:,900", "mean,150\nmax,150"]
)
def test_a_summary_at_the_end_is_left_out(read: Read, line: str) -> None:
    """A line without a time is no reading; a remark names it."""
    got = read(table("t_s,power [W]", seconds(150)) + line + "\n", *OPTIONS)
    assert got.energy_j == pytest.approx(750), got.err
    assert "line 8" in got.remarks[0]


@pytest.mark.parametrize(
    "word", ["OFF", "OL", "k.A.", "***", "#DIV/0!", "1.#QNAN", "0xFFFF", "-nan(ind)"]
)
def test_words_among_numbers_are_no_readings(read: Read, word: str) -> None:
    """Any spelling of no value is one, if the column is one of numbers."""
    rows = [(n, word if n == 3 else 150) for n in range(12)]
    got = read(table("t_s,power [W]", rows), *OPTIONS)
    assert got.energy_j == pytest.approx(1650), got.err
    assert "1 of 12 rows has no value (line 5)" in got.remarks[0]


def test_uneven_stamps_of_whole_seconds_widen_the_interval(read: Read) -> None:
    """The first and the last stamp are up to a second before their readings."""
    rows = [(int(1.1 * n), 200) for n in range(60)]
    got = read(table("t_s,power [W]", rows), *OPTIONS)
    assert abs(got.energy_j - 200 * 1.1 * 59) <= 2 * got.uncertainty_j
    even = read(table("t_s,power [W]", seconds(200)), *OPTIONS)
    assert even.uncertainty_j == 0
