"""Keep reports of a test back until it is known whether the test runs again.

Other plugins must not see the runs of a test that only lead to another run: they would count the
test several times. No hook of pytest can prevent a report, and the test may be run by any plugin
(pytest-rerunfailures, flaky). So calls of the reporting hooks are stopped where pluggy makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest
from _pytest.terminal import TerminalReporter  # exported by newer versions of pytest only
from pluggy import HookImpl

REPORTING = ("pytest_runtest_logstart", "pytest_runtest_logreport", "pytest_runtest_logfinish")


class HeldReports:
    """What pytest would have reported of one test.

    Args:
        item: The test.
        runs_again: Whether the present run of the test leads to another one.
        next_item: Returns the test that really follows, at the teardown of such a run.
    """

    def __init__(
        self,
        item: pytest.Item,
        runs_again: Callable[[], bool],
        next_item: Callable[[pytest.Item | None], pytest.Item | None],
    ) -> None:
        self._item = item
        self._runs_again = runs_again
        self._next_item = next_item
        self._terminal = own_terminal(item.config)
        self._held: list[tuple[str, dict[str, Any]]] = []
        self._live = False
        """Whether reports of the present run go out at once."""
        self._releasing = False

    @contextmanager
    def hold(self) -> Generator[None, None, None]:
        """Hold reports in the body of the ``with`` statement; release the rest if it raises."""
        undo = self._item.config.pluginmanager.add_hookcall_monitoring(
            self._before, lambda outcome, name, impls, arguments: None
        )
        try:
            yield
        except BaseException:
            self._release()
            raise
        finally:
            undo()

    def interim(self, outcome: str) -> None:
        """Show an interim run on pytest's own terminal, and drop its reports."""
        reports = [arguments["report"] for name, arguments in self._held if "report" in arguments]
        self._held.clear()
        report = next((report for report in reports if report.when == "call"), None)
        if self._terminal is not None and report is not None:
            report.outcome = outcome
            self._terminal.pytest_runtest_logreport(report)

    def _before(
        self, name: str, impls: Sequence[HookImpl], arguments: Mapping[str, object]
    ) -> None:
        """Stop a hook by removing its implementations: pluggy passes a copy of its own list."""
        called, values = cast("list[HookImpl]", impls), cast("dict[str, Any]", arguments)
        if name == "pytest_runtest_teardown" and self._runs_again():
            values["nextitem"] = self._next_item(values["nextitem"])
        if name not in REPORTING or self._releasing:
            return
        if name == "pytest_runtest_logstart":
            self._live = False  # another plugin runs the test once more
        report = values.get("report")
        if report is not None and not report.passed:
            self._release()  # a test that fails or skips does not run again
        if name == "pytest_runtest_logfinish" and not self._runs_again():
            self._release()
        if self._live and not self._runs_again():
            return
        self._held.append((name, dict(values)))
        # People want to see at once which test is running.
        shown = self._terminal if name == "pytest_runtest_logstart" else None
        called[:] = [impl for impl in called if shown is not None and impl.plugin is shown]

    def _release(self) -> None:
        held, self._held, self._live, self._releasing = self._held, [], True, True
        try:
            for name, arguments in held:
                getattr(self._item.ihook, name)(**arguments)
        finally:
            self._releasing = False


def own_terminal(config: pytest.Config) -> TerminalReporter | None:
    """Pytest's terminal reporter; ``None`` if there is none, or another plugin's in its place."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    return terminal if type(terminal) is TerminalReporter else None
