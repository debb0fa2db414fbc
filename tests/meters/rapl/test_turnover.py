"""The helper process that counts the wraps of counters."""

import pytest

from pytest_energy.meters.helper_process import Question
from pytest_energy.meters.rapl.turnover import WrapCounter, serve


@pytest.fixture
def counter(tmp_path):
    """A counter file that begins at 90 and wraps after 99, and its helper."""
    path = tmp_path / "energy_uj"
    path.write_text("90")
    helper = WrapCounter([(path, 99)], period_s=3600)
    assert helper.totals_uj() == [0]  # it has looked
    yield path, helper
    helper.close()


def test_turns_are_added_up(counter):
    """Each reading adds the difference, also past the end of the range."""
    path, helper = counter
    totals = []
    for value in (95, 5, 4, 4, 90):
        path.write_text(str(value))
        totals.append(helper.totals_uj())

    assert totals == [[5], [15], [114], [114], [200]]


def test_it_looks_by_itself(tmp_path, capsys):
    """It reads every period without being asked: a wrap between two questions is not lost."""
    path = tmp_path / "energy_uj"
    path.write_text("0")

    class Asked:
        events = iter([("60", False), ("20", False), ("30", True)])

        def next(self, period_s):
            value, asked = next(self.events, (None, False))
            if value is None:
                raise EOFError
            path.write_text(value)
            return Question("totals", "7") if asked else None

    with pytest.raises(EOFError):
        serve(Asked(), 1.0, [(path, 99)])

    assert capsys.readouterr().out == "7 [130]\n"


def test_a_helper_that_has_ended_says_nothing(counter):
    """After an error or a close there are no totals, instead of wrong ones."""
    path, helper = counter
    path.unlink()

    assert helper.totals_uj() is None
    assert helper.totals_uj() is None
    helper.close()
    helper.close()
    assert helper.totals_uj() is None
