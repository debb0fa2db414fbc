"""The names that users import from the package itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pytest_energy

HEAVY = ("pydantic", "jinja2", "torch", "scipy", "numpy")


def heavy_modules_after(statement: str) -> str:
    """The heavy modules that a fresh interpreter has imported after ``statement``."""
    code = f"import sys; {statement}; print(*[name for name in {HEAVY} if name in sys.modules])"
    interpreter = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return interpreter.stdout.strip()


@pytest.mark.parametrize(
    "statement",
    [
        "import pytest_energy",
        "import pytest_energy; dir(pytest_energy)",
        "from pytest_energy import Energy",
        "import pytest_energy.settings",
        "import pytest_energy.plugin",
    ],
)
def test_importing_the_package_imports_nothing_heavy(statement: str) -> None:
    """The start must stay fast, since pytest imports the package at every start."""
    assert heavy_modules_after(statement) == ""


def test_the_public_names_are_the_classes_of_their_modules() -> None:
    """Each name is handed on unchanged, and ``dir`` lists it."""
    from pytest_energy.fixture import Energy
    from pytest_energy.model.json_files import load_run
    from pytest_energy.model.measurement import Quantity
    from pytest_energy.model.result import Run

    assert pytest_energy.Energy is Energy
    assert pytest_energy.Quantity is Quantity
    assert pytest_energy.Run is Run
    assert pytest_energy.load_run is load_run
    assert set(pytest_energy.__all__) <= set(dir(pytest_energy))


def test_an_unknown_name_is_refused() -> None:
    """A misspelt import fails as in any other package."""
    with pytest.raises(ImportError, match="cannot import name 'Enrgy'"):
        from pytest_energy import Enrgy  # noqa: F401
