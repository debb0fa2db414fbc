"""The hooks of a session without ``--energy``: the same checks, and nothing is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.plugin.items.phases import VISIT, Phases
from pytest_energy.plugin.items.requests import MARKER, check_markers, requested_at_run_time

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_energy.fixture import Energy


class PlainPlugin(Phases):
    """Makes fixtures that run each benchmark once.

    Args:
        data_dir: The folder of ``--energy-data``.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._data_dir = data_dir

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Check all markers before any test runs."""
        using = check_markers(session.items)
        if not any(item.stash[MARKER].tolerances for item in using):
            return
        from pytest_energy.gate.tolerances import check_directions  # pydantic takes long to import

        try:
            check_directions({item.nodeid: item.stash[MARKER] for item in using}, {}, ())
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None

    def leave_body(self, item: pytest.Item) -> None:
        """Forget the run of the test: nothing is left to settle."""
        del item.stash[VISIT]

    # Called for failures alone: a hook for every report of every test would take longer.
    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector) -> None:
        """Note that a test has failed, such as in a subtest."""
        if (visit := node.stash.get(VISIT, None)) is not None:
            visit.failed = True

    def fixture(self, item: pytest.Item) -> Energy:
        """Return the ``energy`` fixture of one test."""
        __tracebackhide__ = True
        marker = item.stash.get(MARKER, None)
        if marker is None:
            raise requested_at_run_time(item.nodeid)
        from pytest_energy.fixture.energy import Energy  # pytest starts without it

        return Energy(self._data_dir, item.nodeid, marker)
