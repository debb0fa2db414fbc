"""Measure what the plugin costs, and write the figures into ``docs/performance.md``.

Run it by hand, on a machine that does nothing else: ``python tests/performance/cost.py``. It takes
about a quarter of an hour, most of it for the history. ``cost.py without with`` measures two
sections only. Times are of the processor, so that waiting does not count.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a script
from tests.plugin.scripted import install

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"
SIZES = (50, 500, 5000)
"""Numbers of results, to show how the cost grows."""
MEASURING = ("--energy", "--energy-meter=scripted", "--energy-passes=20")
TESTS = """
import pytest
from scripted_meter import work

@pytest.mark.parametrize("case", range({count}))
def test_it(energy, case):
    energy(work, 1)
"""


@dataclass(frozen=True)
class Cost:
    """What a process has used."""

    cpu_s: float
    memory_mib: float


def cost_of(folder: Path, *arguments: str) -> Cost:
    """The cost of one session of pytest in a folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}"},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 5):  # 5: no test in the folder
        raise SystemExit(f"{' '.join(command)} in {folder} ended with {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def results_cost(folder: Path, count: int) -> Cost:
    """The cost of a session that measures, compares and writes so many results."""
    (folder / "test_it.py").write_text(TESTS.format(count=count))
    cost_of(folder, *MEASURING, "--energy-update", "--energy-baseline-runs=1")
    return cost_of(folder, *MEASURING)


def machine() -> str:
    """The machine, in words."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    return f"{model}, {os.cpu_count()} processors, Python {platform.python_version()}"


def measured_where() -> str:
    """The machine and its load, to be said once the figures are measured."""
    return f"Machine: {machine()}; load {os.getloadavg()[0]:.1f} at the end."


def with_energy() -> str:
    """What a session of many benchmarks costs."""
    rows = []
    for count in SIZES:
        with tempfile.TemporaryDirectory() as name:
            install(Path(name))
            cost = results_cost(Path(name), count)
        rows.append(f"| {count:,} | {cost.cpu_s:.1f} s | {cost.memory_mib:.0f} MiB |")
    return f"""## With `--energy`

The session has tests with baselines. Each test is measured (its body takes no time), compared, kept
in the journal, and written to `results.json` and `report.html` at the end. The figures are those of
the whole process, pytest and pytest-benchmark included.

| results | processor | memory |
|---|---|---|
{chr(10).join(rows)}

{measured_where()}"""


def output_of(*arguments: str) -> str:
    """What another script of this folder prints."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def without_energy() -> str:
    """What the plugin costs if it is not used."""
    return f"""## Without `--energy`

`python tests/performance/startup.py` runs sessions with and without the plugin in turn, each forked
from a process that has imported pytest and all other plugins. A cost is the median of the
differences of such pairs, in milliseconds of the processor. The fixture is compared with a fixture
of the project's own.

{output_of("tests/performance/startup.py").strip()}

{measured_where()}"""


def report() -> str:
    """The page of a thousand benchmarks."""
    text = output_of("tests/performance/report_size.py", "1000")
    return f"""## The page of 1,000 benchmarks

`python tests/performance/report_size.py 1000` needs Chromium. "Written" is the time from the run in
memory to the file, and "drawn" the time until the browser has painted it; in brackets are seconds
of the processor.

```text
{text.strip()}
```

{measured_where()}"""


def history() -> str:
    """The history of a million results."""
    text = output_of("-m", "tests.performance.history", "--dashboard")
    return f"""## The history of 1,000 runs of 1,000 benchmarks

`python -m tests.performance.history --dashboard` adds the runs one by one, then queries the store
and writes the dashboard.

```text
{text.strip()}
```

{measured_where()}"""


SECTIONS = {
    "without": without_energy,
    "with": with_energy,
    "report": report,
    "history": history,
}
HEAD = """# Performance

`python tests/performance/cost.py` measures these figures and writes this page; with names of
sections it renews these only. Times are of the processor unless said otherwise.
"""


def renewed(page: str, names: Sequence[str]) -> str:
    """The page with these sections measured anew, and the others as they were."""
    marked = {name: f"<!-- {name} -->" for name in SECTIONS}
    parts = {
        name: page.partition(mark)[2].partition("<!-- ")[0].strip() for name, mark in marked.items()
    }
    parts |= {name: SECTIONS[name]() for name in names}
    listed = [f"{marked[name]}\n\n{text}\n" for name, text in parts.items() if text]
    return "\n".join([HEAD, *listed])


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=PAGE, metavar="FILE")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    asked = parser.parse_args()
    if unknown := set(asked.sections) - SECTIONS.keys():
        parser.error(f"no section {min(unknown)}; choose from {', '.join(SECTIONS)}")
    output: Path = asked.output
    before = output.read_text("utf-8") if output.exists() else ""
    output.write_text(renewed(before, asked.sections or [*SECTIONS]), encoding="utf-8")
    print(output)


if __name__ == "__main__":
    main()
