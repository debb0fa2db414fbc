"""What CI systems read: annotations, code quality, JUnit, OpenMetrics, benchmark JSON."""

from __future__ import annotations

import json
import math

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pytest_energy.model.measurement import Environment, MeterInfo, Quantity
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, Verdict
from pytest_energy.report.ci.annotations import MOST, render_annotations
from pytest_energy.report.ci.code_quality import render_code_quality
from pytest_energy.report.ci.github_benchmark import render_github_benchmark
from pytest_energy.report.ci.junit import properties
from pytest_energy.report.ci.openmetrics import render_openmetrics

ID = "benchmarks/test_inference.py::test_inference[resnet50]"


def samples(run):
    """All samples of the text, as Prometheus reads them."""
    families = text_string_to_metric_families(render_openmetrics(run))
    return [sample for family in families for sample in family.samples]


def test_annotation_marks_file_and_line(make_run, make_result):
    """A regression is an error at the line of the test, with a path from the repository's root."""
    (command,) = render_annotations(make_run(make_result(Outcome.REGRESSED)), "python")
    head, message = command.removeprefix("::").split("::")
    assert head == (
        "error file=python/benchmarks/test_inference.py,"
        "title=energy regressed%3A benchmarks/test_inference.py%3A%3Atest_inference[resnet50],"
        "line=12"
    )
    assert message.startswith("Energy 1.000 → 1.090 ± 0.004 J/pass, +9.0 %25 [+7.0, +11.0]")


def test_annotation_of_many_lines_stays_one_command(make_run, make_result):
    """Line ends, per cent signs, colons and commas can neither end a command nor add one."""
    forged = make_result(Outcome.REGRESSED, id="a.py::test_x[\n::error::forged,line=1]")
    (command,) = render_annotations(make_run(forged))
    assert "\n" not in command
    assert (
        "title=energy regressed%3A a.py%3A%3Atest_x[%0A%3A%3Aerror%3A%3Aforged%2Cline=1]" in command
    )


def test_only_the_worst_are_annotated(make_run, make_result):
    """The nine worst of 30 regressions are annotated; the tenth annotation counts the others."""
    results = [
        make_result(Outcome.REGRESSED, id=f"a.py::test_{n}", change=0.1 + n / 100)
        for n in range(30)
    ]
    commands = render_annotations(make_run(*results))
    assert len(commands) == MOST
    assert [
        f"test_{n}," in command for n, command in zip(range(29, 20, -1), commands, strict=False)
    ] == [True] * 9
    assert commands[-1].endswith("::21 more benchmarks are in the job summary and in the report")


@pytest.mark.parametrize("outcome", [Outcome.UNCHANGED, Outcome.IMPROVED, Outcome.NEW])
def test_good_news_is_not_annotated(make_run, make_result, outcome):
    """A result that needs no action has no annotation."""
    assert render_annotations(make_run(make_result(outcome))) == []
    assert json.loads(render_code_quality(make_run(make_result(outcome)))) == []


def test_what_does_not_fail_is_a_warning(make_run, make_result):
    """A benchmark that could not be measured and does not fail is a warning."""
    (command,) = render_annotations(make_run(make_result(Outcome.INVALID)))
    assert command.startswith("::warning ")


def test_code_quality_has_the_fields_that_gitlab_requires(make_run, make_result):
    """Each entry has description, check name, fingerprint, severity and place."""
    run = make_run(make_result(Outcome.REGRESSED), make_result(Outcome.INVALID, id="a.py::test_b"))
    worse, invalid = json.loads(render_code_quality(run, "python"))
    assert worse["check_name"] == "energy-regressed"
    assert worse["severity"] == "major"
    assert worse["location"] == {
        "path": "python/benchmarks/test_inference.py",
        "lines": {"begin": 12},
    }
    assert "+9.0 %" in worse["description"]
    assert invalid["severity"] == "info"
    assert worse["fingerprint"] != invalid["fingerprint"]


def test_junit_properties_hold_every_metric(make_result):
    """The outcome is a property, and so is each metric, with unit and uncertainty."""
    meter = MeterInfo(name="nvml", source="counter")
    values = dict(properties(make_result(Outcome.REGRESSED, meter=meter), Environment()))
    assert values["energy.outcome"] == "regressed"
    assert values["energy.meter"] == "nvml"
    assert float(values["energy.energy_j"]) == 1.09
    assert values["energy.energy_j.unit"] == "J/pass"
    assert float(values["energy.energy_j.uncertainty"]) == 0.004
    assert float(values["energy.energy_j.change"]) == 0.09


def test_junit_distinguishes_the_windows_of_a_test(make_result):
    """The names of a window's properties contain the name of the window."""
    windows = [
        make_result(kind="window", id=f"t.py::test_phases::{name}", change=change)
        for name, change in (("prefill", 0.5), ("decode", 0.25))
    ]
    pairs = [pair for window in windows for pair in properties(window, Environment())]
    assert len(dict(pairs)) == len(pairs)
    assert dict(pairs)["energy.prefill.energy_j"] == "1.5"
    assert dict(pairs)["energy.decode.energy_j"] == "1.25"


def test_junit_has_no_property_for_what_was_not_measured(make_result):
    """An unmeasured benchmark has its reason, and no joules."""
    values = dict(properties(make_result(Outcome.UNMEASURED), Environment()))
    assert "energy.energy_j" not in values
    assert values["energy.reason.no-meter"] == "libnvidia-ml.so.1 is not installed"


def test_openmetrics_is_read_by_prometheus(make_run, make_result):
    """Prometheus' own parser finds the joules in the text."""
    parsed = samples(make_run(make_result(Outcome.REGRESSED)))
    (energy,) = [sample for sample in parsed if sample.name == "pytest_energy_energy_joules"]
    assert energy.value == 1.09
    assert energy.labels == {"benchmark": ID, "kind": "inference", "machine": "nvidia-h200"}


@pytest.fixture
def merged(make_run, make_result):
    """The same test on three machines, two of which are of one kind with other power limits."""
    identities = [{"device": "A100"}, {"device": "L40S"}, {"device": "L40S", "power_limit_w": 250}]
    return make_run(*(make_result(Outcome.REGRESSED, identity=each) for each in identities))


def test_series_of_several_machines_differ(merged):
    """No series and no name comes twice, so that unlike hardware is never compared."""
    series = [(sample.name, frozenset(sample.labels.items())) for sample in samples(merged)]
    assert len(series) == len(set(series))
    entries = json.loads(render_github_benchmark(merged))
    assert len({entry["name"] for entry in entries}) == len(entries) == 6
    findings = json.loads(render_code_quality(merged))
    assert len({finding["fingerprint"] for finding in findings}) == 3
    assert [finding["description"].split(": ")[0].split()[-1] for finding in findings] == [
        "a100",
        "l40s",
        "l40s-2",
    ]
    annotations = render_annotations(merged)
    machines = [annotation.rpartition(" ")[2] for annotation in annotations]
    assert machines == ["a100", "l40s", "l40s-2"]


def test_the_facts_of_a_machine_join_its_series(merged):
    """One sample a machine has the facts as labels; the label ``machine`` joins it."""
    facts = {
        sample.labels.pop("machine"): sample.labels
        for sample in samples(merged)
        if sample.name == "pytest_energy_machine_info"
    }
    assert facts["l40s-2"] == {"device": "L40S", "power_limit_w": "250"}
    energy = [sample for sample in samples(merged) if sample.name == "pytest_energy_energy_joules"]
    assert {sample.labels["machine"] for sample in energy} == {"a100", "l40s", "l40s-2"}


def test_a_fact_of_any_name_becomes_a_label(make_run, make_result):
    """A hook may add facts whose names Prometheus does not accept."""
    result = make_result(identity={"2nd-card": "L4", "größe": 7})
    (machine, *_) = [s for s in samples(make_run(result)) if "2nd" in str(s.labels)]
    assert machine.labels == {"_2nd_card": "L4", "gr__e": "7", "machine": "unknown"}


def test_values_have_the_digits_that_the_uncertainty_supports(make_run, make_result):
    """A tool that shows each changed digit shows no noise; what is exact stays exact."""
    metrics = {
        "energy_j": Quantity(value=1.2345678, unit="J/pass", uncertainty=0.0123),
        "params": Quantity(value=25557032.0, unit="parameters", exact=True),
    }
    values = {s.name: s.value for s in samples(make_run(make_result(metrics=metrics)))}
    assert values["pytest_energy_energy_joules"] == 1.235
    assert values["pytest_energy_params"] == 25557032.0


def test_openmetrics_state_is_the_outcome(make_run, make_result):
    """Exactly one state of a benchmark is 1: its outcome."""
    states = [
        sample
        for sample in samples(make_run(make_result()))
        if sample.name == "pytest_energy_outcome"
    ]
    assert len(states) == len(Outcome)
    assert [sample.labels["pytest_energy_outcome"] for sample in states if sample.value] == [
        "unchanged"
    ]


def test_openmetrics_escapes_labels(make_run, make_result):
    """Quotes, backslashes and line ends in an id are unchanged after parsing."""
    id = 'a.py::test_x["\\\n]'
    parsed = samples(make_run(make_result(id=id)))
    assert {sample.labels["benchmark"] for sample in parsed if "benchmark" in sample.labels} == {id}


def test_openmetrics_has_no_sample_for_what_was_not_measured(make_run, make_result):
    """Missing joules have no sample, not a zero."""
    run = make_run(make_result(Outcome.UNMEASURED), energy_j=None)
    assert not [sample for sample in samples(run) if "joules" in sample.name]


def test_openmetrics_takes_recorded_metrics(make_run, make_result):
    """A metric that a test records is a label of a shared family, so it may have any name."""
    metrics = {"tokens/s (p95)": Quantity(value=12.5, unit="1/s")}
    (recorded,) = [
        sample
        for sample in samples(make_run(make_result(metrics=metrics)))
        if sample.name == "pytest_energy_metric"
    ]
    assert recorded.labels["metric"] == "tokens/s (p95)"
    assert recorded.value == 12.5


def test_benchmark_json_has_value_unit_and_range(make_run, make_result):
    """Each metric for which less is better has name, unit, value and range."""
    entries = json.loads(render_github_benchmark(make_run(make_result(Outcome.REGRESSED))))
    assert entries[0] == {
        "name": f"{ID} energy_j (nvidia-h200)",
        "unit": "J/pass",
        "value": 1.09,
        "extra": "measured, regressed",
        "range": "± 0.004",
    }
    assert [entry["name"].split()[-2] for entry in entries] == ["energy_j", "latency_s"]
    assert entries[1]["extra"] == "measured"  # the latency was not gated
    assert all(math.isfinite(entry["value"]) for entry in entries)


def test_benchmark_json_leaves_out_what_was_not_measured(make_run, make_result):
    """A benchmark without joules has no entry, not a zero."""
    assert json.loads(render_github_benchmark(make_run(make_result(Outcome.INVALID)))) == []


def test_every_format_says_that_a_device_is_simulated(make_run, make_result):
    """Nobody takes these joules for those of a card, wherever they are read."""
    environment = Environment(identity={"device": "simulated NVIDIA H100"})
    result = make_result(Outcome.REGRESSED)
    real = make_run(result)
    run = real.model_copy(update={"environment": environment})
    for render in (
        render_github_benchmark,
        render_code_quality,
        render_openmetrics,
        lambda run: "".join(render_annotations(run)),
        lambda run: str(properties(result, run.environment)),
    ):
        assert "simulated" in render(run)
        assert "simulated" not in render(real)


def test_a_job_of_exact_metrics_is_quiet_when_green(make_run, make_result):
    """Where no joules were asked for, missing ones are no warning; otherwise they are."""
    unmeasured = make_result(Outcome.UNMEASURED)
    assert render_annotations(make_run(unmeasured, settings={"meter": "none"})) == []
    assert len(render_annotations(make_run(unmeasured, settings={"meter": "auto"}))) == 1


def test_another_machine_is_one_warning(make_run, make_result):
    """The cause is one, however many benchmarks have a baseline of another machine only."""
    card = Difference(name="identity.device", before="NVIDIA H100", after="NVIDIA H200")
    verdict = Verdict(outcome=Outcome.INCOMPARABLE, differences=[card])
    run = make_run(*(make_result(id=f"a.py::test_{n}", verdict=verdict) for n in range(30)))
    (command,) = render_annotations(run)
    assert command.startswith("::warning title=energy::the joules of 30 benchmarks")
    assert command.count("NVIDIA H100 → NVIDIA H200") == 1
