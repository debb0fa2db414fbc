"""Read the log of nvidia-smi or of a wattmeter: joules by its time stamps, as results.

Alone, it becomes results of its own. With --over RESULTS it is laid over the rounds of an earlier
run, and each benchmark tells the ratio of the log's joules to ours.

Gaps are never filled in: a stretch of which the log covers too little has no joules.
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
        help="nvidia-smi --query-gpu=index,timestamp,power.draw --format=csv, with or without units"
        " and header; or any table of times and power, or of times and a counter [nvidia-smi]",
    )
    parser.add_argument(
        "--columns", metavar="A,B,C", help="the columns of a log without header, in its order"
    )
    parser.add_argument("--time-column", metavar="NAME", default="time", help="wattmeter: [time]")
    parser.add_argument(
        "--power-column",
        metavar="NAME",
        help="in the unit that its header or cells name, else watts [power; power.draw]",
    )
    parser.add_argument("--energy-column", metavar="NAME", help="a counter, instead of power")
    parser.add_argument(
        "--energy-unit",
        choices=ENERGY.factors,
        help="of the counter [the one that its header or cells name, else kWh]",
    )
    parser.add_argument(
        "--timezone",
        metavar="ZONE",
        help="of times without one, such as Europe/Berlin [this machine's]",
    )
    parser.add_argument(
        "--start", metavar="TIME", help="when a log began whose times count from its beginning"
    )
    parser.add_argument(
        "--offset",
        metavar="S",
        type=float,
        default=0.0,
        help="seconds to add to the log's clock [0]",
    )
    parser.add_argument(
        "--hold",
        action="store_true",
        help="power stays at a reading until the next [goes straight from one to the other]",
    )
    parser.add_argument(
        "--max-gap", metavar="S", type=float, help="a longer pause is a gap [3 median periods]"
    )
    parser.add_argument(
        "--min-coverage",
        metavar="SHARE",
        type=float,
        default=0.99,
        help="share of the time that the log must cover to give joules [0.99]",
    )
    parser.add_argument("--over", metavar="RESULTS", type=Path, help="results.json to lay it over")
    parser.add_argument("--name", help="of the instrument, in metrics [nvidia_smi; wattmeter]")
    parser.add_argument(
        "--output", metavar="FILE", type=Path, default=OUTPUT, help=f"results to write [{OUTPUT}]"
    )


def run(arguments: argparse.Namespace) -> int:
    """Read, integrate, write, and tell; 1 where the log gives no joules."""
    from pytest_energy.model.json_files import save_run

    _check(arguments)
    channels, silent = _channels(arguments)
    name = arguments.name or arguments.format.replace("-", "_")
    results = (_over if arguments.over else _alone)(arguments, channels, silent, name)
    save_run(results, arguments.output)
    print(f"written: {arguments.output}")
    told = "energy_j" if not arguments.over else f"{name}_energy_j"
    return 0 if any(told in result.metrics for result in results.benchmarks) else 1


def _alone(
    arguments: argparse.Namespace, channels: Sequence[Channel], silent: Sequence[Reason], name: str
) -> Run:
    from pytest_energy.logs.results import run_of_log, whole_log
    from pytest_energy.model.measurement import MeterInfo

    details = {"method": _method(arguments), "file": arguments.log.name}
    meter = MeterInfo(name=name, source="log", details=dict(details))
    stretch = whole_log(channels, arguments.min_coverage, silent)
    results = run_of_log(stretch, arguments.log.name, meter)
    _tell(results.benchmarks[0])
    return results


def _over(
    arguments: argparse.Namespace, channels: Sequence[Channel], silent: Sequence[Reason], name: str
) -> Run:
    from pytest_energy.logs.results import lay_over
    from pytest_energy.model.json_files import load_run

    earlier = load_run(arguments.over)
    results = lay_over(earlier, channels, name, arguments.min_coverage, silent)
    for reason in silent:
        print(reason.message)
    for result in results.benchmarks:
        if ratio := result.metrics.get(f"{name}_ratio"):
            print(f"{result.id}: {name} to ours {ratio.value:.3f}")
        else:
            missing = [reason.message for reason in result.reasons] or ["no joules of ours"]
            print(f"{result.id}: no ratio: {'; '.join(missing)}")
    print("\n".join(note for note in results.run.notes if note.startswith(f"{name}: ")))
    return results


def _tell(result: Result) -> None:
    energy = result.energy or result.metrics["covered_energy_j"]
    told = f"{energy.value:.6g} J ({energy.value / JOULES_PER_KWH:.3f} kWh)"
    what = "" if result.energy else " in the time covered"
    duration_s = result.rounds[0].duration_s
    print(f"{result.id}: {result.status}, {told}{what}, {duration_s:.6g} s")
    for reason in result.reasons:
        print(f"  {reason.message}")


def _check(arguments: argparse.Namespace) -> None:
    if not 0 < arguments.min_coverage <= 1:
        raise UsageError(f"--min-coverage {arguments.min_coverage}: above 0, up to 1 is expected")
    if not abs(arguments.offset) < EPOCH_S:
        raise UsageError(f"--offset {arguments.offset:g}: a few years of seconds at most")
    if arguments.max_gap is not None and not arguments.max_gap > 0:
        raise UsageError(f"--max-gap {arguments.max_gap}: above 0 is expected")
    if arguments.energy_column and (arguments.power_column or arguments.hold):
        raise UsageError("--energy-column is a counter: neither --power-column nor --hold fits it")
    if arguments.energy_column and arguments.format == "nvidia-smi":
        raise UsageError("--energy-column needs --format wattmeter")
    if arguments.energy_unit and not arguments.energy_column:
        raise UsageError("--energy-unit is that of a counter: name its column by --energy-column")


def _channels(arguments: argparse.Namespace) -> tuple[list[Channel], list[Reason]]:
    """The devices of the log that have readings, and a remark on each that has none."""
    from pytest_energy.logs.results import left_out

    names = arguments.columns.split(",") if arguments.columns else None
    rows = read_table(arguments.log, names)
    columns = _columns(arguments, rows)
    log = read_log(arguments.log, rows, columns, _zone(arguments.timezone))
    named = {
        _channel_name(arguments, columns, device, position): readings
        for position, (device, readings) in enumerate(log.items())
    }
    if not any(named.values()):
        raise UsageError(
            f"{arguments.log}: no cell of column {columns.value!r} has a value; log another, such"
            " as power.draw.instant or power.draw.average, or measure with a wattmeter"
        )
    channels = [
        build_channel(
            name, _on_our_clock(readings, arguments), _method(arguments), arguments.max_gap
        )
        for name, readings in named.items()
        if readings
    ]
    return channels, [left_out(name) for name, readings in named.items() if not readings]


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
        expected = "a name such as Europe/Berlin or UTC is expected"
        raise UsageError(f"--timezone {name!r}: {expected}") from None


def _channel_name(
    arguments: argparse.Namespace, columns: Columns, device: str, position: int
) -> str:
    if arguments.format == "wattmeter":
        return "wattmeter"
    return f"gpu{device if columns.device == 'index' else position}"


def _on_our_clock(readings: Sequence[Reading], arguments: argparse.Namespace) -> list[Reading]:
    shift_s = arguments.offset
    if readings and readings[0].time_s < EPOCH_S:
        shift_s += _start_s(arguments) - readings[0].time_s
    return [replace(reading, time_s=reading.time_s + shift_s) for reading in readings]


def _start_s(arguments: argparse.Namespace) -> float:
    """When a log began whose times count from its beginning; alone it may do without."""
    if not arguments.start:
        if arguments.over:
            raise UsageError("the log's times count from its beginning: tell when with --start")
        return 0.0
    try:
        return parse_time(arguments.start, _zone(arguments.timezone))
    except ValueError as error:
        raise UsageError(f"--start: {error}") from None
