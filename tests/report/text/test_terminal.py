"""The end of a run in a terminal."""

from __future__ import annotations

import pytest

from pytest_energy.model.measurement import MeterInfo, Reason, ReasonCode
from pytest_energy.model.outcomes import TRAITS, Outcome
from pytest_energy.model.result import Difference, MetricVerdict, Verdict
from pytest_energy.report.text.markdown import render_markdown
from pytest_energy.report.text.terminal import WORST, shorten, shortened, summary_lines


def texts(run, width=120):
    """The lines without their styles."""
    return [line.text for line in summary_lines(run, width)]


def row_of(lines, name):
    """The line in which ``name`` stands."""
    return next(line for line in lines if name in line)


def test_table_row_has_energy_change_latency_and_outcome(make_run, make_result):
    """A row has the energy with its uncertainty, the change, the latency and the outcome."""
    lines = texts(make_run(make_result(Outcome.REGRESSED)))
    row = row_of(lines, "test_inference[resnet50]")
    for part in ("1.090 ± 0.004 J/pass", "+9.0 %", "2.100 ms", "25.6 M", "▲ regressed"):
        assert part in row


def test_missing_energy_is_not_zero(make_run, make_result):
    """A missing value is a dash, never a zero."""
    lines = texts(make_run(make_result(Outcome.UNMEASURED), make_result(id="a.py::test_b")))
    row = row_of(lines, "test_inference[resnet50]")
    assert "–" in row
    assert "0.0" not in row


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_table_fits_the_terminal(make_run, make_result, width):
    """No line of the table is wider than the terminal: names are cut and columns dropped."""
    long = "benchmarks/test_training.py::test_training[" + "efficientnet-" * 9 + "b0]"
    run = make_run(make_result(id=long), make_result(Outcome.IMPROVED))
    table = texts(run, width)[:3]
    assert max(map(len, table)) <= width
    assert row_of(table, "improved")


def test_shortened_name_keeps_both_ends():
    """The start and the end of a name stay readable."""
    assert shorten("test_inference[resnet50-blurpool]", 20) == "test_infe…-blurpool]"


def test_estimates_that_are_too_short_are_not_offered_as_baselines(make_run, make_result):
    """Equal reasons stand once, and only the others have the command that accepts them."""
    short = Reason(code=ReasonCode.WINDOW_TOO_SHORT, message="make it 0.1 s long", fatal=False)
    results = [
        make_result(Outcome.NEW, id=f"a.py::test_{name}", status="estimated", reasons=[short])
        for name in "ab"
    ]
    lines = texts(make_run(*results))
    assert "  test_a, test_b: make it 0.1 s long" in lines
    assert not [line for line in lines if "--energy-update" in line]
    lines = texts(make_run(*results, make_result(Outcome.NEW, id="a.py::test_c")))
    assert lines.index("  test_c") < lines.index(
        "  → accept them as baselines with --energy-update=new, then commit the files"
    )
    text = render_markdown(make_run(*results))
    assert "- `test_a`, `test_b`: never becomes a baseline: make it 0.1 s long" in text


def test_regression_is_the_last_section(make_run, make_result):
    """The last lines have the regression, its size, its certainty, its cause and the next step."""
    verdict = Verdict(
        outcome=Outcome.REGRESSED,
        fails=True,
        cause="power +9 %, time unchanged",
        metrics=make_result(Outcome.REGRESSED).verdict.metrics,
        context=[Difference(name="context.torch", before="2.9.0", after="2.10.0")],
    )
    worse = make_result(Outcome.REGRESSED, verdict=verdict)
    lines = texts(make_run(worse, make_result(Outcome.NEW, id="a.py::test_new")))
    id = "benchmarks/test_inference.py::test_inference[resnet50]"
    assert lines[-9:] == [
        "regressed (1)",
        f"  {id}",
        "    Energy 1.000 → 1.090 ± 0.004 J/pass, +9.0 % [+7.0, +11.0] (95 % sure), tolerance 5 %",
        "    likely cause: power +9 %, time unchanged",
        "  changed since the baseline: torch 2.9.0 → 2.10.0",
        f"  → measure it again: pytest '{id}' --energy",
        "  → intended? Rerun with --energy-update",
        "",
        "✗ Gate failed: 1 of 2 benchmarks exceeds its baseline by more than 5 %.",
    ]


def test_the_deciding_metric_is_shown(make_run, make_result):
    """If the FLOPs rose and the joules did not, the section shows the FLOPs."""
    flops = MetricVerdict(
        metric="flops", outcome=Outcome.REGRESSED, baseline=8.0e9, value=9.0e9, unit="FLOP",
        change=0.125, low=0.125, high=0.125, tolerance=0.0,
    )  # fmt: skip
    verdict = Verdict(
        outcome=Outcome.REGRESSED, metrics=[*make_result().verdict.metrics, flops], fails=True
    )
    lines = texts(make_run(make_result(Outcome.REGRESSED, verdict=verdict)))
    assert "    FLOPs 8.000 → 9.000 GFLOP, +12.5 %, tolerance 0 %" in lines


def test_only_the_worst_of_many_regressions_are_shown(make_run, make_result):
    """The worst regressions are shown in full, and the others are counted."""
    results = [
        make_result(Outcome.REGRESSED, id=f"a.py::test_{percent}", change=percent / 100)
        for percent in range(6, 16)
    ]
    lines = texts(make_run(*results))
    ids = [line.strip() for line in lines if line.startswith("  a.py::")]
    assert ids == ["a.py::test_15", "a.py::test_14", "a.py::test_13"]
    assert lines[-5:-2] == [
        f"  and {10 - WORST} more: see the table above and the report",
        "  → measure the first one again: pytest a.py::test_15 --energy",
        "  → intended? Rerun with --energy-update",
    ]


def test_a_few_regressions_share_a_command(make_run, make_result):
    """Two regressions have a common command, and a change that both have appears once."""
    context = [Difference(name="context.torch", before="2.9", after="2.10")]
    metrics = make_result(Outcome.REGRESSED).verdict.metrics
    verdict = Verdict(outcome=Outcome.REGRESSED, fails=True, metrics=metrics, context=context)
    results = [make_result(Outcome.REGRESSED, id=f"a.py::test_{n}", verdict=verdict) for n in "ab"]
    assert texts(make_run(*results))[-5:-2] == [
        "  changed since the baseline: torch 2.9 → 2.10",
        "  → measure them again: pytest a.py::test_a a.py::test_b --energy",
        "  → intended? Rerun with --energy-update",
    ]


def test_every_regressed_metric_is_named(make_run, make_result):
    """The energy is shown with its figures, and other regressed metrics are named after it."""
    regressed = make_result(Outcome.REGRESSED).verdict.metrics
    latency = regressed[0].model_copy(update={"metric": "latency_s"})
    verdict = Verdict(outcome=Outcome.REGRESSED, fails=True, metrics=[*regressed, latency])
    lines = texts(make_run(make_result(Outcome.REGRESSED, verdict=verdict)))
    assert row_of(lines, "(95 % sure)").endswith("tolerance 5 %; also: Latency")


def test_a_shared_cause_is_printed_once(make_run, make_result):
    """Sixty benchmarks without a meter give one line."""
    results = [make_result(Outcome.UNMEASURED, id=f"a.py::test_{n}") for n in range(60)]
    lines = texts(make_run(*results))
    assert "could not measure (60)" in lines
    assert [line for line in lines if "libnvidia-ml.so.1" in line] == [
        "  test_0, test_1, test_2, test_3, test_4 and 55 more: libnvidia-ml.so.1 is not installed"
    ]


def test_first_run_says_what_to_do_next(make_run, make_result):
    """Without baselines the output names the option that records them."""
    assert "--energy-update=new" in texts(make_run(make_result(Outcome.NEW)))[-3]


def test_incomparable_names_each_difference(make_run, make_result):
    """The output for another card names the facts that differ."""
    verdict = Verdict(
        outcome=Outcome.INCOMPARABLE,
        differences=[
            Difference(name="identity.device", before="NVIDIA A100", after="NVIDIA H200"),
            Difference(name="identity.power_limit_w", before=400, after=700),
        ],
    )
    lines = texts(make_run(make_result(Outcome.INCOMPARABLE, verdict=verdict)))
    assert lines[-4].endswith("device NVIDIA A100 → NVIDIA H200; power limit 400 → 700 W")
    assert "  → new machine? Record its baselines with --energy-update=new; if this" in lines[-3]


def test_estimates_are_called_estimates(make_run, make_result):
    """The output says if joules come from a model of the hardware."""
    meter = MeterInfo(name="codecarbon", source="model", estimated=True)
    assert any(
        "estimated by CodeCarbon" in line for line in texts(make_run(make_result(), meter=meter))
    )


def test_same_name_in_two_files_keeps_the_file(make_run, make_result):
    """Tests with the same name are shown with their files."""
    results = [make_result(Outcome.NEW, id=f"{file}.py::test_x") for file in "ab"]
    lines = texts(make_run(*results))
    assert row_of(lines, "a.py::test_x")
    assert row_of(lines, "b.py::test_x")


def test_last_line_is_the_verdict(make_run, make_result):
    """A passing run ends with the verdict in one sentence."""
    assert texts(make_run(make_result()))[-1].startswith("✓ Gate passed: ")


def test_run_without_benchmarks_prints_nothing(make_run):
    """Without benchmarks there is no table."""
    assert summary_lines(make_run(), 80) == []


def test_every_style_is_known_to_pytest(pytestconfig):
    """The terminal writer of pytest knows every style of the lines."""
    writer = pytestconfig.get_terminal_writer()
    styles = {traits.terminal_style for traits in TRAITS} - {""}
    for style in {*styles, "bold"}:
        writer.markup("text", **{style: True})


def test_cut_names_stay_different():
    """Names that differ in one place only are cut elsewhere, or stay a little longer."""
    names = [f"test_{'long_' * 9}{letter}{'_name' * 9}" for letter in "abc"]
    cut = shortened(names, 30)
    assert len(set(cut)) == 3
    assert max(map(len, cut)) < len(names[0])


def test_what_the_time_limit_left_out_is_said(make_run, make_result):
    """In one line, also of benchmarks that have no row; of many some are named."""
    cut = [Reason(code=ReasonCode.TIME_LIMIT, message="ran 2 of 3 rounds", fatal=False)]
    results = [make_result(id=f"t.py::{name}", reasons=cut) for name in "abcde"]
    lines = texts(make_run(*results, make_result(id="t.py::whole")))
    assert "shortened to stay within --energy-max-time (5): a, b, c and 2 more" in lines
    assert not any("shortened" in line for line in texts(make_run(make_result(id="t.py::whole"))))


def test_only_what_moved_has_a_row(make_run, make_result):
    """Benchmarks within their tolerance are counted, and shown with -v."""
    run = make_run(make_result(id="a.py::test_still"), make_result(Outcome.IMPROVED))
    assert not [line for line in texts(run) if "test_still" in line]
    assert "2 benchmarks: 1 improved, 1 within tolerance; -v shows all" in texts(run)
    assert [line for line in summary_lines(run, 100, verbose=True) if "test_still" in line.text]
