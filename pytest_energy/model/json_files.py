"""Reading and writing of ``results.json``, and reading of any JSON file with all its faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pytest_energy.errors import FileFormatError
from pytest_energy.model.files import write_atomically
from pytest_energy.model.measurement import Record
from pytest_energy.model.result import RESULTS_SCHEMA, Run

R = TypeVar("R", bound=Record)


def parse_json(text: str, model: type[R], path: Path, expected: str, schema: str) -> R:
    """Parse ``text`` as ``model``.

    Args:
        text: JSON.
        model: The model to parse it as.
        path: The file of the text, for the error.
        expected: The kind of file, for the error, such as ``a baseline``.
        schema: The schema name that this version reads, such as ``pytest-energy/results/1``.

    Raises:
        FileFormatError: The text is not JSON, has another schema, or does not fit the model; the
            error has every fault.
    """
    try:
        data: object = json.loads(text)
    except json.JSONDecodeError as error:
        fault = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise FileFormatError(path, expected, (f"not JSON: {fault}",)) from None
    # Checked before the model: another schema would otherwise show as a list of unknown keys.
    if isinstance(data, dict) and data.get("schema", schema) != schema:
        fault = f"schema: {data['schema']!r} found, this version reads {schema!r}"
        raise FileFormatError(path, expected, (fault,))
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        faults = tuple(
            f"{'.'.join(str(part) for part in fault['loc']) or 'top level'}: {fault['msg'].lower()}"
            for fault in error.errors(include_url=False)
        )
        raise FileFormatError(path, expected, faults) from None


def load_run(path: Path) -> Run:
    """Read ``results.json``.

    Raises:
        FileFormatError: The file is not a results file of this schema; the error has every fault.
        OSError: The file cannot be read.
    """
    return parse_json(path.read_text("utf-8"), Run, path, "a results file", RESULTS_SCHEMA)


def save_run(run: Run, path: Path) -> None:
    """Write ``results.json`` completely or not at all."""
    write_atomically(path, dump_run(run))


def dump_run(run: Run) -> str:
    """The text of ``results.json``: JSON that fits the schema, with a newline at its end."""
    return run.model_dump_json(by_alias=True, indent=1) + "\n"


def results_json_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of ``results.json``; the package ships it as a file."""
    schema = Run.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
