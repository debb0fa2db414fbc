"""Tolerances by pattern, from pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.errors import FileFormatError
from pytest_energy.gate.tolerances import load_tolerances, tolerances_of
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
    """Words, negative numbers and truth values are no tolerances."""
    text = """[tool.pytest-energy.tolerances]
"a" = "5%"
"b" = -0.1
"c" = { latency_s = true }
"""
    with pytest.raises(FileFormatError) as caught:
        load_tolerances(written(tmp_path, text))
    assert len(caught.value.faults) == 3
    assert "tool.pytest-energy.tolerances.'c'.latency_s: True found" in str(caught.value)


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
