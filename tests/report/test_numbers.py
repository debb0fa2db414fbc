"""Numbers as people read them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.model.measurement import Quantity
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict
from pytest_energy.report import numbers as fmt

SCALES = {"n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
SCALES["P"] = 1e15
joules = st.floats(1e-8, 1e14)


def number(text: str) -> float:
    """The number in a text."""
    return float(text.replace(fmt.MINUS, "-").replace(",", ""))


def parse(text: str) -> tuple[float, float | None]:
    """The value and the uncertainty in a text, in joules."""
    match = re.fullmatch(r"(\S+)(?: ± (\S+))? ([nµmkMGTP]?)J", text)
    assert match, text
    scale = SCALES[match[3]]
    return number(match[1]) * scale, number(match[2]) * scale if match[2] else None


@pytest.mark.parametrize(
    ("value", "uncertainty", "unit", "text"),
    [
        (0.98, 0.004, "J/pass", "0.980 ± 0.004 J/pass"),
        (0.0984, 0.00123, "J/pass", "98.4 ± 1.2 mJ/pass"),
        (250.04, 12.0, "W", "250 ± 12 W"),
        (1234.5, 40.0, "J", "1.23 ± 0.04 kJ"),
        (5_000_000.0, 30_000.0, "J/epoch", "5.00 ± 0.03 MJ/epoch"),
        (1234.5, 4.0, "s", "1234 ± 4 s"),
        (0.8712, None, "1", "0.8712"),
        (-3.0, 0.5, "J", "−3.0 ± 0.5 J"),
        (0.0, 0.5, "J", "0.0 ± 0.5 J"),
        (0.00001, 5.0, "J", "0 ± 5 J"),
        (12_345_678.0, None, "1/kWh", "12.35 M/kWh"),
    ],
)
def test_value_is_rounded_to_what_its_uncertainty_supports(
    value: float, uncertainty: float | None, unit: str, text: str
) -> None:
    """The text has the significant digits, and the unit with a suitable prefix."""
    assert fmt.quantity(Quantity(value=value, uncertainty=uncertainty, unit=unit)) == text


@given(joules, st.floats(1e-4, 10))
def test_rounding_loses_less_than_the_uncertainty(value: float, relative: float) -> None:
    """Reading the text back gives the value within a third of its uncertainty."""
    uncertainty = value * relative
    shown, shown_uncertainty = parse(fmt.measured(value, uncertainty, "J"))
    assert abs(shown - value) <= 0.34 * uncertainty
    assert shown_uncertainty is not None
    assert 0.7 * uncertainty <= shown_uncertainty <= 1.4 * uncertainty


@given(joules)
def test_joules_without_uncertainty_keep_three_digits(value: float) -> None:
    """The text is correct to half of its third digit."""
    shown, uncertainty = parse(fmt.energy(value))
    assert uncertainty is None
    assert math.isclose(shown, value, rel_tol=0.0051)


@given(st.integers(0, 10**17))
def test_counts_read_back_to_three_digits(number_of: int) -> None:
    """Small counts are exact; the error of others is at most half a per cent."""
    match = re.fullmatch(r"([\d.,]+) ?([kMGTP]?)", fmt.count(number_of))
    assert match
    shown = number(match[1]) * SCALES[match[2]]
    assert (
        shown == number_of if number_of < 100_000 else math.isclose(shown, number_of, rel_tol=6e-3)
    )


@given(st.floats(1e-7, 1e7))
def test_durations_never_jump_back(duration_s: float) -> None:
    """A longer duration never reads shorter where the unit changes."""
    units = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
    parts = re.findall(r"([\d.]+) (h|min|ms|µs|ns|s)", fmt.seconds(duration_s))
    shown = sum(float(amount) * units[unit] for amount, unit in parts)
    assert math.isclose(shown, duration_s, rel_tol=0.0084)


@pytest.mark.parametrize(
    ("change", "low", "high", "text"),
    [
        (0.091, 0.07, 0.112, "+9.1 % [+7.0, +11.2]"),
        (-0.05, -0.12, 0.02, "−5 % [−12, +2]"),
        (0.0, -0.002, 0.002, "0.00 % [−0.20, +0.20]"),
        (0.25, 0.25, 0.25, "+25.0 %"),
        (0.25, None, None, "+25.0 %"),
        (None, None, None, "–"),
    ],
)
def test_change_names_its_interval(
    change: float | None, low: float | None, high: float | None, text: str
) -> None:
    """A change has its interval; an exact change has none; a missing change is a dash."""
    verdict = MetricVerdict(
        metric="energy_j", outcome=Outcome.REGRESSED, change=change, low=low, high=high
    )
    assert fmt.change(verdict) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (fmt.quantity(Quantity(value=25_557_032, unit="", exact=True)), "25.6 M"),
        (fmt.quantity(Quantity(value=4_089_284_608, unit="FLOP", exact=True)), "4.09 GFLOP"),
        (fmt.quantity(Quantity(value=10_000, unit="", exact=True)), "10,000"),
        (fmt.quantity(None), "–"),
        (fmt.energy(None), "–"),
        (fmt.seconds(None), "–"),
        (fmt.watt_hours(5_112_000), "1.42 kWh"),
        (fmt.mass(613.4), "613 g"),
        (fmt.seconds(125), "2 min 05 s"),
        (fmt.seconds(3725), "1 h 02 min"),
        (fmt.tolerance(0.025), "2.5 %"),
        (fmt.fact([3, 224, 224]), "3 × 224 × 224"),
        (fmt.fact([True, False]), "yes, no"),
        (fmt.machine_fact([1980, 3105]), "1980, 3105"),
        (fmt.machine_fact(["NVIDIA A", "NVIDIA B"]), "NVIDIA A, NVIDIA B"),
        (fmt.machine_fact(True), "yes"),
        (fmt.fact(48.0), "48"),
        (fmt.fact(True), "yes"),
        (fmt.fact(None), "–"),
    ],
)
def test_other_values_read_as_people_write_them(text: str, expected: str) -> None:
    """Counts, durations, masses and facts are readable; a missing value is a dash."""
    assert text == expected


def test_before_and_after_share_a_prefix() -> None:
    """A common prefix makes the two numbers comparable at a glance."""
    verdict = MetricVerdict(
        metric="energy_j", outcome=Outcome.REGRESSED, baseline=0.9, value=1.2, unit="J/pass"
    )
    assert fmt.before_after(verdict, 0.004) == "0.900 → 1.200 ± 0.004 J/pass"


def test_every_outcome_has_a_mark_of_its_own() -> None:
    """No outcome is shown by colour alone."""
    assert len({outcome.traits.symbol for outcome in Outcome}) == len(Outcome)
