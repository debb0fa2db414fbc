"""Which tests request the fixture, and what their markers say; the same without ``--energy``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.options import ALIASES, OPTIONS

if TYPE_CHECKING:
    from pytest_energy.marker import MarkerSettings

MARKER = pytest.StashKey["MarkerSettings"]()
NAME = "energy"
"""The name of the fixture and of the marker."""


class EnergyWarning(pytest.PytestWarning):
    """A use of the fixture that is probably a mistake."""

    __module__ = "pytest_energy"


def uses_energy(item: pytest.Item) -> bool:
    """Whether a test requests this plugin's fixture, and not one of its project of the same name.

    A project's fixture counts if it requests the plugin's one, which it then wraps.
    """
    if NAME not in getattr(item, "fixturenames", ()):
        return False
    info = getattr(item, "_fixtureinfo", None)
    for definition in reversed(info.name2fixturedefs.get(NAME, ()) if info else ()):
        if is_own(definition):
            return True
        if NAME not in definition.argnames:
            return False
    return False


def is_own(definition: pytest.FixtureDef[object]) -> bool:
    """Whether a fixture of this name is the plugin's own, and not one of a project."""
    return definition.func.__module__ == "pytest_energy.plugin"


def check_markers(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Read the markers of all tests, and return the tests that use the fixture.

    Raises:
        pytest.UsageError: A marker cannot be used, or its test does not request the fixture.
    """
    using = [item for item in items if uses_energy(item)]
    for item in using:
        item.stash[MARKER] = _read_marker(item)
    for item in items:
        # A marker of a class or module may well be meant for some of its tests only.
        if MARKER not in item.stash and any(mark.name == NAME for mark in item.own_markers):
            raise pytest.UsageError(
                f"{item.nodeid}: @pytest.mark.energy on a test that does not request the energy"
                " fixture, so nothing would be measured; add the argument energy and measure with"
                " energy(function), or remove the marker"
            )
    return using


def _read_marker(item: pytest.Item) -> MarkerSettings:
    """Merge the keywords of all energy markers of a test; the closest marker takes precedence."""
    from pytest_energy.marker import UNMARKED  # pytest starts without it

    keywords: dict[str, Any] = {}
    for marker in item.iter_markers(NAME):
        if marker.args:
            raise pytest.UsageError(
                f"{item.nodeid}: @pytest.mark.energy({marker.args[0]!r}): takes keywords only, such"
                " as tolerance=0.05"
            )
        keywords = {**marker.kwargs, **keywords}
    if not keywords:
        return UNMARKED
    from pytest_energy.settings import read_marker  # takes long to import

    try:
        return read_marker(keywords, item.nodeid)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def check_alone(config: pytest.Config) -> None:
    """Check that no option that needs ``--energy`` is on a command line without it.

    What an ini file says is for the sessions that measure.

    Raises:
        pytest.UsageError: There is one.
    """
    given = _given(config)
    for option in (*OPTIONS, *ALIASES):
        if option.flag in given and option.attribute != "data":
            raise pytest.UsageError(
                f"{option.flag} without --energy: nothing is measured, so it would have no effect;"
                f" add --energy, or leave out {option.flag}"
            )


def check_against(config: pytest.Config) -> None:
    """Check that no option of a comparison is on a command line that asks for none.

    Raises:
        pytest.UsageError: There is one.
    """
    given = _given(config)
    for option in OPTIONS:
        if option.attribute.startswith("against_") and option.flag in given:
            raise pytest.UsageError(
                f"{option.flag} without --energy-against: nothing is compared with another"
                f" revision, so it would have no effect; add --energy-against=REF, or leave out"
                f" {option.flag}"
            )


def _given(config: pytest.Config) -> set[str]:
    """The options of the command line, without their values."""
    return {str(argument).partition("=")[0] for argument in config.invocation_params.args}


def requested_at_run_time(test: str) -> UsageError:
    """The error of a test, by its id, that requests the fixture only while it runs."""
    return UsageError(
        f"{test}: energy was requested by request.getfixturevalue() or by a step, which is"
        " too late to reserve the device; add energy to the arguments of the test, or mark it with"
        ' @pytest.mark.usefixtures("energy")'
    )
