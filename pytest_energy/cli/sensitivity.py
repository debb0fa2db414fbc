"""Say which change each benchmark can see, by the scatter of its accepted runs, and at what cost.

A change is detectable where it is told from no change with a probability of 95 %, after the first
visit to the benchmark and after as many visits as the adaptive protocol makes at most.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--baselines", type=Path, default=Path("baselines"), metavar="DIR", help="[%(default)s]"
    )
    parser.add_argument(
        "--change",
        type=float,
        default=0.03,
        metavar="FRACTION",
        help="change that one wishes to see [%(default)s]",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print a table, the machines one after the other."""
    from pytest_energy.errors import UsageError
    from pytest_energy.gate.baseline_store import BaselineStore
    from pytest_energy.gate.detectability import sensitivity
    from pytest_energy.report import numbers as format
    from pytest_energy.report.text.align import aligned

    if not 0 < arguments.change < math.inf:
        raise UsageError(
            f"--change {arguments.change:g}: a number above 0 is expected, 0.03 for 3 % say"
        )
    store = BaselineStore(arguments.baselines)
    wanted = format.percent(arguments.change, sign=False)
    heads = ("benchmark", "runs", "first visit", "at most", f"rounds for {wanted}", "cost")
    for slug in store.slugs():
        kept = store.load_all(slug)
        seen = [(one, sensitivity(one, arguments.change, family=len(kept))) for one in kept]
        rows = [
            (
                one.id,
                str(len(one.level("energy_j"))),
                format.percent(found.first),
                format.percent(found.last),
                "not within the visits" if found.rounds is None else str(found.rounds),
                format.energy(found.energy_j),
            )
            for one, found in seen
            if found
        ]
        print(f"{slug}\n{aligned([heads, *rows])}\n")
    if not store.slugs():
        print(f"no baselines with joules in {arguments.baselines}; record some on the machine that")
        print("measures: pytest --energy --energy-update")
    return 0
