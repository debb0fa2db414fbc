"""Let pytest collect tests in a process of its own, and read what it recorded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

NO_TESTS: Final = 5
"""pytest's exit status if it collects no test."""
PLUGIN: Final = "pytest_energy.plugin.collect"
"""What writes the record."""


@dataclass(frozen=True)
class Collection:
    """How a collection ended."""

    arguments: tuple[str, ...]
    """Of Python; without those of the record."""
    status: int
    """pytest's exit status."""
    record: Mapping[str, Any]
    """What the plugin wrote; empty if pytest did not come so far."""
    output: tuple[str, ...]
    """The lines of standard output, and those of standard error behind them."""

    @property
    def errors(self) -> str:
        """The lines that name an error and those with its cause, or else the last line."""
        files = [line for line in self.output if line.startswith("ERROR")]
        # After the marks of pytest's tracebacks; the lines of a syntax error are indented.
        causes = [line[4:] for line in self.output if re.match(r"E   \w", line)]
        return "; ".join(dict.fromkeys([*files, *causes]) or self.output[-1:])


def run_collection(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Collection:
    """Collect tests in the current folder.

    Args:
        arguments: Of pytest.
        environment: All variables of the process; by default those of this one.
    """
    command = ("-m", "pytest", "--collect-only", *arguments)
    with TemporaryDirectory(prefix="pytest-energy-") as folder:
        answer = Path(folder, "collected.json")
        done = subprocess.run(
            [sys.executable, *command, "-p", PLUGIN, f"--collected={answer}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        record = json.loads(answer.read_text("utf-8")) if answer.exists() else {}
    output = [*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()]
    return Collection(command, done.returncode, record, tuple(output))
