"""The findings of a session: visits, results, accepted baselines. Its only mutable part."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from pytest_energy.clocks import CLOCK
from pytest_energy.gate.decision import RevisitReason
from pytest_energy.model.comparison import Against
from pytest_energy.model.measurement import Measurement
from pytest_energy.model.result import Result, Run, UnpassedTest
from pytest_energy.session.suite_shift import CommonChanges
from pytest_energy.uncertainty.change import Change


@dataclass
class RunRecord:
    """All findings of a running session; written through its methods only."""

    created: str = field(
        default_factory=lambda: f"{datetime.fromtimestamp(CLOCK.time(), UTC):%Y-%m-%dT%H:%M:%SZ}"
    )
    """UTC, in the format of ``results.json``."""
    _opened_s: float = field(default_factory=time.perf_counter)
    _results: dict[str, Result] = field(default_factory=dict)
    _changes: CommonChanges = field(default_factory=CommonChanges)
    _visits: defaultdict[str, list[Measurement]] = field(default_factory=lambda: defaultdict(list))
    # Sums, since each verdict asks for them.
    _retried_s: float = 0.0
    _retried_j: float = 0.0
    _concluded: Counter[str] = field(default_factory=Counter)
    """The number of visits that are in a baseline, by benchmark."""
    _revisits: dict[str, RevisitReason] = field(default_factory=dict)
    _earlier_visits: int = 0
    _fixed_passes: dict[str, int] = field(default_factory=dict)
    _accepted: dict[Path, None] = field(default_factory=dict)
    _refused: list[str] = field(default_factory=list)
    _against: Against | None = None
    _unpassed: tuple[UnpassedTest, ...] = ()
    _exit_status: int | None = None
    _closed: Run | None = None
    _unsaved: str | None = None

    @property
    def results(self) -> Mapping[str, Result]:
        """By id, in the order of their first appearance."""
        return MappingProxyType(self._results)

    def keep(self, result: Result) -> None:
        """Store a result, and replace an earlier one of the same benchmark."""
        self._results[result.id] = result
        self._changes.replace(result)

    def shifts(self) -> dict[str, Change]:
        """The change that the results have in common, by metric."""
        return self._changes.shifts()

    @property
    def revisits(self) -> Mapping[str, RevisitReason]:
        """Benchmarks that must be measured again, by id, each with the reason."""
        return MappingProxyType(self._revisits)

    def set_revisit(self, test_id: str, reason: RevisitReason | None) -> None:
        """Note why a benchmark must be measured again; ``None`` if it need not."""
        self._revisits.pop(test_id, None)
        if reason is not None:
            self._revisits[test_id] = reason

    def visits(self, test_id: str) -> tuple[Measurement, ...]:
        """All visits of a test, also those that another plugin started."""
        return tuple(self._visits[test_id][self._concluded[test_id] :])

    def add_visit(self, measured: Measurement) -> tuple[Measurement, ...]:
        """Store a visit and return all that belong together, this one last."""
        visits = self._visits[measured.id]
        if visits:
            self._add_spent(measured)
        visits.append(measured)
        return self.visits(measured.id)

    def _add_spent(self, visit: Measurement, sign: int = 1) -> None:
        self._retried_s += sign * sum(round_.duration_s for round_ in visit.rounds)
        self._retried_j += sign * sum(round_.energy_j or 0.0 for round_ in visit.rounds)

    def drop_visit(self, test_id: str) -> None:
        """Forget the last visit, of a test that failed."""
        visits = self._visits[test_id]
        dropped = visits.pop()
        if visits:
            self._add_spent(dropped, -1)

    def begin_anew(self, test_id: str) -> None:
        """Let later visits make a new measurement: those so far are in the baseline."""
        self._concluded[test_id] = len(self._visits[test_id])

    def visit_number(self, test_id: str) -> int:
        """The number of a benchmark's next visit, from 1."""
        return self._earlier_visits + len(self.visits(test_id)) + 1

    def note_earlier_visits(self, count: int) -> None:
        """Note how often other processes have measured the test that runs next."""
        self._earlier_visits = count

    @property
    def retried_s(self) -> float:
        """Seconds of the rounds of all visits but the first of each benchmark."""
        return self._retried_s

    @property
    def retried_j(self) -> float:
        """Joules of the same rounds."""
        return self._retried_j

    @property
    def fixed_passes(self) -> Mapping[str, int]:
        """Passes of the fixed protocol, for benchmarks that ran adaptive rounds."""
        return MappingProxyType(self._fixed_passes)

    def note_fixed_passes(self, test_id: str, passes: int) -> None:
        """Note the number of passes of the fixed protocol."""
        self._fixed_passes[test_id] = passes

    @property
    def accepted(self) -> tuple[Path, ...]:
        """The baseline files that this session wrote, each once."""
        return tuple(self._accepted)

    def note_accepted(self, paths: Iterable[Path]) -> None:
        """Note baseline files that were written."""
        self._accepted |= dict.fromkeys(paths)

    @property
    def refused(self) -> tuple[str, ...]:
        """Why results were not accepted as baselines, one sentence for each."""
        return tuple(self._refused)

    def note_refused(self, why: str) -> None:
        """Note why a result was not accepted as a baseline."""
        self._refused.append(why)

    @property
    def against(self) -> Against | None:
        """The other revision, if the run is compared with one."""
        return self._against

    def note_against(self, against: Against) -> None:
        """Note how far the comparison with another revision is."""
        self._against = against

    @property
    def unpassed(self) -> tuple[UnpassedTest, ...]:
        """The tests of the session that failed or were skipped, once it has ended."""
        return self._unpassed

    @property
    def exit_status(self) -> int | None:
        """The exit status of pytest, once it is known."""
        return self._exit_status

    def note_tests(self, unpassed: Iterable[UnpassedTest], exit_status: int) -> None:
        """Note how the tests of the session ended."""
        self._unpassed, self._exit_status = tuple(unpassed), exit_status

    @property
    def unsaved(self) -> str | None:
        """Why the results on disk are out of date; ``None`` if they are not."""
        return self._unsaved

    def note_saving(self, failure: str | None) -> None:
        """Note whether the results could be saved."""
        self._unsaved = failure

    @property
    def duration_s(self) -> float:
        """Seconds since the session was opened."""
        return round(CLOCK.perf_counter() - self._opened_s, 3)

    @property
    def closed(self) -> Run | None:
        """The finished run, once the session is closed."""
        return self._closed

    def close(self, run: Run) -> None:
        """Keep the finished run."""
        self._closed = run
