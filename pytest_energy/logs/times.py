"""Times in logs: numbers since an epoch or since the start of the log, and dates.

A column is understood as a whole, because one cell does not tell day from month, or milliseconds
from seconds. What two readings of a column would fit is refused, with the option that settles it.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from typing import Final, Literal

from pytest_energy.logs.numbers import parse_number
from pytest_energy.logs.wording import shortened

EARLIEST_S: Final = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
LATEST_S: Final = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
"""Dates of logs lie between these two."""
LONGEST_UPTIME_S: Final = 1e8
"""Three years: smaller times count from the start of the log, or of the machine."""
EPOCH_UNITS: Final = (1.0, 1e-3, 1e-6, 1e-9)
"""Seconds in the units of numbers since 1970; dates of this century tell them apart."""
DAY_S: Final = 86400.0
HALF_HOUR_S: Final = 1800.0
SHORTEST_STEP_S: Final = 1e-3
"""Steps of times without a unit that are shorter cannot be seconds."""
LONG_STEP_S: Final = 100.0
LONGEST_STEP_S: Final = 1000.0
"""Steps of times without a unit that are as long as the second, or as the first and no minutes, are
probably milliseconds."""
SPREADSHEET_DAYS: Final = (36526.0, 73051.0)
"""Days since 1899-12-30, the dates of spreadsheets, of this century."""
MONTHS: Final = (
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"
)  # fmt: skip
CLOCK: Final = r"(\d{1,3}):(\d{2})(?::(\d{2})(?:[.,:](\d+))?)?\s*([ap]\.?m\.?)?"
ZONE: Final = r"\s*(z|utc|gmt|[-+]\d{2}:?\d{2}(?::?\d{2})?|(?:utc|gmt)[-+]\d{1,2}(?::?\d{2})?)?"
NUMERIC_DATE: Final = re.compile(
    rf"(\d{{1,4}})([-/.])(\d{{1,2}})\2(\d{{1,4}})\.?(?:[T ,_]+{CLOCK}{ZONE})?", re.I
)
COMPACT_DATE: Final = re.compile(
    r"(\d{4})(\d{2})(\d{2})"
    rf"(?:[T _]?(?:(\d{{2}})(\d{{2}})(\d{{2}})?(?:[.,]?(\d+))?|{CLOCK}){ZONE})?",
    re.I,
)
WORDED_DATE: Final = (
    # Tue Mar  5 09:30:00 UTC 2024; Tue Mar 5 09:30:00 2024 +0100
    re.compile(
        rf"(?:[a-z]{{3,9}},? )?(?P<month>[a-z]{{3}})[a-z]* +(?P<day>\d{{1,2}}) +{CLOCK}{ZONE}"
        r" +(?P<year>\d{4})(?: (?P<zone>[-+]\d{4}))?",
        re.I,
    ),
    # Mar 5, 2024 09:30:00
    re.compile(
        r"(?:[a-z]{3,9},? )?(?P<month>[a-z]{3})[a-z]* +(?P<day>\d{1,2}),? +(?P<year>\d{4}),?"
        rf"[T ]+{CLOCK}{ZONE}",
        re.I,
    ),
    # Tue, 05 Mar 2024 09:30:00 +0100; 05/Mar/2024:09:30:00; 5-Mar-2024 09:30
    re.compile(
        rf"(?:[a-z]{{3,9}},? )?(?P<day>\d{{1,2}})[ /\-.]+(?P<month>[a-z]{{3}})[a-z]*[ /\-.,]+"
        rf"(?P<year>\d{{4}})[: ,T]+{CLOCK}{ZONE}",
        re.I,
    ),
)
CLOCK_ONLY: Final = re.compile(CLOCK, re.I)

Order = Literal["year", "day", "month"]
"""What a numeric date begins with."""


@dataclass(frozen=True)
class Stamp:
    """A time as the log has it."""

    moment: datetime | None = None
    """A date and time, perhaps without a zone."""
    seconds: float = 0.0
    """Of a time without a date."""

    def in_seconds(self, zone: tzinfo | None, before_s: float | None = None) -> float:
        """Seconds since the epoch, or since the start of the log.

        Args:
            zone: The zone of a time that names none; ``None`` is this machine's.
            before_s: The time of the reading before, which decides in an hour that comes twice.

        Raises:
            ValueError: It is before 2000 or after 2100.
        """
        if self.moment is None:
            return self.seconds
        if self.moment.tzinfo is not None:
            return _of_this_century(self.moment.timestamp())
        try:
            first, second = (
                self.moment.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)
            )
        except (ValueError, OverflowError):  # a year beyond the platform's clock
            raise ValueError(f"{self.moment} is no time of this century") from None
        if first > second:  # where summer time begins, the clock skips an hour
            raise ValueError(
                f"{self.moment} does not exist in this time zone, where summer time begins; name"
                " the zone of the log's clock with --timezone"
            )
        # Where summer time ends, the first of the two moments would be about an hour before the
        # reading before. Half an hour separates that from the small steps of a clock that is
        # corrected.
        went_back = before_s is not None and first < before_s - HALF_HOUR_S
        return _of_this_century(second if went_back else first)


@dataclass(frozen=True)
class Clock:
    """How the times of a column are read."""

    read: Callable[[str], Stamp]
    relative: bool = False
    """Whether the times count from the start of the log."""
    wraps: bool = False
    """Whether they are times of day, which begin again at midnight."""
    assumed: str | None = None
    """What the log does not say, in words for a remark."""


def understand(
    cells: Sequence[str],
    unit_s: float | None = None,
    time_format: str | None = None,
    decimal: str = ".",
    order: Order | None = None,
    settled: bool = False,
) -> Clock:
    """How to read a column of times.

    Args:
        cells: The column.
        unit_s: The unit of numbers, if the header or an option names one.
        time_format: A format of ``strptime``.
        decimal: The decimal sign of numbers.
        order: What numeric dates begin with, if the program that wrote the log decides it.
        settled: Whether the log's format says that numbers are seconds.

    Raises:
        ValueError: The column fits several readings, or none.
    """
    texts = [text for text in (cell.strip().strip("[]'\"") for cell in cells) if text]
    if time_format:
        return _by_format(time_format)
    numbers = [number for text in texts if (number := _number(text, decimal)) is not None]
    if len(numbers) * 2 > len(texts):
        if unit_s is None and all(_compact(text) for text in texts if text[:1].isdigit()):
            return Clock(lambda cell: Stamp(_need(_compact(cell.strip()), cell)))
        return _by_number(numbers, unit_s, decimal, settled)
    if sum(CLOCK_ONLY.fullmatch(text) is not None for text in texts) * 2 > len(texts):
        return Clock(_clock, relative=True, wraps=True)
    order = order or _order(texts)
    return Clock(lambda cell: Stamp(_date(cell.strip().strip("[]'\""), order)))


def is_date(cell: str) -> bool:
    """Whether a cell is a date without a time of day."""
    date = NUMERIC_DATE.fullmatch(cell.strip())
    return date is not None and date[5] is None


def is_time_of_day(cell: str) -> bool:
    """Whether a cell is a time of day without a date."""
    return CLOCK_ONLY.fullmatch(cell.strip()) is not None


def parse_time(cell: str, zone: tzinfo | None = None) -> float:
    """Seconds since the epoch of one time.

    Raises:
        ValueError: It is not a time of this century.
    """
    return _of_this_century(understand([cell], settled=True).read(cell).in_seconds(zone))


def _by_format(time_format: str) -> Clock:
    dated = re.search(r"%[YyjDxcs]", time_format) is not None

    def read(cell: str) -> Stamp:
        text = re.sub(r"(\.\d{6})\d+", r"\1", cell.strip())  # strptime knows microseconds
        try:
            moment = datetime.strptime(text, time_format)
        except ValueError:
            raise ValueError(
                f"{shortened(text)} is not a time in the form {time_format!r}"
            ) from None
        if dated:
            return Stamp(moment)
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        return Stamp(seconds=(moment - midnight).total_seconds())

    return Clock(read, relative=not dated, wraps=not dated)


def _by_number(
    numbers: Sequence[float], unit_s: float | None, decimal: str, settled: bool
) -> Clock:
    middle = statistics.median_low(numbers)  # one that the log has, for the errors
    steps = [abs(later - earlier) for earlier, later in pairwise(numbers)]
    step = statistics.median([step for step in steps if step > 0] or [1.0])
    assumed = None
    if unit_s is None:
        unit_s = next(
            (unit for unit in EPOCH_UNITS if EARLIEST_S <= middle * unit < LATEST_S), None
        )
        if unit_s is not None and step * unit_s > DAY_S:
            raise ValueError(
                f"times such as {middle:.15g} would be days apart; name their unit with --time-unit"
            )
    if unit_s is None:
        _check_seconds(middle, step, settled)
        unit_s = 1.0
        assumed = None if settled else "times without a unit are taken as seconds (--time-unit)"
    relative = abs(middle * unit_s) < LONGEST_UPTIME_S
    if not relative:
        _of_this_century(middle * unit_s)

    def read(cell: str) -> Stamp:
        number = _number(cell.strip().strip("[]'\""), decimal)
        if number is None:
            raise ValueError(f"{shortened(cell.strip())} is not a time")
        seconds = number * unit_s
        if not relative:
            _of_this_century(seconds)
        elif abs(seconds) >= LONGEST_UPTIME_S:
            raise ValueError(f"{cell.strip()!r} is not a time as the others are")
        return Stamp(seconds=seconds)

    return Clock(read, relative, assumed=assumed)


def _check_seconds(middle: float, step: float, settled: bool) -> None:
    """Refuse numbers without a unit that are probably no seconds."""
    low, high = SPREADSHEET_DAYS
    if low <= middle < high and step < 1 and not float(step).is_integer():
        raise ValueError(
            f"times such as {middle:.15g} may be a spreadsheet's dates; export them as text, or"
            " name their unit with --time-unit"
        )
    if abs(middle) >= LONGEST_UPTIME_S:
        raise ValueError(
            f"{middle:.15g} is no date from 2000 to 2100 in s, ms, µs or ns; name the unit with"
            " --time-unit"
        )
    # Nobody polls every 100 or 250 s; a period of minutes is near a multiple of 60.
    minutes = abs(step - 60 * round(step / 60)) <= 0.01 * step
    odd = step >= LONG_STEP_S and not minutes
    if not settled and (odd or not SHORTEST_STEP_S <= step < LONGEST_STEP_S):
        raise ValueError(
            f"times without a unit that are {step:.6g} apart are probably no seconds; name their"
            " unit with --time-unit"
        )


def _order(texts: Sequence[str]) -> Order | None:
    """What numeric dates begin with, if a day above 12 or their sign says it."""
    dates = [date for text in texts if (date := NUMERIC_DATE.fullmatch(text))]
    if not dates or all(len(date[1]) == 4 for date in dates):
        return "year"
    if any(len(date[4]) != 4 for date in dates if len(date[1]) != 4):
        return None
    if all(date[2] == "." for date in dates):
        return "day"  # the dates of Europe; those of America have slashes or hyphens
    first = any(int(date[1]) > 12 for date in dates)
    second = any(int(date[3]) > 12 for date in dates)
    return "day" if first and not second else "month" if second and not first else None


def _date(text: str, order: Order | None) -> datetime:
    """A date and time with words or numbers.

    Raises:
        ValueError: It is none, or day and month cannot be told apart.
    """
    numeric = NUMERIC_DATE.fullmatch(text)
    if numeric is not None:
        first, _, second, third = numeric.group(1, 2, 3, 4)
        if len(first) == 4:
            return _moment((first, second, third), numeric.group(5, 6, 7, 8, 9, 10), text)
        if order is None or order == "year" or len(third) != 4:
            raise ValueError(f"{shortened(text)} is ambiguous: day and month cannot be told apart")
        day, month = (first, second) if order == "day" else (second, first)
        return _moment((third, month, day), numeric.group(5, 6, 7, 8, 9, 10), text)
    for pattern in WORDED_DATE:
        if (worded := pattern.fullmatch(text)) and worded["month"].casefold() in MONTHS:
            month = str(MONTHS.index(worded["month"].casefold()) + 1)
            clock = _clock_of(worded)
            zone = worded.groupdict().get("zone") or clock[-1]
            return _moment((worded["year"], month, worded["day"]), (*clock[:-1], zone), text)
    return _need(_compact(text) or _iso(text), text)


def _compact(text: str) -> datetime | None:
    """A date in digits, as in ``20240305093000``."""
    match = COMPACT_DATE.fullmatch(text)
    if match is None:
        return None
    date, plain, clock = (
        match.group(1, 2, 3),
        match.group(4, 5, 6, 7),
        match.group(8, 9, 10, 11, 12),
    )
    try:
        parts = (*plain, None) if plain[0] else clock
        moment = _moment(date, (*parts, match.group(13)), text)
    except ValueError:
        return None
    return moment if 2000 <= moment.year < 2100 else None


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _clock_of(match: re.Match[str]) -> tuple[str | None, ...]:
    """Hour, minute, second, fraction, half of the day and zone: the groups without a name."""
    named = set(match.re.groupindex.values())
    return tuple(match[group] for group in range(1, match.re.groups + 1) if group not in named)


def _moment(date: Sequence[str | None], clock: Sequence[str | None], text: str) -> datetime:
    """A moment of texts.

    Raises:
        ValueError: There is no such moment.
    """
    hour, minute, second, fraction, half, zone = clock
    try:
        year, month, day = (int(part or "") for part in date)
        microsecond = int((fraction or "0")[:6].ljust(6, "0"))
        moment = datetime(
            year, month, day, _hour(hour, half), int(minute or 0), int(second or 0), microsecond
        )
        return moment.replace(tzinfo=_offset(zone))
    except ValueError:
        raise ValueError(f"{shortened(text)} is not a time") from None


def _hour(text: str | None, half: str | None) -> int:
    hour = int(text or 0)
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(f"hour {hour} with {half}")
    return hour % 12 + (12 if half[0] in "pP" else 0)


def _offset(zone: str | None) -> tzinfo | None:
    if not zone:
        return None
    offset = re.fullmatch(r"(?:utc|gmt)?(?:([-+])(\d{1,2}):?(\d{2})?(?::?\d{2})?)?|z", zone, re.I)
    if offset is None or offset[1] is None:
        return UTC
    minutes = int(offset[2]) * 60 + int(offset[3] or 0)
    return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))


def _clock(cell: str) -> Stamp:
    match = CLOCK_ONLY.fullmatch(cell.strip().strip("[]'\""))
    if match is None:
        raise ValueError(f"{shortened(cell.strip())} is not a time of day")
    hour, minute, second, fraction, half = match.groups()
    if second is None:
        raise ValueError(f"{cell.strip()!r} has no seconds; name its form with --time-format")
    seconds = _hour(hour, half) * 3600 + int(minute) * 60 + int(second)
    return Stamp(seconds=seconds + float(f"0.{fraction or 0}"))


def _number(text: str, decimal: str) -> float | None:
    try:
        number = parse_number(text, decimal)
    except ValueError:
        return None
    return None if number is None or number[1] else number[0]


def _need(moment: datetime | None, cell: str) -> datetime:
    if moment is None:
        raise ValueError(f"{shortened(cell.strip())} is not a time")
    return moment


def _of_this_century(seconds: float) -> float:
    if not EARLIEST_S <= seconds < LATEST_S:
        raise ValueError(
            f"{seconds:.15g} s since 1970 is before 2000 or after 2100; correct this date"
        )
    return seconds
