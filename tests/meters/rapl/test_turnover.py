"""The helper process that counts the wraps of counters."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.meters.helper_process import Question
from pytest_energy.meters.rapl.turnover import WrapCounter, WrapHistory, serve


@pytest.fixture
def counter(tmp_path):
    """A counter file that begins at 90 and wraps after 99, and its helper."""
    path = tmp_path / "energy_uj"
    path.write_text("90")
    helper = WrapCounter([(path, 99)], period_s=3600)
    yield path, helper
    helper.close()


def test_turns_are_added_up(counter):
    """Each reading adds the difference, also past the end of the range."""
    path, helper = counter
    began_s, totals = time.perf_counter(), []
    for value in (95, 5, 4, 4, 90):
        path.write_text(str(value))
        totals.append(helper.since(began_s, [90]))

    assert totals == [[5], [15], [114], [114], [200]]


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=20),
    st.integers(0, 20),
    st.integers(0, 99),
)
def test_energy_since_any_moment_has_all_wraps(parts, before, between):
    """From a reading between two looks, the sum up to the last look is exact."""
    history, total_uj, start_uj = WrapHistory([99], [0], 0.0), 0, 0
    for number, part in enumerate(parts):
        if number == min(before, len(parts) - 1):
            start_uj = total_uj + min(between, part)
        total_uj += part
        history.look([total_uj % 100], number + 1.0)
    moment_s = min(before, len(parts) - 1) + 0.5

    assert history.since(moment_s, [start_uj % 100]) == [total_uj - start_uj]


def test_it_looks_by_itself(tmp_path, capsys):
    """It reads every period without being asked: a wrap between two questions is not lost."""
    path = tmp_path / "energy_uj"
    path.write_text("0")
    began_s = time.perf_counter()

    class Asked:
        events = iter([("60", False), ("20", False), ("30", True)])

        def next(self, period_s):
            value, asked = next(self.events, (None, False))
            if value is None:
                raise EOFError
            path.write_text(value)
            return Question(f"{began_s} 0", "7") if asked else None

    with pytest.raises(EOFError):
        serve(Asked(), 1.0, [(path, 99)])

    assert capsys.readouterr().out == "7 [130]\n"


def test_a_helper_that_has_ended_says_nothing(counter):
    """After an error or a close there are no totals, instead of wrong ones."""
    path, helper = counter
    path.unlink()

    assert helper.since(0.0, [90]) is None
    assert helper.since(0.0, [90]) is None
    helper.close()
    helper.close()
    assert helper.since(0.0, [90]) is None
