"""Divide modules of tests among shards: the longest first, each onto the least loaded shard."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heapreplace


def divide(weights: Mapping[str, float], number: int) -> tuple[tuple[str, ...], ...]:
    """Divide modules into at most ``number`` shards of similar weight.

    The heaviest shard is at most 4/3 − 1/(3 ``number``) as heavy as in the best division. Source:
    R. L. Graham, "Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 17 (1969), on
    the rule "longest processing time first".

    Args:
        weights: What each module costs, in any unit, none below 0; in the order of the suite.
        number: At least 1.

    Returns:
        The modules of each shard, in the order of the suite; no shard is empty.
    """
    loads = [(0.0, shard) for shard in range(number)]
    heapify(loads)
    shards: list[set[str]] = [set() for _ in loads]
    for module in sorted(weights, key=lambda module: (-weights[module], module)):
        load, shard = loads[0]
        shards[shard].add(module)
        heapreplace(loads, (load + weights[module], shard))
    ordered = (tuple(module for module in weights if module in shard) for shard in shards)
    return tuple(filter(None, ordered))
