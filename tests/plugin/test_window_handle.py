"""The handle of a window: values at once, errors before."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import QUICK, Project


def test_the_values_are_there_at_once(project: Project) -> None:
    """Joules, seconds and watts of this one window, with the uncertainty of the meter."""
    project.write(
        """
def test_it(energy):
    for seconds in (0.02, 0.04):
        with energy.window("decode") as w:
            work(seconds)
        assert w.energy.value == pytest.approx(100 * seconds)
        assert w.energy.unit == "J"
        assert w.energy.uncertainty == pytest.approx(w.energy.value * 0.00196, rel=0.01)
        assert w.power.value == pytest.approx(w.energy.value / w.duration.value)
        assert (w.status, list(w.reasons)) == ("measured", [])
"""
    )
    project.run().assert_outcomes(passed=1)
    assert project.benchmark("decode")["metrics"]["energy_j"]["value"] == pytest.approx(3.0)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("attribute", ["energy", "duration", "power", "status", "reasons"])
def test_reading_before_the_end_is_an_error(
    project: Project, attribute: str, measured: bool
) -> None:
    """The error names window and attribute, with and without --energy."""
    project.write(
        f"""
def test_it(energy):
    with energy.window("decode") as w:
        w.{attribute}
"""
    )
    arguments = ("--energy", "--energy-meter=scripted") if measured else ()
    result = project.pytester.runpytest_inprocess(*QUICK, *arguments)
    result.assert_outcomes(failed=1)
    assert f"energy.window('decode'): {attribute} was read before" in result.stdout.str()


@pytest.mark.parametrize("measured", [True, False])
def test_the_measurement_of_a_test_with_windows_is_an_error(
    project: Project, measured: bool
) -> None:
    """A guard against None would let any joules pass; the error names the handle."""
    project.write(
        """
def test_it(energy):
    assert energy.measurement is None
    with energy.window("decode"):
        work(0.01)
    if energy.measurement:
        assert energy.measurement.energy.value < 0.5
"""
    )
    arguments = ("--energy", "--energy-meter=scripted") if measured else ()
    result = project.pytester.runpytest_inprocess(*QUICK, *arguments)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*with energy.window('decode') as w: *; then w.energy"])


@pytest.mark.parametrize(
    ("faults", "arguments", "status", "code"),
    [
        (["throttled"], ("--energy", "--energy-meter=scripted"), "invalid", "throttled"),
        ([], (), "unmeasured", "not-enabled"),
    ],
)
def test_without_joules_the_handle_says_why(
    project: Project, faults: list[str], arguments: tuple[str, ...], status: str, code: str
) -> None:
    """There is no zero: the value is None, with status and reasons."""
    project.script(faults=faults)
    project.write(
        f"""
def test_it(energy):
    with energy.window("decode") as w:
        work(0.01)
    assert (w.energy, w.power) == (None, None)
    assert w.status == {status!r}
    assert [reason.code for reason in w.reasons] == [{code!r}]
"""
    )
    project.pytester.runpytest_inprocess(*QUICK, *arguments).assert_outcomes(passed=1)


def test_a_window_after_the_time_limit_says_so(project: Project) -> None:
    """Its body runs, but is not measured."""
    project.write(
        """
import time

@pytest.mark.energy(max_time=0.03)
def test_it(energy):
    statuses = []
    for _ in range(2):
        with energy.window("decode") as w:
            time.sleep(0.02)
        statuses.append((w.status, [reason.code for reason in w.reasons]))
    assert statuses == [("measured", []), ("unmeasured", ["time-limit"])]
"""
    )
    project.run().assert_outcomes(passed=1)


def test_a_window_that_raised_has_no_values(project: Project) -> None:
    """It never ended as a window."""
    project.write(
        """
def test_it(energy):
    with pytest.raises(LookupError):
        with energy.window("decode") as w:
            raise LookupError
    w.energy
"""
    )
    result = project.run()
    result.stdout.fnmatch_lines(["*energy.window('decode'): energy was read before*"])
