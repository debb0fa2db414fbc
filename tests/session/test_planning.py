"""How much of a benchmark to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.model.revision import Revision
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.session.planning import SHORT_ROUND_S, Requested, plan_epochs, plan_passes
from pytest_energy.settings import MarkerSettings, MeasuringProtocol, Scale, Settings
from tests.gate_data import H200, TEST, measurement, store_with

NOTHING = Requested(None, None, None, None)


def session(
    store: BaselineStore, scale: Scale = "full", protocol: MeasuringProtocol = "adaptive"
) -> EnergySession:
    """A session without a meter."""
    settings = Settings(scale=scale, protocol=protocol)
    return EnergySession(settings, Path(), None, None, H200, store, Revision())


def test_the_marker_wins_over_the_command_line() -> None:
    """Where the marker has no value, the option counts."""
    requested = Requested.of(MarkerSettings(passes=7), Settings(passes=5, rounds=2))
    assert (requested.passes, requested.rounds, requested.epochs) == (7, 2, None)


def test_a_baseline_allows_short_rounds(tmp_path: Path) -> None:
    """Three rounds of a tenth of the passes; the passes that were saved are noted."""
    adaptive = session(store_with(tmp_path, 1.0))
    plan = plan_passes(adaptive, TEST, NOTHING)
    assert (plan.passes, plan.rounds) == (1000, 3)
    assert plan.shortest_window_s == SHORT_ROUND_S
    assert adaptive.record.fixed_passes == {TEST: 30_000}


def test_a_further_visit_has_fewer_rounds(tmp_path: Path) -> None:
    """A benchmark that must be measured again is on its second visit."""
    adaptive = session(store_with(tmp_path, 1.0))
    adaptive.record.add_visit(measurement())
    adaptive.record.ask_for_revisit(TEST, "suspect")
    plan = plan_passes(adaptive, TEST, NOTHING)
    assert (plan.passes, plan.rounds) == (1000, 2)


@pytest.mark.parametrize(
    ("scale", "protocol", "passes", "planned"),
    [
        ("full", "fixed", None, (10_000, 3)),
        ("small", "adaptive", None, (20, 3)),
        ("full", "adaptive", 50, (50, 3)),
    ],
)
def test_what_was_requested_runs_in_full(
    tmp_path: Path,
    scale: Scale,
    protocol: MeasuringProtocol,
    passes: int | None,
    planned: tuple[int, int],
) -> None:
    """The fixed protocol, the small scale and a test's own number of passes are not shortened."""
    plan = plan_passes(session(store_with(tmp_path, 1.0), scale, protocol), TEST, NOTHING, passes)
    assert (plan.passes, plan.rounds) == planned


@pytest.mark.parametrize(
    ("epochs", "scale", "rounds"), [(None, "full", 10), (None, "small", 1), (4, "small", 4)]
)
def test_each_epoch_is_a_round(epochs: int | None, scale: Scale, rounds: int) -> None:
    """A small scale trains one epoch, unless the user requests more."""
    plan = plan_epochs(Requested(None, None, epochs, None), scale, 10)
    assert (plan.passes, plan.rounds, plan.lengthen) == (1, rounds, False)
