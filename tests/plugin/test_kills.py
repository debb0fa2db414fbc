"""Sessions that are killed at random moments; ``python -m tests.kills`` kills hundreds."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from tests.kills import KINDS, KilledSession


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_session_loses_nothing_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    """The next session has all its results; no process and no temporary file is left."""
    assert KilledSession(tmp_path, kind, Random(7)).run() == []
