"""The formats of logs, one module each, and the choice among them.

A format is a module with a ``FORMAT``. The generic table comes last, because it takes any.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.errors import UsageError
from pytest_energy.logs.formats import (
    amd_smi,
    codecarbon,
    dcgm_dmon,
    dcgm_exporter,
    energibridge,
    joulescope,
    mllog,
    nvidia_dmon,
    nvidia_smi,
    powermetrics,
    ptdaemon,
    tegrastats,
    wattmeter,
    xpu_smi,
    zeus,
)
from pytest_energy.logs.source import Format, Options
from pytest_energy.logs.wording import shortened

FORMATS: Final[dict[str, Format]] = {
    module.FORMAT.name: module.FORMAT
    for module in (
        nvidia_smi,
        nvidia_dmon,
        dcgm_dmon,
        dcgm_exporter,
        tegrastats,
        powermetrics,
        amd_smi,
        xpu_smi,
        ptdaemon,
        mllog,
        energibridge,
        joulescope,
        codecarbon,
        zeus,
        wattmeter,
    )
}
GENERIC: Final = wattmeter.FORMAT.name


def choose_format(path: Path, lines: Sequence[str], name: str, options: Options) -> Format:
    """The format of this name, or for ``auto`` the one that recognizes the lines.

    Columns that are named make a file that no program's format recognizes a generic table.

    Raises:
        UsageError: No format recognizes the lines; the error lists those that can be read.
    """
    if name != "auto":
        return FORMATS[name]
    if options.columns is not None:
        gpu = nvidia_smi.HAS_POWER(options.columns)
        return FORMATS[nvidia_smi.FORMAT.name if gpu else GENERIC]
    recognized = next((each for each in FORMATS.values() if each.recognizes(lines)), None)
    if recognized is not None:
        return recognized
    if options.names_columns:
        return FORMATS[GENERIC]
    readable = "; ".join(f"{each.name} ({each.title})" for each in FORMATS.values())
    first = next((line.strip() for line in lines if line.strip()), "")
    if not first:
        raise UsageError(f"{path}: the log is empty")
    raise UsageError(
        f"{path}: the log is of no known format; it begins with {shortened(first, 100)}. Any table"
        " can be read with --format wattmeter --time-column NAME --power-column NAME (or"
        " --energy-column NAME), and --columns A,B,C if it has no header. Programs whose logs are"
        f" recognized: {readable}"
    )
