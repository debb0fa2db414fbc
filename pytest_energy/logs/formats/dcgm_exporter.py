"""Scrapes of dcgm-exporter, one after another: Prometheus text with GPUs as labels.

The counter of energy is read if it is there, else the power. A scrape's time is that of its samples
(milliseconds behind the value), or a line of its own that holds a time.

A GPU that is shared by MIG instances or pods has a sample for each of them, and each has the whole
GPU's power (https://github.com/NVIDIA/dcgm-exporter/issues/257). It counts once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError
from pytest_energy.logs.source import Columns, Format, Options, Source
from pytest_energy.logs.table import Row, Table, drop_strays, raise_for
from pytest_energy.logs.times import parse_time
from pytest_energy.logs.wording import agree, counted

ENERGY: Final = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
POWERS: Final = ("DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_POWER_USAGE_INSTANT")
SAMPLE: Final = re.compile(
    r"(?P<metric>DCGM_FI_\w+)\{(?P<labels>.*)\}\s+(?P<value>\S+)(?:\s+(?P<time>\d{10,}))?\s*"
)
LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
DEVICE_LABELS: Final = ("Hostname", "instance", "gpu", "UUID")
SHARE_LABEL: Final = "GPU_I_ID"
ALIKE: Final = 0.05
"""Samples of one GPU in one scrape are taken moments apart; they differ by less."""


def _recognizes(lines: Sequence[str]) -> bool:
    return any(line.startswith(("DCGM_FI_", "# HELP DCGM_FI_")) for line in lines[:500])


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    samples = [(n, SAMPLE.fullmatch(line)) for n, line in enumerate(lines, start=1)]
    present = {match["metric"] for _, match in samples if match}
    wanted = options.energy_columns or options.power_columns or (ENERGY, *POWERS)
    metric = next((name for name in wanted if name in present), wanted[0])
    counter = metric == ENERGY
    name = f"{metric} [{'mJ' if counter else 'W'}]"
    rows, strays, shared, empty = _rows(path, lines, metric, name)
    if not rows:
        raise FileFormatError(path, "scrapes of dcgm-exporter", (f"no sample of {metric}",))
    table = drop_strays(Table(tuple(rows), " "), strays, path)
    # Hosts and UUIDs are labels of all samples; the index names a GPU where it is enough.
    short = {row.cells["device"] for row in rows}
    return Source(
        table,
        Columns(
            times=("time",) if any(row.cells["time"] for row in rows) else (),
            values=(name,),
            devices=("device",),
            kind="counter" if counter else "power",
            decimal=".",
            zone=options.zone,
        ),
        label=lambda device, place: f"gpu{_index(device, len(short), place)}",
        gpus=True,
        remarks=(
            *(
                f"gpu{gpu} has several samples a scrape, each of the whole GPU; they count once"
                for gpu in sorted(shared)
            ),
            *_without_reading(empty),
        ),
    )


def _rows(
    path: Path, lines: Sequence[str], metric: str, name: str
) -> tuple[list[Row], dict[int, str], set[str], list[int]]:
    """The samples of a metric, one a scrape and GPU, and what else the lines hold.

    Returns:
        The samples, stray lines by number, the GPUs that have several samples a scrape, and the
        numbers of the lines of time without any sample after them.

    Raises:
        FileFormatError: Samples of one GPU in one scrape differ.
    """
    rows: list[Row] = []
    strays: dict[int, str] = {}
    faults: list[str] = []
    shared: set[str] = set()
    scraped: dict[tuple[str, str], str] = {}
    empty: list[int] = []
    time, bounded = "", False
    for number, line in enumerate(lines, start=1):
        match = SAMPLE.fullmatch(line)
        if match is None:
            if _is_time(text := line.strip().lstrip("# ")):
                time, scraped = text, {}
                empty.append(number)
            elif line.split()[:3] == ["#", "TYPE", metric]:
                scraped, bounded = {}, True
            elif line.strip() and not line.startswith("#"):
                strays[number] = line
        elif match["metric"] == metric:
            if empty and (not rows or empty[-1] > rows[-1].line):
                empty.pop()
            labels = dict(LABEL.findall(match["labels"]))
            device = " ".join(labels[label] for label in DEVICE_LABELS if label in labels)
            stamp = match["time"] or time
            before = scraped.get((stamp, device))
            if before is None or not (stamp or bounded or SHARE_LABEL in labels):
                rows.append(Row(number, {"time": stamp, "device": device, name: match["value"]}))
                scraped[stamp, device] = match["value"]
            elif _alike(before, match["value"]):
                shared.add(labels.get("gpu", device))
            else:
                faults.append(
                    f"line {number}: {match['value']} after {before} of the same GPU in one scrape"
                )
    raise_for(faults, path)
    return rows, strays, shared, empty


def _without_reading(empty: Sequence[int]) -> tuple[str, ...]:
    """The remark on lines of time without any sample after them."""
    if not empty:
        return ()
    hold = agree(len(empty), "has", "have")
    return (f"{counted(len(empty), 'scrape')} {hold} no reading (from line {empty[0]}); left out",)


def _alike(first: str, second: str) -> bool:
    """Whether two samples are of one sensor."""
    try:
        return abs(float(first) - float(second)) <= ALIKE * abs(float(first))
    except ValueError:
        return False


def _index(device: str, devices: int, place: int) -> str:
    numbers = [word for word in device.split() if word.isdigit()]
    return numbers[0] if len(numbers) == 1 and devices <= 16 and " " in device else str(place)


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


FORMAT: Final = Format(
    "dcgm-exporter", "scrapes of dcgm-exporter, each after a line with its time", _recognizes, _read
)
