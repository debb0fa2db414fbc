"""What the gate says of a metric or a benchmark: each outcome, described once."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """What the gate says of a metric or of a benchmark."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    INCONCLUSIVE = "inconclusive"
    NEW = "new"
    INCOMPARABLE = "incomparable"
    INVALID = "invalid"
    UNMEASURED = "unmeasured"


SEVERITY: Final = (
    Outcome.REGRESSED,
    Outcome.INVALID,
    Outcome.INCOMPARABLE,
    Outcome.INCONCLUSIVE,
    Outcome.UNMEASURED,
    Outcome.NEW,
    Outcome.IMPROVED,
    Outcome.UNCHANGED,
)
"""A benchmark's outcome is the first of these that one of its gated metrics has."""
