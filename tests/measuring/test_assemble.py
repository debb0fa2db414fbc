"""From rounds to a measurement: status, reasons and metrics."""

from __future__ import annotations

import pytest

from pytest_energy.carbon import given_intensity
from pytest_energy.measuring.assemble import Place, Source, assemble, scaled, training_metrics
from pytest_energy.measuring.protocol import Finished
from pytest_energy.model.measurement import (
    Kind,
    Measurement,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Round,
    Shortness,
    TooShort,
)

PLACE = Place("test_it.py::test_it", "test_it.py", 3)
METER = MeterInfo(name="nvml", source="counter", estimated=False)
THROTTLED = Reason(code=ReasonCode.THROTTLED, message="throttled for 3 s", fatal=True)
NOTE = Reason(code=ReasonCode.NOTE, message="a note", fatal=False)


def finished(energy_j: float | None = 10.0, *reasons: Reason) -> Finished:
    """Three rounds of 10 passes in 2 s; each has the reasons."""
    measured = Round(start=0.0, duration_s=2.0, passes=10, energy_j=energy_j, reasons=list(reasons))
    return Finished((measured,) * 3)


def measurement(rounds: Finished, source: Source, *reasons: Reason) -> Measurement:
    """Assemble a call with these rounds."""
    return assemble(PLACE, "call", {"function": "work"}, rounds, source, {}, reasons)


@pytest.mark.parametrize(
    ("source", "rounds", "status"),
    [
        (Source(METER), finished(), "measured"),
        (Source(METER.model_copy(update={"estimated": True})), finished(), "estimated"),
        (Source(METER), finished(10.0, THROTTLED), "invalid"),
        (Source(METER), finished(10.0, NOTE), "measured"),
        (Source(METER), finished(None), "invalid"),
        (Source(), finished(None), "unmeasured"),
    ],
    ids=["meter", "estimate", "fatal-reason", "note", "no-reading", "no-meter"],
)
def test_the_status_says_what_the_joules_are_worth(
    source: Source, rounds: Finished, status: str
) -> None:
    """Only complete rounds without a fatal reason are measured."""
    assert measurement(rounds, source).status == status


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("call", "run at least 2.0 × as many passes"),
        ("window", "repeat the body: for w in energy.repeat('a'): …"),
        ("training", "let train_one_epoch run several"),
    ],
)
def test_the_advice_on_a_short_round_fits_what_ran(kind: Kind, advice: str) -> None:
    """A window and an epoch have no passes to add."""
    short = TooShort.of(Shortness("0.05 s", "is too short", 2.0, between_pauses=True))
    source = Source(METER)
    measured = assemble(PLACE, kind, {"window": "a"}, finished(None, short), source, {})
    (reason,) = measured.reasons
    assert reason.message.startswith("a piece of 0.05 s between two pauses is too short; ")
    assert advice in reason.message
    assert "shortness" not in measured.model_dump_json()
    assert ("as many passes" in reason.message) is (kind == "call")


def test_metrics_are_per_call_with_their_place() -> None:
    """Joules and seconds are divided by the passes; the place says where the test is."""
    measured = measurement(finished(), Source(METER))
    assert measured.metrics["energy_j"].value == pytest.approx(1.0)
    assert measured.metrics["energy_j"].unit == "J/call"
    assert measured.metrics["latency_s"].value == pytest.approx(0.2)
    assert (measured.id, measured.file, measured.line) == (PLACE.id, "test_it.py", 3)


def test_invalid_joules_stay_in_the_rounds_only() -> None:
    """Nothing compares them, and a reader can still see them."""
    measured = measurement(finished(10.0, THROTTLED), Source(METER))
    assert set(measured.metrics) == {"latency_s"}
    assert [round_.energy_j for round_ in measured.rounds] == [10.0] * 3


def test_each_reason_appears_once() -> None:
    """Rounds repeat a reason; notes with different texts are different reasons."""
    other = NOTE.model_copy(update={"message": "another note"})
    measured = measurement(finished(10.0, THROTTLED, NOTE), Source(METER), other)
    assert measured.reasons == [THROTTLED, NOTE, other]


def test_a_missing_reading_without_a_reason_is_explained() -> None:
    """A meter that says nothing gets a reason, so that no invalid result is unexplained."""
    (reason,) = measurement(finished(None), Source(METER)).reasons
    assert reason.code is ReasonCode.METER_FAILED


def test_co2_follows_from_the_joules() -> None:
    """3.6 MJ are a kilowatt-hour; the PUE multiplies the grams only."""
    source = Source(METER, intensity=given_intensity(360.0), pue=2.0)
    measured = measurement(finished(), source)
    assert measured.metrics["co2_g"].value == pytest.approx(2.0 * 360.0 / 3.6e6)
    assert measured.metrics["co2_g"].unit == "g/call"
    assert measured.metrics["energy_j"].value == pytest.approx(1.0)


def test_training_has_a_total_and_a_score() -> None:
    """The total covers the full schedule; the Score takes mIoU before accuracy, per kWh."""
    measured = measurement(finished(3.6e7), Source(METER))
    metrics = training_metrics(measured, 4, 100, {"accuracy": 0.9, "miou": 0.5})
    assert metrics["total_energy_j"].value == pytest.approx(3.6e8)
    assert metrics["score_per_kwh"].value == pytest.approx(0.5 / 4)
    assert metrics["score_per_kwh"].unit == "miou/kWh"
    assert metrics["accuracy"].value == 0.9


def test_training_without_joules_has_its_evaluation() -> None:
    """Without a meter there is neither a total nor a Score."""
    measured = measurement(finished(None), Source())
    assert set(training_metrics(measured, 4, 100, {"accuracy": 0.9})) == {"accuracy"}


def test_scaling_scales_the_uncertainty() -> None:
    """An exact factor changes value, uncertainty and budget alike."""
    quantity = Quantity(value=2.0, unit="J", uncertainty=0.2, budget={"resolution": 0.1})
    tripled = scaled(quantity, 3.0, "J/epoch")
    assert (tripled.value, tripled.uncertainty) == pytest.approx((6.0, 0.6))
    assert tripled.budget == pytest.approx({"resolution": 0.3})
    assert tripled.unit == "J/epoch"
