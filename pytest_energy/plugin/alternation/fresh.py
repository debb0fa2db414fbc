"""Each visit of a test in a fresh process: the hooks of a session with ``--energy-fresh``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pytest_energy.against.blocks import run_alone
from pytest_energy.against.messages import SideRun
from pytest_energy.against.side import SideFailedError, SidePlan
from pytest_energy.against.trees import Tree
from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.fixture import Energy
from pytest_energy.measuring.torchrun import Ranks
from pytest_energy.model.measurement import is_control
from pytest_energy.model.result import Result
from pytest_energy.plugin.alternation.handover import (
    fail_as_in_side,
    report_phases,
    side_arguments,
)
from pytest_energy.plugin.items.phases import Visit
from pytest_energy.plugin.items.requests import uses_energy
from pytest_energy.plugin.items.rerun import RERUN_REASON
from pytest_energy.plugin.measuring_hooks import EnergyPlugin, fail_if_regressed
from pytest_energy.plugin.progress import ProgressLine
from pytest_energy.settings import Settings


def check_fresh(
    config: pytest.Config, settings: Settings, ranks: Ranks | None, *, workers: bool
) -> None:
    """Refuse what has no fresh processes, or needs none.

    Raises:
        UsageError: An option that excludes them is set.
    """
    where = "--energy-fresh"
    if not hasattr(os, "killpg"):
        raise UsageError(
            f"{where}: not possible on this system, which has no process groups to end the"
            " processes with"
        )
    if settings.against is not None:
        raise UsageError(
            f"{where}: --energy-against measures each block in fresh processes anyway; leave out"
            f" {where}"
        )
    if ranks is not None:
        raise UsageError(f"{where}: not possible under torchrun, which starts the processes itself")
    if workers:
        raise UsageError(f"{where}: not possible with pytest-xdist; leave out -n")
    if config.getoption("usepdb", False) or config.getoption("trace", False):
        raise UsageError(f"{where}: the processes have no terminal for --pdb or --trace")


class FreshPlugin(EnergyPlugin):
    """Lets a fresh process measure each visit, and decides here.

    A test's fixtures are set up in its own process only.
    """

    def __init__(self, *arguments: object, **keywords: object) -> None:
        super().__init__(*arguments, **keywords)  # type: ignore[arg-type]
        self._visits: dict[str, int] = {}
        self._leave = ExitStack()

    def pytest_report_collectionfinish(self) -> list[str]:
        """Return the header."""
        lines = super().pytest_report_collectionfinish()
        return [*lines, "energy: each visit is a fresh process (--energy-fresh)"] if lines else []

    # Beside the wrapper of the base class, which holds the locks on the devices meanwhile.
    @pytest.hookimpl(tryfirst=True, specname="pytest_runtest_protocol")
    def pytest_runtest_protocol_apart(self, item: pytest.Item) -> bool | None:
        """Run a test in a fresh process, and report it as a test of this session."""
        if self._session is None or not uses_energy(item):
            return None
        item.stash[RERUN_REASON] = None
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._run_apart(item):
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _run_apart(self, item: pytest.Item) -> list[pytest.TestReport]:
        visit = self._visits[item.nodeid] = self._visits.get(item.nodeid, 0) + 1
        if isinstance(self._progress, ProgressLine):
            self._progress.show(f"visit {visit}, a fresh process · {item.nodeid}")
        done: SideRun | SideFailedError
        try:
            with TemporaryDirectory(prefix="pytest-energy-fresh-") as folder:
                done = run_alone(self._plan(item, Path(folder)), item.nodeid, visit)
        except SideFailedError as error:
            done = error
        except EnergyError as error:
            raise pytest.UsageError(str(error)) from None
        finally:
            if self._progress:
                self._progress.clear()
        return report_phases(item, self._body(item, done))

    def _plan(self, item: pytest.Item, folder: Path) -> SidePlan:
        config, settings = self._config, self._settings
        root = config.rootpath
        files = [] if is_control(item.nodeid) else [item.path]
        arguments = side_arguments(config, settings, Tree(root, root), folder, files)
        # A visit is as long as it would be here, and that depends on baseline and update.
        arguments += [f"--energy-baselines={settings.baselines}"]
        arguments += [f"--energy-update={settings.update}"]
        return SidePlan(
            name="head",
            python=sys.executable,
            environment=None,
            tree=root,
            other=root,
            folder=config.invocation_params.dir,
            paths=tuple(sys.path),
            arguments=tuple(arguments),
            variables=os.environ,
            timeout_s=None,
            alternates=False,
            checks_imports=False,
        )

    def _body(self, item: pytest.Item, done: SideRun | SideFailedError) -> Callable[[], None]:
        """Return what gives the report of the test its outcome."""
        assert isinstance(item, pytest.Function)

        def body() -> None:
            if isinstance(done, SideFailedError):
                how = f"its process {done.how}"
                fail_as_in_side(f"{item.nodeid}: {how}\n{done.log}".rstrip(), how)
            if done.outcome == "skipped":
                raise pytest.skip.Exception(done.text.removeprefix("Skipped: "))
            failed = done.outcome != "passed"
            results = self._conclude(item, list(done.measurements), failed=failed)
            # The process has ended, its teardown included, so the outcome is known.
            self.settle(item, Visit(Energy()))
            if failed:
                fail_as_in_side(done.text or done.error, done.error)
            fail_if_regressed(results)

        return body

    def _publish_latency(self, item: pytest.Item, results: list[Result]) -> None:
        """Publish nothing: pytest-benchmark's fixture was set up in the process of the test."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Save the results and write the reports."""
        with self._leave:
            super().pytest_sessionfinish(session, exitstatus)
