"""The package with a changed module, run in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def output_of(
    folder: Path, module: str, script: str, *replacements: tuple[str, str]
) -> dict[str, object]:
    """The JSON that ``script`` prints with a copy of the package.

    Args:
        folder: An empty folder for the copy.
        module: The one module of ``model/`` that is changed.
        script: Python.
        replacements: Text that the module has once, and what stands there instead.
    """
    shutil.copytree(ROOT / "pytest_energy", folder / "pytest_energy")
    shutil.copytree(ROOT / "templates", folder / "templates")
    path = folder / "pytest_energy" / "model" / module
    text = path.read_text("utf-8")
    for before, after in replacements:
        assert text.count(before) == 1
        text = text.replace(before, after)
    path.write_text(text, "utf-8")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found
