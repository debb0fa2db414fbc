"""Convert a power log of nvidia-smi or a wattmeter to joules, by its time stamps.

The log becomes a results file of its own. With --over RESULTS it is compared with an earlier run:
each benchmark gets the ratio of the log's joules to those of pytest-energy.

Gaps are never filled in: a time span that the log covers too little gets no joules.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pytest_energy.errors import UsageError
from pytest_energy.logs.devices import REMEDY
from pytest_energy.logs.energy import Channel, Method, Reading, build_channel, build_row_channel
from pytest_energy.logs.formats import FORMATS, choose_format
from pytest_energy.logs.overlap import overlapping
from pytest_energy.logs.readings import Log, Series, read_log
from pytest_energy.logs.source import Options
from pytest_energy.logs.text import read_lines
from pytest_energy.logs.times import parse_time
from pytest_energy.logs.units import ENERGY, POWER
from pytest_energy.logs.wording import counted
from pytest_energy.model.files import check_apart

if TYPE_CHECKING:
    from pytest_energy.model.measurement import Reason
    from pytest_energy.model.result import Result, Run

OUTPUT = Path(".energy/imported.json")
LARGEST_OFFSET_S = 1e8
DECIMAL_SIGNS = {"point": ".", "comma": ","}
GAIN = "the instrument's gain is not in the interval"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pytest-energy import``."""
    parser.add_argument("log", type=Path, help="log file")
    parser.add_argument(
        "--format",
        choices=["auto", *FORMATS],
        default="auto",
        help="format of the log; auto recognizes it and says which it took; wattmeter is any table"
        " of times with power or energy [%(default)s]",
    )
    _configure_columns(parser)
    _configure_values(parser)
    parser.add_argument(
        "--timezone",
        metavar="ZONE",
        help="time zone of times that name none, such as Europe/Berlin [this machine's]",
    )
    parser.add_argument(
        "--start", metavar="TIME", help="start of a log whose times count from its own start"
    )
    parser.add_argument(
        "--offset",
        metavar="S",
        type=float,
        default=0.0,
        help="seconds to add to the log's times [0]",
    )
    parser.add_argument(
        "--hold",
        action="store_true",
        help="power stays constant from one reading to the next [it changes linearly]",
    )
    parser.add_argument(
        "--max-gap",
        metavar="S",
        type=float,
        help="longest time between readings that is not a gap [3 periods; rows of energy: 1.5]",
    )
    parser.add_argument(
        "--min-coverage",
        metavar="SHARE",
        type=float,
        default=0.99,
        help="share of the time that the log must cover to get joules [0.99]",
    )
    parser.add_argument(
        "--over", metavar="RESULTS", type=Path, help="results.json to compare the log with"
    )
    parser.add_argument(
        "--name", help="name of the instrument in metrics [the format, such as nvidia_smi]"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        default=OUTPUT,
        help="results file to write [%(default)s]",
    )


def _configure_columns(parser: argparse.ArgumentParser) -> None:
    """Add the options that name columns."""
    parser.add_argument(
        "--columns", metavar="A,B,C", help="column names of a log without a header, in order"
    )
    parser.add_argument(
        "--time-column",
        metavar="NAME",
        action="append",
        help="column of times; twice for a date and a time in two columns [wattmeter: time]",
    )
    parser.add_argument(
        "--power-column",
        metavar="NAME",
        action="append",
        help="column of power; may be repeated, the columns are added up [wattmeter: power]",
    )
    parser.add_argument(
        "--energy-column",
        metavar="NAME",
        action="append",
        help="column of an energy counter, instead of power; may be repeated",
    )
    parser.add_argument(
        "--energy-per-row",
        action="store_true",
        help="the energy column holds the energy of each row, not a counter",
    )
    parser.add_argument(
        "--energy-counter",
        action="store_true",
        help="the energy column is a counter, although it does not look like one",
    )
    parser.add_argument(
        "--duration-column",
        metavar="NAME",
        help="column of the seconds that each row's energy took [up to the time of the row before]",
    )
    parser.add_argument(
        "--row-time",
        choices=["start", "end"],
        default="end",
        help="whether a row's time is the start or the end of its energy [%(default)s]",
    )
    parser.add_argument(
        "--device-column",
        metavar="NAME",
        action="append",
        help="column that tells devices apart; may be repeated",
    )
    parser.add_argument(
        "--one-device",
        action="store_true",
        help="all rows are of one device, although they look like those of several",
    )
    parser.add_argument(
        "--devices", metavar="A,B", help="devices of the log that count, as it names them [all]"
    )


def _configure_values(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how cells are read."""
    parser.add_argument(
        "--power-unit",
        choices=POWER.factors,
        help="unit of power [the one in its cells or header, else W]",
    )
    parser.add_argument(
        "--energy-unit",
        choices=ENERGY.factors,
        help="unit of energy [the one in its cells or header]",
    )
    parser.add_argument(
        "--time-unit",
        choices=["ns", "us", "ms", "s", "min", "h", "d"],
        help="unit of times that are numbers [the one in the header, else by their size]",
    )
    parser.add_argument(
        "--time-format",
        metavar="FORMAT",
        help="form of the times, as for strptime, such as '%%d/%%m/%%Y %%H:%%M:%%S.%%f'",
    )
    parser.add_argument(
        "--decimal", choices=DECIMAL_SIGNS, help="decimal sign [by the log's other numbers]"
    )
    parser.add_argument(
        "--period",
        metavar="S",
        type=float,
        help="seconds between the rows of a device: the times of a log without any, and a check of"
        " those of others",
    )


def run(arguments: argparse.Namespace) -> int:
    """Read the log, write the results and print them; return 1 if there are no joules."""
    from pytest_energy.model.json_files import save_run

    _check(arguments)
    check_apart({"--output": arguments.output}, [arguments.log])
    options = _options(arguments)
    lines = read_lines(arguments.log)
    form = choose_format(arguments.log, lines, arguments.format, options)
    if arguments.format == "auto":
        print(f"read as {form.name}: {form.title}")
    log = read_log(arguments.log, form.read(arguments.log, lines, options), options)
    channels, remarks = _channels(arguments, log)
    name = arguments.name or form.name.replace("-", "_")
    results = (
        _compare(arguments, channels, remarks, name)
        if arguments.over
        else _convert(arguments, log, channels, remarks, name)
    )
    save_run(results, arguments.output)
    print(f"wrote {arguments.output}")
    metric = f"{name}_energy_j" if arguments.over else "energy_j"
    return 0 if any(metric in result.metrics for result in results.benchmarks) else 1


def _convert(
    arguments: argparse.Namespace,
    log: Log,
    channels: Sequence[Channel],
    remarks: Sequence[Reason],
    name: str,
) -> Run:
    """Results with the log as their only benchmark."""
    from pytest_energy.logs.results import run_of_log, whole_log
    from pytest_energy.model.measurement import MeterInfo

    meter = MeterInfo(
        name=name,
        source="log",
        estimated=log.estimated,
        details={
            "method": _method(arguments, log),
            "file": arguments.log.name,
            "excluded": "gain",
        },
    )
    window = whole_log(channels, arguments.min_coverage, remarks)
    results = run_of_log(window, arguments.log.name, meter)
    _print_log(results.benchmarks[0])
    return results


def _compare(
    arguments: argparse.Namespace, channels: Sequence[Channel], remarks: Sequence[Reason], name: str
) -> Run:
    """The results of an earlier run, with the log's joules beside its own."""
    from pytest_energy.logs.results import compare_with_log
    from pytest_energy.model.json_files import load_run

    earlier = load_run(arguments.over)
    results = compare_with_log(earlier, channels, name, arguments.min_coverage, remarks)
    for remark in remarks:
        print(remark.message)
    for result in results.benchmarks:
        if ratio := result.metrics.get(f"{name}_ratio"):
            print(f"{result.id}: {ratio.value:.3f} times pytest-energy's joules")
        else:
            causes = [reason.message for reason in result.reasons] or [
                "pytest-energy has no joules"
            ]
            print(f"{result.id}: no ratio: {'; '.join(causes)}")
    print("\n".join(note for note in results.run.notes if note.startswith(f"{name}: ")))
    return results


def _print_log(result: Result) -> None:
    from pytest_energy.report.numbers import measured, watt_hours

    energy = result.energy or result.metrics["covered_energy_j"]
    joules = f"{measured(energy.value, energy.uncertainty, 'J')} ({watt_hours(energy.value)})"
    part = "" if result.energy else " in the time covered"
    duration_s = result.rounds[0].duration_s
    print(f"{result.id}: {result.status}, {joules}{part}, {duration_s:.6g} s; {GAIN}")
    for reason in result.reasons:
        print(f"  {reason.message}")


def _check(arguments: argparse.Namespace) -> None:
    """Check the options that argparse cannot check.

    Raises:
        UsageError: One is out of range, or does not go with another.
    """
    # Each condition is negated so that NaN, which compares as false, is refused, too.
    if not 0 < arguments.min_coverage <= 1:
        raise UsageError(
            f"--min-coverage {arguments.min_coverage}: a number above 0, at most 1, is expected"
        )
    if not abs(arguments.offset) < LARGEST_OFFSET_S:
        raise UsageError(f"--offset {arguments.offset:g}: at most a few years, in seconds")
    for option in ("max_gap", "period"):
        value = getattr(arguments, option)
        if value is not None and not 0 < value < LARGEST_OFFSET_S:
            name = option.replace("_", "-")
            raise UsageError(f"--{name} {value}: a number above 0 is expected")
    if arguments.energy_column and (arguments.power_column or arguments.hold):
        raise UsageError("--energy-column cannot be used with --power-column or --hold")
    if arguments.device_column and arguments.one_device:
        raise UsageError("--device-column cannot be used with --one-device")
    if arguments.energy_counter and arguments.energy_per_row:
        raise UsageError("--energy-counter cannot be used with --energy-per-row")
    for option in ("energy_unit", "energy_per_row", "energy_counter", "duration_column"):
        if getattr(arguments, option) and not arguments.energy_column:
            name = option.replace("_", "-")
            raise UsageError(f"--{name} needs --energy-column, the column that it describes")


def _options(arguments: argparse.Namespace) -> Options:
    """What the arguments say about the log."""
    return Options(
        columns=_names(arguments.columns) or None,
        time_columns=tuple(arguments.time_column or ()),
        power_columns=tuple(arguments.power_column or ()),
        energy_columns=tuple(arguments.energy_column or ()),
        device_columns=tuple(arguments.device_column or ()),
        one_device=arguments.one_device,
        per_row=arguments.energy_per_row,
        counter=arguments.energy_counter,
        duration_column=arguments.duration_column,
        row_start=arguments.row_time == "start",
        power_unit=arguments.power_unit,
        energy_unit=arguments.energy_unit,
        time_unit=arguments.time_unit,
        time_format=arguments.time_format,
        period_s=arguments.period,
        decimal=DECIMAL_SIGNS.get(arguments.decimal),
        zone=_zone(arguments.timezone),
    )


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def _channels(arguments: argparse.Namespace, log: Log) -> tuple[list[Channel], list[Reason]]:
    """The devices that count, and the remarks on the log and on devices without readings.

    Raises:
        UsageError: No device has readings, or which devices count is not known.
    """
    from pytest_energy.logs.results import missing_readings, no_readings, uneven_ends

    series = _chosen(arguments, log)
    usable = [each for each in series if each.readings]
    if not usable and not any(remark.fatal for remark in log.remarks):
        columns = " and ".join(repr(name) for name in log.columns)
        raise UsageError(
            f"{arguments.log}: {columns} has no value in any row; read another column with"
            " --power-column or --energy-column (nvidia-smi: log power.draw.instant or"
            " power.draw.average, too), or measure with a wattmeter"
        )
    if not usable:
        raise UsageError(
            f"{arguments.log}: no reading can be used: "
            + "; ".join(remark.message for remark in log.remarks if remark.fatal)
            + "; is the column's unit right?"
        )
    counts = _compare_counts(arguments, log, usable) if arguments.over else []
    names = {each.name for each in series}
    others = tuple(f"{each.name}: " for each in log.series if each.name not in names)
    remarks = [remark for remark in log.remarks if not remark.message.startswith(others)]
    remarks += [*counts, *overlapping(arguments.log, usable, log.columns)]
    remarks += [no_readings(each.name) for each in series if not each.readings]
    channels = [_channel(arguments, log, each) for each in usable]
    remarks += missing_readings(channels)
    if not arguments.over:  # rounds outside of a channel have no joules
        told = tuple(each.message for each in remarks)
        remarks += uneven_ends(channels, told)
    return channels, remarks


def _channel(arguments: argparse.Namespace, log: Log, series: Series) -> Channel:
    readings = _epoch_times(series.readings, arguments, log)
    if log.kind == "per-row":
        return build_row_channel(
            series.name, readings, series.durations_s, log.row_start, arguments.max_gap
        )
    return build_channel(series.name, readings, _method(arguments, log), arguments.max_gap)


def _chosen(arguments: argparse.Namespace, log: Log) -> list[Series]:
    """The devices of ``--devices``, else all.

    Raises:
        UsageError: The log has no such device.
    """
    wanted = _names(arguments.devices)
    if not wanted:
        return list(log.series)
    known = {name for each in log.series for name in (each.device, each.name)}
    if arguments.devices in known:  # a name with a comma
        wanted = (arguments.devices,)
    if missing := [name for name in wanted if name not in known]:
        devices = ", ".join(dict.fromkeys(each.device or each.name for each in log.series))
        raise UsageError(f"--devices {missing[0]}: the log has the devices {devices}")
    return [each for each in log.series if each.device in wanted or each.name in wanted]


def _compare_counts(
    arguments: argparse.Namespace, log: Log, series: Sequence[Series]
) -> list[Reason]:
    """A remark if fewer GPUs of the log count than the run measured.

    Raises:
        UsageError: Which of them count, or how many the log has, must be said.
    """
    from pytest_energy.model.measurement import Reason, ReasonCode

    measured = _gpus_of_run(arguments.over)
    logged = list(dict.fromkeys(each.device or each.name for each in series))
    if not measured or not (log.gpus or log.may_mix):
        return []
    counted_gpus = f"{counted(len(logged), 'GPU')} ({', '.join(logged)})"
    if measured < len(logged):
        raise UsageError(
            f"the log has {counted_gpus}, the run measured {measured}; name those of the run with"
            " --devices"
        )
    if measured == len(logged):
        return []
    if log.may_mix and not arguments.one_device:
        raise UsageError(
            f"the run measured {measured} GPUs, and no column of the log tells any apart; {REMEDY}"
        )
    if not arguments.devices and not arguments.one_device:
        raise UsageError(
            f"the log has {counted_gpus}, the run measured {measured}; log all of them, or name"
            " those to compare with --devices"
        )
    message = f"the log's {counted_gpus} are compared with the {measured} that the run measured"
    return [Reason(code=ReasonCode.NOTE, message=message, fatal=False)]


def _gpus_of_run(results: Path) -> int | None:
    """How many GPUs an earlier run measured; ``None`` if it does not say."""
    from pytest_energy.model.json_files import load_run

    run = load_run(results)
    channels = {
        name
        for result in run.benchmarks
        for round_ in result.rounds
        for name in round_.channels
        if name.startswith("gpu")
    }
    count = run.environment.identity.get("device_count")
    return count if isinstance(count, int) and count else len(channels) or None


def _method(arguments: argparse.Namespace, log: Log) -> Method:
    if log.kind != "power":
        return "counter"
    return "hold" if arguments.hold else "trapezoid"


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise UsageError(
            f"--timezone {name!r}: a name such as Europe/Berlin or UTC is expected"
        ) from None


def _epoch_times(
    readings: Sequence[Reading], arguments: argparse.Namespace, log: Log
) -> list[Reading]:
    """The readings with times since the epoch, by the clock of the run."""
    shift_s = arguments.offset
    if log.relative:
        first_s = min(each.readings[0].time_s for each in log.series if each.readings)
        shift_s += _start_s(arguments) - first_s
    return [replace(reading, time_s=reading.time_s + shift_s) for reading in readings]


def _start_s(arguments: argparse.Namespace) -> float:
    """The start of a log whose times count from its own start.

    Raises:
        UsageError: ``--start`` is not a time, or is missing where rounds must be found in the log.
    """
    if not arguments.start:
        if arguments.over:
            raise UsageError("the log's times count from its own start: name it with --start")
        return 0.0
    try:
        return parse_time(arguments.start, _zone(arguments.timezone))
    except ValueError as error:
        raise UsageError(f"--start: {error}; write it as 2024-03-05T09:30:00") from None
