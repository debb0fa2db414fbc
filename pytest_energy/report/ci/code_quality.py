"""A run as a GitLab code quality report, which marks the test's line in a merge request.

A job declares it as ``artifacts: reports: codequality``. It is a list of objects with
``description``, ``check_name``, ``fingerprint``, ``severity`` and ``location``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import Any

from pytest_energy.model.result import Run
from pytest_energy.report.machines import Machines
from pytest_energy.report.sentences import mark_simulated, sentence


def render_code_quality(run: Run, folder: str = "") -> str:
    """JSON with one entry for each benchmark that fails or is worth a warning.

    Args:
        run: The run; results without a file are left out, because GitLab needs a place.
        folder: The tests' root folder, relative to the root of the repository.
    """
    machines = Machines(run)
    entries: list[dict[str, Any]] = []
    for result in run.benchmarks:
        outcome, fails = result.verdict.outcome, result.verdict.fails
        if not result.file or not (fails or outcome.traits.warns):
            continue
        path = str(PurePosixPath(folder, result.file))
        # GitLab compares the fingerprints of two branches to tell new entries from old ones, so
        # they must not contain a measured value.
        machine = machines.of(result)
        mark = mark_simulated(result, run)
        series = f"{result.id} {outcome.value} {machine}"
        fingerprint = hashlib.sha256(series.encode("utf-8", "surrogatepass")).hexdigest()
        entries.append(
            {
                "description": f"{mark}{result.id} on {machine}: {sentence(result)}",
                "check_name": f"energy-{outcome.value.replace(' ', '-')}",
                "fingerprint": fingerprint,
                "severity": "major" if fails else "info",
                "location": {"path": path, "lines": {"begin": result.line or 1}},
            }
        )
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
