"""Candidates in turn: the order of their windows, their passes, and the time limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.measuring.alternation import alternate, size_blocks
from pytest_energy.measuring.protocol import Finished, Forecast, Plan, Progress, Work
from pytest_energy.measuring.window import Window
from pytest_energy.model.measurement import Reason, ReasonCode, Round

PLAN = Plan(None, rounds=6, window_s=10.0)


@dataclass
class Bench:
    """Candidates with a latency each, on a clock of their own."""

    latencies_s: dict[str, float]
    first_pass_s: float = 0.0
    """What the first pass of each candidate takes longer."""
    faults: dict[int, ReasonCode] = field(default_factory=dict)
    """By number of the window, from 1."""
    now_s: float = 0.0
    order: str = ""
    """The candidates in the order of their windows."""
    passes: list[int] = field(default_factory=list)

    def works(self) -> dict[str, Callable[[int], None]]:
        """The work of each candidate."""
        return {name: self._work(name) for name in self.latencies_s}

    def _work(self, name: str) -> Callable[[int], None]:
        started = False

        def work(passes: int) -> None:
            nonlocal started
            self.now_s += passes * self.latencies_s[name] + (0 if started else self.first_pass_s)
            started, self._last = True, name

        return work

    def measure(self, work: Work, passes: int) -> Window:
        """A window with 1 J a second."""
        begin_s = self.now_s
        work(passes)
        self.order += self._last
        self.passes.append(passes)
        duration_s = self.now_s - begin_s
        code = self.faults.get(len(self.order))
        reasons = [Reason(code=code, message="")] if code else []
        return Window(
            Round(
                start=0, duration_s=duration_s, passes=passes, energy_j=duration_s, reasons=reasons
            )
        )

    def run(self, plan: Plan, **extra: Callable[..., None]) -> dict[str, Finished]:
        """Measure all candidates."""
        return alternate(self.works(), plan, self.measure, clock=lambda: self.now_s, **extra)  # type: ignore[arg-type]


def test_each_block_is_measured_forwards_and_backwards() -> None:
    """ABBA for two, ABCCBA for three."""
    two, three = Bench({"a": 1.0, "b": 1.0}), Bench({"a": 1.0, "b": 1.0, "c": 1.0})
    finished = two.run(PLAN)
    three.run(PLAN)
    assert (two.order, three.order) == ("ABBA".lower() * 3, "ABCCBA".lower() * 3)
    assert [len(done.rounds) for done in finished.values()] == [6, 6]


def test_all_windows_have_the_passes_that_fill_the_fastest() -> None:
    """Ten seconds of the fast one, twenty of the slow one."""
    bench = Bench({"slow": 2.0, "fast": 1.0})
    bench.run(PLAN)
    assert set(bench.passes) == {10}


def test_a_slow_first_pass_does_not_count() -> None:
    """A compiler ran: the windows that follow are too short, and are measured again."""
    bench = Bench({"a": 0.01, "b": 0.01}, first_pass_s=9.0)
    finished = bench.run(PLAN)
    assert {len(done.rounds) for done in finished.values()} == {6}
    durations_s = [measured.duration_s for done in finished.values() for measured in done.rounds]
    assert durations_s == pytest.approx([10.0] * 12, rel=0.01)


def test_the_time_limit_cuts_passes_first_and_then_blocks() -> None:
    """No window is shorter than the meter resolves, and two blocks always run."""
    passes = size_blocks(Plan(None, 12, window_s=10.0, max_time_s=60.0), [0.1, 0.1])
    assert (passes.passes, passes.rounds) == (25, 12)
    resolved = Plan(None, 12, window_s=10.0, max_time_s=60.0, shortest_window_s=4.0)
    blocks = size_blocks(resolved, [0.1, 0.1])
    assert (blocks.passes, blocks.rounds) == (60, 4)
    fewest = size_blocks(Plan(None, 12, window_s=1.0, max_time_s=1.0), [30.0, 30.0])
    assert (fewest.passes, fewest.rounds) == (1, 4)


def test_what_was_cut_is_in_the_remarks_of_each_candidate() -> None:
    """With the number of rounds that ran."""
    bench = Bench({"a": 10.0, "b": 20.0})
    finished = bench.run(Plan(None, rounds=12, window_s=10.0, max_time_s=130.0))
    for done in finished.values():
        assert len(done.rounds) == 4
        assert [reason.code for reason in done.reasons] == [ReasonCode.TIME_LIMIT]


def test_candidates_that_get_slower_stop_in_time() -> None:
    """The limit holds for what was measured, not only for what the warm-up promised."""
    bench = Bench({"a": 1.0, "b": 1.0})

    def slower(progress: Progress) -> None:
        if progress.round == 2:
            bench.latencies_s = {"a": 5.0, "b": 5.0}

    finished = bench.run(Plan(None, rounds=12, window_s=5.0, max_time_s=120.0), watch=slower)
    assert len(finished["a"].rounds) == 4


def test_nothing_more_is_measured_without_a_device() -> None:
    """A lost device ends the comparison."""
    bench = Bench({"a": 1.0, "b": 1.0}, faults={3: ReasonCode.DEVICE_LOST})
    bench.run(PLAN)
    assert bench.order == "abba"


def test_cost_and_progress_are_said() -> None:
    """Before the first window, and before each walk through the candidates."""
    bench = Bench({"a": 1.0, "b": 2.0})
    forecasts: list[Forecast] = []
    updates: list[Progress] = []
    bench.run(PLAN, announce=forecasts.append, watch=updates.append)
    assert forecasts == [Forecast(180.0, None)]
    assert [update.round for update in updates] == list(range(7))
    assert (updates[-1].left_s, updates[-1].energy_j) == (pytest.approx(30), pytest.approx(150))


@given(
    st.lists(st.floats(1e-6, 100), min_size=2, max_size=4),
    st.floats(0.1, 1000),
    st.integers(2, 20),
)
def test_a_plan_keeps_its_limit_or_is_the_least_possible(
    latencies_s: list[float], limit_s: float, blocks: int
) -> None:
    """Whatever the latencies: the planned seconds fit, or two blocks of single passes remain."""
    size = size_blocks(Plan(None, 2 * blocks, window_s=2.0, max_time_s=limit_s), latencies_s)
    planned_s = size.passes * size.rounds * sum(latencies_s)
    assert planned_s <= limit_s * (1 + 1e-6) or (size.passes, size.rounds) == (1, 4)
    assert size.rounds % 2 == 0
