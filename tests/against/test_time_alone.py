"""Two revisions compared by their latency, on a machine whose joules nobody measures."""

from __future__ import annotations

import pytest

from tests.against.conftest import Repository

pytestmark = pytest.mark.slow


def test_without_a_meter_the_latency_gates(repository: Repository) -> None:
    """It takes the tolerance of the energy, and the missing joules decide nothing."""
    repository.write("engine.py", "import time\n\ndef run():\n    time.sleep(0.002)\n")
    done = repository.run(
        "--energy-against=self",
        "--energy-meter=none",
        "--energy-tolerance=0.5",
        "--energy-passes=2",
        "--energy-rounds=20",
    )
    assert done.returncode == 0, done.stdout
    assert "will measure no joules here (--energy-meter=none)" in done.stdout
    benchmark = repository.benchmark()
    assert (benchmark["status"], benchmark["verdict"]["outcome"]) == ("unmeasured", "unchanged")
    (metric,) = benchmark["verdict"]["metrics"]
    assert (metric["metric"], metric["tolerance"]) == ("latency_s", 0.5)
    assert len(benchmark["comparison"]["blocks"][0]["base"]) == 3
    assert benchmark["comparison"]["visible"].keys() == {"latency_s"}
    assert benchmark["comparison"]["options"] == ["--energy-meter=none"]
