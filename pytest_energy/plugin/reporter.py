"""Report a run at the end of a session: its files, and the last lines of the log."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from _pytest.terminal import TerminalReporter  # exported by newer versions of pytest only

from pytest_energy.model.json_files import encodable_run
from pytest_energy.model.result import Run
from pytest_energy.report.ci.annotations import render_annotations
from pytest_energy.report.ci.detection import add_job_summary, for_this_ci, repository_folder
from pytest_energy.report.outputs import write_outputs
from pytest_energy.report.summary import headline
from pytest_energy.report.text.terminal import summary_lines
from pytest_energy.session.energy_session import keeps_earlier
from pytest_energy.settings import Settings, as_text

INTERRUPTED = pytest.StashKey[bool]()
"""Whether ``pytest.exit`` or the keyboard ended the session, perhaps with exit status 0."""
ENDED = pytest.StashKey[set[str]]()
"""The ids of the tests that have ended, and run no more."""
EARLY_EXITS = (
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.INTERNAL_ERROR,
    pytest.ExitCode.USAGE_ERROR,
)


class Interruption:
    """Notes that a session did not run to its end, whatever exit status it gives."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        config.stash[ENDED] = set()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test has ended."""
        self._config.stash[ENDED].add(nodeid)

    def pytest_keyboard_interrupt(self) -> None:
        """``pytest.exit`` or the keyboard has ended the session."""
        self._config.stash[INTERRUPTED] = True


@contextmanager
def ending_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the session as Ctrl-C does, with its files, its summary and a sentence.

    Whoever cancels a job sends it; by default it ends Python without any clean-up.
    """
    if threading.current_thread() is not threading.main_thread():  # Python allows no handler there
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> None:
    pytest.exit("SIGTERM ended the session; what was measured until then is kept")


def ran_all(session: pytest.Session, exitstatus: int) -> bool:
    """Whether a session ran to its end: not interrupted, nor stopped before its last test.

    A controller of workers knows no tests of its own, and takes each stop for an early one.
    """
    if exitstatus in EARLY_EXITS or session.config.stash.get(INTERRUPTED, False):
        return False
    if not (session.shouldstop or session.shouldfail):
        return True
    items = {item.nodeid for item in session.items}
    return bool(items) and items <= session.config.stash.get(ENDED, set())


def fail_session(session: pytest.Session, run: Run) -> None:
    """End with a failure if the run has failed, also where every test has passed."""
    if headline(run).failed and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class Reporter:
    """Writes the files of one run as soon as it ends, and its lines in pytest's summary.

    Args:
        config: The configuration of pytest.
        settings: The options in force.
        recovered: What was assembled from the journal of an interrupted session, for the header.
    """

    def __init__(
        self, config: pytest.Config, settings: Settings, recovered: str | None = None
    ) -> None:
        self._config = config
        self._recovered = recovered
        self._settings = for_this_ci(settings, os.environ)
        self._folder = repository_folder(config.rootpath, os.environ)
        self._started_in = config.invocation_params.dir
        self._run: Run | None = None
        self._written: list[Path] = []
        self._errors: list[str] = []
        self._unwritten = False

    def pytest_report_header(self) -> list[str]:
        """Say that an interrupted session has left results."""
        return [f"energy: {self._recovered}"] if self._recovered else []

    def report(self, run: Run, unsaved: str | None = None) -> None:
        """Write the files of a run, those for the CI system included.

        Args:
            run: The run; its results are already saved.
            unsaved: Why its results could not be saved; ``None`` if they are.
        """
        self._run = run = encodable_run(run)
        if keeps_earlier(run, self._settings):
            return
        written, errors = write_outputs(run, self._settings, self._folder)
        self._written = written if unsaved else [self._settings.json, *written]
        self._errors = [unsaved, *errors] if unsaved else errors
        self._unwritten = bool(self._errors)
        if run.benchmarks or run.run.uncompared:
            self._errors += add_job_summary(run, os.environ)
            if self._settings.comment is not None:
                from pytest_energy.report.ci.pull_request import post_comment

                self._errors += post_comment(run, self._settings.comment, os.environ)
        if run.benchmarks:
            self._call_hooks(run)

    def _call_hooks(self, run: Run) -> None:
        hooks = self._config.hook
        # A list of its own: a hook that sorts or filters the results changes no other output.
        own = run.model_copy(update={"benchmarks": [*run.benchmarks]})
        try:
            for returned in hooks.pytest_energy_outputs(config=self._config, run=own):
                self._add_paths(returned)
        except Exception as error:  # a hook of the project may raise anything
            self._errors.append(f"pytest_energy_outputs raised {type(error).__name__}: {error}")

    def _add_paths(self, returned: object) -> None:
        if isinstance(returned, Iterable) and not isinstance(returned, str | bytes):
            paths = [*returned]
            if all(isinstance(path, str | Path) for path in paths):
                self._written += map(Path, paths)
                return
        self._errors.append(
            f"pytest_energy_outputs in a conftest.py or plugin returned {as_text(returned)}:"
            " expected a list of paths, or None"
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """End with a failure if a file that was asked for could not be written."""
        yield
        if self._unwritten and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: TerminalReporter
    ) -> Generator[None, None, None]:
        """Write the summary below pytest's list of failures: people read a log's end first."""
        # The latencies are in the table of energies already; its comparison still runs.
        benchmarks = getattr(terminalreporter.config, "_benchmarksession", None)
        if benchmarks is not None and not self._settings.latency_table:
            benchmarks.quiet = True
        yield
        if self._run is not None:
            self._write(self._run, terminalreporter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Let go of the results: pytest and Python search all that is alive when they end."""
        self._run = None

    def _write(self, run: Run, terminal: TerminalReporter) -> None:
        if self._settings.annotations == "on":
            for command in render_annotations(run, self._folder):
                terminal.write_line(command)
        terminal.section("energy")
        verbose = terminal.config.get_verbosity() > 0
        for accepted in run.run.accepted if verbose else ():
            terminal.write_line(f"energy: accepted {accepted}")
        for text, style in summary_lines(run, terminal._tw.fullwidth, verbose=verbose):
            terminal.write_line(text, **({style: True} if style else {}))
        if keeps_earlier(run, self._settings):
            terminal.write_line(
                f"energy: nothing was measured; kept the earlier {self._settings.json}"
            )
        for path in self._written:
            shown = path
            if path.is_relative_to(self._started_in):
                shown = path.relative_to(self._started_in)
            terminal.write_line(f"energy: wrote {shown}")
        for error in self._errors:
            terminal.write_line(f"energy: {error}", red=True)
