"""A broken file of ours is a fault of that file, by its name, whatever is in it.

More of it: ``PARSER_FUZZ_EXAMPLES=20000 pytest tests/model/test_parsers.py``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_energy.errors import EnergyError, FileFormatError, UsageError
from pytest_energy.fleet.plan import RunFolder
from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.gate.tolerances import TolerancePattern, load_tolerances
from pytest_energy.model.json_files import load_run
from pytest_energy.options import OPTIONS
from pytest_energy.session.journal import load_journal
from pytest_energy.settings import load_settings, read_marker
from tests.texts import CHARACTERS

EXAMPLES = int(os.environ.get("PARSER_FUZZ_EXAMPLES", "60"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
ENERGY = {"value": 2.0, "unit": "J/pass", "uncertainty": 0.1}
BASELINE: dict[str, Any] = {
    "schema": "pytest-energy/baseline/1",
    "id": "test_it.py::test_it",
    "kind": "call",
    "workload": {},
    "workload_hash": "0" * 8,
    "metrics": {"energy_j": ENERGY},
    "accepted": [{"rounds": 3, "values": {"energy_j": 2.0}, "standard": {"energy_j": 0.1}}],
}
RESULT: dict[str, Any] = {
    "id": "test_it.py::test_it",
    "kind": "call",
    "workload": {},
    "status": "measured",
    "metrics": {"energy_j": ENERGY},
    "rounds": [{"start": 0.0, "duration_s": 1.0, "passes": 1, "energy_j": 2.0}],
    "verdict": {"outcome": "new", "metrics": []},
}
RUN: dict[str, Any] = {
    "schema": "pytest-energy/results/1",
    "created": "2026-01-01T00:00:00Z",
    "environment": {},
    "run": {"duration_s": 1.0},
    "benchmarks": [RESULT],
}


PLAN: dict[str, Any] = {
    "schema": "pytest-energy/fleet/1",
    "created": "2026-01-01T00:00:00Z",
    "project": "/net",
    "folder": "/net/.energy/fleet/1",
    "root": "/net",
    "options": [],
    "engine": "local",
    "shards": [{"name": "h100-1", "accelerator": "H100", "arguments": ["t.py"], "tests": 1}],
}


def load_baseline(path: Path) -> None:
    """Read a file as the one baseline of a folder."""
    store = BaselineStore(path.parent.parent.parent)
    list(store.load_all("machine"))


def load_one_line(path: Path) -> None:
    """Read a file as a journal whose session was killed after its first line."""
    path.write_bytes(path.read_bytes() + b"\n")
    load_journal(path)


def load_plan(path: Path) -> None:
    """Read a file as the plan of a fleet's run."""
    path.rename(path.with_name("plan.json"))
    try:
        RunFolder(path.parent).load_plan()
    except FileFormatError as error:
        raise FileFormatError(path, error.expected, error.faults) from None


READERS: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]] = {
    "baseline": (load_baseline, BASELINE),
    "results": (load_run, RUN),
    "journal": (load_one_line, {"run": {**RUN, "benchmarks": []}}),
    "plan": (load_plan, PLAN),
}


def place(folder: Path) -> Path:
    """Where a file is a baseline, and may be any other file."""
    path = folder / "baselines" / "machine" / "test_it" / "test_it.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def changed(document: dict[str, Any], where: str, value: object) -> str:
    """The JSON of a document with one value replaced."""
    whole = json.loads(json.dumps(document))
    *parents, last = where.split(".")
    inside = whole
    for name in parents:
        inside = inside[int(name) if isinstance(inside, list) else name]
    inside[last] = value
    return json.dumps(whole)


@pytest.mark.parametrize("kind", READERS)
def test_the_examples_are_read(kind: str, tmp_path: Path) -> None:
    """What the following tests break is whole."""
    read, document = READERS[kind]
    place(tmp_path).write_text(json.dumps(document))
    read(place(tmp_path))


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (json.dumps(BASELINE).encode("utf-16"), "save it as UTF-8"),
        (b'{"schema": 1, "schema": 2}', "'schema' comes twice"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"9" * 5000, "digits"),
        (b'{"id": NaN}', ""),
        (b"", "not JSON"),
    ],
    ids=["UTF-16", "duplicate", "deep", "digits", "nan", "empty"],
)
def test_what_no_parser_can_read_is_a_fault_of_the_file(
    kind: str, content: bytes, fault: str, tmp_path: Path
) -> None:
    """Never an error of the parser; the file is named."""
    path = place(tmp_path)
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as raised:
        READERS[kind][0](path)
    assert str(path) in str(raised.value)
    assert fault in str(raised.value)


@pytest.mark.parametrize(
    ("where", "value", "fault"),
    [
        ("metrics.energy_j.value", -2.0, "at least 0"),
        ("metrics.energy_j.value", 1e300, "too large"),
        ("metrics.energy_j.unit", "kWh", "'J' expected"),
        ("metrics.energy_j.uncertainty", -1.0, "greater than or equal to 0"),
        ("metrics", {}, "a baseline of nothing"),
        ("accepted.0.values", {"energy_j": -2.0}, "at least 0"),
        ("accepted.0.rounds", -3, "greater than or equal to 1"),
    ],
)
def test_an_impossible_baseline_is_refused(
    where: str, value: object, fault: str, tmp_path: Path
) -> None:
    """A merge or an editor may leave it; a gate on it would be wrong."""
    path = place(tmp_path)
    path.write_text(changed(BASELINE, where, value))
    with pytest.raises(FileFormatError, match=fault):
        load_baseline(path)


@pytest.mark.parametrize(
    ("where", "value", "fault"),
    [
        ("metrics.energy_j.value", -2.0, "at least 0"),
        ("metrics.energy_j.unit", "Wh", "'J' expected"),
        ("rounds.0.energy_j", -2.0, "below 0"),
        ("rounds.0.passes", -1, "below 0"),
        ("rounds.0.duration_s", -1.0, "below 0"),
    ],
)
def test_impossible_results_are_refused(
    where: str, value: object, fault: str, tmp_path: Path
) -> None:
    """The benchmark is named, since a file may have thousands."""
    path = place(tmp_path)
    path.write_text(changed(RUN, f"benchmarks.0.{where}", value))
    with pytest.raises(FileFormatError, match=f"test_it.py::test_it: .*{fault}"):
        load_run(path)


def test_a_pattern_of_many_stars_is_matched_at_once() -> None:
    """It took the time of all divisions of the id between the stars."""
    pattern = TolerancePattern("*a" * 30 + "b", {})
    assert not pattern.matches("a" * 200)
    assert TolerancePattern("*::test_it[v*", {}).matches("test.py::test_it[vit]")
    assert not TolerancePattern("test_[ab]", {}).matches("test_a")


@pytest.mark.parametrize(
    "content", ["a = 1".encode("utf-16"), b"a = " + b"[" * 100_000, b"a = " + b"9" * 5000, b"\0"]
)
def test_a_pyproject_that_cannot_be_read_is_named(content: bytes, tmp_path: Path) -> None:
    """Whatever is wrong with it."""
    path = tmp_path / "pyproject.toml"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"pyproject\.toml: not TOML"):
        load_tolerances(path)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(CHARACTERS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS), inner, max_size=3)
    ),
    max_leaves=8,
)


@FUZZ
@given(data=st.data())
@pytest.mark.parametrize("kind", READERS)
def test_any_value_anywhere_is_read_or_refused(
    kind: str, data: st.DataObject, tmp_path: Path
) -> None:
    """No value of a key makes a parser fail in another way than by the file's name."""
    read, document = READERS[kind]
    path = place(tmp_path)
    key = data.draw(st.sampled_from(sorted(document)))
    path.write_text(changed(document, key, data.draw(JSON_VALUES)), "utf-8", "surrogatepass")
    with suppress(FileFormatError):
        read(path)


@FUZZ
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path: Path) -> None:
    """Neither results, baselines nor pyproject.toml have another error."""
    path = place(tmp_path)
    path.write_bytes(content)
    for read in (load_baseline, load_run, load_tolerances):
        with suppress(FileFormatError):
            read(path)


NUMBERS = st.sampled_from(["9" * 5000, "1e999", "nan", "-1", "", "5 %", "٣", "0x10", "1_0"])


@FUZZ
@given(option=st.sampled_from(OPTIONS), text=st.text(CHARACTERS, max_size=20) | NUMBERS)
def test_any_text_of_an_option_is_read_or_refused(option: Any, text: str) -> None:
    """It has no other error."""
    with suppress(UsageError):
        load_settings({option: (option.flag, text)})


KEYWORDS = ("tolerance", "tolerances", "rounds", "max_time", "max_joules", "better", "meter")


@FUZZ
@given(name=st.sampled_from((*KEYWORDS, "channels")), value=JSON_VALUES | st.binary())
def test_any_value_of_a_marker_is_read_or_refused(name: str, value: object) -> None:
    """It has no other error."""
    with suppress(EnergyError):
        read_marker({name: value}, "test_it.py::test_it")


def test_a_marker_with_a_huge_whole_number_is_refused() -> None:
    """Python cannot even write it as text."""
    with pytest.raises(UsageError, match="rounds"):
        read_marker({"rounds": 10**5000}, "test_it.py::test_it")


class Broken:
    """A value that cannot even be shown."""

    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("name", [*KEYWORDS, "channels"])
def test_a_marker_with_a_value_that_cannot_be_shown_is_refused(name: str) -> None:
    """Its type is shown instead."""
    with pytest.raises(UsageError, match=r"test_it\.py::test_it.*Broken"):
        read_marker({name: Broken()}, "test_it.py::test_it")
