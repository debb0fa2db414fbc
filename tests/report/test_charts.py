"""Charts as values: where marks lie and what they claim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_energy.model.measurement import Environment, Facts, Quantity, Reason, ReasonCode
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, Past, Result, Run
from pytest_energy.report.comparison import Reference
from pytest_energy.report.html.charts.axes import Axis, fit
from pytest_energy.report.html.charts.before_after import BeforeAfter, build_before_after
from pytest_energy.report.html.charts.distributions import ENOUGH, build_distributions, shape
from pytest_energy.report.html.charts.forest import build_forests
from pytest_energy.report.html.charts.history import build_history
from pytest_energy.report.html.charts.marks import Palette, build_palette
from pytest_energy.report.html.charts.power import Power, Unreadable, build_power
from pytest_energy.report.html.charts.scatter import Scatter, build_scatters, pareto
from pytest_energy.report.html.charts.sweeps import Sweep, build_sweeps
from pytest_energy.report.html.charts.trends import build_trends
from pytest_energy.report.html.charts.windows import build_windows
from pytest_energy.report.html.machine import build_surroundings, describe_machines
from pytest_energy.report.html.page import build_page
from pytest_energy.report.html.render import render_html
from pytest_energy.report.html.results_table import Row, build_table
from pytest_energy.report.labels import anchors, short_names
from pytest_energy.report.machines import Machines
from pytest_energy.report.numbers import ticks_of

from .examples import (
    MODELS,
    TECHNIQUES,
    compared_run,
    example_run,
    run_of,
    traced_run,
    trained,
    without_scores,
)

coordinates = st.floats(0.01, 1e6)
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=40)


def rows_of(run: Run) -> tuple[Row, ...]:
    """The rows of the table of ``run``."""
    return build_table(run.benchmarks, short_names([result.id for result in run.benchmarks])).rows


def drawn(run: Run) -> tuple[tuple[Row, ...], Palette]:
    """The rows with their colours, as the page draws them."""
    rows = rows_of(run)
    return rows, build_palette(rows)


@given(st.lists(coordinates, min_size=1, max_size=20), st.booleans())
def test_an_axis_holds_its_values_in_order(values: list[float], log: bool) -> None:
    """All values and ticks lie on the axis, in ascending order."""
    axis = fit(values, 10, 500, log=log)
    places = [axis.at(value) for value in sorted(values)]
    assert all(10 <= place <= 500 for place in places)
    assert places == sorted(places)
    assert all(9.9 <= tick.at <= 500.1 for tick in axis.ticks)


@given(coordinates, st.floats(1.00001, 1e6), st.booleans())
def test_an_axis_has_a_readable_number_of_ticks(low: float, factor: float, log: bool) -> None:
    """At least two ticks make values readable; with more than twelve the labels would touch."""
    ticks = fit([low, low * factor], 0, 500, log=log).ticks
    assert 2 <= len(ticks) <= 12
    assert len({tick.text for tick in ticks}) == len(ticks)


@given(points)
def test_nothing_beats_a_point_of_the_front(cloud: list[tuple[float, float]]) -> None:
    """No point dominates a point of the front, and some point of it dominates each other point."""
    front = pareto(cloud, "less", "more")

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a != b and a[0] <= b[0] and a[1] >= b[1]

    assert not [b for b in front for a in cloud if beats(a, b)]
    assert all(any(beats(a, b) for a in front) for b in set(cloud) - set(front))


def test_there_is_no_front_where_no_direction_is_better() -> None:
    """Mean power is neither good nor bad, so it has no front."""
    assert pareto([(1.0, 2.0), (2.0, 1.0)], None, "less") == []


def test_figures_need_two_benchmarks_at_different_places() -> None:
    """One dot is no trade-off."""
    assert build_scatters(*drawn(example_run(MODELS[:1], ("baseline",)))) == []
    assert len(build_scatters(*drawn(example_run(MODELS[:2], ("baseline",))))) > 0


def test_changed_benchmarks_come_first() -> None:
    """Regressed, improved, inconclusive, then the rest; the largest change of each first."""
    forest = build_forests(rows_of(example_run()))[0]
    order = [row.verdict.outcome for row in (*forest.moved, *forest.still)]
    ranks = [Outcome.REGRESSED, Outcome.IMPROVED, Outcome.INCONCLUSIVE, Outcome.UNCHANGED]
    assert [ranks.index(outcome) for outcome in order] == sorted(map(ranks.index, order))
    assert forest.count == len(order) == 48


def test_thousands_of_changes_are_not_all_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chart has the first rows, and says how many there are; the table has every benchmark."""
    monkeypatch.setattr("pytest_energy.report.html.charts.geometry.MOST_ROWS", 4)
    run = example_run(MODELS[:2])
    energy = build_forests(rows_of(run))[0]
    assert len(energy.still) > 4
    page = render_html(run)
    section = page.partition('id="changes"')[2].partition("</section>")[0]
    assert section.count('class="estimate"') <= 4 * section.count("<tbody>")
    assert f"The first 4 of {len(energy.still)} are drawn" in section


def test_changes_beyond_the_axis_are_cut_and_marked() -> None:
    """A tenfold energy does not squeeze all others; an arrow shows that the bar continues."""
    run = example_run(MODELS[:2], ("baseline",))
    first = run.benchmarks[0]
    wild = first.verdict.metrics[0].model_copy(update={"change": 9.0, "low": 8.5, "high": 9.5})
    verdict = first.verdict.model_copy(update={"metrics": [wild]})
    result = first.model_copy(update={"verdict": verdict})
    rows = rows_of(run_of([result, run.benchmarks[1]]))
    forest = build_forests(rows)[0]
    by_key = {row.row.key: row for row in (*forest.moved, *forest.still)}
    assert [by_key[row.key].beyond for row in rows] == [">", ""]


@pytest.mark.parametrize("rounds", [2, ENOUGH - 1, ENOUGH])
def test_few_rounds_are_dots_and_many_a_density(rounds: int) -> None:
    """Ten rounds or more are drawn as a density; fewer are drawn as dots."""
    distributions = build_distributions(
        *drawn(example_run(MODELS[:1], ("baseline",), rounds=rounds))
    )
    assert distributions
    shape = distributions.strips[0].shape
    assert (len(shape.dots), bool(shape.violin)) == ((0, True) if rounds == 10 else (rounds, False))


@pytest.mark.parametrize(("pixels", "is_drawn"), [(0.0, False), (5.0, False), (7.0, True)])
def test_values_in_one_place_are_dots(pixels: float, is_drawn: bool) -> None:
    """A density that is narrower than its dots would not be seen."""
    values = [50 + pixels * number / ENOUGH for number in range(ENOUGH + 1)]
    made = shape(values, Axis(0, 100, 0, 100), 10, 8)
    assert (bool(made.violin), bool(made.dots)) == (is_drawn, not is_drawn)


def test_invalid_joules_are_in_no_distribution() -> None:
    """Rounds of a measurement without a valid energy are not drawn."""
    result = example_run(MODELS[:1], ("baseline",)).benchmarks[0]
    metrics = {name: quantity for name, quantity in result.metrics.items() if name != "energy_j"}
    assert (
        build_distributions(*drawn(run_of([result.model_copy(update={"metrics": metrics})])))
        is None
    )


def test_distributions_are_of_one_kind_of_benchmark() -> None:
    """A run with passes and epochs has one figure by model for each kind."""
    run = example_run(MODELS[:2], ("baseline",))
    epochs = [
        each.model_copy(
            update={
                "id": f"{each.id}-x",
                "kind": "training",
                "metrics": {"energy_j": Quantity(value=1.0, unit="J/epoch")},
            }
        )
        for each in run.benchmarks
    ]
    distributions = build_distributions(*drawn(run_of([*run.benchmarks, *epochs])))
    assert distributions
    charts = [(each.fact, each.kind, each.axis.name) for each in distributions.grouped]
    assert charts == [
        ("model", "inference", "Energy (J/pass)"),
        ("model", "training", "Energy (J/epoch)"),
    ]


def test_distributions_of_many_groups_are_cut_not_dropped() -> None:
    """The twelve data sets with the most rounds are drawn; the thirteenth is left out."""
    base = example_run(MODELS[:1], ("baseline",)).benchmarks[0]
    results = [
        base.model_copy(
            update={
                "id": f"test_{index}",
                "workload": {"dataset": f"d{index}"},
                "rounds": base.rounds[:2] if index == 5 else base.rounds,
            }
        )
        for index in range(13)
    ]
    distributions = build_distributions(*drawn(run_of(results)))
    assert distributions
    chart = distributions.grouped[0]
    assert (chart.fact, chart.left_out) == ("dataset", 1)
    assert [group.mark.name for group in chart.groups] == [f"d{i}" for i in range(13) if i != 5]


def sweep_over(name: str, run: Run) -> Sweep:
    """The sweep over a fact."""
    return next(sweep for sweep in build_sweeps(*drawn(run)) if sweep.fact == name)


def test_sweeps_are_found_and_relative_to_their_first_value() -> None:
    """Batch sizes are lines of joules an item, batch 1 = 1; techniques are bars, baseline first."""
    run = example_run(MODELS[:2], ("baseline", "blurpool"), batch_sizes=(1, 8))
    batch = sweep_over("batch size", run)
    assert [label.text for label in batch.labels] == ["1", "8"]
    assert all(series.line for series in batch.series)
    assert all(series.stops[0].y == pytest.approx(batch.reference) for series in batch.series)
    energies = [run.benchmarks[index].metrics["energy_j"].value for index in (0, 1)]
    ratio = energies[1] / 8 / energies[0]
    assert f"{ratio:.3g} × reference" in batch.series[0].stops[1].text
    technique = sweep_over("technique", run)
    assert technique.labels[0].text == "baseline"
    assert not any(series.line for series in technique.series)
    assert len({series.mark.name for series in technique.series}) == len(technique.series)
    assert technique.found == len(technique.series)


def test_series_that_are_not_drawn_are_counted() -> None:
    """Eight series are drawn at most; the figure says of how many."""
    run = example_run(MODELS[:5], ("baseline", "blurpool"), batch_sizes=(1, 8))
    technique = sweep_over("technique", run)
    assert (len(technique.series), technique.found) == (8, 10)
    assert "inference, 8 of 10 series</span>" in render_html(run)


def test_depth_is_read_from_names_of_one_family() -> None:
    """resnet18, 34, 50 and 101 are one line over depth."""
    sweep = sweep_over("depth", example_run(MODELS[:4], ("baseline",)))
    assert [label.text for label in sweep.labels] == ["18", "34", "50", "101"]
    assert len(sweep.series) == 1


def test_a_declared_sweep_may_carry_other_facts_along() -> None:
    """If ``sweep`` names the fact, other facts that change with it do not split the series."""
    base = example_run(MODELS[:3], ("baseline",)).benchmarks
    facts = [
        {"resolution": side, "sweep": "resolution", "input_shape": [3, side, side], "model": "r"}
        for side in (128, 224, 288)
    ]
    results = [
        result.model_copy(update={"workload": workload})
        for result, workload in zip(base, facts, strict=True)
    ]
    sweeps = build_sweeps(*drawn(run_of(results)))
    assert {sweep.fact for sweep in sweeps} == {"resolution"}
    assert [label.text for label in sweeps[0].labels] == ["128", "224", "288"]


@pytest.mark.parametrize(
    ("name", "fact", "ran", "labels"),
    [
        ("batch", "batch_size", (1, 4, 16), ["1", "4", "16"]),
        ("resolution", "input_shape", ([3, 32, 32], [3, 64, 64], [3, 96, 96]), ["32", "64", "96"]),
    ],
)
def test_sweeps_show_what_ran(name: str, fact: str, ran: Sequence[Any], labels: list[str]) -> None:
    """A small twin that carries the label of the full size lies at the size it ran with."""
    base = example_run(MODELS[:3], ("baseline",)).benchmarks
    results = [
        result.model_copy(
            update={"workload": {"model": "r", "sweep": name, name: label, fact: value}}
        )
        for result, label, value in zip(base, (1, 32, 128), ran, strict=True)
    ]
    sweep = build_sweeps(*drawn(run_of(results)))[0]
    assert [label.text for label in sweep.labels] == labels


def test_sizes_that_ran_alike_are_no_sweep() -> None:
    """Labels alone do not make a sweep."""
    base = example_run(MODELS[:2], ("baseline",)).benchmarks
    results = [
        result.model_copy(
            update={"workload": {"model": "r", "sweep": "batch", "batch": label, "batch_size": 4}}
        )
        for result, label in zip(base, (64, 128), strict=True)
    ]
    assert build_sweeps(*drawn(run_of(results))) == []


def test_latency_stands_beside_energy() -> None:
    """Each sweep has a figure of its energies, and next to it one of its latencies."""
    sweeps = build_sweeps(*drawn(example_run(MODELS[:1], ("baseline",), batch_sizes=(1, 8))))
    assert [sweep.about for sweep in sweeps] == ["energy an item", "latency an item"]
    for sweep, uncertainty in zip(sweeps, (0.004, 0.003), strict=True):
        stop = sweep.series[0].stops[0]
        assert stop.low - stop.high == pytest.approx(
            2 * uncertainty * (sweep.y.at(0) - sweep.y.at(1))
        )


def windows_of(**joules: float | None) -> list[Result]:
    """The windows of one test with these joules."""
    base = example_run(MODELS[:1], ("baseline",)).benchmarks[0]
    return [
        base.model_copy(
            update={
                "id": f"test_x.py::test_it[a::b]::{name}",
                "kind": "window",
                "workload": {"window": name},
                "metrics": {}
                if value is None
                else {"energy_j": Quantity(value=value, unit="J/window", uncertainty=value / 10)},
            }
        )
        for name, value in joules.items()
    ]


def test_windows_of_a_test_are_one_stacked_bar() -> None:
    """Each part begins where the one before ends, and is as long as its joules."""
    found = build_windows(rows_of(run_of(windows_of(load=1.0, prefill=2.0, decode=5.0))))
    assert found
    (bar,) = found.bars
    assert bar.name == "test_it[a::b]"
    assert [part.begin for part in bar.parts] == [
        found.axis.at(0),
        *(part.end for part in bar.parts[:-1]),
    ]
    lengths = [part.end - part.begin for part in bar.parts]
    assert [length / lengths[0] for length in lengths] == pytest.approx([1, 2, 5])
    assert bar.parts[2].high - bar.parts[2].low == pytest.approx(lengths[0])
    assert (bar.total, bar.missing) == ("8.00 J", ())


def test_a_sum_without_a_window_is_no_sum() -> None:
    """If a window has no joules, the bar names it and has no total."""
    found = build_windows(rows_of(run_of(windows_of(load=1.0, decode=None))))
    assert found
    assert (found.bars[0].total, found.bars[0].missing) == ("", ("decode",))


def test_one_window_is_no_stack() -> None:
    """A bar of one part says nothing that the table does not."""
    assert build_windows(rows_of(run_of(windows_of(load=1.0)))) is None


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [("s", 0.005, "5 ms"), ("J/pass", 0.02, "20 mJ"), ("1", 0.7, "0.7"), ("parameters", 2e6, "2M")],
)
def test_ticks_have_units(unit: str, value: float, text: str) -> None:
    """A number at an axis says what it is, unless it is a share or a count."""
    assert ticks_of(unit)(value) == text


def test_an_axis_does_not_repeat_the_unit_of_its_ticks() -> None:
    """Only what the ticks cannot show stays in its name: joules of what."""
    scatters = build_scatters(*drawn(example_run(MODELS[:2], ("baseline",))))
    assert (scatters[0].x.name, scatters[0].y.name) == ("Latency", "Energy (J/pass)")


def test_a_group_has_one_colour_in_all_figures() -> None:
    """The same name has the same mark in trade-offs, distributions and sweeps."""
    rows, palette = drawn(example_run(MODELS[:3], batch_sizes=(1, 8)))
    distributions = build_distributions(rows, palette)
    assert distributions
    used: dict[str, set[int]] = {}
    for mark in (
        *(mark for figure in build_scatters(rows, palette) for mark in figure.legend),
        *(group.mark for chart in distributions.grouped for group in chart.groups),
        *(mark for sweep in build_sweeps(rows, palette) for mark in sweep.legend),
    ):
        used.setdefault(mark.name, set()).add(mark.index)
    named = {name: used[name] for name in (*TECHNIQUES, *(model.name for model in MODELS[:3]))}
    assert {len(indices) for indices in named.values()} == {1}


@pytest.mark.parametrize(("uncertainty", "star"), [(0.1, True), (0.3, False)])
def test_no_star_where_intervals_overlap(uncertainty: float, star: bool) -> None:
    """The lowest joules are the best only if no other interval reaches into theirs."""
    facts: list[Facts] = [{}, {"technique": "blurpool"}]
    base = example_run(MODELS[:1], ("baseline",)).benchmarks[0]
    results = [
        base.model_copy(
            update={
                "id": f"test_{index}",
                "workload": base.workload | workload,
                "metrics": {"energy_j": Quantity(value=2 - index / 2, unit="J", uncertainty=0.3)}
                if index == 0
                else {"energy_j": Quantity(value=1.5, unit="J", uncertainty=uncertainty)},
            }
        )
        for index, workload in enumerate(facts)
    ]
    assert [row.cells["energy_j"].best for row in rows_of(run_of(results))] == [False, star]


def test_power_caps_are_relative_to_the_highest() -> None:
    """The highest cap has no effect, so it is the reference."""
    base = example_run(MODELS[:2], ("baseline",)).benchmarks
    results = [
        result.model_copy(update={"workload": {"model": "r", "power_cap_w": cap}})
        for result, cap in zip(base, (100, 250), strict=True)
    ]
    sweep = build_sweeps(*drawn(run_of(results)))[0]
    assert (sweep.fact, sweep.y.name) == ("power cap (W)", "Energy, power cap (W) 250 = 1")
    assert sweep.series[0].stops[1].y == pytest.approx(sweep.reference)


def test_training_over_batch_sizes_is_an_epoch_not_an_item() -> None:
    """An epoch has the same data at every batch size; a pass of a larger batch has more."""
    run = example_run(MODELS[:1], ("baseline",), batch_sizes=(1, 8))
    epochs = [result.model_copy(update={"kind": "training"}) for result in run.benchmarks]
    assert sweep_over("batch size", run).about == "energy an item"
    assert sweep_over("batch size", run_of(epochs)).about == "energy"
    techniques = example_run(MODELS[:1], ("baseline", "blurpool"), batch_sizes=(1, 8))
    assert sweep_over("technique", techniques).about == "energy"


def test_one_benchmark_sweeps_nothing() -> None:
    """A sweep needs two values of a fact."""
    assert build_sweeps(*drawn(example_run(MODELS[:1], ("baseline",)))) == []


@pytest.mark.parametrize("fact", ["function", "window"])
def test_names_are_no_knobs(fact: str) -> None:
    """Two functions, or two windows of a test, are different work and no sweep."""
    results = [
        result.model_copy(update={"workload": {fact: name, "scale": "full"}})
        for result, name in zip(
            example_run(MODELS[:2], ("baseline",)).benchmarks, ("one", "two"), strict=True
        )
    ]
    assert build_sweeps(*drawn(run_of(results))) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["test_a[x 1]", "test_a[x_1]"], ["test_a[x_1]", "test_a[x_1]_"]),
        (["summary", "test_a"], ["summary_", "test_a"]),
    ],
)
def test_anchors_differ_from_each_other_and_from_the_page(
    names: list[str], expected: list[str]
) -> None:
    """An anchor has no white space, and none of the ids of the page's own sections."""
    assert anchors(names) == expected


def test_zero_joules_are_no_reference() -> None:
    """A ratio to zero joules does not exist; the page still shows the benchmarks."""
    run = example_run(MODELS[:2], ("baseline", "blurpool"))
    results = [
        result.model_copy(
            update={
                "metrics": result.metrics
                | {"energy_j": result.metrics["energy_j"].model_copy(update={"value": 0.0})}
            }
        )
        for result in run.benchmarks
    ]
    assert build_sweeps(*drawn(run_of(results))) == []
    assert "0 J" in render_html(run_of(results))


def powers(run: Run) -> list[Power | Unreadable]:
    """The traces of the first benchmark."""
    return build_power(run.benchmarks[0], run)


@given(st.floats(0.9, 1.1))
def test_trace_and_counter_are_compared_over_the_rounds(factor: float) -> None:
    """The agreement changes by exactly the factor by which the counter changes."""
    run = TRACED
    first = run.benchmarks[0]
    before = powers(run)[0]
    assert isinstance(before, Power)
    assert before.agreement is not None
    rounds = [
        measured.model_copy(update={"channels": {"gpu0": measured.channels["gpu0"] / factor}})
        for measured in first.rounds
    ]
    after = powers(run_of([first.model_copy(update={"rounds": rounds})]))[0]
    assert isinstance(after, Power)
    assert after.agreement == pytest.approx((1 + before.agreement) * factor - 1)


def test_conditions_are_steps_on_the_time_axis_of_the_power() -> None:
    """Temperature and clock have a lane each, with one horizontal line for each round."""
    chart = powers(TRACED)[0]
    assert isinstance(chart, Power)
    assert [lane.title.split()[0] for lane in chart.lanes] == ["Temperature", "Clock"]
    begins = [step.split()[0] for step in chart.rounds.split("M")[1:]]
    for lane in chart.lanes:
        assert [step.split()[0] for step in lane.line.split("M")[1:]] == begins
    warmer = chart.lanes[0].levels
    assert warmer == tuple(sorted(warmer, reverse=True))
    assert len(set(warmer)) == 3


def test_without_a_trace_power_is_a_step_a_round() -> None:
    """Conditions and mean power of the rounds are drawn without a trace, too."""
    chart = powers(example_run(MODELS[:1], ("baseline",)))[0]
    assert isinstance(chart, Power)
    assert (chart.data, chart.band, chart.agreement) == (None, "", None)
    assert chart.mean.count("M") == 3
    assert "no trace" in chart.about


def test_limit_and_idle_power_are_shown() -> None:
    """Idle power is drawn; a limit far above the curve is only named, and one near it is drawn."""
    chart = powers(TRACED)[0]
    assert isinstance(chart, Power)
    assert chart.idle == pytest.approx(chart.power.at(75))
    assert chart.limit
    assert (chart.limit.drawn, chart.limit.text) == (False, "limit 700 W, above")
    near = Environment(identity={"power_limit_w": 160.0})
    chart = powers(TRACED.model_copy(update={"environment": near}))[0]
    assert isinstance(chart, Power)
    assert chart.limit
    assert chart.limit.drawn


def test_scores_of_training_are_in_the_figures_of_inference() -> None:
    """Score against CO₂ has a point for each model with a training and an inference benchmark."""
    run = example_run(MODELS[:2], ("baseline", "blurpool"))
    inference = without_scores(run.benchmarks)
    assert "Accuracy against CO₂" not in titles(inference)
    results = [*inference, *trained(run.benchmarks, accuracy=0.7, total_energy_j=5e6)]
    figure = next(
        scatter for scatter in scatters(results) if scatter.preset.title == "Accuracy against CO₂"
    )
    assert (figure.kind, len(figure.points)) == ("inference", 4)
    metrics = figure.points[0].row.known()
    assert (metrics["accuracy"].value, metrics["training_energy_j"].value) == (0.7, 5e6)


def test_scores_of_training_need_the_same_model_technique_and_data() -> None:
    """The score of a model that was trained on other data is not used."""
    run = example_run(MODELS[:2], ("baseline",))
    elsewhere = [
        result.model_copy(update={"workload": {**result.workload, "data": "imagenet"}})
        for result in trained(run.benchmarks, accuracy=0.7)
    ]
    assert "Accuracy against CO₂" not in titles([*without_scores(run.benchmarks), *elsewhere])


def test_repeated_trainings_are_averaged_and_sweeps_left_out() -> None:
    """Two plain trainings have the same weight; one with a further fact set has none."""
    run = example_run(MODELS[:1], ("baseline",))
    swept = trained(run.benchmarks, accuracy=0.1)[0]
    swept = swept.model_copy(update={"workload": {**swept.workload, "sweep": "batch"}})
    plain = [trained(run.benchmarks, accuracy=accuracy)[0] for accuracy in (0.6, 0.8)]
    rows = rows_of(run_of([*without_scores(run.benchmarks), *plain, swept]))
    assert rows[0].training["accuracy"].value == pytest.approx(0.7)


def scatters(results: list[Result]) -> list[Scatter]:
    """The preset figures of a run of ``results``."""
    return build_scatters(*drawn(run_of(results)))


def titles(results: list[Result]) -> list[str]:
    """The titles of the preset figures."""
    return [figure.preset.title for figure in scatters(results)]


def test_figures_are_of_one_kind_of_benchmark() -> None:
    """Joules a pass and joules an epoch are never in one figure."""
    run = example_run(MODELS[:2], ("baseline",))
    epochs = [
        result.model_copy(update={"id": f"{result.id}-x", "kind": "training"})
        for result in run.benchmarks
    ]
    for figure in scatters([*run.benchmarks, *epochs]):
        assert {point.row.result.kind for point in figure.points} == {figure.kind}


@pytest.mark.parametrize("fact", ["task", "dataset", "data"])
def test_a_front_never_joins_unlike_work(fact: str) -> None:
    """Two models on each of two data sets are two fronts, though one beats all of the other."""
    run = example_run(MODELS[:2], ("baseline",))
    results = [
        result.model_copy(
            update={
                "id": f"{result.id}-{name}",
                "workload": {**result.workload, fact: name},
                "metrics": {
                    metric: Quantity(value=factor * value, unit=unit)
                    for metric, value, unit in (
                        ("energy_j", joules, "J"),
                        ("latency_s", 1 / joules, "s"),
                    )
                },
            }
        )
        for name, factor in (("small", 1.0), ("large", 10.0))
        for result, joules in zip(run.benchmarks, (1.0, 2.0), strict=True)
    ]
    figure = scatters(results)[0]
    assert [len(front.split()) for front in figure.fronts] == [4, 4]  # two points each


TRACED = traced_run(example_run(MODELS[:1], ("baseline",)), samples=600, distinct=1)


def test_a_broken_trace_is_reported_and_not_drawn() -> None:
    """The page still opens, and names the channel and the reason."""
    first = TRACED.benchmarks[0]
    assert first.trace
    broken = first.model_copy(
        update={"trace": [first.trace[0].model_copy(update={"data": "AAAA"})]}
    )
    chart = powers(run_of([broken]))[0]
    assert isinstance(chart, Unreadable)
    assert "gpu0" in chart.message


def with_history(result: Result, *values: float) -> Result:
    """``result`` with a baseline of accepted runs that had these joules."""
    past = [Past(commit="abcdef0123", values={"energy_j": value}) for value in values]
    return result.model_copy(
        update={"verdict": result.verdict.model_copy(update={"history": past})}
    )


def test_history_runs_from_the_oldest_to_this_run() -> None:
    """Accepted runs come first, then older runs by date, then this one; a history needs three."""
    run = example_run(MODELS[:1], ("baseline",))
    first = run.benchmarks[0]
    assert build_history(first, run, ()) is None
    older = run.model_copy(update={"created": "2026-11-01T00:00:00Z"})
    course = build_history(with_history(first, 0.30, 0.32), run, (older,))
    assert course
    assert [dot.text.split(":")[0] for dot in course.dots[:2]] == ["accepted", "accepted"]
    assert course.dots[2].text.startswith("2026-11-01")
    assert course.dots[3].text.startswith(run.created)
    assert course.dots[0].y > course.dots[1].y


def test_what_differs_from_the_baselines_machine_comes_first() -> None:
    """Differences from the baseline or from an older run are marked, with the value before."""
    run = example_run(MODELS[:2])
    rows = build_surroundings(run)
    assert (rows[0].name, rows[0].before, rows[0].differs) == ("torch", "2.8.0", True)
    assert not any(row.differs for row in rows[1:])
    assert ("power limit (W)", "700") in [(row.name, row.now) for row in rows]
    assert not any(row.name.endswith(" w") for row in rows)
    first = run.benchmarks[0]
    differences = [Difference(name="identity.device", before="NVIDIA A100", after="NVIDIA H200")]
    verdict = first.verdict.model_copy(update={"differences": differences})
    rows = build_surroundings(run_of([first.model_copy(update={"verdict": verdict})]))
    assert (rows[0].part, rows[0].before) == ("identity", "NVIDIA A100")


def test_machines_are_described_by_what_differs() -> None:
    """The unit stands behind the value, and not behind a missing one."""
    limits = {"a": 700, "b": 400, "c": None}
    machines = Machines(example_run(MODELS[:1]))
    machines.identities = {
        name: {"device": "NVIDIA H200", "power_limit_w": limit} for name, limit in limits.items()
    }
    assert describe_machines(machines, list(limits)) == {
        "a": "power limit 700 W",
        "b": "power limit 400 W",
        "c": "power limit –",
    }


def test_quality_counts_benchmarks_by_reason() -> None:
    """Each throttled benchmark counts once; each code has the number of its fatal reasons."""
    run = example_run(MODELS[:2], ("baseline",))
    slow = Reason(code=ReasonCode.THROTTLED, message="thermal limit for 3 % of the window")
    results = [run.benchmarks[0].model_copy(update={"reasons": [slow, slow]}), run.benchmarks[1]]
    page = build_page(run_of(results))
    findings = {finding.name: finding.value for finding in page.findings}
    assert findings["Throttled"] == "1 of 2"
    assert findings["Contended"] == "0 of 2"
    assert [(remark.code, remark.count, remark.fatal) for remark in page.remarks] == [
        ("throttled", 1, 1)
    ]


def test_unknown_contention_is_counted_separately() -> None:
    """If the driver lists no processes, the page does not claim that nothing was contended."""
    run = example_run(MODELS[:2], ("baseline",))
    reason = Reason(code=ReasonCode.PROCESSES_UNKNOWN, message="gpu0: unknown", fatal=False)
    results = [run.benchmarks[0].model_copy(update={"reasons": [reason]}), run.benchmarks[1]]
    findings = {finding.name: finding.value for finding in build_page(run_of(results)).findings}
    assert findings["Contended"] == "0 of 2, unknown for 1"


def test_implied_power_above_the_limit_is_counted_by_its_reason() -> None:
    """Power does not decide: invalid results have none, and two cards may exceed one limit."""
    run = example_run(MODELS[:2], ("baseline",))
    first, second = run.benchmarks
    reason = Reason(code=ReasonCode.IMPLAUSIBLE_POWER, message="mean power 900 W")
    joules = {"energy_j", "net_energy_j", "power_w"}
    metrics = {name: value for name, value in first.metrics.items() if name not in joules}
    hot = first.model_copy(update={"metrics": metrics, "reasons": [reason], "status": "invalid"})
    power = second.metrics["power_w"].model_copy(update={"value": 1000.0})
    both = second.model_copy(update={"metrics": {**second.metrics, "power_w": power}})
    findings = {finding.name: finding.value for finding in build_page(run_of([hot, both])).findings}
    assert findings["Mean power above the limit"] == "1 of 2"


def test_better_than_the_reference_is_bold_and_the_best_is_starred() -> None:
    """Techniques of a model with less energy than its baseline are bold; the lowest has a star."""
    rows = rows_of(example_run(MODELS[:1]))
    bold = {row.result.workload["technique"] for row in rows if row.cells["energy_j"].better}
    best = [row.result.workload["technique"] for row in rows if row.cells["energy_j"].best]
    below = {name for name, factor in TECHNIQUES.items() if factor < 1}
    assert bold == below
    assert best == ["bf16"]


def marked(facts: list[Facts], joules: list[float], uncertainty: float = 0.0) -> list[bool]:
    """Whether each of these benchmarks of one model is marked for its energy."""
    base = example_run(MODELS[:1], ("baseline",)).benchmarks[0]
    results = [
        base.model_copy(
            update={
                "id": f"test_{index}",
                "workload": base.workload | workload,
                "metrics": {"energy_j": Quantity(value=value, unit="J", uncertainty=uncertainty)},
            }
        )
        for index, (workload, value) in enumerate(zip(facts, joules, strict=True))
    ]
    cells = [row.cells["energy_j"] for row in rows_of(run_of(results))]
    return [cell.better or cell.best for cell in cells]


@pytest.mark.parametrize(
    "facts",
    [
        [{"dataset": "birds"}, {"dataset": "imagenet"}],
        [{}, {"sweep": "power_cap_w", "power_cap_w": 100}],
        [{"power_cap_w": 250}, {"power_cap_w": 100}],
        [{"run": 1}, {"run": 2}],
    ],
)
def test_no_baseline_is_judged_by_another(facts: list[Facts]) -> None:
    """Baselines with other data, another swept value or another run are not compared."""
    assert marked(facts, [2.0, 1.0]) == [False, False]


def test_a_technique_is_compared_with_the_baseline_of_its_own_data() -> None:
    """A technique above its own baseline is not better, even below the baseline of other data."""
    facts: list[Facts] = [
        {"dataset": "cifar100"},
        {"dataset": "tiny_imagenet"},
        {"dataset": "tiny_imagenet", "technique": "blurpool"},
    ]
    assert marked(facts, [9.0, 1.0, 2.0]) == [False, True, False]


@pytest.mark.parametrize(("uncertainty", "as_good"), [(0.0, False), (0.01, True)])
def test_a_difference_inside_the_uncertainty_is_as_good(uncertainty: float, as_good: bool) -> None:
    """A technique within the uncertainty of the baseline is marked as good."""
    facts: list[Facts] = [{}, {"technique": "blurpool"}]
    assert marked(facts, [1.0, 1.01], uncertainty)[1] == as_good


@given(st.floats(0.01, 100), st.floats(1e6, 1e12))
def test_joules_per_gflop_follow_from_both(energy_j: float, flops: float) -> None:
    """The derived column is energy over FLOPs, with the relative uncertainty of the energy."""
    assume(math.isfinite(energy_j / flops))
    first = example_run(MODELS[:1], ("baseline",)).benchmarks[0]
    metrics = {
        "energy_j": first.metrics["energy_j"].model_copy(
            update={"value": energy_j, "uncertainty": energy_j * 0.01}
        ),
        "flops": first.metrics["flops"].model_copy(update={"value": flops}),
    }
    cell = rows_of(run_of([first.model_copy(update={"metrics": metrics})]))[0].cells["j_per_gflop"]
    assert cell.value == pytest.approx(energy_j / flops * 1e9)
    assert cell.uncertainty == pytest.approx(energy_j / flops * 1e7)


@pytest.mark.parametrize(
    ("batch_size", "ran_on", "per_gflop"),
    [(1, [3, 224, 224], 0.5), (4, [3, 224, 224], 0.125), (1, [3, 32, 32], None)],
)
def test_flops_of_one_sample_are_multiplied_by_the_batch(
    batch_size: int, ran_on: list[int], per_gflop: float | None
) -> None:
    """FLOPs of one image are multiplied by the batch size, and unknown for another input shape."""
    first = example_run(MODELS[:1], ("baseline",)).benchmarks[0]
    workload = {"facts_input_shape": [3, 224, 224], "input_shape": ran_on, "batch_size": batch_size}
    metrics = {
        "energy_j": first.metrics["energy_j"].model_copy(update={"value": 1.0}),
        "flops": first.metrics["flops"].model_copy(update={"value": 2e9}),
    }
    result = first.model_copy(update={"workload": workload, "metrics": metrics})
    cell = rows_of(run_of([result]))[0].cells.get("j_per_gflop")
    assert (cell and cell.value) == per_gflop


def test_energy_a_pass_is_drawn_against_the_flops_of_that_pass() -> None:
    """A batch of eight is at eight times the FLOPs that were counted on one image."""
    run = example_run(MODELS[:1], ("baseline",), batch_sizes=(1, 8))
    one_image = run.benchmarks[0].metrics["flops"]
    results = [
        result.model_copy(
            update={
                "metrics": {**result.metrics, "flops": one_image},
                "workload": {**result.workload, "facts_input_shape": [3, 224, 224]},
            }
        )
        for result in run.benchmarks
    ]
    figure = next(
        scatter for scatter in scatters(results) if scatter.preset.title == "Energy against FLOPs"
    )
    drawn = [point.row.known()[figure.preset.x].value for point in figure.points]
    assert drawn == [one_image.value, 8 * one_image.value]


def rounds_named(chart: BeforeAfter | None) -> list[str]:
    """What is drawn on each side."""
    assert chart
    return [sample.mark.name for sample in chart.samples]


def test_the_distribution_before_lies_beside_that_of_now() -> None:
    """Of the other revision, else of the newest older run, else of the accepted runs."""
    run = example_run(MODELS[:1], ("baseline",))
    result = run.benchmarks[0]
    older = [
        Reference(name, run.model_copy(update={"created": f"2026-{month}-01T00:00:00Z"}))
        for name, month in (("may.json", "05"), ("june.json", "06"))
    ]
    accepted = with_history(result, 0.30, 0.32)
    assert build_before_after(result, run, ()) is None
    assert rounds_named(build_before_after(accepted, run, ()))[0] == "means of the accepted runs"
    assert rounds_named(build_before_after(accepted, run, older))[0] == "rounds of june.json"
    pair = compared_run(0.1)
    names = rounds_named(build_before_after(pair.benchmarks[0], pair, older))
    assert names == ["rounds of main (1a2b3c4d5)", "rounds of the head"]


def test_trends_share_one_scale_with_the_largest_change_first() -> None:
    """Each begins at the middle line, and a rise of twice the size is drawn twice as high."""
    run = example_run(MODELS[:2], ("baseline",))
    first, second = run.benchmarks
    results = [with_energies(first, 1.0, 1.02, 1.05), with_energies(second, 2.0, 2.1, 2.2)]
    trends = build_trends(rows_of(run_of(results)), run_of(results), ())
    assert trends
    rises = [row.dots[0].y - row.dots[-1].y for row in trends.rows]
    assert [row.row.result.id for row in trends.rows] == [second.id, first.id]
    assert rises[0] == pytest.approx(2 * rises[1])
    assert trends.rows[0].dots[0].y == pytest.approx(trends.axis.at(0))


def test_without_a_history_there_is_no_trend() -> None:
    """Two values are no course."""
    run = example_run(MODELS[:1], ("baseline",))
    assert build_trends(rows_of(run), run, ()) is None


def with_energies(result: Result, *values: float) -> Result:
    """The result whose joules ended with the last value, after accepted ones."""
    assert result.energy
    energy = result.energy.model_copy(update={"value": values[-1], "uncertainty": 0.001})
    known = with_history(result, *values[:-1])
    return known.model_copy(update={"metrics": {**result.metrics, "energy_j": energy}})


def test_joules_a_token_are_drawn_where_all_count_tokens() -> None:
    """The sweep shows them undivided by the batch, and a trade-off has them against latency."""
    run = example_run(MODELS[:1], ("baseline",), batch_sizes=(1, 8))
    results = [
        result.model_copy(
            update={
                "metrics": {
                    **result.metrics,
                    "energy_j_per_token": Quantity(value=joules, unit="J/token"),
                }
            }
        )
        for result, joules in zip(run.benchmarks, (0.4, 0.1), strict=True)
    ]
    rows, palette = drawn(run_of(results))
    energy, latency = build_sweeps(rows, palette)
    assert (energy.about, latency.about) == ("energy/token", "latency an item")
    assert "0.25 × reference" in energy.series[0].stops[1].text
    assert "Energy/token against latency" in {
        figure.preset.title for figure in build_scatters(rows, palette)
    }
