"""Seconds that the modules of a suite take, from the results of an earlier run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean

from pytest_energy.fleet.accelerators import is_meant
from pytest_energy.fleet.collection import module_of
from pytest_energy.model.result import Run

Durations = Mapping[str, Mapping[str, float]]
"""Seconds of all windows of a module, by the module and the name of the machine's cards."""


def measured_durations(run: Run) -> Durations:
    """The seconds of all windows of each module on each machine."""
    seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for result in run.benchmarks:
        machine = str(result.measured_in(run.environment).identity.get("device"))
        duration_s = sum(window.duration_s for window in result.rounds)
        seconds[result.file or module_of(result.id)][machine] += duration_s
    return seconds


def expected_durations(
    modules: Mapping[str, int], durations: Durations, accelerator: str
) -> dict[str, float] | None:
    """Seconds that each module will take; ``None`` if none of them was measured.

    The mean over the machines of this kind counts, else over all. A module that was never measured
    takes as long for each test as the others.

    Args:
        modules: The number of tests by module.
        durations: Those of an earlier run.
        accelerator: The kind of machine.
    """
    known = {
        module: _mean(durations[module], accelerator)
        for module in modules.keys() & durations.keys()
    }
    if not sum(known.values()):
        return None
    a_test_s = sum(known.values()) / sum(modules[module] for module in known)
    return {module: known.get(module, number * a_test_s) for module, number in modules.items()}


def _mean(by_machine: Mapping[str, float], accelerator: str) -> float:
    own = [duration_s for name, duration_s in by_machine.items() if is_meant(accelerator, name)]
    return fmean(own or by_machine.values())
