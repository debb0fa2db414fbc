"""``powermetrics`` of macOS: each sample has the mean power of the time since the one before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError, UsageError
from pytest_energy.logs.source import Columns, Format, Options, Source
from pytest_energy.logs.table import Row, Table
from pytest_energy.logs.times import parse_time

SAMPLE: Final = re.compile(
    r"\*\*\* Sampled system activity \((?P<time>[^)]*)\) \((?P<elapsed>[\d.]+)ms elapsed\) \*\*\*"
)
POWER: Final = re.compile(
    r"(?P<name>[A-Z][\w -]*?(?: \([^)]*\))?)(?: \([^)]*\))? ?[Pp]ower(?P<parts> \([^)]*\))?"
    r"(?:[^:\n]*)?: (?P<value>[\d.]+) ?(?P<unit>m?W)"
)
PREFERRED: Final = ("Combined", "Package", "Intel energy model derived package")
"""The sum of all, the best name first."""
WHOLE_SECONDS_S: Final = 1.05
"""The sum of exact times may differ by so much from stamps of whole seconds."""


def _recognizes(lines: Sequence[str]) -> bool:
    return any(SAMPLE.search(line) for line in lines[:200])


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    samples: list[tuple[int, str, float, dict[str, float]]] = []
    repeated: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if sample := SAMPLE.search(line):
            samples.append((number, sample["time"], float(sample["elapsed"]) / 1e3, {}))
        elif samples and (power := POWER.match(line.strip())):
            watts = float(power["value"]) * (1e-3 if power["unit"] == "mW" else 1.0)
            known_w = samples[-1][3].setdefault(power["name"].strip(), watts)
            if known_w != watts:
                repeated.append((number, power["name"].strip()))
    names = _rails(path, samples, options)
    # The last sample may lack its power if the program was stopped.
    cut = samples and not samples[-1][3]
    used = samples[:-1] if cut else samples
    rows = [
        Row(
            number,
            {"time": time, "elapsed [s]": repr(elapsed_s)}
            | {
                f"{name} [J]": repr(powers[name] * elapsed_s) if name in powers else "n/a"
                for name in names
            },
        )
        for number, time, elapsed_s, powers in used
    ]
    return Source(
        Table(tuple(_counted(rows)), " "),
        Columns(
            times=("end [s]",),
            values=tuple(f"{name} [J]" for name in names),
            kind="per-row",
            duration="elapsed [s]",
            decimal=".",
            zone=options.zone,
        ),
        label=lambda _, __: names[0].partition(" ")[0].casefold(),
        remarks=(
            *(("the last sample has no power; left out",) if cut else ()),
            *(
                f"line {number}: a second {name} power in one sample; the start of another is"
                " missing"
                for number, name in repeated
                if name in names
            ),
        ),
    )


def _counted(rows: Sequence[Row]) -> list[Row]:
    """Rows with the time at which each sample ended.

    Stamps are of whole seconds, while samples last 1003.4 ms; the sum of the lengths is exact as
    long as it agrees with the stamps. A lost sample of a second or less may agree, too.
    """
    counted: list[Row] = []
    end_s = 0.0
    for row in rows:
        stamp_s = parse_time(row.cells["time"])
        end_s += float(row.cells["elapsed [s]"])
        if not counted or abs(end_s - stamp_s) > WHOLE_SECONDS_S:
            end_s = stamp_s
        counted.append(Row(row.line, {"end [s]": repr(end_s), **row.cells}))
    return counted


def _rails(
    path: Path, samples: Sequence[tuple[int, str, float, dict[str, float]]], options: Options
) -> tuple[str, ...]:
    present = {name for *_, powers in samples for name in powers}
    if not present:
        raise FileFormatError(
            path, "a log of powermetrics", ("no power; log with --samplers cpu_power,gpu_power",)
        )
    wanted = tuple(name.removesuffix(" Power") for name in options.power_columns)
    if wanted:
        if missing := set(wanted) - present:
            raise UsageError(
                f"{path}: no power {', '.join(sorted(missing))} among {', '.join(sorted(present))}"
            )
        return wanted
    best = next((name for name in PREFERRED if name in present), None)
    if best is None and len(present) > 1:
        raise UsageError(
            f"{path}: no combined power. Name those to add up with --power-column, once for each:"
            f" {', '.join(sorted(present))}"
        )
    return (best or present.pop(),)


FORMAT: Final = Format(
    "powermetrics", "powermetrics --samplers cpu_power,gpu_power of macOS", _recognizes, _read
)
