"""The baseline files in a folder: finding, reading, checking and writing them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytest_energy.errors import EnergyError, FileFormatError, UsageError
from pytest_energy.gate.baseline import BASELINE_SCHEMA, Baseline
from pytest_energy.gate.baseline_paths import baseline_path
from pytest_energy.gate.make_baseline import WITH_JOULES, extended, facts_of
from pytest_energy.model.files import write_atomically
from pytest_energy.model.json_files import parse_json
from pytest_energy.model.measurement import (
    Environment,
    Measurement,
)

FACTS: Final = "facts"
"""The folder of what holds on any machine."""


class BaselineStore:
    """The baselines in a folder; each file is read once, however often it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, Baseline] = {}

    def path(self, test_id: str, slug: str) -> Path:
        """Where the baseline of a test on a machine lies."""
        return self.folder / slug / baseline_path(test_id)

    def load(self, test_id: str, slug: str) -> Baseline | None:
        """The baseline of a test on machines of this name, if there is one.

        Raises:
            FileFormatError: There is a file, but it is no baseline of that test.
        """
        path = self.path(test_id, slug)
        if not path.exists():
            return None
        found = self._read(path)
        if found.id != test_id:
            fault = f"id: {found.id!r} found, {test_id!r} expected in a file of this name"
            raise FileFormatError(path, "a baseline", (fault,))
        return found

    def load_facts(self, test_id: str) -> Baseline | None:
        """What was accepted of a test that holds on any machine."""
        return self.load(test_id, FACTS)

    def find(self, test_id: str, slug: str) -> Baseline | None:
        """The baseline of this machine, else another machine's, so that the difference shows."""
        for name in (slug, *self.slugs_with(test_id)):
            if kept := self.load(test_id, name):
                return kept
        return None

    def slugs(self) -> tuple[str, ...]:
        """The machines that have baselines, sorted."""
        if not self._exists():
            return ()
        names = sorted(path.name for path in self.folder.iterdir() if path.is_dir())
        return tuple(name for name in names if name != FACTS and not name.startswith("."))

    def slugs_with(self, test_id: str) -> tuple[str, ...]:
        """The machines that have a baseline of this test, sorted."""
        return tuple(slug for slug in self.slugs() if self.path(test_id, slug).exists())

    def load_all(self, slug: str) -> list[Baseline]:
        """Every baseline of a machine, sorted by test id.

        Raises:
            FileFormatError: One of them cannot be read.
        """
        found = (self._read(path) for path in self.paths() if path.parts[-3] == slug)
        return sorted(found, key=lambda kept: kept.id)

    def paths(self) -> Iterator[Path]:
        """Every baseline file, sorted."""
        if self._exists():
            yield from sorted(self.folder.glob("*/*/[!.]*.json"))

    def _exists(self) -> bool:
        """Whether there is a folder at all.

        Raises:
            UsageError: There is something else in its place.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(
                f"{self.folder}: no folder; baselines lie in one, which --energy-baselines names"
                " (pytest-energy: --baselines)"
            )
        return self.folder.is_dir()

    def check(self) -> None:
        """Read every file, so that a broken one is known before anything is measured.

        Raises:
            UsageError: The baselines' folder is none.
            FileFormatError: One file cannot be read.
            EnergyError: Several cannot; the text tells every fault of each.
        """
        broken: list[FileFormatError] = []
        for path in self.paths():
            try:
                self._check(path)
            except FileFormatError as error:
                broken.append(error)
        if len(broken) == 1:
            raise broken[0]
        if broken:
            raise EnergyError("\n".join(str(error) for error in broken))

    def _check(self, path: Path) -> None:
        found = self._read(path)
        due = self.path(found.id, path.parts[-3])
        if path != due:
            fault = f"id: that of {found.id!r} belongs in {due}; move the file there, or remove it"
            raise FileFormatError(path, "a baseline", (fault,))

    def save(
        self, result: Measurement, environment: Environment, slug: str, commit: str | None
    ) -> list[Path]:
        """Accept a result: its joules for machines of this name, its facts for any.

        Returns:
            The files that changed.

        Raises:
            EnergyError: The measurement is invalid.
        """
        if result.status == "invalid":
            reasons = "; ".join(reason.message for reason in result.reasons) or "reason not known"
            raise EnergyError(f"{result.id}: an invalid measurement is no baseline: {reasons}")
        made = {FACTS: facts_of(result)}
        if result.status in WITH_JOULES:
            made[slug] = extended(self.load(result.id, slug), result, environment, commit)
        written = [(self.path(result.id, name), kept) for name, kept in made.items() if kept]
        return [path for path, kept in written if self._write(path, kept)]

    def _read(self, path: Path) -> Baseline:
        if path not in self._known:
            try:
                text = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise FileFormatError(path, "a baseline", (str(error),)) from None
            self._known[path] = parse_json(text, Baseline, path, "a baseline", BASELINE_SCHEMA)
        return self._known[path]

    def _write(self, path: Path, baseline: Baseline) -> bool:
        """Write a file; one that says the same already is left alone."""
        if path.exists() and self._read(path) == baseline:
            return False
        write_atomically(path, dump_baseline(baseline))
        self._known[path] = baseline
        return True


def dump_baseline(baseline: Baseline) -> str:
    """The text of a baseline file: one key a line, sorted, what says nothing left out."""
    data = baseline.model_dump(by_alias=True, exclude_defaults=True)
    whole = {"schema": BASELINE_SCHEMA, "workload": baseline.workload, **data}
    return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
