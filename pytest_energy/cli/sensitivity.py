"""Show the smallest detectable change, and what it costs to see a smaller one.

A change is detectable if the gate distinguishes it from no change with a probability of 95 %. The
table shows the smallest such change after the first visit to the benchmark and after the last visit
that the adaptive protocol allows. It follows from the scatter of the accepted runs.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--baselines",
        type=Path,
        default=Path("baselines"),
        metavar="DIR",
        help="folder of the baselines [%(default)s]",
    )
    parser.add_argument(
        "--change",
        type=float,
        default=0.03,
        metavar="FRACTION",
        help="relative change to detect [%(default)s]",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one table for each machine."""
    from pytest_energy.errors import UsageError
    from pytest_energy.gate.baseline_store import BaselineStore
    from pytest_energy.gate.detectability import sensitivity
    from pytest_energy.report import numbers
    from pytest_energy.report.text.align import aligned

    if not 0 < arguments.change < math.inf:
        raise UsageError(
            f"--change {arguments.change:g}: a number above 0 is expected, such as 0.03 for 3 %"
        )
    store = BaselineStore(arguments.baselines)
    change = numbers.percent(arguments.change, sign=False)
    heads = ("benchmark", "runs", "first visit", "last visit", f"rounds for {change}", "energy")
    for slug in store.slugs():
        baselines = store.load_all(slug)
        rows = [
            (
                baseline.id,
                str(len(baseline.level("energy_j"))),
                numbers.percent(limits.first),
                numbers.percent(limits.last),
                "not detectable" if limits.rounds is None else str(limits.rounds),
                numbers.energy(limits.energy_j),
            )
            for baseline in baselines
            # More comparisons in the suite make the gate stricter for each of them.
            if (limits := sensitivity(baseline, arguments.change, family=len(baselines)))
        ]
        print(f"{slug}\n{aligned([heads, *rows])}\n")
    if not store.slugs():
        print(
            f"no energy baselines in {arguments.baselines}; record some on the machine that"
            " measures, with pytest --energy --energy-update"
        )
    return 0
