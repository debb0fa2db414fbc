"""How much of a benchmark to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.marker import MarkerSettings
from pytest_energy.measuring.protocol import Plan
from pytest_energy.meters.base import Meter
from pytest_energy.model.revision import Revision
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.session.planning import (
    SHORT_ROUND_S,
    SLICE_S,
    SLICES_PER_BLOCK,
    Requested,
    plan_call,
    plan_comparison,
    plan_epochs,
    plan_inference,
)
from pytest_energy.settings import MeasuringProtocol, Scale, Settings
from tests.gate_data import H200, TEST, measurement, store_with

NOTHING = Requested(None, None, None, None)
METER = cast(Meter, SimpleNamespace(shortest_window_s=0.15))


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
    plan = plan_inference(adaptive, TEST, NOTHING)
    assert (plan.passes, plan.rounds) == (1000, 3)
    assert plan.shortest_window_s == SHORT_ROUND_S
    assert adaptive.record.fixed_passes == {TEST: 30_000}


def test_a_further_visit_has_fewer_rounds(tmp_path: Path) -> None:
    """A benchmark that was measured before is on its second visit."""
    adaptive = session(store_with(tmp_path, 1.0))
    adaptive.record.add_visit(measurement())
    plan = plan_inference(adaptive, TEST, NOTHING)
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
    plan = plan_inference(
        session(store_with(tmp_path, 1.0), scale, protocol), TEST, NOTHING, passes
    )
    assert (plan.passes, plan.rounds) == planned


@pytest.mark.parametrize(
    ("epochs", "scale", "protocol", "rounds", "max_time_s"),
    [
        (None, "full", "adaptive", 10, 600.0),
        (None, "full", "fixed", 10, None),
        (None, "small", "adaptive", 1, 600.0),
        (4, "small", "adaptive", 4, None),
    ],
)
def test_each_epoch_is_a_round(
    tmp_path: Path,
    epochs: int | None,
    scale: Scale,
    protocol: MeasuringProtocol,
    rounds: int,
    max_time_s: float | None,
) -> None:
    """A small scale trains one epoch; epochs that were requested are all trained."""
    opened = session(BaselineStore(tmp_path), scale, protocol)
    plan = plan_epochs(opened, Requested(None, None, epochs, None), None)
    assert (plan.passes, plan.rounds, plan.lengthen) == (1, rounds, False)
    assert plan.max_time_s == max_time_s


def test_epochs_of_the_test_are_all_trained(tmp_path: Path) -> None:
    """Fewer would change the accuracy; a limit that was requested counts nevertheless."""
    opened = session(BaselineStore(tmp_path))
    plan = plan_epochs(opened, NOTHING, 200)
    assert (plan.rounds, plan.max_time_s) == (200, None)
    assert plan_epochs(opened, Requested(None, None, None, 60.0), 200).max_time_s == 60.0


@pytest.mark.parametrize(
    ("protocol", "requested", "max_time_s"),
    [
        ("adaptive", NOTHING, 600.0),
        ("fixed", NOTHING, None),
        ("fixed", Requested(None, None, None, max_time_s=60.0), 60.0),
    ],
)
def test_the_fixed_protocol_keeps_its_passes(
    tmp_path: Path, protocol: MeasuringProtocol, requested: Requested, max_time_s: float | None
) -> None:
    """Otherwise ten minutes are the limit of 30,000 passes; a limit that was requested counts."""
    plan = plan_inference(session(BaselineStore(tmp_path), "full", protocol), TEST, requested)
    assert (plan.passes, plan.rounds, plan.max_time_s) == (10_000, 3, max_time_s)
    assert plan.window_s is None


@pytest.mark.parametrize("protocol", ["adaptive", "fixed"])
def test_a_call_is_planned_by_time(tmp_path: Path, protocol: MeasuringProtocol) -> None:
    """Nobody knows how many calls are sensible; the limit holds in each protocol."""
    plan = plan_call(session(BaselineStore(tmp_path), "full", protocol), TEST, NOTHING)
    assert (plan.passes, plan.rounds, plan.window_s, plan.max_time_s) == (None, 3, 5.0, 600.0)


@pytest.mark.parametrize("plan_it", [plan_call, plan_inference])
@pytest.mark.parametrize(("scale", "window_s"), [("full", SHORT_ROUND_S), ("small", 0.2)])
def test_a_block_is_planned_by_time(
    tmp_path: Path, plan_it: Callable[..., Plan], scale: Scale, window_s: float
) -> None:
    """Inference, too: a thousand passes of a large model would take minutes."""
    opened = session(BaselineStore(tmp_path), scale)
    side = replace(opened, alternating=True, meter=METER)
    plan = plan_it(side, TEST, NOTHING)
    assert (plan.passes, plan.rounds, plan.window_s) == (None, 3, window_s)
    assert plan.shortest_window_s == METER.shortest_window_s
    assert plan_it(side, TEST, Requested(7, None, None, None)).passes == 7


@pytest.mark.parametrize("plan_it", [plan_call, plan_inference])
def test_a_block_by_time_alone_has_many_short_slices(
    tmp_path: Path, plan_it: Callable[..., Plan]
) -> None:
    """A busy processor changes its speed from one tenth of a second to the next."""
    side = replace(session(BaselineStore(tmp_path), "small"), alternating=True)
    plan = plan_it(side, TEST, NOTHING)
    assert (plan.passes, plan.rounds, plan.window_s) == (None, SLICES_PER_BLOCK, SLICE_S)
    assert (plan.enough_rounds, plan.enough_s) == (3, 3 * SHORT_ROUND_S)


def test_a_baseline_allows_short_windows(tmp_path: Path) -> None:
    """A window of five seconds becomes one of two, unless the user requested it."""
    adaptive = session(store_with(tmp_path, 1.0))
    assert plan_call(adaptive, TEST, NOTHING).window_s == SHORT_ROUND_S
    requested = Requested.of(MarkerSettings(window_s=8.0), Settings(window=7.0))
    assert plan_call(adaptive, TEST, requested).window_s == 8.0


def test_inference_fills_a_window_that_was_requested(tmp_path: Path) -> None:
    """At most its passes run."""
    requested = Requested.of(MarkerSettings(), Settings(window=7.0))
    plan = plan_inference(session(BaselineStore(tmp_path)), TEST, requested)
    assert (plan.passes, plan.window_s) == (10_000, 7.0)


def test_candidates_have_six_blocks_of_two_windows_each(tmp_path: Path) -> None:
    """Of two seconds on a GPU; rounds of the marker or the command line are blocks."""
    measuring = session(BaselineStore(tmp_path))
    plan = plan_comparison(measuring, NOTHING, None)
    assert (plan.rounds, plan.window_s, plan.max_time_s) == (12, SHORT_ROUND_S, 600.0)
    assert plan_comparison(measuring, NOTHING, 10).rounds == 20
    requested = replace(NOTHING, rounds=1, window_s=7.0, passes=3, max_time_s=9.0)
    plan = plan_comparison(measuring, requested, 10)
    assert (plan.rounds, plan.window_s, plan.passes, plan.max_time_s) == (4, 7.0, 3, 9.0)
