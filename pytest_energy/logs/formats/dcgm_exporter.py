"""Scrapes of dcgm-exporter, one after another: Prometheus text with GPUs as labels.

The counter of energy is read if it is there, else the power. A scrape's time is that of its samples
(milliseconds behind the value), or a line of its own that holds a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError
from pytest_energy.logs.source import Columns, Format, Options, Source
from pytest_energy.logs.table import Row, Table, drop_strays
from pytest_energy.logs.times import parse_time

ENERGY: Final = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
POWERS: Final = ("DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_POWER_USAGE_INSTANT")
SAMPLE: Final = re.compile(
    r"(?P<metric>DCGM_FI_\w+)\{(?P<labels>.*)\}\s+(?P<value>\S+)(?:\s+(?P<time>\d{10,}))?\s*"
)
LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
DEVICE_LABELS: Final = ("Hostname", "instance", "gpu", "UUID", "GPU_I_ID")


def _recognizes(lines: Sequence[str]) -> bool:
    return any(line.startswith(("DCGM_FI_", "# HELP DCGM_FI_")) for line in lines[:500])


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    samples = [(n, SAMPLE.fullmatch(line)) for n, line in enumerate(lines, start=1)]
    present = {match["metric"] for _, match in samples if match}
    wanted = options.energy_columns or options.power_columns or (ENERGY, *POWERS)
    metric = next((name for name in wanted if name in present), wanted[0])
    counter = metric == ENERGY
    name = f"{metric} [{'mJ' if counter else 'W'}]"
    rows: list[Row] = []
    strays: dict[int, str] = {}
    time = ""
    for number, match in samples:
        line = lines[number - 1]
        if match is None:
            if _is_time(text := line.strip().lstrip("# ")):
                time = text
            elif line.strip() and not line.startswith("#"):
                strays[number] = line
        elif match["metric"] == metric:
            labels = dict(LABEL.findall(match["labels"]))
            device = " ".join(labels[label] for label in DEVICE_LABELS if label in labels)
            cells = {"time": match["time"] or time, "device": device, name: match["value"]}
            rows.append(Row(number, cells))
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
    )


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
