"""A run as a GitLab code quality report, which marks the test's line in a merge request.

A job declares it as ``artifacts: reports: codequality``. It is a list of objects with
``description``, ``check_name``, ``fingerprint``, ``severity`` and ``location``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import Any

from pytest_energy.model.result import Result, Run
from pytest_energy.report.sentences import sentence


def render_code_quality(run: Run, folder: str = "") -> str:
    """JSON with one entry for each benchmark that fails or is worth a warning.

    Args:
        run: The run; results without a file are left out, because GitLab needs a place.
        folder: The tests' root folder, relative to the root of the repository.
    """
    entries = [
        _entry(result, PurePosixPath(folder, result.file))
        for result in run.benchmarks
        if result.file and (result.verdict.fails or result.verdict.outcome.traits.warns)
    ]
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def _entry(result: Result, path: PurePosixPath) -> dict[str, Any]:
    outcome = result.verdict.outcome.value
    return {
        "description": f"{result.id}: {sentence(result)}",
        "check_name": f"energy-{outcome}",
        "fingerprint": hashlib.sha256(f"{result.id} {outcome}".encode()).hexdigest(),
        "severity": "major" if result.verdict.fails else "info",
        "location": {"path": str(path), "lines": {"begin": result.line or 1}},
    }
