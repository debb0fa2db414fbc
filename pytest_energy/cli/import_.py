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

from pytest_energy.carbon import JOULES_PER_KWH
from pytest_energy.errors import UsageError
from pytest_energy.logs.energy import Channel, Method, Reading, build_channel
from pytest_energy.logs.reading import (
    EPOCH_S,
    Columns,
    Row,
    find_column,
    find_gpu_columns,
    parse_time,
    read_log,
    read_table,
)
from pytest_energy.logs.units import ENERGY, POWER

if TYPE_CHECKING:
    from pytest_energy.model.measurement import Reason
    from pytest_energy.model.result import Result, Run

OUTPUT = Path(".energy/imported.json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pytest-energy import``."""
    parser.add_argument("log", type=Path, help="CSV file")
    parser.add_argument(
        "--format",
        choices=["nvidia-smi", "wattmeter"],
        default="nvidia-smi",
        help="nvidia-smi: output of nvidia-smi --query-gpu=index,timestamp,power.draw --format=csv,"
        " with or without units and header; wattmeter: a table of times with power or an energy"
        " counter [%(default)s]",
    )
    parser.add_argument(
        "--columns", metavar="A,B,C", help="column names of a log without a header, in order"
    )
    parser.add_argument(
        "--time-column",
        metavar="NAME",
        default="time",
        help="column of times in a wattmeter's log [%(default)s]",
    )
    parser.add_argument(
        "--power-column",
        metavar="NAME",
        help="column of power, in watts unless its cells or header name another unit"
        " [wattmeter: power; nvidia-smi: power.draw]",
    )
    parser.add_argument(
        "--energy-column", metavar="NAME", help="column of an energy counter, instead of power"
    )
    parser.add_argument(
        "--energy-unit",
        choices=ENERGY.factors,
        help="unit of the counter [the one in its cells or header, else kWh]",
    )
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
        help="longest time between readings that is not a gap [3 median periods]",
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
        "--name", help="name of the instrument in metrics [the format: nvidia_smi or wattmeter]"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        default=OUTPUT,
        help="results file to write [%(default)s]",
    )


def run(arguments: argparse.Namespace) -> int:
    """Read the log, write the results and print them; return 1 if there are no joules."""
    from pytest_energy.model.json_files import save_run

    _check(arguments)
    channels, remarks = _channels(arguments)
    name = arguments.name or arguments.format.replace("-", "_")
    make = _compare if arguments.over else _convert
    results = make(arguments, channels, remarks, name)
    save_run(results, arguments.output)
    print(f"wrote {arguments.output}")
    metric = f"{name}_energy_j" if arguments.over else "energy_j"
    return 0 if any(metric in result.metrics for result in results.benchmarks) else 1


def _convert(
    arguments: argparse.Namespace, channels: Sequence[Channel], remarks: Sequence[Reason], name: str
) -> Run:
    """Results with the log as their only benchmark."""
    from pytest_energy.logs.results import run_of_log, whole_log
    from pytest_energy.model.measurement import MeterInfo

    meter = MeterInfo(
        name=name,
        source="log",
        details={"method": _method(arguments), "file": arguments.log.name},
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
    energy = result.energy or result.metrics["covered_energy_j"]
    joules = f"{energy.value:.6g} J ({energy.value / JOULES_PER_KWH:.3f} kWh)"
    part = "" if result.energy else " in the time covered"
    duration_s = result.rounds[0].duration_s
    print(f"{result.id}: {result.status}, {joules}{part}, {duration_s:.6g} s")
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
    if not abs(arguments.offset) < EPOCH_S:
        raise UsageError(f"--offset {arguments.offset:g}: at most a few years, in seconds")
    if arguments.max_gap is not None and not arguments.max_gap > 0:
        raise UsageError(f"--max-gap {arguments.max_gap}: a number above 0 is expected")
    if arguments.energy_column and (arguments.power_column or arguments.hold):
        raise UsageError("--energy-column cannot be used with --power-column or --hold")
    if arguments.energy_column and arguments.format == "nvidia-smi":
        raise UsageError("--energy-column needs --format wattmeter")
    if arguments.energy_unit and not arguments.energy_column:
        raise UsageError("--energy-unit needs --energy-column, the counter that has this unit")


def _channels(arguments: argparse.Namespace) -> tuple[list[Channel], list[Reason]]:
    """The devices that have readings in the log, and a remark on each device that has none."""
    from pytest_energy.logs.results import no_readings

    names = arguments.columns.split(",") if arguments.columns else None
    rows = read_table(arguments.log, names)
    columns = _columns(arguments, rows)
    log = read_log(arguments.log, rows, columns, _zone(arguments.timezone))
    readings_by_name = {
        _channel_name(arguments, columns, device, position): readings
        for position, (device, readings) in enumerate(log.items())
    }
    if not any(readings_by_name.values()):
        raise UsageError(
            f"{arguments.log}: no cell of column {columns.value!r} has a value; log another column,"
            " such as power.draw.instant or power.draw.average, or measure with a wattmeter"
        )
    channels = [
        build_channel(
            name, _epoch_times(readings, arguments), _method(arguments), arguments.max_gap
        )
        for name, readings in readings_by_name.items()
        if readings
    ]
    remarks = [no_readings(name) for name, readings in readings_by_name.items() if not readings]
    return channels, remarks


def _columns(arguments: argparse.Namespace, rows: Sequence[Row]) -> Columns:
    if arguments.format == "nvidia-smi":
        return find_gpu_columns(rows, arguments.power_column)
    return Columns(
        find_column(rows, arguments.time_column),
        find_column(rows, arguments.energy_column or arguments.power_column or "power"),
        quantity=ENERGY if arguments.energy_column else POWER,
        unit=arguments.energy_unit,
    )


def _method(arguments: argparse.Namespace) -> Method:
    if arguments.energy_column:
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


def _channel_name(
    arguments: argparse.Namespace, columns: Columns, device: str, position: int
) -> str:
    if arguments.format == "wattmeter":
        return "wattmeter"
    # The other columns hold UUIDs, bus ids or serial numbers, which are too long for a name.
    return f"gpu{device if columns.device == 'index' else position}"


def _epoch_times(readings: Sequence[Reading], arguments: argparse.Namespace) -> list[Reading]:
    """The readings with times since the epoch, by the clock of the run."""
    shift_s = arguments.offset
    if readings and readings[0].time_s < EPOCH_S:
        shift_s += _start_s(arguments) - readings[0].time_s
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
        raise UsageError(f"--start: {error}") from None
