"""Tables to readings: cells without values, faults with their lines, units, zones, any content."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.errors import FileFormatError, UsageError
from pytest_energy.logs import readings
from pytest_energy.logs.energy import Reading
from pytest_energy.logs.formats import FORMATS
from pytest_energy.logs.readings import Log, parse_value, read_log
from pytest_energy.logs.source import Options
from pytest_energy.logs.table import find_column, read_table
from pytest_energy.logs.text import read_lines
from pytest_energy.logs.times import parse_time, understand
from pytest_energy.logs.units import ENERGY, POWER, Quantity, Scale
from tests.logs.conftest import import_text
from tests.logs.samples import BUILDERS, Sample
from tests.texts import CHARACTERS

NOON = datetime(2022, 5, 3, 12, tzinfo=UTC).timestamp()
BERLIN = ZoneInfo("Europe/Berlin")
Write = Callable[..., Path]

ROWS = [
    "0, 2022/05/03 12:00:00.000, {a}",
    "1, 2022/05/03 12:00:00.001, {b}",
    "0, 2022/05/03 12:00:10.000, {c}",
    "1, 2022/05/03 12:00:10.001, {d}",
]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write lines to a file."""

    def to_file(*lines: str) -> Path:
        return write_lines(tmp_path, lines)

    return to_file


def write_lines(folder: Path, lines: Sequence[str]) -> Path:
    """A log of these lines."""
    path = folder / "log.csv"
    path.write_text("".join(line + "\n" for line in lines), "utf-8", newline="")
    return path


def read_as(name: str, path: Path, options: Options) -> Log:
    """The log, read in a format."""
    return read_log(path, FORMATS[name].read(path, read_lines(path), options), options)


def read_smi(
    path: Path, names: tuple[str, ...] | None = None, zone: tzinfo = UTC
) -> dict[str, list[Reading]]:
    """The readings of an nvidia-smi log, by GPU."""
    log = read_as("nvidia-smi", path, Options(columns=names, zone=zone))
    return {series.device: list(series.readings) for series in log.series}


def read_column(path: Path, **options: object) -> list[Reading]:
    """The readings of a table with one column of values."""
    (series,) = read_as("wattmeter", path, Options(zone=UTC, **options)).series  # type: ignore[arg-type]
    return list(series.readings)


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
def test_nvidia_smi_with_and_without_header_and_units(
    write: Write, header: str | None, unit: str
) -> None:
    """All forms that nvidia-smi writes give the same readings of each GPU."""
    cells = {key: f"{watts}{unit}" for key, watts in zip("abcd", (50, 60, 70.5, 80), strict=True)}
    path = write(*([header] if header else []), *(row.format(**cells) for row in ROWS))

    log = read_smi(path, None if header else ("index", "timestamp", "power.draw"))

    assert log == {
        "0": [Reading(NOON, 50), Reading(NOON + 10, 70.5)],
        "1": [Reading(NOON + 0.001, 60), Reading(NOON + 10.001, 80)],
    }


@pytest.mark.parametrize(
    "cell",
    ["[N/A]", "N/A", "[Not Supported]", "[Unknown Error]", "[GPU is lost]", "ERR!", "inf", ""],
)
def test_a_cell_without_value_is_no_reading(write: Write, cell: str) -> None:
    """What nvidia-smi writes instead of a value is left out, not taken as zero."""
    path = write(
        "timestamp, power.draw [W]",
        "2022/05/03 12:00:00, 50 W",
        f"2022/05/03 12:00:10, {cell}",
        "2022/05/03 12:00:20, 70 W",
    )

    assert read_smi(path) == {"": [Reading(NOON, 50), Reading(NOON + 20, 70)]}


def test_rows_before_the_header_are_refused(write: Write) -> None:
    """A part of the table with another header is never left out as if it were no reading."""
    rows = [f"{second},100" for second in range(10)]
    path = write("Zeit,Leistung", *rows[:5], "time,power [W]", *rows[5:])
    with pytest.raises(FileFormatError, match="lines 1 to 6 have 2 cells"):
        read_column(path)


def test_a_header_that_comes_again_and_a_line_cut_off_are_left_out(write: Write) -> None:
    """A log that was started twice and killed in the middle of a line is read."""
    path = write(
        "index, timestamp, power.draw [W]",
        "0, 2022/05/03 12:00:00, 50 W",
        "index, timestamp, power.draw [W]",
        "0, 2022/05/03 12:00:10, 60 W",
        "0, 2022/05",
    )

    assert [reading.value for reading in read_smi(path)["0"]] == [50, 60]


def test_all_faults_are_reported_with_their_lines(write: Write) -> None:
    """Whatever is not a number or not a time is named, line by line, in one error."""
    path = write(
        "timestamp, power.draw [W]",
        "2022/05/03 12:00:00, fifty",
        "yesterday, 50 W",
        "2022/05/03 12:00:20, 50 W",
    )

    with pytest.raises(FileFormatError) as caught:
        read_smi(path)
    assert caught.value.faults == (
        "line 2: 'fifty' is not a number",
        "line 3: 'yesterday' is not a time",
        "name the form of the times with --time-format, such as '%d.%m.%Y %H:%M:%S.%f'",
    )


@pytest.mark.parametrize("row", ["soon {}, much", "2022/05/03 12:00:{}, much", "soon {}, 50"])
def test_many_faults_of_a_kind_are_counted(write: Write, row: str) -> None:
    """The first three faults of a kind are named with their lines, the others counted."""
    path = write("timestamp, power.draw", *(row.format(10 + n) for n in range(25)))

    with pytest.raises(FileFormatError) as caught:
        read_smi(path)
    lines = [fault.partition(":")[0] for fault in caught.value.faults]
    assert lines[:4] == ["line 2", "line 3", "line 4", "and 22 more such lines"]


def test_many_kinds_of_faults_are_counted(write: Write) -> None:
    """A file of many faults has ten of them in its error."""
    words = [f"{'abcdefghijklmno'[n]}W" for n in range(15)]
    path = write("time,power", *(f"{n},5 {word}" for n, word in enumerate(words)))

    with pytest.raises(FileFormatError) as caught:
        read_as("wattmeter", path, Options())
    assert len(caught.value.faults) <= 11


def test_a_line_of_another_length_is_left_out_by_name(write: Write) -> None:
    """A line in the middle with cells missing is no reading; a remark names it."""
    path = write("time,power", "0,50", "10", "20,50")

    log = read_as("wattmeter", path, Options())

    assert list(log.series[0].readings) == [Reading(0, 50), Reading(20, 50)]
    assert any("line 3 ('10')" in remark.message for remark in log.remarks)


def test_many_lines_of_another_length_are_refused(write: Write) -> None:
    """A table in which many lines lack cells is not one; the error names them."""
    lines = [f"{n}" if n % 3 else f"{n},50" for n in range(13)]

    with pytest.raises(FileFormatError, match="line 3: '1' is not a row of 2 cells") as caught:
        read_column(write("time,power", *lines))
    assert caught.value.faults[-1] == "and 5 more such lines"
    with pytest.raises(FileFormatError, match="line 2: 1 cell, 2 expected"):
        read_column(write("time,power", "0", "10"))


@pytest.mark.parametrize("content", ["", "\n\n", "timestamp, power.draw\n"])
def test_an_empty_log_is_refused(tmp_path: Path, content: str) -> None:
    """A file without readings is refused."""
    path = tmp_path / "log.csv"
    path.write_text(content)

    with pytest.raises(FileFormatError, match="no readings"):
        read_smi(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """A binary file is refused by name."""
    path = tmp_path / "log.csv"
    path.write_bytes(b"\x81\x8d\x8f\x90")
    with pytest.raises(FileFormatError, match=r"log\.csv.*neither UTF-8 nor UTF-16"):
        read_smi(path)
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match=r"log\.csv"):
        read_smi(path)


def test_a_column_that_is_missing_is_named(write: Write) -> None:
    """Without power there is nothing to read; the error lists the columns of the file."""
    path = write("timestamp, utilization.gpu [%]", "2022/05/03 12:00:00, 5 %")

    with pytest.raises(UsageError, match=r"no column 'power\.draw'.*timestamp, utilization"):
        read_smi(path)


def test_semicolons_and_decimal_commas(write: Write) -> None:
    """A table as a German spreadsheet writes it is read like any other."""
    assert read_column(write("time;power", "0;50,5", "10,5;60")) == [
        Reading(0, 50.5),
        Reading(10.5, 60),
    ]


CELLS = (
    st.text(CHARACTERS, max_size=8)
    | st.text("0123456789.,:-/ eE+TZWkmJ[]()\"'", max_size=12)
    | st.sampled_from(
        ["2022/05/03 12:00:00", "50 W", "9" * 400, "1e400", "0001-01-01", "9999-12-31", "\0", '"']
    )
)


@given(
    name=st.sampled_from(["nvidia-smi", "wattmeter"]),
    header=st.sampled_from(["{},{}", "{};{}", "{}\t{}"]),
    table=st.lists(st.lists(CELLS, max_size=4), max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_any_file_is_read_or_refused(name: str, header: str, table: list[list[str]]) -> None:
    """No content ends in anything but finite readings or an error that is meant for people."""
    names = ("timestamp", "power.draw") if name == "nvidia-smi" else ("time", "power")
    rows = [header[2].join(row) for row in table]
    with tempfile.TemporaryDirectory() as folder:
        path = write_lines(Path(folder), [header.format(*names), *rows])
        try:
            log = read_as(name, path, Options(zone=BERLIN))
        except (FileFormatError, UsageError):
            return
    for reading in itertools.chain.from_iterable(series.readings for series in log.series):
        assert math.isfinite(reading.time_s)
        assert math.isfinite(reading.value)


@given(
    builder=st.sampled_from(BUILDERS),
    kept=st.integers(0, 6),
    lines=st.lists(st.lists(CELLS, max_size=5), max_size=4),
    separator=st.sampled_from([",", ";", " "]),
    named=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_content_after_the_start_of_any_format_is_read_or_refused(
    builder: Callable[[list[list[float]]], Sample],
    kept: int,
    lines: list[list[str]],
    separator: str,
    named: bool,
) -> None:
    """The command ends with joules, or with a reason, for any lines after those of a program."""
    sample = builder([[50.0 + n for n in range(8)]] * 2)
    start = sample.lines[: sample.first + kept]
    content = "\n".join([*start, *(separator.join(cells) for cells in lines), ""])
    options = [*sample.options, *([f"--format={sample.format}"] if named else [])]
    with tempfile.TemporaryDirectory() as folder:
        got = import_text(Path(folder), content, options)
    assert (got.energy_j is not None) == (got.status == 0)
    assert got.status == 0 or got.err or got.remarks


def test_a_cell_without_end_is_refused(write: Write) -> None:
    """A quote that is never closed is refused, and does not take in the rest of the file."""
    path = write("timestamp,power.draw", '"' + "x" * 200_000)

    with pytest.raises(FileFormatError, match="line 2: 1 cell, 2 expected"):
        read_smi(path)


@pytest.mark.parametrize(
    ("cell", "sign", "value"),
    [
        ("187.32 W", ".", 187.32),
        ("187", ".", 187),
        (" 1.5e3 ", ".", 1500),
        ("2,5", ",", 2.5),
        ("-3 W", ".", -3),
        ("1,234.5", ".", 1234.5),
    ],
)
def test_values(cell: str, sign: str, value: float) -> None:
    """Numbers come with and without units, spaces, exponents and decimal commas."""
    assert parse_value(cell, Scale(), sign) == value


@pytest.mark.parametrize("cell", ["W", "1.2.3", "1,2,3", "9" * 400, "1e400", "5 6 7", "x5"])
def test_what_is_not_a_value_is_a_fault(cell: str) -> None:
    """A cell that is ambiguous, or beyond all numbers, is refused, not guessed."""
    with pytest.raises(ValueError, match="is not a number"):
        parse_value(cell, Scale())


@pytest.mark.parametrize("cell", ["nan", "inf", "-inf", "[N/A]"])
def test_words_for_no_number_are_no_value(cell: str) -> None:
    """What a program writes instead of a number is neither a number nor a fault."""
    assert parse_value(cell, Scale()) is None


@pytest.mark.parametrize(
    ("cell", "scale", "value"),
    [
        ("250 mW", Scale(), 0.25),
        ("1.5kW", Scale(), 1500),
        ("1.5 KW", Scale(), 1500),
        ("2 MW", Scale(), 2e6),
        ("100 Watts", Scale(), 100),
        ("3", Scale(header="kW"), 3000),
        ("3 W", Scale(header="kW"), 3),  # each number is in the unit that stands behind it
        ("2", Scale(ENERGY, header="J"), 2),
        ("2", Scale(ENERGY, option="Wh"), 7200),
        ("2 kwh", Scale(ENERGY, option="kWh"), 7.2e6),
    ],
)
def test_values_are_in_the_unit_that_is_named(cell: str, scale: Scale, value: float) -> None:
    """The cell's unit counts, else the header's, else the option's, else watts."""
    assert parse_value(cell, scale) == pytest.approx(value)


@pytest.mark.parametrize(
    ("cell", "scale", "fault"),
    [
        ("12 %", Scale(), "'%' is not a known unit; expected a unit of power: .*mW, "),
        ("12 mw", Scale(), "'mw' is not a known unit"),  # mW or MW
        ("1 kWh", Scale(), "'kWh' is a unit of energy, for --energy-column; expected a unit of p"),
        ("1 W", Scale(ENERGY), "'W' is a unit of power, for --power-column; expected a unit of en"),
        ("1 J", Scale(ENERGY, option="kWh"), "'J' contradicts --energy-unit kWh; omit"),
        ("2", Scale(ENERGY), "no unit of energy is named; name it with --energy-unit"),
    ],
)
def test_a_unit_that_does_not_fit_is_a_fault(cell: str, scale: Scale, fault: str) -> None:
    """A unit that is unknown, missing, of the other quantity or not the option's is refused."""
    with pytest.raises(ValueError, match=fault):
        parse_value(cell, scale)


def is_reading(value: float) -> bool:
    """Whether a number is not the largest of a display or of 16 bits, wherever its point is."""
    digits = f"{value:.10g}".replace(".", "").strip("0")
    return not value or (set(digits) != {"9"} and digits not in ("32767", "65535"))


@given(
    quantity=st.sampled_from([POWER, ENERGY]),
    units=st.tuples(*[st.integers(0, 30)] * 2),
    values=st.lists(st.floats(0, 1e3).filter(is_reading), min_size=2, max_size=5),
    in_header=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_readings_do_not_depend_on_the_unit(
    quantity: Quantity, units: tuple[int, int], values: list[float], in_header: bool
) -> None:
    """The same watts or joules, written in any unit, in cells or header, are the same readings."""
    names = list(quantity.factors)
    option = "power_columns" if quantity is POWER else "energy_columns"
    options = {option: ("value",), "per_row": quantity is ENERGY}

    def written_in(unit: str) -> list[float]:
        factor = quantity.factors[unit]
        header, behind = (f"value [{unit}]", "") if in_header else ("value", f" {unit}")
        rows = [f"{n},{value / factor!r}{behind}" for n, value in enumerate(values)]
        with tempfile.TemporaryDirectory() as folder:
            path = write_lines(Path(folder), [f"time,{header}", *rows])
            return [reading.value for reading in read_column(path, **options)]

    first, second = (written_in(names[n % len(names)]) for n in units)
    assert first == pytest.approx(values)
    assert second == pytest.approx(first)


NAMES = ("time", "power (kW)", "energy [J]", "energy [Wh]")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("time", "time"),
        ("TIME", "time"),
        ("power", "power (kW)"),
        ("power (kW)", "power (kW)"),
        ("energy [J]", "energy [J]"),
    ],
)
def test_a_column_is_found_by_its_name_with_or_without_unit(name: str, column: str) -> None:
    """The header's own name always fits; the one without a unit if only one column has it."""
    assert find_column(NAMES, name) == column


def test_a_name_of_two_columns_is_refused() -> None:
    """Of two columns that differ in their unit, the right one has to be named."""
    with pytest.raises(UsageError, match=r"more than one column 'energy': energy \[J\], energy"):
        find_column(NAMES, "energy")


def has_time(cells: Sequence[str]) -> bool:
    """Whether cells are a header."""
    return "time" in cells


def test_names_given_for_columns_take_units_from_the_header() -> None:
    """If a log has a header after all, its units hold."""
    table = read_table(Path("log.csv"), ["time,power [kW]", "0,1"], has_time, ["time", "power"])
    assert table.names == ("time", "power [kW]")


@pytest.mark.parametrize(
    ("names", "headers", "fault"),
    [
        (None, ["power [W]", "power [kW]"], r"line 3: 'power \[kW\]' contradicts .*'power \[W\]'"),
        (None, ["power", "power [kW]"], "the earlier 'power';"),
        (["time", "power [W]"], ["power [kW]", "power [kW]"], r"the earlier 'power \[W\]';"),
    ],
)
def test_headers_with_other_units_are_refused(
    names: list[str] | None, headers: Sequence[str], fault: str
) -> None:
    """Parts of a log in two units are not read as if they were in one."""
    first, second = headers
    lines = [f"time,{first}", "0,1", f"time,{second}", "1,1"]
    with pytest.raises(FileFormatError, match=fault):
        read_table(Path("log.csv"), lines, has_time, names)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("2022/05/03 12:00:00.250", NOON + 0.25),
        ("2022-05-03T12:00:00Z", NOON),
        ("2022-05-03T14:00:00+02:00", NOON),
        (f"{NOON:.3f}", NOON),
        (f"{NOON * 1000:.0f}", NOON),
    ],
)
def test_times(cell: str, seconds: float) -> None:
    """Dates, zones, and seconds and milliseconds since the epoch."""
    assert parse_time(cell, UTC) == pytest.approx(seconds)


def test_a_small_number_counts_from_the_start_of_the_log() -> None:
    """A number of seconds that is no date is relative."""
    clock = understand(["12.5"], settled=True)
    assert clock.relative
    assert clock.read("12.5").in_seconds(UTC) == 12.5


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("time [ms]", ["0", "1500"]),
        ("Time (ms)", [f"{NOON * 1000:.0f}", f"{NOON * 1000 + 1500:.0f}"]),
        ("time [us]", ["200000000", "201500000"]),
        ("time [min]", ["0", "0.025"]),
        ("time [s]", ["0", "1.5"]),
        ("time [UTC]", [f"{NOON}", f"{NOON + 1.5}"]),
    ],
)
def test_times_are_in_the_unit_of_their_header(
    write: Write, header: str, rows: Sequence[str]
) -> None:
    """Milliseconds are not taken as seconds; what is no unit of time, such as a zone, is none."""
    path = write(f"{header},power", *(f"{time},50" for time in rows))

    first, second = read_column(path, time_columns=(header,))

    assert second.time_s - first.time_s == pytest.approx(1.5)


def test_a_time_in_hours_that_no_clock_shows_is_refused(write: Write) -> None:
    """A date in seconds under a header that says hours is refused."""
    path = write("time [h],power", *(f"{NOON + n},50" for n in range(3)))
    with pytest.raises(FileFormatError, match="before 2000 or after 2100"):
        read_column(path)


@pytest.mark.parametrize(
    "cell", ["", "noon", "-5", "2022-13-01", "9" * 400, "0001-01-01", "9999-12-31 23:59:59"]
)
def test_what_is_not_a_time_is_a_fault(cell: str) -> None:
    """What is not a time, or further off than any log, is refused."""
    with pytest.raises(ValueError, match=r"is not a time|before 2000|no time of this century"):
        parse_time(cell, ZoneInfo("Asia/Tokyo"))


@pytest.mark.parametrize("step_s", [300, 600, 1200])
@pytest.mark.parametrize(
    ("zone", "change"),
    [
        (BERLIN, datetime(2022, 10, 30, 1, tzinfo=UTC)),
        (ZoneInfo("America/New_York"), datetime(2022, 11, 6, 6, tzinfo=UTC)),
    ],
)
def test_the_hour_that_comes_twice(
    write: Write, step_s: int, zone: ZoneInfo, change: datetime
) -> None:
    """When summer time ends, local times step back an hour and the readings go on."""
    begin = change.timestamp() - 1800
    local = [
        datetime.fromtimestamp(begin + second, zone).strftime("%Y/%m/%d %H:%M:%S")
        for second in range(0, 7201, step_s)
    ]
    assert local[3600 // step_s] == local[0]  # the hour did come twice
    path = write("timestamp, power.draw", *(f"{time}, 50" for time in local))

    readings = read_smi(path, zone=zone)[""]

    assert [reading.time_s - begin for reading in readings] == list(range(0, 7201, step_s))


def test_the_hour_that_is_skipped(write: Write) -> None:
    """When summer time begins, local times jump an hour and no time is missing."""
    path = write("timestamp, power.draw", "2022/03/27 01:59:50, 50", "2022/03/27 03:00:00, 50")

    first, second = read_smi(path, zone=BERLIN)[""]

    assert second.time_s - first.time_s == 10


def test_a_long_log_looks_for_its_column_of_units_as_often_as_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look reads all rows: one a row would take hours for the log of a day."""
    looks: list[str | None] = []
    look = readings.unit_column

    def counting(*arguments: Any) -> str | None:
        looks.append(look(*arguments))
        return looks[-1]

    monkeypatch.setattr(readings, "unit_column", counting)
    counts = []
    for rows in (10, 100):
        lines = [f"2022/05/03 12:{n // 60:02}:{n % 60:02}.000, {200 + n % 3}" for n in range(rows)]
        looks.clear()
        read = import_text(tmp_path, "\n".join(["timestamp, power.draw [W]", *lines]))
        assert read.energy_j == pytest.approx(201 * rows, rel=0.15)
        counts.append(len(looks))
    assert counts[0] == counts[1] > 0
