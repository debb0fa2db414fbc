"""Reading and writing of ``results.json``, and reading of any JSON file with all its faults."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError

from pytest_energy.errors import TOO_DEEP, FileFormatError
from pytest_energy.model.files import read_bytes, write_atomically
from pytest_energy.model.measurement import Measurement, Record, impossible_quantity
from pytest_energy.model.result import RESULTS_SCHEMA, Result, Run

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
    data = _parse(text, path, expected)
    # Checked before the model: another schema would otherwise show as a list of unknown keys.
    if isinstance(data, dict) and data.get("schema", schema) != schema:
        fault = f"schema: {data['schema']!r} found, this version reads {schema!r}"
        raise FileFormatError(path, expected, (fault,))
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        faults = tuple(
            f"{'.'.join(str(part) for part in fault['loc']) or 'top level'}: {_message(fault)}"
            for fault in error.errors(include_url=False)
        )
        raise FileFormatError(path, expected, faults) from None


def _message(fault: ErrorDetails) -> str:
    own = fault.get("ctx", {}).get("error")  # a sentence of ours, with units in their case
    return str(own) if isinstance(own, ValueError) else fault["msg"].lower()


def _parse(text: str, path: Path, expected: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        fault = f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        fault = TOO_DEEP
    except ValueError as error:  # a duplicate key, or a number of thousands of digits
        fault = str(error)
    raise FileFormatError(path, expected, (fault,))


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object of JSON with these keys and values.

    Raises:
        ValueError: A key comes twice; another parser would take another value for it.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r} comes twice in one object; remove one of them")
    return found


def read_utf8(path: Path, expected: str) -> str:
    """The text of a file of ours.

    Raises:
        FileFormatError: It is not UTF-8.
        OSError: It cannot be read.
    """
    return decode_utf8(read_bytes(path), path, expected)


def decode_utf8(content: bytes, path: Path, expected: str) -> str:
    """The text of a file of ours, or of a part of it.

    Raises:
        FileFormatError: It is not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        fault = f"not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        raise FileFormatError(path, expected, (fault,)) from None


def load_run(path: Path) -> Run:
    """Read ``results.json``.

    Raises:
        FileFormatError: The file is not a results file of this schema; the error has every fault.
        OSError: The file cannot be read.
    """
    expected = "a results file"
    run = parse_json(read_utf8(path, expected), Run, path, expected, RESULTS_SCHEMA)
    return possible_run(run, path, expected)


def possible_run(run: Run, path: Path, expected: str) -> Run:
    """Return a run that was read from a file.

    Raises:
        FileFormatError: It has values that no measurement has.
    """
    if faults := tuple(fault for result in run.benchmarks for fault in _impossible(result)):
        raise FileFormatError(path, expected, faults)
    return run


def _impossible(result: Result) -> Iterator[str]:
    """Values that no measurement has."""
    for name, quantity in result.metrics.items():
        yield from (f"{result.id}: {fault}" for fault in impossible_quantity(name, quantity))
    for number, window in enumerate(result.rounds):
        where = f"{result.id}: rounds.{number}"
        if window.passes < 0 or window.duration_s < 0:
            yield f"{where}: passes={window.passes}, duration_s={window.duration_s}: below 0"
        if result.has_joules and (window.energy_j or 0) < 0:
            yield f"{where}: energy_j={window.energy_j}: below 0, but the result is valid"


def save_run(run: Run, path: Path) -> None:
    """Write ``results.json`` completely or not at all."""
    write_atomically(path, _parts(run))


def dump_run(run: Run) -> str:
    """The text of ``results.json``: JSON that fits the schema, with a newline at its end."""
    return "".join(_parts(run))


def _parts(run: Run) -> Iterator[str]:
    """The text in parts, since that of thousands of results at once takes much memory."""
    head = dump_line(run.model_copy(update={"benchmarks": []}), indent=1)
    if not run.benchmarks:
        yield head
        return
    yield head.removesuffix("]\n}\n")  # the benchmarks are the last field
    for number, result in enumerate(run.benchmarks):
        text = dump_line(result, indent=1).rstrip("\n").replace("\n", "\n  ")
        yield f"{',' if number else ''}\n  {text}"
    yield "\n ]\n}\n"


def dump_line(record: Record, indent: int | None = None) -> str:
    """A record as JSON with a newline at its end; without ``indent`` it is a single line."""
    try:
        return record.model_dump_json(by_alias=True, indent=indent) + "\n"
    except PydanticSerializationError:
        return encodable_record(record).model_dump_json(by_alias=True, indent=indent) + "\n"


def encodable_record(record: R) -> R:
    """A record whose texts all have UTF-8, for all outputs: see :func:`encodable_text`."""
    return type(record).model_validate(encodable(record.model_dump(by_alias=True)))


def encodable_facts(measured: Measurement) -> Measurement:
    """A measurement whose metrics and facts have UTF-8, so that they equal those of a baseline.

    Its id stays: it belongs to the test, and cannot be that of a baseline.
    """
    named = {name: getattr(measured, name) for name in ("workload", "units", "better", "metrics")}
    return measured.model_copy(update={name: encodable(value) for name, value in named.items()})


def encodable_run(run: Run) -> Run:
    """A run whose texts all have UTF-8; results that have it already are not copied."""
    head = encodable_record(run.model_copy(update={"benchmarks": []}))
    return head.model_copy(update={"benchmarks": [*map(_encodable_result, run.benchmarks)]})


def _encodable_result(result: Result) -> Result:
    try:
        result.model_dump_json()
    except PydanticSerializationError:
        return encodable_record(result)
    return result


def encodable_text(text: str) -> str:
    """A text with escapes for halves of surrogate pairs."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def encodable(value: object) -> object:
    """A value of JSON with escapes for halves of surrogate pairs, which have no UTF-8."""
    match value:
        case str():
            return encodable_text(value)
        case dict():
            return {encodable(key): encodable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [encodable(inner) for inner in value]
    return value


def results_json_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of ``results.json``; the package ships it as a file."""
    schema = Run.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
