"""A small part of the study of changes, with its bounds."""

from __future__ import annotations

import pytest

from tests.history.study import NOISES, row


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.__name__)
def test_the_bounds_hold_for_scatter_of_one_percent(noise: object) -> None:
    """At most 0.2 false rises a hundred points, and 95 % of rises of 10 %."""
    _, _, false, _, tenth, *_ = row(noise, 0.01, 20)  # type: ignore[arg-type]
    assert float(false) <= 0.2
    assert float(tenth) >= 95
