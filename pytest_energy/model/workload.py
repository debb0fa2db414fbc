"""The facts of a workload that exact metrics depend on, and the hash that identifies it."""

from __future__ import annotations

import hashlib
from json import dumps  # a test may replace json.dumps
from typing import Final

from pytest_energy.model.measurement import Facts

HOW_IT_RAN: Final = frozenset({"data", "scale", "weights"})
"""Facts that exact metrics do not depend on."""
COUNTED_ON: Final = frozenset(
    {"batch_size", "images_per_epoch", "input_shape", "micro_batch", "steps_per_epoch"}
)
"""Facts that matter only if exact metrics were counted on the input that was run."""


def facts_workload(workload: Facts) -> Facts:
    """The part of a workload that its exact metrics (parameters, FLOPs) depend on.

    Exact metrics are the same at every scale, on any data and with any weights. With
    ``facts_input_shape`` in the workload, they were counted on one sample of that shape instead of
    the input that was run. They are then the same at every batch size, input shape and length of an
    epoch as well.
    """
    apart = HOW_IT_RAN | COUNTED_ON if "facts_input_shape" in workload else HOW_IT_RAN
    return {name: value for name, value in workload.items() if name not in apart}


def workload_hash(workload: Facts) -> str:
    """A short, stable hash of a workload: equal facts give equal hashes in any key order."""
    return hash_of(workload)


def hash_of(value: object) -> str:
    """A short, stable hash of a value of JSON, in any key order."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def canonical(value: object) -> str:
    """A value of JSON as the one text that all equal values have."""
    return dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
