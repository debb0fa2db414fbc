"""From rounds to results: values, budgets and intervals."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.model.measurement import Quantity, ReasonCode, Round
from pytest_energy.uncertainty.gum import t_quantile
from pytest_energy.uncertainty.rounds import (
    dominant,
    mean_of,
    of_round,
    of_rounds,
    summarize,
    temperature_drift,
    with_gain,
)


def one_round(energy_j: float | None, passes: int = 10, **budget: float) -> Round:
    """A round of 2 s and ten passes unless told otherwise."""
    return Round(
        start=0.0,
        duration_s=2.0,
        passes=passes,
        energy_j=energy_j,
        budget=budget,
        channels={} if energy_j is None else {"gpu0": energy_j},
    )


def test_values_are_means_a_pass() -> None:
    """Joules, seconds and watts are those of one pass, averaged over the rounds."""
    metrics = summarize([one_round(10.0), one_round(14.0)])
    assert metrics["energy_j"].value == pytest.approx(1.2)
    assert metrics["energy_j"].unit == "J/pass"
    assert metrics["latency_s"].value == pytest.approx(0.2)
    assert metrics["power_w"].value == pytest.approx(6.0)


def test_single_rounds_tell_of_three_metrics() -> None:
    """Of one pass each; a round without joules still has its seconds, and no round has others."""
    rounds = [one_round(10.0), one_round(None), one_round(14.0, passes=7)]
    assert of_rounds(rounds, "energy_j") == pytest.approx([1.0, 2.0])
    assert of_rounds(rounds, "power_w") == pytest.approx([5.0, 7.0])
    assert of_rounds(rounds, "latency_s") == pytest.approx([0.2, 0.2, 2 / 7])
    assert of_rounds(rounds, "accuracy") == []


def test_scatter_of_three_rounds_gives_students_interval() -> None:
    """Three rounds, no type B terms: t(2) × s/√3, the textbook interval."""
    quantity = summarize([one_round(9.0), one_round(10.0), one_round(11.0)])["energy_j"]
    assert quantity.uncertainty == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)
    assert quantity.degrees_of_freedom == pytest.approx(2.0)
    assert dominant(quantity) == "scatter"


def test_scatter_and_what_rounds_share_are_expanded_together() -> None:
    """By the effective degrees of freedom of both (GUM G.4.1), which are 57 here."""
    rounds = [one_round(energy_j, settling=1.2) for energy_j in (9.0, 10.0, 11.0)]
    scatter, shared = 0.1 / math.sqrt(3), 0.12
    freedom = 2 * (math.hypot(scatter, shared) / scatter) ** 4
    quantity = summarize(rounds)["energy_j"]
    assert quantity.degrees_of_freedom == pytest.approx(freedom)
    assert quantity.uncertainty == pytest.approx(t_quantile(freedom) * math.hypot(scatter, shared))


def test_rounds_that_are_alike_are_no_better_than_their_meter() -> None:
    """The interval is not narrower than the type B standard uncertainty of the mean."""
    quantity = summarize([one_round(9.99, resolution=1.0), one_round(10.01, resolution=1.0)])[
        "energy_j"
    ]
    assert quantity.uncertainty == pytest.approx(0.1 / math.sqrt(2), rel=1e-3)
    assert dominant(quantity) == "resolution"


def test_scatter_that_the_resolution_explains_is_not_counted_twice() -> None:
    """Rounds that scatter as their resolution says have Student's interval, and nothing on top."""
    rounds = [one_round(energy_j, resolution=1.0) for energy_j in (9.0, 10.0, 11.0)]
    quantity = summarize(rounds)["energy_j"]
    assert quantity.uncertainty == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)


@given(
    st.lists(st.floats(1.0, 100.0), min_size=1, max_size=6),
    st.floats(0.0, 5.0),
    st.floats(0.0, 5.0),
)
def test_standard_uncertainty_is_had_from_the_interval(
    values: list[float], edges: float, gain: float
) -> None:
    """Half-width over Student's t at the stated degrees of freedom: never less than each term."""
    quantity = summarize([one_round(v, edges=edges, gain=gain) for v in values])["energy_j"]
    assert quantity.uncertainty is not None
    freedom = quantity.degrees_of_freedom or math.inf
    standard = quantity.uncertainty / t_quantile(freedom)
    shared, scatter = quantity.budget["gain"], quantity.budget.get("scatter", 0.0)
    assert standard >= math.hypot(shared, scatter) * (1 - 1e-9)
    known = math.hypot(quantity.budget["edges"], shared)
    assert quantity.uncertainty >= known * (1 - 1e-9)
    assert freedom >= len(values) - 1 or math.isinf(freedom)


def test_one_round_keeps_what_its_sensor_may_have_missed() -> None:
    """Without other rounds nothing but the meter's own estimate tells what a sensor missed."""
    quantity = summarize([one_round(10.0, edges=0.01, unseen=1.0)])["energy_j"]
    assert quantity.uncertainty == pytest.approx(1.96 * 0.1, rel=1e-3)
    assert dominant(quantity) == "unseen"


def test_scatter_takes_the_place_of_what_was_unseen() -> None:
    """Rounds at different phases show what the sensor missed: nothing is assumed of it."""
    rounds = [one_round(energy_j, edges=0.01, unseen=5.0) for energy_j in (9.9, 10.0, 10.1)]
    quantity = summarize(rounds)["energy_j"]
    assert quantity.uncertainty == pytest.approx(4.3027 * 0.01 / math.sqrt(3), rel=1e-4)
    assert "unseen" not in quantity.budget


def test_idle_power_is_taken_off_and_shared_by_all_rounds() -> None:
    """Net energy is gross less idle power × time; more rounds do not improve the idle power."""
    idle = {"gpu0": Quantity(value=2.0, unit="W", uncertainty=0.2, budget={"resolution": 0.1})}
    metrics = summarize([one_round(10.0), one_round(10.0)], idle)
    assert metrics["net_energy_j"].value == pytest.approx(1.0 - 2.0 * 0.2)
    assert metrics["net_energy_j"].budget["idle"] == pytest.approx(0.1 * 0.2)


def test_unknown_joules_give_no_energy_metrics() -> None:
    """One unreadable round leaves the latency and no energy: missing is never zero."""
    assert set(summarize([one_round(10.0), one_round(None)])) == {"latency_s"}


def test_net_energy_needs_the_idle_power_of_every_channel() -> None:
    """Idle power of another set of channels is not taken off."""
    idle = {"gpu1": Quantity(value=2.0, unit="W")}
    assert "net_energy_j" not in summarize([one_round(10.0)], idle)


def test_gain_counts_where_boards_differ() -> None:
    """Between boards the gain joins the budget as an even distribution and dominates it."""
    quantity = summarize([one_round(10.0, edges=0.01)])["energy_j"]
    across = with_gain(quantity, 0.05)
    assert across.budget["gain"] == pytest.approx(0.05 / math.sqrt(3))
    assert dominant(across) == "gain"
    assert across.uncertainty == pytest.approx(0.95 * 0.05, rel=0.1)


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=9), st.floats(1e-3, 1e3))
def test_summary_does_not_depend_on_the_unit_of_energy(values: list[float], factor: float) -> None:
    """Scaling all joules scales value and uncertainty alike."""
    plain = summarize([one_round(v) for v in values])["energy_j"]
    scaled = summarize([one_round(v * factor) for v in values])["energy_j"]
    assert scaled.value == pytest.approx(plain.value * factor)
    assert (scaled.uncertainty is None) == (plain.uncertainty is None)
    if plain.uncertainty is not None and scaled.uncertainty is not None:
        assert scaled.uncertainty == pytest.approx(plain.uncertainty * factor, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
@pytest.mark.parametrize("scatter", [0.0, 0.5, 1.0, 2.0, 5.0, 50.0])
def test_interval_covers_the_truth(scatter: float, count: int) -> None:
    """About 95 % of the intervals hold the truth, whatever share of the scatter is the meter's."""
    rng = random.Random(20260101)
    trials, held = 1500, 0
    for _ in range(trials):
        rounds = [
            one_round(100 + rng.gauss(0, math.hypot(1, scatter)), 1, edges=1.0)
            for _ in range(count)
        ]
        quantity = summarize(rounds)["energy_j"]
        assert quantity.uncertainty is not None
        held += abs(quantity.value - 100) <= quantity.uncertainty
    assert 0.935 <= held / trials <= 0.98


@pytest.mark.parametrize("count", [2, 3, 5, 10])
@pytest.mark.parametrize("shared", [0.2, 0.5, 1.0, 3.0])
def test_interval_covers_errors_that_all_rounds_share(shared: float, count: int) -> None:
    """What is the same in all rounds joins their scatter, and the interval covers no more for it.

    That of two rounds cannot be both: never narrower than its scatter says, and right in 95 %.
    """
    rng = random.Random(20260102)
    trials, held = 1500, 0
    for _ in range(trials):
        truth = 100 + rng.gauss(0, shared)
        rounds = [one_round(rng.gauss(truth, 1.0), 1, edges=0.5, gain=shared) for _ in range(count)]
        quantity = summarize(rounds)["energy_j"]
        assert quantity.uncertainty is not None
        held += abs(quantity.value - 100) <= quantity.uncertainty
    least, most = 0.94 if count < 5 else 0.935, 0.985 if count == 2 else 0.97
    assert least <= held / trials <= most


@pytest.mark.parametrize("sizes", [(1.0, 1.0, 1.0), (2.0, 0.2, 0.2), (0.0, 1.0, 3.0), (1.0, 0.5)])
def test_a_shared_error_that_differs_by_round_is_not_counted_twice(sizes: Sequence[float]) -> None:
    """By what it differs the rounds scatter; scatter and shared term make the error of the mean."""
    rng = random.Random(20260103)
    stated, errors = [], []
    for _ in range(4000):
        drawn = rng.gauss(0.0, 1.0)
        rounds = [
            one_round(100 + size * drawn + rng.gauss(0.0, 0.3), 1, end=size) for size in sizes
        ]
        quantity = summarize(rounds)["energy_j"]
        stated.append(quantity.budget["scatter"] ** 2 + quantity.budget["end"] ** 2)
        errors.append((quantity.value - 100) ** 2)
    assert statistics.fmean(stated) == pytest.approx(statistics.fmean(errors), rel=0.08)


@pytest.mark.parametrize(("last_c", "remarks"), [(44.0, 0), (58.0, 1)])
def test_rounds_that_warm_up_are_remarked_on(last_c: float, remarks: int) -> None:
    """Rounds that end more than 10 °C apart get a remark that does not make them invalid."""
    rounds = [
        one_round(10.0).model_copy(update={"conditions": {"gpu0.temperature_c": ended_c}})
        for ended_c in (40.0, last_c)
    ]
    reasons = temperature_drift(rounds)
    assert [reason.code for reason in reasons] == [ReasonCode.TEMPERATURE_DRIFT] * remarks
    assert not any(reason.fatal for reason in reasons)


def test_the_mean_of_one_value_has_no_interval() -> None:
    """Nothing says how one observation scatters; of two, Student's t does."""
    assert mean_of([3.0], "W") == Quantity(value=3.0, unit="W")
    two = mean_of([2.0, 4.0], "W")
    assert (two.value, two.degrees_of_freedom) == (3.0, 1)
    assert two.uncertainty == pytest.approx(12.706, rel=1e-4)  # t(0.975; 1) times 1 W


def warm(**conditions: float) -> Round:
    """A round that ended in these conditions of gpu0 and gpu1."""
    named = {key.replace("__", "."): value for key, value in conditions.items()}
    return one_round(10.0).model_copy(update={"conditions": named})


def test_the_remark_on_warming_up_names_channel_and_temperatures() -> None:
    """Each channel that warmed by more than the limit; other conditions are no temperatures."""
    rounds = [
        warm(gpu0__temperature_c=40.0, gpu1__temperature_c=50.0, gpu0__clock_mhz=1000.0),
        warm(gpu0__temperature_c=50.5, gpu1__temperature_c=60.0, gpu0__clock_mhz=1980.0),
        warm(gpu1__temperature_c=55.0),
    ]
    (remark,) = temperature_drift(rounds)
    assert remark.message == (
        "gpu0: rounds ended between 40 and 50.5 °C (limit 10 °C apart); warm up longer"
    )
    assert temperature_drift(rounds, limit_c=10.5) == []
    both = temperature_drift(rounds, limit_c=9.5)
    assert [each.message.partition(":")[0] for each in both] == ["gpu0", "gpu1"]
    assert "limit 9.5 °C apart" in both[0].message


def test_the_mean_has_the_budget_of_its_scatter() -> None:
    """The standard error is its only term."""
    found = mean_of([1.0, 2.0, 3.0, 6.0], "W")
    scatter = math.sqrt(14 / 3 / 4)
    assert (found.unit, found.budget) == ("W", {"scatter": pytest.approx(scatter)})
    assert found.uncertainty == pytest.approx(t_quantile(3) * scatter)


def test_only_the_wanted_metric_is_computed() -> None:
    """And a pass may be an epoch."""
    rounds = [one_round(10.0), one_round(14.0)]
    whole = summarize(rounds, per="epoch")
    assert {name: metric.unit for name, metric in whole.items()} == {
        "latency_s": "s",
        "energy_j": "J/epoch",
        "power_w": "W",
    }
    for name in whole:
        assert summarize(rounds, per="epoch", only=name) == {name: whole[name]}
    assert summarize(rounds, only="accuracy") == {}


def test_what_a_round_knows_is_known() -> None:
    """Its seconds always, its joules and watts if they were read."""
    assert of_round(one_round(10.0), "energy_j") == 1.0
    assert of_round(one_round(None), "latency_s") == pytest.approx(0.2)
    assert of_round(one_round(None), "energy_j") is None
    assert of_round(one_round(None), "power_w") is None


def test_a_budget_is_that_of_a_pass_and_of_a_second() -> None:
    """Independent terms average out over the rounds, shared ones do not; a missing one is zero."""
    rounds = [one_round(10.0, edges=0.3, idle=0.4, end=0.1), one_round(14.0, edges=0.4, idle=0.1)]
    metrics = summarize(rounds)
    scatter = 4.0 / math.sqrt(2) / math.sqrt(2)  # of 10 J and 14 J
    for name, share in (("energy_j", 1 / 10), ("power_w", 1 / 2)):
        assert metrics[name].budget == pytest.approx(
            {"edges": share * 0.25, "idle": share * 0.2, "end": 0.0, "scatter": share * scatter}
        )
    assert metrics["latency_s"].budget == {"scatter": 0.0}
    single = summarize([one_round(10.0, edges=0.3)])
    assert single["energy_j"].budget == {"edges": pytest.approx(0.03)}
    assert single["energy_j"].degrees_of_freedom is None
    assert single["latency_s"] == Quantity(value=0.2, unit="s")


def test_idle_power_of_all_channels_is_taken_off_with_its_uncertainty() -> None:
    """Watts add up, and their standard uncertainties in quadrature, over the time of a pass."""
    both = one_round(10.0, edges=0.3).model_copy(update={"channels": {"gpu0": 6.0, "gpu1": 4.0}})
    idle = {
        "gpu0": Quantity(value=2.0, unit="W", budget={"scatter": 0.3, "resolution": 0.4}),
        "gpu1": Quantity(value=1.0, unit="W", budget={"scatter": 1.2}),
    }
    net = summarize([both], idle)["net_energy_j"]
    assert (net.value, net.unit) == (pytest.approx(1.0 - 3.0 * 0.2), "J/pass")
    assert net.budget == pytest.approx({"edges": 0.03, "idle": 1.3 * 0.2})
    assert summarize([both], idle, per="call")["net_energy_j"].unit == "J/call"
    assert "net_energy_j" not in summarize([both], {})


def test_the_gain_joins_what_is_known_of_the_value() -> None:
    """Its share is of the size, whatever the sign, and it is 95 % of an even distribution."""
    quantity = Quantity(value=-4.0, unit="J", uncertainty=0.3, budget={"scatter": 0.1})
    found = with_gain(quantity, 0.05)
    assert (found.value, found.unit) == (-4.0, "J")
    assert found.budget == pytest.approx({"scatter": 0.1, "gain": 0.2 / math.sqrt(3)})
    assert found.uncertainty == pytest.approx(math.hypot(0.3, 0.95 * 0.2))
    bare = with_gain(Quantity(value=4.0, unit="J"), 0.05)
    assert bare.uncertainty == pytest.approx(0.95 * 0.2)
    assert dominant(Quantity(value=4.0, unit="J")) is None
