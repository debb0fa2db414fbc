"""What a session hands over to its sides, and how it reports tests that ran in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from pytest_energy.against.preparation import Session
from pytest_energy.against.trees import Tree
from pytest_energy.model.measurement import is_control
from pytest_energy.settings import Settings

IN_SHORT: Final = "_energy_in_short"
"""The attribute of a failure with its line in pytest's short summary."""


def describe_session(
    config: pytest.Config, settings: Settings, measuring: Sequence[pytest.Item]
) -> Session:
    """The session as its sides must know it.

    Args:
        config: Of the session.
        settings: The options in force.
        measuring: The tests that the sides run.
    """
    in_files = (item for item in measuring if not is_control(item.nodeid))
    files = tuple(dict.fromkeys(item.path for item in in_files))
    return Session(
        root=config.rootpath,
        started_in=config.invocation_params.dir,
        configuration=config.inipath,
        tests=files,
        arguments=lambda tree, folder: side_arguments(config, settings, tree, folder, files),
        search=tuple(sys.path),
        places=_places(config),
        file_names=tuple(config.getini("python_files")),
    )


def _places(config: pytest.Config) -> tuple[Path, ...]:
    """The files and folders that the session was asked to collect."""
    folder = config.invocation_params.dir
    return tuple(folder / argument.partition("::")[0] for argument in config.args)


def side_arguments(
    config: pytest.Config, settings: Settings, tree: Tree, folder: Path, files: Iterable[Path]
) -> list[str]:
    """The session's own arguments, with its places in the side's tree, and without its outputs."""
    named = list(config.getoption("file_or_dir") or ())
    arguments = []
    for argument in config.invocation_params.args:
        if str(argument) in named:
            named.remove(str(argument))
        else:
            arguments.append(os.fspath(argument))
    arguments += ["--maxfail=0", "-o", f"cache_dir={folder / 'cache'}"]
    arguments += [f"--rootdir={tree.place(config.rootpath)}"]
    if config.inipath is not None:
        arguments += ["-c", str(tree.place(config.inipath))]
    if config.getoption("xmlpath", None):
        arguments += ["--junitxml="]
    arguments += [f"--basetemp={folder / 'temporary'}"]
    arguments += [f"--energy-output=json:{folder / 'results.json'}", "--energy-update=none"]
    arguments += [f"--energy-baselines={folder / 'baselines'}"]
    if settings.data is not None:
        arguments += [f"--energy-data={settings.data}"]
    return [*arguments, *(str(tree.place(path)) for path in files)]


def report_phases(item: pytest.Item, body: Callable[[], None]) -> list[pytest.TestReport]:
    """The reports of a test as if it had run here.

    Args:
        item: The test; its fixtures are not set up, a side has done it.
        body: Gives the call its outcome, by the exception that it raises.
    """
    phases: list[tuple[Any, Callable[[], None]]] = [
        ("setup", _nothing),
        ("call", body),
        ("teardown", _nothing),
    ]
    return [_report(item, when, run) for when, run in phases]


def fail_as_in_side(text: str, error: str) -> NoReturn:
    """Fail the test with the text of its failure in a side.

    Args:
        text: What pytest wrote there.
        error: The line that names the exception.
    """
    failure = pytest.fail.Exception(text, pytrace=False)
    setattr(failure, IN_SHORT, error)
    raise failure


def _report(item: pytest.Item, when: Any, run: Callable[[], None]) -> pytest.TestReport:
    call = pytest.CallInfo.from_call(run, when=when)
    report: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
    error = getattr(call.excinfo.value, IN_SHORT, None) if call.excinfo else None
    crash = getattr(report.longrepr, "reprcrash", None)
    if error and crash is not None:
        # Otherwise it would be the first line of a traceback, which names nothing.
        crash.message = error
    return report


def _nothing() -> None:
    """Set up or tear down nothing: the side has done it."""
