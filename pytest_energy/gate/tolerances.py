"""Tolerances per test, from ``pyproject.toml``.

::

    [tool.pytest-energy.tolerances]
    "*" = 0.05                                          # of the energy
    "*::test_inference[vit*" = { energy_j = 0.03, latency_s = 0.1, accuracy = 0.01 }

In a pattern, ``*`` stands for any characters and ``?`` for any single one. Brackets have no special
meaning, since the ids of parametrized tests contain them. If several patterns match, the last one
that names a metric wins.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from pytest_energy.errors import TOO_DEEP, FileFormatError, UsageError
from pytest_energy.marker import MarkerSettings
from pytest_energy.model.metrics import ENERGY, direction_is_known

OURS: Final = "tool.pytest-energy"
TABLE: Final = "tolerances"
"""The only table below it."""


@dataclass(frozen=True)
class TolerancePattern:
    """Tolerances for all tests whose ids match a pattern."""

    pattern: str
    tolerances: Mapping[str, float]
    """By metric."""

    def matches(self, test_id: str) -> bool:
        """Whether the pattern matches the whole id."""
        # Python's own translation never tries a star twice; ".*" for each takes minutes for many.
        return fnmatchcase(test_id, self.pattern.replace("[", "[[]"))


def load_tolerances(pyproject: Path) -> tuple[TolerancePattern, ...]:
    """Read the table in its order; empty if there is no file or no table.

    Raises:
        FileFormatError: A value is not a tolerance, or a table is misspelt. Lists every fault.
    """
    if not pyproject.is_file():
        return ()
    try:
        document: Any = tomllib.loads(pyproject.read_text("utf-8"))
    except RecursionError:
        raise FileFormatError(pyproject, "TOML", (TOO_DEEP,)) from None
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise FileFormatError(pyproject, "TOML", (str(error),)) from None
    tool = _as_table(document.get("tool"))
    ours = _as_table(tool.get("pytest-energy"))
    table = ours.get(TABLE, {})
    faults = (*_misnamed(tool, ours), *_faults(table))
    if faults:
        raise FileFormatError(pyproject, "a table of tolerances", faults)
    return tuple(
        TolerancePattern(pattern, value if isinstance(value, dict) else {ENERGY: float(value)})
        for pattern, value in table.items()
    )


def _as_table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _misnamed(tool: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """Misspelt tables, which would otherwise have no effect."""
    if "pytest_energy" in tool:
        yield f"tool.pytest_energy: unknown; use {OURS}"
    for name in ours:
        if name != TABLE:
            yield f"{OURS}.{name}: unknown; only {OURS}.{TABLE} is read; options are ini options"


def _faults(table: Any) -> Iterator[str]:
    where = f"{OURS}.{TABLE}"
    if not isinstance(table, dict):
        yield f"{where}: {table!r} found, a table expected"
        return
    for pattern, value in table.items():
        by_metric = value if isinstance(value, dict) else {ENERGY: value}
        for metric, tolerance in by_metric.items():
            if not _is_fraction(tolerance):
                expected = "a fraction below 1, such as 0.05 for 5 %, expected"
                yield f"{where}.{pattern!r}.{metric}: {tolerance!r} found, {expected}"


def _is_fraction(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1


def check_directions(
    markers: Mapping[str, MarkerSettings],
    default: Mapping[str, float],
    table: Sequence[TolerancePattern],
) -> None:
    """Check that it is known of each metric with a tolerance which direction is better.

    Args:
        markers: The markers of the tests, by id.
        default: The tolerances of the option.
        table: The table of ``pyproject.toml``.

    Raises:
        UsageError: A direction is not known: a gain would fail, and a loss would pass.
    """
    declared = {name for marker in markers.values() for name in marker.better}
    wanted = [(f"--energy-tolerance={name}", name, declared) for name in default]
    wanted += [
        (f"{OURS}.{TABLE}.{entry.pattern!r}.{name}", name, declared)
        for entry in table
        for name in entry.tolerances
    ]
    wanted += [
        (f"{test}: tolerances[{name!r}]", name, set(marker.better))
        for test, marker in markers.items()
        for name in marker.tolerances
    ]
    for where, name, known in wanted:
        if name not in known and not direction_is_known(name):
            raise UsageError(
                f"{where}: nobody says whether more or less of {name} is better; say it by"
                f" @pytest.mark.energy(better={{{name!r}: 'higher'}}), or 'lower'"
            )


def tolerances_of(
    test_id: str,
    default: Mapping[str, float],
    table: Sequence[TolerancePattern],
    marker: MarkerSettings | None = None,
) -> dict[str, float]:
    """The tolerances of a benchmark, by metric.

    Args:
        test_id: The benchmark.
        default: The tolerances of the option.
        table: The table of ``pyproject.toml``, which wins over the option.
        marker: The test's marker, which wins over both.
    """
    tolerances = dict(default)
    for entry in table:
        if entry.matches(test_id):
            tolerances |= entry.tolerances
    if marker is None:
        return tolerances
    if marker.tolerance is not None:
        tolerances[ENERGY] = marker.tolerance
    return {**tolerances, **marker.tolerances}
