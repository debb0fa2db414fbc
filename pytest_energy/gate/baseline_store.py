"""The baseline files in a folder: finding, reading, checking and writing them."""

from __future__ import annotations

from collections.abc import Iterator
from json import dumps  # a test may replace json.dumps
from pathlib import Path
from typing import Final

from pytest_energy.errors import EnergyError, FileFormatError, UsageError
from pytest_energy.gate.baseline import BASELINE_SCHEMA, Baseline
from pytest_energy.gate.baseline_paths import baseline_path
from pytest_energy.gate.make_baseline import extend_baseline, facts_baseline
from pytest_energy.model.files import is_folder, is_there, list_folder, write_atomically
from pytest_energy.model.json_files import encodable, encodable_text, parse_json, read_utf8
from pytest_energy.model.measurement import Environment, Measurement

FACTS: Final = "facts"
"""The folder of exact metrics, which hold on any machine."""


class BaselineStore:
    """The baselines in a folder. Each file is read at most once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cache: dict[Path, Baseline] = {}
        self._paths: dict[tuple[str, str], Path] = {}

    def path(self, test_id: str, slug: str) -> Path:
        """The path of a test's baseline on a machine, which is asked for again and again."""
        path = self._paths.get((test_id, slug))
        if path is None:
            path = self._paths[test_id, slug] = self.folder / slug / baseline_path(test_id)
        return path

    def load(self, test_id: str, slug: str) -> Baseline | None:
        """The baseline of a test on a machine; ``None`` if there is none.

        Raises:
            FileFormatError: The file is not a baseline of that test.
        """
        path = self.path(test_id, slug)
        if not is_there(path):
            return None
        baseline = self._read(path)
        if baseline.id != test_id:
            fault = f"id: {baseline.id!r} found, {test_id!r} expected in a file of this name"
            raise FileFormatError(path, "a baseline", (fault,))
        return baseline

    def load_facts(self, test_id: str) -> Baseline | None:
        """The baseline of a test's exact metrics."""
        return self.load(test_id, FACTS)

    def find(self, test_id: str, slug: str) -> Baseline | None:
        """The baseline of this machine, else another machine's, so that the difference shows."""
        for name in (slug, *self.slugs_with(test_id)):
            if baseline := self.load(test_id, name):
                return baseline
        return None

    def slugs(self) -> tuple[str, ...]:
        """The machines that have baselines, sorted."""
        if not self._folder_exists():
            return ()
        names = [path.name for path in list_folder(self.folder) if not path.name.startswith(".")]
        return tuple(name for name in names if name != FACTS)

    def slugs_with(self, test_id: str) -> tuple[str, ...]:
        """The machines that have a baseline of this test, sorted."""
        return tuple(slug for slug in self.slugs() if is_there(self.path(test_id, slug)))

    def load_all(self, slug: str) -> list[Baseline]:
        """Every baseline of a machine, sorted by test id.

        Raises:
            FileFormatError: One of them cannot be read.
        """
        baselines = (self._read(path) for path in self.paths() if path.parts[-3] == slug)
        return sorted(baselines, key=lambda baseline: baseline.id)

    def paths(self) -> Iterator[Path]:
        """Every baseline file, sorted."""
        if self._folder_exists():
            for machine in list_folder(self.folder):
                for tests in list_folder(machine):
                    for path in list_folder(tests):
                        if path.suffix == ".json" and not path.name.startswith("."):
                            yield path

    def _folder_exists(self) -> bool:
        """Whether the folder exists.

        Raises:
            UsageError: The path is not a folder.
        """
        if not is_there(self.folder):
            return False
        if not is_folder(self.folder):
            raise UsageError(
                f"{self.folder}: not a folder; name the folder of the baselines with"
                " --energy-baselines (pytest-energy: --baselines)"
            )
        return True

    def check(self) -> None:
        """Read every file, so that a broken one is reported before anything is measured.

        Raises:
            UsageError: The path of the baselines is not a folder.
            FileFormatError: One file cannot be read.
            EnergyError: Several files cannot be read. The message lists every fault of each.
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
        baseline = self._read(path)
        expected = self.path(baseline.id, path.parts[-3])
        if path != expected:
            fault = f"id: {baseline.id!r} belongs in {expected}; move the file there, or remove it"
            raise FileFormatError(path, "a baseline", (fault,))

    def save(
        self, result: Measurement, environment: Environment, slug: str, commit: str | None
    ) -> list[Path]:
        """Accept a result: its joules for this machine, its exact metrics for any.

        Returns:
            The files that changed.

        Raises:
            EnergyError: The measurement is invalid.
        """
        if result.status == "invalid":
            reasons = "; ".join(reason.message for reason in result.reasons) or "reason not known"
            raise EnergyError(
                f"{result.id}: an invalid measurement cannot be a baseline: {reasons}"
            )
        if encodable_text(result.id) != result.id:
            raise EnergyError(
                f"{encodable_text(result.id)}: cannot be a baseline, since half of a surrogate"
                " pair has no UTF-8; give the test or window another name"
            )
        baselines = {FACTS: facts_baseline(result)}
        if result.has_joules:
            older = self.load(result.id, slug)
            baselines[slug] = extend_baseline(older, result, environment, commit)
        by_path = {self.path(result.id, name): baseline for name, baseline in baselines.items()}
        return [path for path, new in by_path.items() if new and self._write(path, new)]

    def _read(self, path: Path) -> Baseline:
        if path not in self._cache:
            try:
                text = read_utf8(path, "a baseline")
            except OSError as error:
                raise FileFormatError(path, "a baseline", (str(error),)) from None
            self._cache[path] = parse_json(text, Baseline, path, "a baseline", BASELINE_SCHEMA)
        return self._cache[path]

    def _write(self, path: Path, baseline: Baseline) -> bool:
        """Write a file, unless it already has this content."""
        if is_there(path) and self._read(path) == baseline:
            return False
        write_atomically(path, dump_baseline(baseline))
        self._cache[path] = baseline
        return True


def dump_baseline(baseline: Baseline) -> str:
    """The text of a baseline file: one key a line, sorted, without defaults."""
    data = baseline.model_dump(exclude_defaults=True)
    whole = {"schema": BASELINE_SCHEMA, "workload": baseline.workload, **data}
    return dumps(encodable(whole), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
