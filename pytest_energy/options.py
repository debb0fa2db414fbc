"""The options and the files of ``--energy-output``, as ``options.json`` declares them.

pytest reads that file at every start, and not this module: to find and load a module of a plugin
takes pytest five times as long. Formats and defaults are in :mod:`pytest_energy.settings`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DECLARED: Final = json.loads(Path(__file__).with_suffix(".json").read_bytes())

ENOUGH_RUNS: Final = 8
"""From this number of accepted runs on, a baseline knows how much runs vary."""

OUTPUT_FILES: Final[Mapping[str, str]] = DECLARED["output_files"]
"""The formats of ``--energy-output``, and the names of their files in the default folder.

That of ``code-quality`` is GitLab's own, which jobs are copied from.
"""


@dataclass(frozen=True)
class Option:
    """One option of the command line and its ini twin."""

    attribute: str
    """The field of :class:`pytest_energy.settings.Settings`."""
    help: str
    """Its line of ``--help``."""
    metavar: str | None = None
    """The placeholder of its value; ``None`` for a flag."""
    nargs: str | None = None
    """``?`` if the option may stand without a value."""
    action: str = "store"
    """What argparse does with it; ``append`` if it may be repeated."""
    const: str | None = None
    """Its value if it stands without one."""

    @property
    def name(self) -> str:
        """The name as in ``--energy-NAME``."""
        return self.attribute.replace("_", "-")

    @property
    def flag(self) -> str:
        """The command-line spelling."""
        return f"--energy-{self.name}"

    @property
    def ini(self) -> str:
        """The ini spelling."""
        return f"energy_{self.attribute}"

    @property
    def joined_by(self) -> str:
        """What stands between its texts if it is repeated."""
        return "\n" if self.attribute == "output" else ","


def _options() -> tuple[Option, ...]:
    sections: Mapping[str, Mapping[str, Any]] = DECLARED["sections"]
    return tuple(
        Option(attribute, **keywords)
        for options in sections.values()
        for attribute, keywords in options.items()
    )


OPTIONS: Final = _options()
"""All options but ``--energy``."""

ALIASES: Final = tuple(
    # --energy-json=FILE is --energy-output=json:FILE
    Option(output.replace("-", "_"), f"same as --energy-output={output}:FILE", "FILE")
    for output in OUTPUT_FILES
)
"""Other spellings of ``--energy-output``, one for each format; ``--help`` does not list them."""
