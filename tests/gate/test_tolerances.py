"""Tolerances by pattern, from pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_energy.errors import FileFormatError, UsageError
from pytest_energy.gate.tolerances import (
    TolerancePattern,
    check_directions,
    load_tolerances,
    tolerances_of,
)
from pytest_energy.marker import MarkerSettings
from pytest_energy.model.metrics import TOLERANCES

TABLE = """
[tool.pytest-energy.tolerances]
"*" = 0.04
"*::test_inference[[]vit*" = 0.9
"*::test_inference[vit*" = { latency_s = 0.1, accuracy = 0.01 }
"slow/*" = { energy_j = 0.2 }
"""


def written(folder: Path, text: str) -> Path:
    """A pyproject.toml."""
    path = folder / "pyproject.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("test_id", "expected"),
    [
        ("a.py::test_b", {"energy_j": 0.04}),
        (
            "a.py::test_inference[vit-b]",
            {"energy_j": 0.04, "latency_s": 0.1, "accuracy": 0.01},
        ),
        ("slow/a.py::test_b", {"energy_j": 0.2}),
    ],
)
def test_the_last_match_of_a_metric_wins(
    tmp_path: Path, test_id: str, expected: dict[str, float]
) -> None:
    """Patterns add up; brackets in a pattern are brackets in the id."""
    table = load_tolerances(written(tmp_path, TABLE))
    assert tolerances_of(test_id, TOLERANCES, table) == expected


@pytest.mark.parametrize("text", ["", "[tool.other]\nx = 1\n"])
def test_without_a_table_the_default_holds(tmp_path: Path, text: str) -> None:
    """No table, or no file, is no fault."""
    assert load_tolerances(written(tmp_path, text)) == ()
    assert load_tolerances(tmp_path / "missing.toml") == ()
    assert tolerances_of("a.py::test_b", TOLERANCES, ()) == {"energy_j": 0.05}


def test_every_fault_of_the_table_is_named(tmp_path: Path) -> None:
    """Words, negative numbers, truth values and 1 are no tolerances; 0 is one."""
    text = """[tool.pytest-energy.tolerances]
"a" = "5%"
"b" = -0.1
"c" = { latency_s = true }
"d" = 1
"e" = 0
"""
    path = written(tmp_path, text)
    with pytest.raises(FileFormatError) as caught:
        load_tolerances(path)
    found = {"'a'.energy_j": "'5%'", "'b'.energy_j": -0.1, "'c'.latency_s": True, "'d'.energy_j": 1}
    assert str(caught.value) == f"{path}: not a table of tolerances: " + "; ".join(
        f"tool.pytest-energy.tolerances.{place}: {value} found, a fraction below 1, such as 0.05"
        " for 5 %, expected"
        for place, value in found.items()
    )


def test_the_table_is_read_as_utf_8(tmp_path: Path) -> None:
    """Whatever the encoding of the machine is; other bytes are refused, and so is deep nesting."""
    path = written(tmp_path, '[tool.pytest-energy.tolerances]\n"*[é]" = 0\n')
    assert tolerances_of("t.py::test[é]", {}, load_tolerances(path)) == {"energy_j": 0.0}
    path.write_bytes(path.read_text("utf-8").encode("latin-1"))
    with pytest.raises(FileFormatError, match=rf"^{re.escape(str(path))}: not TOML: 'utf-8' codec"):
        load_tolerances(path)
    path.write_text("a = " + 10_000 * "[")
    with pytest.raises(
        FileFormatError, match=rf"^{re.escape(str(path))}: not TOML: nested too deeply$"
    ):
        load_tolerances(path)


def test_a_metric_without_a_direction_is_refused_where_it_is_named() -> None:
    """The place is the option, the table or the marker; a direction counts for its own test."""
    table = (TolerancePattern("*", {"my_figure": 0.1}),)
    named = MarkerSettings(tolerances={"my_figure": 0.1})
    declared = MarkerSettings(tolerances={"my_figure": 0.1}, better={"my_figure": "higher"})
    for arguments, place in (
        (({}, {"my_figure": 0.1}, ()), "--energy-tolerance=my_figure"),
        (({}, {}, table), "tool.pytest-energy.tolerances.'*'.my_figure"),
        (({"t.py::a": named, "t.py::b": declared}, {}, ()), "t.py::a: tolerances['my_figure']"),
    ):
        with pytest.raises(UsageError) as caught:
            check_directions(*arguments)
        assert str(caught.value) == (
            f"{place}: nobody says whether more or less of my_figure is better; say it by"
            " @pytest.mark.energy(better={'my_figure': 'higher'}), or 'lower'"
        )
    check_directions({"t.py::b": declared}, {"my_figure": 0.1, "energy_j": 0.1}, table)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("tool.pytest-energy.tolerance", "tool.pytest-energy.tolerances"),
        ("tool.pytest_energy", "tool.pytest-energy"),
    ],
)
def test_a_misspelt_table_is_refused(tmp_path: Path, name: str, known: str) -> None:
    """It would have no effect, and nobody would know."""
    with pytest.raises(FileFormatError, match=rf"{name}: unknown; .*{known}\b"):
        load_tolerances(written(tmp_path, f'[{name}]\n"*" = 0.04\n'))


@pytest.mark.parametrize("text", ["[tool.pytest-energy]\ntolerances = 3\n", "= 3"])
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    """A number in place of the table, or no TOML at all, is an error that names the file."""
    with pytest.raises(FileFormatError, match=r"pyproject\.toml"):
        load_tolerances(written(tmp_path, text))
