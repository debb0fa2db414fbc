"""Adds the control's benchmarks to the collected tests, with ``--energy-control``."""

from __future__ import annotations

from types import ModuleType

import pytest

from pytest_energy.model.measurement import CONTROL_FILE
from pytest_energy.plugin.benchmark_bridge import install_replay_timer, needs_replay_timer


class ControlModule(pytest.Module):
    """A test file that is in no project: it has a path below the root, so that ids are alike."""

    def _getobj(self) -> ModuleType:
        from pytest_energy.plugin.control import benchmarks

        return benchmarks


class ControlCollection:
    """Puts the control at the beginning and at the end of the tests.

    Args:
        alternating: Whether two revisions are compared in alternation, block by block: then the
            beginning and the end of a session mean nothing, and the control runs once a block.
    """

    def __init__(self, *, alternating: bool) -> None:
        self._alternating = alternating

    # Last, so that neither -k nor another plugin deselects or reorders the control.
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Add the control."""
        path = session.config.rootpath / CONTROL_FILE
        module = ControlModule.from_parent(session, path=path)
        controls = list(session.genitems(module))
        for item in controls:
            # Reports show no path of the installed package, which differs between machines.
            item.__dict__["location"] = (CONTROL_FILE, None, item.name)
            if needs_replay_timer(item):
                install_replay_timer(item)
        begin = [item for item in controls if item.name.endswith("[begin]")]
        end = [item for item in controls if item not in begin]
        items[:] = [*begin, *items, *([] if self._alternating else end)]
