"""``power_reading`` of MLPerf Training: lines of JSON after ``:::MLLOG``, in watts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_energy.errors import FileFormatError
from pytest_energy.logs.source import Columns, Format, Options, Source
from pytest_energy.logs.table import Row, Table, drop_strays

MARK: Final = ":::MLLOG"
READING: Final = "power_reading"


def _recognizes(lines: Sequence[str]) -> bool:
    return any(MARK in line and READING in line for line in lines)


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    rows: list[Row] = []
    strays: dict[int, str] = {}
    efficiencies: set[float] = set()
    for number, line in enumerate(lines, start=1):
        event = _event(line)
        if event is None:
            if line.strip():
                strays[number] = line
        elif event.get("key") == READING:
            value = _value(event)
            cells = {"time_ms": str(event.get("time_ms", "")), "power [W]": str(value)}
            rows.append(Row(number, {**cells, "node": _node(event)}))
        elif event.get("key") == "conversion_eff":
            efficiencies.add(float(_value(event) or 1.0))
    if not rows:
        raise FileFormatError(path, "a log of MLPerf", ("no power_reading",))
    remarks: tuple[str, ...] = ()
    if efficiencies - {1.0}:
        remarks = ("conversion_eff is not applied: the joules are those of the readings",)
    return Source(
        drop_strays(Table(tuple(rows)), strays, path),
        Columns(
            times=("time_ms",),
            values=("power [W]",),
            devices=("node",) if len({row.cells["node"] for row in rows}) > 1 else (),
            decimal=".",
            zone=options.zone,
        ),
        label=lambda device, _: device or "node",
        remarks=remarks,
    )


def _event(line: str) -> Mapping[str, Any] | None:
    _, mark, text = line.partition(MARK)
    try:
        event = json.loads(text) if mark else None
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _value(event: Mapping[str, Any]) -> Any:
    """The number of an event, which MLPerf's own tools expect in an object."""
    value = event.get("value")
    if isinstance(value, dict):
        return value.get("value", value.get("watts"))
    return value


def _node(event: Mapping[str, Any]) -> str:
    metadata = event.get("metadata")
    value = event.get("value")
    for holder in (value, metadata):
        if isinstance(holder, dict):
            for key in ("node", "node_id", "hostname", "host", "device", "instance"):
                if key in holder:
                    return str(holder[key])
    return ""


FORMAT: Final = Format("mllog", "power_reading lines of MLPerf Training", _recognizes, _read)
