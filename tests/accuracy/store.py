"""What a run of the study has measured, so that one that was ended goes on from there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("pytest_energy/meters", "pytest_energy/uncertainty", "pytest_energy/simulation")

PROGRAMS = ("windows.py", "recorded.py", "rivals.py")


def state() -> str:
    """A hash of all code that measures: the meters, the simulation, and the study's programs."""
    here = [Path(__file__).parent / name for name in PROGRAMS]
    package = sorted(
        path
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".c", ".h"}
    )
    texts = [path.read_bytes() for path in (*package, *here)]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:12]


@dataclass(frozen=True)
class Store:
    """A folder with the lines that were measured, by what they are of and the state of the code."""

    folder: Path | None

    def holds(self, name: str) -> bool:
        """Whether this state of the code has been measured."""
        path = self._path(name)
        return path is not None and path.exists()

    def _path(self, name: str) -> Path | None:
        safe = "".join(c if c.isalnum() else "-" for c in name)
        return self.folder / state() / f"{safe}.jsonl" if self.folder else None

    def lines(self, name: str, measure: Callable[[], list[str]]) -> list[str]:
        """The stored lines of this state; if there are none, those that ``measure`` returns."""
        path = self._path(name)
        if path is None:
            return measure()
        if path.exists():
            return path.read_text("utf-8").splitlines()
        lines = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(".part")
        whole.write_text("\n".join(lines), "utf-8")
        whole.replace(path)
        return lines
