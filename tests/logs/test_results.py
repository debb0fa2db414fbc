"""``pytest-energy import``: a log becomes results, or is compared with results."""

import itertools
import json
import random
from datetime import UTC, datetime

import jsonschema
import pytest

from pytest_energy.cli import main
from pytest_energy.logs.results import rank_correlation
from pytest_energy.model.json_files import load_run, results_json_schema, save_run
from pytest_energy.model.measurement import Environment, Measurement, Quantity, ReasonCode, Round
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, RunInfo, Verdict

NOON = datetime(2022, 5, 3, 12, tzinfo=UTC).timestamp()


def smi_log(path, watts, period_s=10.0, start_s=NOON, index=0, skip=()):
    """Write an nvidia-smi log of one GPU with one reading in each period."""
    lines = ["index, timestamp, power.draw [W]"]
    for number, power_w in enumerate(watts):
        if number not in skip:
            moment = datetime.fromtimestamp(start_s + number * period_s, UTC)
            stamp = moment.strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]
            lines.append(f"{index}, {stamp}, {power_w:.2f} W")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def imported(tmp_path, capsys):
    """Import a log and return the exit status, the results (if written) and the output."""

    def call(log, *options):
        output = tmp_path / "imported.json"
        status = main(["import", str(log), "--timezone=UTC", f"--output={output}", *options])
        run = load_run(output) if output.exists() else None
        return status, run, capsys.readouterr()

    return call


def test_the_watts_of_a_paper_are_not_watt_hours(tmp_path, imported):
    """Readings every 10 s that add up to 93,474.32 W are 0.260 kWh, not the 21.11 of the paper."""
    draw = random.Random(0)
    load = [draw.uniform(140, 170) for _ in range(600)]
    idle_w = 8.0  # the log begins and ends idle, as such logs do
    scale = (93_474.32 - 2 * idle_w) / sum(load)
    watts = [idle_w, *(value * scale for value in load), idle_w]
    assert sum(watts) == pytest.approx(93_474.32)

    status, run, output = imported(smi_log(tmp_path / "a.csv", watts))

    assert status == 0
    energy_j = run.benchmarks[0].metrics["energy_j"].value
    assert round(energy_j / 3.6e6, 3) == 0.260
    assert "(260 Wh)" in output.out


def test_a_log_becomes_results_that_validate(tmp_path, imported):
    """The results have one window with its joules by channel, source log, and fit the schema."""
    log = smi_log(tmp_path / "train.csv", [100.0] * 7)

    status, run, _ = imported(log)

    (result,) = run.benchmarks
    assert status == 0
    assert (result.id, result.kind, result.status) == ("train.csv", "window", "measured")
    assert (result.meter.source, result.meter.details["method"]) == ("log", "trapezoid")
    assert result.metrics["energy_j"].value == run.run.energy_j == 6000
    assert result.metrics["power_w"].value == 100
    assert result.rounds[0].channels == {"gpu0": 6000}
    assert (result.rounds[0].start, result.rounds[0].duration_s) == (NOON, 60)
    jsonschema.validate(json.loads((tmp_path / "imported.json").read_text()), results_json_schema())


def test_several_gpus_are_summed(tmp_path, imported):
    """Each GPU is a channel; the window's joules are their sum."""
    first = smi_log(tmp_path / "0.csv", [100.0] * 7).read_text()
    second = smi_log(tmp_path / "1.csv", [50.0] * 7, index=1, start_s=NOON + 0.003).read_text()
    rows = itertools.chain.from_iterable(
        zip(first.splitlines()[1:], second.splitlines()[1:], strict=True)
    )
    log = tmp_path / "both.csv"
    log.write_text("\n".join(["index, timestamp, power.draw [W]", *rows]))

    _, run, _ = imported(log)

    assert run.benchmarks[0].rounds[0].channels == {"gpu0": 6000, "gpu1": 3000}
    assert run.run.energy_j == 9000


def beside_a_silent_gpu(log):
    """The log with rows of a second GPU whose power nvidia-smi cannot read."""
    header, *rows = log.read_text().splitlines()
    silent = [f"1, {row.split(', ')[1]}, [N/A]" for row in rows]
    log.write_text("\n".join([header, *rows, *silent]) + "\n")
    return log


def test_a_gpu_without_any_value_is_left_out_with_a_remark(tmp_path, imported, results):
    """The others are imported, alone and over results; a remark names the missing GPU."""
    log = beside_a_silent_gpu(smi_log(tmp_path / "a.csv", [50] * 10))
    status, run, output = imported(log)
    (result,) = run.benchmarks
    assert (status, result.status) == (0, "measured")
    assert result.rounds[0].channels == {"gpu0": pytest.approx(50 * 90)}
    assert [(reason.code, reason.fatal) for reason in result.reasons] == [
        (ReasonCode.DATA_GAP, False)
    ]
    assert "gpu1: the log has no reading" in output.out

    status, run, output = imported(log, f"--over={results(50)}")
    assert "gpu1: the log has no reading" in run.benchmarks[0].reasons[0].message
    assert "gpu1: the log has no reading" in output.out


def test_a_log_without_any_value_says_what_to_log(tmp_path, imported):
    """There is nothing to import, but another column may have values."""
    log = tmp_path / "a.csv"
    log.write_text("index, timestamp, power.draw [W]\n0, 2022/05/03 12:00:00, [N/A]\n")
    status, run, output = imported(log)
    assert (status, run) == (2, None)
    assert "power.draw.instant" in output.err


def test_a_long_gap_gives_no_joules(tmp_path, imported):
    """A log with a long gap is invalid; the covered part has metrics of its own."""
    log = smi_log(tmp_path / "hole.csv", [100.0] * 61, skip=range(10, 40))

    status, run, output = imported(log)

    (result,) = run.benchmarks
    assert status == 1
    assert result.status == "invalid"
    assert result.verdict.outcome is Outcome.INVALID
    assert result.energy is None
    assert run.run.energy_j is None
    assert result.reasons[0].code is ReasonCode.DATA_GAP
    assert result.metrics["covered_energy_j"].value == 29_000
    assert result.metrics["covered_share"].value == pytest.approx(290 / 600)
    assert "no reading for 310 s from 2022-05-03T12:01:30Z" in output.out


def test_a_short_gap_is_reported_and_widens_the_interval(tmp_path, imported):
    """A gap below 1 % of the time leaves the joules valid, and widens the interval."""
    draw = random.Random(4)
    load = [100.0, *(draw.uniform(99, 101) for _ in range(1000))]
    log = smi_log(tmp_path / "log.csv", load, skip=range(500, 504))

    _, run, _ = imported(log)

    (result,) = run.benchmarks
    assert result.status == "measured"
    assert [(r.code, r.fatal) for r in result.reasons] == [(ReasonCode.DATA_GAP, False)]
    assert result.energy.value == pytest.approx(995_000, rel=1e-3)
    assert result.energy.value + result.energy.uncertainty >= 1_000_000


def test_a_gap_may_be_allowed(tmp_path, imported):
    """With --max-gap the user accepts the readings around a longer pause."""
    log = smi_log(tmp_path / "hole.csv", [100.0] * 61, skip=range(10, 40))

    status, run, _ = imported(log, "--max-gap=400")

    assert status == 0
    assert run.run.energy_j == 60_000


@pytest.mark.parametrize(
    ("column", "values", "options"),
    [
        ("power", [100] * 7, []),
        ("P1", [100] * 7, ["--power-column=P1"]),
        ("kWh", [100 + n / 3600 for n in range(7)], ["--energy-column=kWh"]),
        ("E", [100 + n / 3.6 for n in range(7)], ["--energy-column=E", "--energy-unit=Wh"]),
    ],
)
def test_a_wattmeter_of_watts_or_of_a_counter(tmp_path, imported, column, values, options):
    """Watts are integrated, a counter is subtracted: 6000 J either way."""
    log = tmp_path / "meter.csv"
    rows = [f"{n * 10},{value:.9f}" for n, value in enumerate(values)]
    log.write_text("\n".join([f"time,{column}", *rows]))

    status, run, _ = imported(log, "--format=wattmeter", *options)

    assert status == 0
    assert run.run.energy_j == pytest.approx(6000, rel=1e-4)
    assert run.benchmarks[0].rounds[0].start == 0  # the start of the log is unknown


@pytest.mark.parametrize(
    ("header", "first", "second", "options", "energy_j"),
    [
        ("power [kW]", "1.0", "1.0", [], 10_000),
        ("power (kW)", "1.0", "1.0", [], 10_000),
        ("power [mW]", "1000", "1000", [], 10),
        ("power", "1 kW", "1000 W", [], 10_000),
        ("energy [J]", "1000", "2000", ["--energy-column=energy"], 1000),
        ("energy", "1000 J", "2000 J", ["--energy-column=energy"], 1000),
        ("energy", "1", "1.001", ["--energy-column=energy", "--energy-unit=kWh"], 3600),
        ("energy", "1", "2", ["--energy-column=energy", "--energy-unit=kJ"], 1000),
        ("energy [Wh]", "1", "2", ["--energy-column=energy", "--energy-unit=Wh"], 3600),
    ],
)
def test_units_of_the_log_are_converted(
    tmp_path, imported, header, first, second, options, energy_j
):
    """Units in cells or header count; numbers without either have the default unit."""
    log = tmp_path / "meter.csv"
    log.write_text(f"time,{header}\n0,{first}\n10,{second}\n")

    status, run, _ = imported(log, "--format=wattmeter", *options)

    assert status == 0
    assert run.run.energy_j == pytest.approx(energy_j)


@pytest.mark.parametrize(
    ("header", "cell", "options", "place", "fault"),
    [
        ("power", "1 kWh", [], "line 2", "'kWh' is a unit of energy"),
        ("power", "1 hp", [], "line 2", "'hp' is not a known unit"),
        ("power [kWh]", "1", [], "column 'power [kWh]'", "for --energy-column"),
        ("power (VA)", "1", [], "column 'power (VA)'", "expected a unit of power: "),
        ("E [kW]", "1", ["--energy-column=E"], "column 'E [kW]'", "for --power-column"),
        (
            "E [J]",
            "1",
            ["--energy-column=E", "--energy-unit=kWh"],
            "column 'E [J]'",
            "contradicts --energy-unit kWh",
        ),
        (
            "E",
            "1 J",
            ["--energy-column=E", "--energy-unit=kWh"],
            "line 2",
            "contradicts --energy-unit kWh",
        ),
        ("power", "1", ["--energy-unit=J"], "", "needs --energy-column"),
    ],
)
def test_units_that_do_not_fit_are_refused(tmp_path, imported, header, cell, options, place, fault):
    """A unit is refused if it is unknown, of another quantity, or not the option's."""
    log = tmp_path / "meter.csv"
    log.write_text(f"time,{header}\n0,{cell}\n10,{cell}\n")

    status, run, output = imported(log, "--format=wattmeter", *options)

    assert (status, run) == (2, None)
    assert place in output.err
    assert fault in output.err
    assert output.err.count("\n") == 1


def test_the_method_can_be_sample_and_hold(tmp_path, imported):
    """With --hold the power stays at a reading until the next."""
    log = smi_log(tmp_path / "step.csv", [100.0, 100.0, 0.0, 0.0])

    assert imported(log)[1].run.energy_j == 1500
    assert imported(log, "--hold")[1].run.energy_j == 2000


def test_negative_joules_are_never_data(tmp_path, imported):
    """A log with a negative sum is invalid, and the message says so."""
    status, run, output = imported(smi_log(tmp_path / "log.csv", [-5.0] * 7))

    assert status == 1
    assert ReasonCode.NEGATIVE_ENERGY in {reason.code for reason in run.benchmarks[0].reasons}
    assert "negative (-300 J)" in output.out


@pytest.fixture
def results(tmp_path):
    """Write results of benchmarks a minute apart, each with two rounds of 20 s at these watts."""

    def write(*powers_w, ours=1.0):
        benchmarks = [
            benchmark(f"test_{number}", NOON + 60 * number, power_w * ours)
            for number, power_w in enumerate(powers_w)
        ]
        path = tmp_path / "results.json"
        save_run(
            Run(
                created="2022-05-03T13:00:00Z",
                environment=Environment(),
                run=RunInfo(notes=["kept"]),
                benchmarks=benchmarks,
            ),
            path,
        )
        return path

    return write


def benchmark(name, start_s, power_w):
    """A benchmark of two rounds of 20 s with 10 passes each."""
    rounds = [
        Round(start=start_s + offset_s, duration_s=20, passes=10, energy_j=20 * power_w)
        for offset_s in (0, 30)
    ]
    energy = Quantity(value=2 * power_w, unit="J/pass")
    measurement = Measurement(
        id=name,
        kind="inference",
        workload={},
        status="measured",
        metrics={"energy_j": energy},
        rounds=rounds,
    )
    return Result.of(measurement, Verdict(outcome=Outcome.NEW))


def wall_log(path, *powers_w, start_s=NOON):
    """A wattmeter's log of a minute at each power, with one reading a second."""
    rows = [
        f"{start_s + minute * 60 + second},{power_w}"
        for minute, power_w in enumerate(powers_w)
        for second in range(60)
    ]
    path.write_text("\n".join(["time,power_w", *rows]) + "\n")
    return path


def test_a_wattmeter_over_results(tmp_path, imported, results):
    """Each benchmark gets the wattmeter's joules a pass, and their ratio to pytest-energy's."""
    over = results(100, 300, 200)
    log = wall_log(tmp_path / "wall.csv", 144, 432, 288)

    status, run, output = imported(
        log, "--format=wattmeter", "--power-column=power_w", f"--over={over}"
    )

    first = run.benchmarks[0]
    assert status == 0
    assert first.metrics["wattmeter_energy_j"].value == pytest.approx(288)
    assert first.metrics["wattmeter_energy_j"].unit == "J/pass"
    assert first.metrics["wattmeter_ratio"].value == pytest.approx(1.44)
    assert first.metrics["energy_j"].value == 200
    assert first.rounds[0].conditions["wattmeter.energy_j"] == pytest.approx(2880)
    assert first.rounds[0].energy_j == 2000
    assert run.run.notes == [
        "kept",
        "wattmeter: 1.440 times pytest-energy's joules (median of 3 benchmarks),"
        " Spearman's ρ = 1.000",
    ]
    assert run.run.notes[1] in output.out


@pytest.mark.parametrize(
    ("first", "second", "rho"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40000], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 1 - 6 * 4 / (5 * 24)),  # 1 - 6 Σd² / n(n² - 1)
        ([1, 1, 2, 3], [1, 2, 3, 4], 4.5 / (4.5 * 5) ** 0.5),  # Pearson of 1½, 1½, 3, 4
    ],
)
def test_ranks_are_correlated(first, second, rho):
    """Spearman's ρ depends only on the order; ties share their rank."""
    assert rank_correlation(first, second) == pytest.approx(rho)


def test_two_benchmarks_are_not_ranked(tmp_path, imported, results):
    """A rank correlation needs three benchmarks; two have only a ratio."""
    over = results(100, 300)
    log = wall_log(tmp_path / "wall.csv", 144, 432)

    _, run, _ = imported(log, "--format=wattmeter", "--power-column=power_w", f"--over={over}")

    assert (
        run.run.notes[1] == "wattmeter: 1.440 times pytest-energy's joules (median of 2 benchmarks)"
    )


def test_the_same_log_twice_changes_nothing(tmp_path, imported, results):
    """Comparing the log again with results that already have it gives the same results."""
    log = wall_log(tmp_path / "wall.csv", 144, 432, 288)
    options = ["--format=wattmeter", "--power-column=power_w", "--over"]
    once = imported(log, *options, str(results(100, 300, 200)))[1]

    assert imported(log, *options, str(tmp_path / "imported.json"))[1] == once


def test_a_round_outside_the_log_gets_no_joules_from_it(tmp_path, imported, results):
    """If the log ends in a round, the benchmark keeps its joules and gets a reason, not a ratio."""
    over = results(100, 300)
    log = wall_log(tmp_path / "wall.csv", 144)

    status, run, output = imported(
        log, "--format=wattmeter", "--power-column=power_w", "--one-device", f"--over={over}"
    )

    covered, missed = run.benchmarks
    assert status == 0
    assert "wattmeter_ratio" in covered.metrics
    assert "wattmeter_ratio" not in missed.metrics
    assert missed.status == "measured"
    assert missed.energy.value == 600
    assert [(r.code, r.fatal) for r in missed.reasons] == [(ReasonCode.DATA_GAP, False)]
    assert missed.rounds[0].conditions == {"wattmeter.covered_share": 0.0}
    assert (
        "test_1: no ratio: wattmeter log: wattmeter: the log covers 0.0% of the time" in output.out
    )


def test_a_round_in_which_the_clock_steps_back_gets_no_joules(tmp_path, imported, results):
    """Times that come twice could count twice; such a round is not compared, others are."""
    over = results(100, 300)
    rows = wall_log(tmp_path / "wall.csv", 144, 432).read_text().splitlines()
    step = [f"{float(row.split(',')[0]) - 5},432" for row in rows[71:]]
    (tmp_path / "wall.csv").write_text("\n".join([*rows[:71], *step]))

    _, run, output = imported(
        tmp_path / "wall.csv", "--format=wattmeter", "--power-column=power_w", f"--over={over}"
    )

    assert ["wattmeter_ratio" in result.metrics for result in run.benchmarks] == [True, False]
    assert "the clock stepped back" in output.out


@pytest.mark.parametrize(
    ("index", "gpus", "options", "expected"),
    [
        (True, 1, [], ""),
        (True, 2, [], "the log has 1 GPU (0), the run measured 2; log all of them"),
        (True, 2, ["--devices=0"], "the log's 1 GPU (0) are compared with the 2"),
        (False, 1, [], ""),
        (False, 4, [], "the run measured 4 GPUs, and no column of the log tells any apart"),
        (False, 4, ["--one-device"], "are compared with the 4 that the run measured"),
    ],
)
def test_the_gpus_of_a_log_are_counted_against_those_of_the_run(
    tmp_path, imported, results, index, gpus, options, expected
):
    """A log of fewer GPUs than the run is refused, or compared with a remark where options say."""
    over = results(50)
    run = load_run(over)
    environment = Environment(identity={"device_count": gpus})
    save_run(run.model_copy(update={"environment": environment}), over)
    log = smi_log(tmp_path / "a.csv", [50 + n % 3 for n in range(80)], period_s=1)
    if not index:
        rows = log.read_text().splitlines()
        log.write_text("\n".join([row.partition(", ")[2] for row in rows]) + "\n")

    status, _, output = imported(log, f"--over={over}", *options)

    refused = bool(expected) and not options
    assert status == (2 if refused else 0)
    assert expected in (output.err if refused else output.out)


@pytest.mark.parametrize(
    ("option", "expected"),
    [([], 2), (["--offset=-7200"], 0)],
)
def test_a_log_by_another_clock_is_refused(tmp_path, imported, results, option, expected):
    """A log that covers no round is refused with both time spans; --offset shifts it."""
    over = results(100)
    log = wall_log(tmp_path / "wall.csv", 144, start_s=NOON + 7200)

    status, _, output = imported(
        log, "--format=wattmeter", "--power-column=power_w", f"--over={over}", *option
    )

    assert status == expected
    if expected:
        assert "(2022-05-03T14:00:00Z to 2022-05-03T14:00:59Z) covers none" in output.err
        assert "--timezone" in output.err


def test_a_log_of_relative_times_needs_its_start(tmp_path, imported, results):
    """A log with seconds since its start can be compared if --start names that start."""
    over = results(100)
    log = wall_log(tmp_path / "wall.csv", 144, start_s=0)
    options = ["--format=wattmeter", "--power-column=power_w", f"--over={over}"]

    refused = imported(log, *options)
    status, run, _ = imported(log, *options, "--start=2022-05-03T12:00:00Z")

    assert refused[0] == 2
    assert "name it with --start" in refused[2].err
    assert status == 0
    assert run.benchmarks[0].metrics["wattmeter_ratio"].value == pytest.approx(1.44)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--timezone=Mars/Olympus"], "a name such as Europe/Berlin"),
        (["--min-coverage=0"], "--min-coverage 0.0"),
        (["--min-coverage=nan"], "--min-coverage nan"),
        (["--offset=nan"], "--offset nan"),
        (["--offset=1e20"], "--offset 1e+20"),
        (["--max-gap=-1"], "--max-gap -1.0"),
        (["--energy-column=E"], "such as --format wattmeter"),
        (["--energy-unit=J"], "needs --energy-column"),
        (["--energy-per-row"], "needs --energy-column"),
        (["--period=0"], "--period 0.0"),
        (["--devices=7"], "--devices 7: the log has the devices 0"),
        (["--device-column=index", "--one-device"], "cannot be used with --one-device"),
        (["--device-column=card"], "no column 'card' among index, timestamp"),
        (
            ["--format=wattmeter", "--energy-column=E", "--hold"],
            "cannot be used with --power-column or --hold",
        ),
        (["--format=wattmeter"], "no column 'time'"),
        (
            ["--format=wattmeter", "--time-column=timestamp"],
            "no column 'power' among index, timestamp",
        ),
        (["--columns=index,timestamp"], "3 cells, 2 expected"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(tmp_path, imported, options, fault):
    """A wrong option ends with exit status 2 and one line that names it; nothing is written."""
    status, run, output = imported(smi_log(tmp_path / "a.csv", [100.0] * 3), *options)

    assert status == 2
    assert run is None
    assert fault in output.err
    assert output.err.count("\n") == 1


def test_a_start_that_is_not_a_time_is_refused(tmp_path, imported):
    """--start takes the same times as a log."""
    log = wall_log(tmp_path / "wall.csv", 144, start_s=0)

    status, _, output = imported(
        log, "--format=wattmeter", "--power-column=power_w", "--start=noon"
    )

    assert status == 2
    assert "--start: 'noon' is not a time" in output.err


def test_a_missing_log_is_refused(tmp_path, imported):
    """The error names the file that does not exist."""
    status, run, output = imported(tmp_path / "none.csv")

    assert (status, run) == (2, None)
    assert "none.csv" in output.err
