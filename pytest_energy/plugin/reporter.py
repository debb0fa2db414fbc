"""The end of a session: the files that it leaves, and the last lines of its log."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from pytest_energy.model.result import Run
from pytest_energy.report.ci.annotations import render_annotations
from pytest_energy.report.ci.detection import add_job_summary, for_this_ci, repository_folder
from pytest_energy.report.outputs import write_outputs
from pytest_energy.report.text.terminal import summary_lines
from pytest_energy.settings import Settings

CUT_SHORT = (
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.INTERNAL_ERROR,
    pytest.ExitCode.USAGE_ERROR,
)


def ran_all(session: pytest.Session, exitstatus: int) -> bool:
    """Whether a session came to its end: nobody interrupted it, and ``-x`` did not stop it."""
    return exitstatus not in CUT_SHORT and not (session.shouldstop or session.shouldfail)


class Reporter:
    """Reports one run: its files when it is known, its lines when pytest comes to its summary."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._settings = for_this_ci(settings, os.environ)
        self._folder = repository_folder(config.rootpath, os.environ)
        self._started_in = config.invocation_params.dir
        self._run: Run | None = None
        self._written: list[Path] = []
        self._failed: list[str] = []

    def report(self, run: Run, unsaved: str | None = None) -> None:
        """Write the files of a run, for the CI system as well.

        Args:
            run: What happened; its results are saved already.
            unsaved: Why they are not, where that failed.
        """
        self._run = run
        written, failed = write_outputs(run, self._settings, self._folder)
        self._written = written if unsaved else [self._settings.json, *written]
        self._failed = [unsaved, *failed] if unsaved else failed
        if run.benchmarks:
            self._failed += add_job_summary(run, os.environ)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, None, None]:
        """Ours comes last, below pytest's list of failures: the end of a log is read first."""
        yield
        self._write(terminalreporter)

    def _write(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The annotations, the table, what needs attention, and where the report is."""
        if self._run is None or not self._run.benchmarks:
            return
        if self._settings.annotations == "on":
            for command in render_annotations(self._run, self._folder):
                terminalreporter.write_line(command)
        terminalreporter.section("energy")
        for accepted in self._run.run.accepted:
            terminalreporter.write_line(f"energy: accepted {accepted}")
        for text, style in summary_lines(self._run, terminalreporter._tw.fullwidth):
            terminalreporter.write_line(text, **({style: True} if style else {}))
        for path in self._written:
            terminalreporter.write_line(f"energy: wrote {_relative(path, self._started_in)}")
        for line in self._failed:
            terminalreporter.write_line(f"energy: {line}", red=True)


def _relative(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path
