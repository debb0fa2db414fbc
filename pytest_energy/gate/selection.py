"""The baselines of the selected tests: their comparisons, and the changes they can detect."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.detectability import needed_retry_s, rises, visits_within
from pytest_energy.gate.schedule import ALONE, Schedule, Suite
from pytest_energy.gate.tolerances import TolerancePattern, tolerances_of
from pytest_energy.marker import MarkerSettings
from pytest_energy.model.metrics import ENERGY
from pytest_energy.uncertainty.change import PRIOR, Prior
from pytest_energy.uncertainty.pairs import fit_suite_variance

FEWEST_BASELINES: Final = 10
"""Baselines that it takes to learn the variation that they have in common."""
FEWEST_RUNS: Final = 4
"""Accepted runs of each of them."""


@dataclass(frozen=True)
class Selected:
    """The baseline of a benchmark that will be measured."""

    baseline: Baseline
    tolerances: Mapping[str, float]
    """By metric."""


def select(
    baselines: Iterable[Baseline],
    markers: Mapping[str, MarkerSettings],
    default: Mapping[str, float],
    table: Sequence[TolerancePattern],
) -> tuple[Selected, ...]:
    """Choose the baselines of the tests that will run, and of their windows.

    Args:
        baselines: All baselines of this machine.
        markers: The markers of the tests that will run, by id.
        default: The tolerances of the option.
        table: The tolerances of ``pyproject.toml``.
    """
    selected = []
    for baseline in baselines:
        test_of_window = baseline.id.rpartition("::")[0]
        marker = markers.get(baseline.id) or markers.get(test_of_window)
        if marker is not None:
            tolerances = tolerances_of(baseline.id, default, table, marker)
            selected.append(Selected(baseline, tolerances))
    return tuple(selected)


def count_comparisons(selected: Iterable[Selected]) -> int:
    """Number of metrics that are compared with baselines, at least 1."""
    compared = (entry.tolerances.keys() & entry.baseline.metrics.keys() for entry in selected)
    return max(sum(map(len, compared)), 1)


def suite_prior(baselines: Iterable[Baseline]) -> Prior:
    """The assumed variation between runs: what this machine's baselines show together.

    It is never below the default: the runs of one recording do not show what differs from day to
    day. Where the baselines vary unequally, the assumption has less weight (Smyth 2004, 6.2).
    """
    levels = [baseline.level(ENERGY) for baseline in baselines]
    informative = [level for level in levels if len(level) >= FEWEST_RUNS]
    if len(informative) < FEWEST_BASELINES:
        return PRIOR
    fitted = fit_suite_variance([[math.log(run.value) for run in level] for level in informative])
    if not fitted.degrees_of_freedom:
        return PRIOR
    # A change counts the variation within runs by itself.
    within = statistics.median(run.relative**2 for level in informative for run in level)
    between = math.sqrt(max(fitted.variance - within, 0.0))
    return Prior(max(PRIOR.relative, between), fitted.degrees_of_freedom)


TOO_TIGHT: Final = 2.0
"""A tolerance is too tight if only rises of more than so many times its size are called
regressed."""


def too_tight(
    selected: Iterable[Selected],
    schedule: Schedule,
    suite: Suite = ALONE,
    retry_s: float = math.inf,
) -> list[Selected]:
    """The baselines whose tolerance is small beside the rises that they detect."""
    return [entry for entry in selected if _is_too_tight(entry, schedule, suite, retry_s)]


def _is_too_tight(entry: Selected, schedule: Schedule, suite: Suite, retry_s: float) -> bool:
    tolerance, baseline = entry.tolerances[ENERGY], entry.baseline
    if not baseline.level(ENERGY):
        return False
    rise = rises(baseline, tolerance, schedule, suite)
    # The last look mostly shows the smallest rise, so that it alone is computed.
    looks = range(visits_within(baseline, schedule, retry_s), 0, -1)
    return all(rise(visit) > TOO_TIGHT * tolerance for visit in looks)


def tightness(
    entry: Selected, schedule: Schedule, suite: Suite = ALONE, retry_s: float = math.inf
) -> str:
    """The sentence on a baseline whose tolerance is too tight."""
    tolerance, baseline = entry.tolerances[ENERGY], entry.baseline
    wanted = TOO_TIGHT * tolerance
    count = len(baseline.accepted)
    runs = "one baseline run" if count == 1 else f"{count} baseline runs"
    rise = rises(baseline, tolerance, schedule, suite)
    smallest = min(map(rise, range(1, visits_within(baseline, schedule, retry_s) + 1)))
    needed_s = needed_retry_s(baseline, wanted, tolerance, schedule, suite)
    return (
        f"{baseline.id}: {_percent(tolerance)} is too tight: with {runs} only rises"
        f" above {_percent(smallest)} are called regressed; {remedy(needed_s)}"
    )


def remedy(retry_s: float | None) -> str:
    """What makes a smaller rise visible: a limit of time in seconds, or none of that kind."""
    if retry_s is None:
        return "smaller ones need --energy-against=REF, not more visits"
    return f"--energy-retry-time={math.ceil(retry_s)} shows smaller ones"


def _percent(fraction: float) -> str:
    return f"{float(f'{100 * fraction:.2g}'):g} %"  # never 1e+03 %
