"""The processor of a slice."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import os, threading
from pytest_energy.measuring.processor import STAY, same_processor

def places(numbers):
    found = []
    for number in numbers:
        with same_processor(number):
            found.append(sorted(os.sched_getaffinity(0)))
    return found

before = os.sched_getaffinity(0)
first, again, other = places([0, STAY - 1, STAY])
assert len(first) == 1 and again == first and other != first, (first, again, other)
assert os.sched_getaffinity(0) == before
end = threading.Event()
threading.Thread(target=end.wait).start()
assert places([0, STAY]) == [sorted(before)] * 2
end.set()
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two processors",
)
def test_slices_of_one_number_share_a_processor() -> None:
    """Afterwards all are allowed again; a process of several threads is not moved."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
