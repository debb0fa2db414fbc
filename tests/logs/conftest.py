"""Importing a log by the command, as users do."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.model.json_files import load_run


@dataclass(frozen=True)
class Imported:
    """What came of a log."""

    status: int
    energy_j: float | None
    remarks: tuple[str, ...]
    channels: dict[str, float]
    out: str
    err: str
    start: float = 0.0
    uncertainty_j: float = 0.0
    state: str = ""


def import_text(
    folder: Path, content: str | bytes, options: Sequence[str] = (), name: str = "log.csv"
) -> Imported:
    """Import a file of this content in UTC."""
    log, output = folder / name, folder / "imported.json"
    log.write_bytes(content.encode() if isinstance(content, str) else content)
    output.unlink(missing_ok=True)
    zone = () if any("--timezone" in option for option in options) else ("--timezone=UTC",)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["import", str(log), *zone, f"--output={output}", *options])
    if not output.exists():
        return Imported(status, None, (), {}, out.getvalue(), err.getvalue())
    run = load_run(output)
    (result,) = run.benchmarks
    remarks = tuple(reason.message for reason in result.reasons)
    channels = result.rounds[0].channels
    return Imported(
        status,
        run.run.energy_j,
        remarks,
        channels,
        out.getvalue(),
        err.getvalue(),
        result.rounds[0].start,
        result.rounds[0].uncertainty_j or 0.0,
        result.status,
    )


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Imported]:
    """Import a text with options."""

    def call(content: str | bytes, *options: str) -> Imported:
        return import_text(tmp_path, content, options)

    return call
