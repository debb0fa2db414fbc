"""Which facts of a workload matter for a comparison, and the hash that identifies it."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from pytest_energy.model.measurement import Facts

HOW_IT_RAN: Final = frozenset({"data", "scale"})
"""Facts of a run that leave exact metrics alone."""


COUNTED_ON: Final = frozenset({"batch_size", "input_shape"})
"""Facts of a run that matter only where exact metrics were counted on what was run."""


def facts_workload(workload: Facts) -> Facts:
    """The part of a workload that its exact metrics (parameters, FLOPs) depend on.

    They hold at every scale and on any data. A workload with ``facts_input_shape`` says that they
    were counted on one sample of that shape, whatever was run; so they hold at every batch size and
    shape as well.
    """
    apart = HOW_IT_RAN | COUNTED_ON if "facts_input_shape" in workload else HOW_IT_RAN
    return {name: value for name, value in workload.items() if name not in apart}


def workload_hash(workload: Facts) -> str:
    """A short, stable hash of a workload: equal facts give equal hashes in any key order."""
    canonical = json.dumps(workload, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
