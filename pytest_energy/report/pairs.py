"""Two revisions measured in alternation, in words: base → head, blocks, controls, remarks."""

from __future__ import annotations

from pytest_energy.model.comparison import Block, Comparison, Control, describe_reference
from pytest_energy.model.metrics import ENERGY, metric
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Run
from pytest_energy.report import numbers
from pytest_energy.report.summary import deciding_metric, energy_verdict
from pytest_energy.uncertainty.rounds import ROUND_METRICS, of_rounds


def pair_verdict(result: Result) -> MetricVerdict | None:
    """The metric that stands for a pair: the one that decided, else the energy."""
    return deciding_metric(result) or energy_verdict(result)


def base_and_head(result: Result) -> str:
    """``1.000 ± 0.004 → 1.120 ± 0.005 J/pass``; a metric other than energy is named."""
    verdict = pair_verdict(result)
    if verdict is None:
        return numbers.MISSING
    quantity = result.metrics.get(verdict.metric)
    text = numbers.pair(verdict, quantity.uncertainty if quantity else None)
    return text if verdict.metric == ENERGY else f"{metric(verdict.metric).label}: {text}"


def difference(result: Result) -> str:
    """``+9.1 % [+7.0, +11.2]``."""
    verdict = pair_verdict(result)
    return numbers.change(verdict) if verdict else numbers.MISSING


def blocks(comparison: Comparison | None) -> str:
    """``6``; ``6, 1 left out`` where a side's measurement was invalid."""
    if comparison is None or not (comparison.blocks or comparison.spoilt):
        return numbers.MISSING
    left_out = f", {comparison.spoilt} left out" if comparison.spoilt else ""
    return f"{len(comparison.blocks)}{left_out}"


def compared_with(run: Run) -> str | None:
    """``Compared with main (1a2b3c4d5) in 6 blocks.``; ``None`` without another revision."""
    against = run.run.against
    if against is None:
        return None
    number = "1 block" if against.blocks == 1 else f"{against.blocks} blocks"
    return f"Compared with {describe_reference(against.reference, against.commit)} in {number}."


def controls(run: Run) -> list[str]:
    """``Control, base against base: test_a unchanged, +0.1 % [−0.4, +0.6]``."""
    if run.run.against is None:
        return []
    return [
        f"Control, base against base: {benchmark} {outcome.label},"
        f" {moved(control_of(run, benchmark))}"
        for benchmark, outcome in run.run.against.controls.items()
    ]


def control_of(run: Run, benchmark: str) -> Control | None:
    """The control with this id; ``None`` if it is lost."""
    comparisons = (result.comparison for result in run.benchmarks if result.id == benchmark)
    return next((each.control for each in comparisons if each), None)


def moved(control: Control | None) -> str:
    """``+0.1 % [−0.4, +0.6]``: by how much a control changed."""
    if control is None:
        return numbers.MISSING
    interval = {"change": control.change, "low": control.low, "high": control.high}
    return numbers.change(MetricVerdict(metric=ENERGY, outcome=control.outcome, **interval))


def only_on_the_head(run: Run) -> list[Result]:
    """The benchmarks that the base does not have, or cannot run."""
    return [
        result
        for result in run.benchmarks
        if result.comparison and result.verdict.outcome is Outcome.NEW
    ]


def block_cells(block: Block, name: str) -> tuple[str, ...]:
    """Number, the side that began, the rounds of both sides, and the difference."""
    unit, change = ROUND_METRICS.get(name, ""), numbers.log_change(block.differences.get(name))
    base, head = (numbers.several(of_rounds(side, name), unit) for side in (block.base, block.head))
    return (str(block.number), block.first, base, head, change)
