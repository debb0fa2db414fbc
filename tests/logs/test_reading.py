"""Parsing of CSV files: formats, cells without values, faults, times."""

import contextlib
import itertools
import math
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_energy.errors import FileFormatError, UsageError
from pytest_energy.logs.energy import Reading
from pytest_energy.logs.reading import (
    Columns,
    find_column,
    find_gpu_columns,
    parse_time,
    parse_value,
    read_log,
    read_table,
)
from pytest_energy.logs.units import ENERGY, POWER, Scale

NOON = datetime(2022, 5, 3, 12, tzinfo=UTC).timestamp()
BERLIN = ZoneInfo("Europe/Berlin")

ROWS = [
    "0, 2022/05/03 12:00:00.000, {a}",
    "1, 2022/05/03 12:00:00.001, {b}",
    "0, 2022/05/03 12:00:10.000, {c}",
    "1, 2022/05/03 12:00:10.001, {d}",
]


@pytest.fixture
def write(tmp_path):
    """Write lines to a file."""

    def to_file(*lines):
        path = tmp_path / "log.csv"
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return to_file


def read(path, names=None, zone=UTC):
    """The readings of an nvidia-smi log."""
    rows = read_table(path, names)
    return read_log(path, rows, find_gpu_columns(rows), zone)


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("index, timestamp, power.draw [W]", " W"),
        ("index, timestamp, power.draw [W]", ""),
        ("index, timestamp, power.draw.average [W]", " W"),
        (None, " W"),
        (None, ""),
    ],
)
def test_nvidia_smi_with_and_without_header_and_units(write, header, unit):
    """All forms that nvidia-smi writes give the same readings of each GPU."""
    cells = {key: f"{watts}{unit}" for key, watts in zip("abcd", (50, 60, 70.5, 80), strict=True)}
    path = write(*([header] if header else []), *(row.format(**cells) for row in ROWS))

    log = read(path, None if header else ["index", "timestamp", "power.draw"])

    assert log == {
        "0": [Reading(NOON, 50), Reading(NOON + 10, 70.5)],
        "1": [Reading(NOON + 0.001, 60), Reading(NOON + 10.001, 80)],
    }


@pytest.mark.parametrize(
    "cell", ["[N/A]", "N/A", "[Not Supported]", "[Unknown Error]", "[GPU is lost]", "ERR!", ""]
)
def test_a_cell_without_value_is_no_reading(write, cell):
    """A cell that nvidia-smi marks as having no value is skipped, not read as zero."""
    path = write(
        "timestamp, power.draw [W]",
        "2022/05/03 12:00:00, 50 W",
        f"2022/05/03 12:00:10, {cell}",
        "2022/05/03 12:00:20, 70 W",
    )

    assert read(path) == {"": [Reading(NOON, 50), Reading(NOON + 20, 70)]}


def test_a_repeated_header_and_an_incomplete_last_line_are_skipped(write):
    """A log can be read if its logger was started twice and killed in the middle of a line."""
    path = write(
        "index, timestamp, power.draw [W]",
        "0, 2022/05/03 12:00:00, 50 W",
        "index, timestamp, power.draw [W]",
        "0, 2022/05/03 12:00:10, 60 W",
        "0, 2022/05",
    )

    assert [reading.value for reading in read(path)["0"]] == [50, 60]


def test_all_faults_are_reported_with_their_lines(write):
    """One error names every cell that is not a number or a time."""
    path = write(
        "timestamp, power.draw [W]",
        "2022/05/03 12:00:00, fifty",
        "yesterday, 50 W",
        "2022/05/03 12:00:20, 50 W",
    )

    with pytest.raises(FileFormatError) as caught:
        read(path)
    assert caught.value.faults == (
        "line 2: 'fifty' is not a number",
        "line 3: 'yesterday' is not a time",
    )


def test_many_faults_are_counted(write):
    """An error lists the first ten faults and counts the others."""
    path = write("timestamp, power.draw", *(f"soon {n}, much" for n in range(25)))

    with pytest.raises(FileFormatError) as caught:
        read(path)
    assert len(caught.value.faults) == 11
    assert caught.value.faults[-1] == "and 15 more"


def test_lines_of_another_length_are_refused(write):
    """A line with too few cells, other than the last, is a fault."""
    path = write("timestamp, power.draw", "2022/05/03 12:00:00", "2022/05/03 12:00:20, 50")

    with pytest.raises(FileFormatError, match="line 2: 1 cells, 2 expected"):
        read(path)


@pytest.mark.parametrize("content", ["", "timestamp, power.draw\n"])
def test_an_empty_log_is_refused(tmp_path, content):
    """A file without readings is refused."""
    path = tmp_path / "log.csv"
    path.write_text(content)

    with pytest.raises(FileFormatError, match="no readings"):
        read(path)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    """A binary file is refused by name."""
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")

    with pytest.raises(FileFormatError, match=r"log\.csv.*not UTF-8"):
        read(path)


def test_a_missing_column_is_named(write):
    """The error names the missing column and lists those of the file."""
    path = write("timestamp, utilization.gpu [%]", "2022/05/03 12:00:00, 5 %")

    with pytest.raises(UsageError, match=r"no column 'power\.draw' among timestamp, utilization"):
        read(path)


def test_several_gpus_without_a_column_that_identifies_them_are_refused(write):
    """Rows of two GPUs are not read as those of a single GPU."""
    row = "2022/05/03 12:00:{:02d}, 50 W"
    path = write("timestamp, power.draw [W]", *(row.format(s // 2) for s in range(10)))

    with pytest.raises(UsageError, match="log index, too"):
        read(path)


def test_semicolons_and_decimal_commas(write):
    """The CSV format of a German spreadsheet is read like any other."""
    path = write("time;power", "0;50,5", "10,5;60")
    rows = read_table(path)

    assert read_log(path, rows, Columns("time", "power")) == {
        "": [Reading(0, 50.5), Reading(10.5, 60)]
    }


@given(
    st.lists(st.lists(st.text(max_size=8) | st.just("2022/05/03 12:00:00"), max_size=4), max_size=6)
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_read_or_refused(write, table):
    """Any content gives readings or an error with a message for users."""
    path = write("timestamp,power.draw", *(",".join(row) for row in table))

    with contextlib.suppress(FileFormatError, UsageError):
        for reading in itertools.chain.from_iterable(read(path).values()):
            assert math.isfinite(reading.time_s)
            assert math.isfinite(reading.value)


def test_a_cell_without_end_is_refused(write):
    """A quote that is never closed is refused."""
    path = write("timestamp,power.draw", '"' + "x" * 200_000)

    with pytest.raises(FileFormatError, match="field larger than"):
        read(path)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("187.32 W", 187.32), ("187", 187), (" 1.5e3 ", 1500), ("2,5", 2.5), ("-3 W", -3)],
)
def test_values(cell, value):
    """Numbers may have a unit, spaces, an exponent or a decimal comma."""
    assert parse_value(cell, Scale()) == value


@pytest.mark.parametrize("cell", ["1,234.5", "W", "1.2.3", "nan", "inf", "9" * 400])
def test_a_cell_that_is_not_a_number_is_a_fault(cell):
    """An ambiguous cell is refused, not guessed."""
    with pytest.raises(ValueError, match="is not a number"):
        parse_value(cell, Scale())


@pytest.mark.parametrize(
    ("cell", "scale", "value"),
    [
        ("250 mW", Scale(), 0.25),
        ("1.5kW", Scale(), 1500),
        ("1,5 KW", Scale(), 1500),
        ("2 MW", Scale(), 2e6),
        ("100 Watts", Scale(), 100),
        ("3", Scale(header="kW"), 3000),
        ("3 W", Scale(header="kW"), 3),  # the unit behind a number comes first
        ("2", Scale(ENERGY), 7.2e6),
        ("2", Scale(ENERGY, header="J"), 2),
        ("2", Scale(ENERGY, option="Wh"), 7200),
        ("2 kwh", Scale(ENERGY, option="kWh"), 7.2e6),
    ],
)
def test_values_are_in_the_unit_that_is_named(cell, scale, value):
    """The cell's unit counts, else the header's, else the option's, else watts or kWh."""
    assert parse_value(cell, scale) == pytest.approx(value)


@pytest.mark.parametrize(
    ("cell", "scale", "fault"),
    [
        ("12 %", Scale(), "'%' is not a known unit; expected a unit of power: mW, W, kW, MW"),
        ("12 mw", Scale(), "'mw' is not a known unit"),  # mW or MW
        (
            "1 kWh",
            Scale(),
            "'kWh' is a unit of energy, for --energy-column; expected a unit of power",
        ),
        (
            "1 W",
            Scale(ENERGY),
            "'W' is a unit of power, for --power-column; expected a unit of energy",
        ),
        ("1 J", Scale(ENERGY, option="kWh"), "'J' contradicts --energy-unit kWh; omit"),
    ],
)
def test_a_unit_that_does_not_fit_is_a_fault(cell, scale, fault):
    """An unknown unit, one of the other quantity, or one that contradicts the option is refused."""
    with pytest.raises(ValueError, match=fault):
        parse_value(cell, scale)


@given(
    quantity=st.sampled_from([POWER, ENERGY]),
    units=st.tuples(*[st.integers(0, 20)] * 2),
    values=st.lists(st.floats(0, 1e6), min_size=2, max_size=5),
    in_header=st.booleans(),
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_readings_do_not_depend_on_the_unit(write, quantity, units, values, in_header):
    """The same watts or joules give the same readings in any unit, in cells or header."""
    names = list(quantity.factors)

    def written_in(unit):
        factor = quantity.factors[unit]
        header, behind = (f"value [{unit}]", "") if in_header else ("value", f" {unit}")
        rows = [f"{n},{value / factor!r}{behind}" for n, value in enumerate(values)]
        path = write(f"time,{header}", *rows)
        rows = read_table(path)
        columns = Columns(find_column(rows, "time"), find_column(rows, "value"), quantity=quantity)
        return [reading.value for reading in read_log(path, rows, columns)[""]]

    first, second = (written_in(names[n % len(names)]) for n in units)
    assert first == pytest.approx(values)
    assert second == pytest.approx(first)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("time", "time"),
        ("power", "power (kW)"),
        ("power (kW)", "power (kW)"),
        ("energy [J]", "energy [J]"),
    ],
)
def test_a_column_is_found_by_its_name_with_or_without_unit(write, name, column):
    """A name without a unit is enough if only one column has it."""
    rows = read_table(write("time,power (kW),energy [J],energy [Wh]", "0,1,2,3"))
    assert find_column(rows, name) == column


def test_an_ambiguous_column_name_is_refused(write):
    """If two columns differ only in their unit, the name must have the unit."""
    rows = read_table(write("time,energy [J],energy [Wh]", "0,2,3"))
    with pytest.raises(UsageError, match=r"more than one column 'energy': energy \[J\], energy"):
        find_column(rows, "energy")


def test_column_names_from_the_option_take_units_from_the_header(write):
    """The units in a log's header count also if the option names the columns."""
    rows = read_table(write("time,power [kW]", "0,1"), ["time", "power"])
    assert list(rows[0].cells) == ["time", "power [kW]"]


@pytest.mark.parametrize(
    ("names", "headers", "fault"),
    [
        (
            None,
            ["power [W]", "power [kW]"],
            r"line 3: 'power \[kW\]' contradicts the earlier 'power \[W\]'",
        ),
        (None, ["power", "power [kW]"], "contradicts the earlier 'power'"),
        (
            ["time", "power [W]"],
            ["power [kW]", "power [kW]"],
            r"contradicts the earlier 'power \[W\]'",
        ),
    ],
)
def test_headers_with_other_units_are_refused(write, names, headers, fault):
    """A log whose headers have different units is refused."""
    first, second = headers
    path = write(f"time,{first}", "0,1", f"time,{second}", "1,1")
    with pytest.raises(FileFormatError, match=fault):
        read_table(path, names)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("2022/05/03 12:00:00.250", NOON + 0.25),
        ("2022-05-03T12:00:00Z", NOON),
        ("2022-05-03T14:00:00+02:00", NOON),
        (f"{NOON:.3f}", NOON),
        (f"{NOON * 1000:.0f}", NOON),
        ("12.5", 12.5),
    ],
)
def test_times(cell, seconds):
    """Times may be dates, with zones, epoch seconds or milliseconds, or seconds since the start."""
    assert parse_time(cell, UTC) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("time [ms]", ["0", "1500"]),
        ("Time (ms)", [f"{NOON * 1000:.0f}", f"{NOON * 1000 + 1500:.0f}"]),
        ("time [us]", ["200000000000", "200001500000"]),
        ("time [min]", ["0", "0.025"]),
        ("time [s]", ["0", "1.5"]),
        ("time [UTC]", [f"{NOON}", f"{NOON + 1.5}"]),
    ],
)
def test_times_are_in_the_unit_of_their_header(write, header, rows):
    """A unit in brackets converts the times; a zone in brackets does not."""
    table = read_table(write(f"{header},power", *(f"{time},50" for time in rows)))

    first, second = read_log(Path("log.csv"), table, Columns(header, "power"), UTC)[""]

    assert second.time_s - first.time_s == pytest.approx(1.5)


def test_an_impossible_time_in_hours_is_a_fault():
    """Epoch seconds under a header with hours are refused."""
    with pytest.raises(ValueError, match="is not a time in units of 3600 s"):
        parse_time(f"{NOON}", UTC, unit_s=3600.0)


@pytest.mark.parametrize("cell", ["", "noon", "-5", "2022-13-01", "9" * 400])
def test_a_cell_that_is_not_a_time_is_a_fault(cell):
    """A cell is refused if it is not a time, or beyond the range of clocks."""
    with pytest.raises(ValueError, match="is not a time"):
        parse_time(cell, ZoneInfo("Asia/Tokyo"))


def test_the_hour_that_comes_twice(write):
    """When summer time ends, local times step back an hour and the readings continue."""
    begin = datetime(2022, 10, 30, 0, 30, tzinfo=UTC).timestamp()  # 02:30 summer time
    local = [
        datetime.fromtimestamp(begin + 600 * step, BERLIN).strftime("%Y/%m/%d %H:%M:%S")
        for step in range(13)
    ]
    assert local[6] == local[0]  # the hour did come twice
    path = write("timestamp, power.draw", *(f"{time}, 50" for time in local))

    readings = read(path, zone=BERLIN)[""]

    assert [reading.time_s - begin for reading in readings] == [600 * step for step in range(13)]


def test_the_hour_that_is_skipped(write):
    """When summer time begins, local times skip an hour and no time is missing."""
    path = write("timestamp, power.draw", "2022/03/27 01:59:50, 50", "2022/03/27 03:00:00, 50")

    first, second = read(path, zone=BERLIN)[""]

    assert second.time_s - first.time_s == 10
