"""The pytest plugin: options, marker, fixture and hooks.

Bodies here choose; they do not compute. What is heavy is imported where ``--energy`` was given.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.fixture import Energy
from pytest_energy.settings import OPTIONS, Option, Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_energy.plugin.measuring_hooks import EnergyPlugin

MARKER = (
    "energy(tolerance, tolerances, rounds, passes, epochs, max_time): how this test's energy is"
    " measured and how much it may change"
)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add ``--energy``, and each option with its ini twin."""
    from pytest_energy.plugin import hookspec

    pluginmanager.add_hookspecs(hookspec)
    group = parser.getgroup("energy", "energy regression testing")
    group.addoption(
        "--energy",
        action="store_true",
        help="measure the energy of tests that use the energy fixture, and gate on it",
    )
    for option in OPTIONS:
        _add_option(group, option)
        parser.addini(option.ini, f"as {option.flag}: {option.help}", default=None)


def _add_option(group: pytest.OptionGroup, option: Option) -> None:
    kind: dict[str, Any] = {"metavar": option.metavar}
    if option.metavar is None:
        kind = {"action": "store_const", "const": "true"}
    elif option.const is not None:
        kind |= {"nargs": "?", "const": option.const}
    elif option.repeats:
        kind |= {"action": "append"}
    group.addoption(option.flag, dest=option.ini, help=option.help, **kind)


@pytest.hookimpl(trylast=True)  # live progress asks for the terminal reporter: that comes before
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; with ``--energy``, check the options and register what measures."""
    config.addinivalue_line("markers", MARKER)
    if not config.getoption("energy"):
        return
    try:
        _register(config, load_settings(_given(config)).under(config.rootpath))
    except EnergyError as error:
        raise pytest.UsageError(str(error)) from None


def _register(config: pytest.Config, settings: Settings) -> None:
    """Register who measures and who reports: one process does both, or xdist's share it."""
    from pytest_energy.measuring.torchrun import ranks_of
    from pytest_energy.plugin.gpu_locks import show_only
    from pytest_energy.plugin.measuring_hooks import EnergyPlugin
    from pytest_energy.plugin.reporter import Reporter
    from pytest_energy.plugin.xdist import Controller, become_worker, is_controller, take_place

    told = getattr(config, "workerinput", None)
    if told is not None:
        worker = become_worker(settings, told)
        measuring = EnergyPlugin(
            config,
            worker.settings,
            worker.report,
            worker.claim,
            progress=worker.progress,
            announce=worker.announce,
        )
        config.pluginmanager.register(measuring, "energy-running")
        config.pluginmanager.register(worker.refusal, "energy-refusal")
        return
    reporter = Reporter(config, settings)
    config.pluginmanager.register(reporter, "energy-reporting")
    if is_controller(config):
        config.pluginmanager.register(Controller(config, settings, reporter), "energy-controller")
    else:
        show_only(settings.devices)
        ranks = ranks_of(os.environ)
        settings = take_place(settings, ranks) if ranks else settings
        measuring = EnergyPlugin(config, settings, reporter.report, ranks=ranks)
        config.pluginmanager.register(measuring, "energy-running")


def _given(config: pytest.Config) -> dict[Option, tuple[str, str]]:
    """The options that were given, the command line before the ini file."""
    given = {}
    for option in OPTIONS:
        text, spelling = config.getoption(option.ini), option.flag
        if text is None:
            text, spelling = config.getini(option.ini), option.ini
        if text is not None:
            given[option] = (spelling, ",".join(text) if isinstance(text, list) else text)
    return given


@pytest.fixture
def energy(request: pytest.FixtureRequest) -> Energy:
    """Measure the energy of what the test runs (with --energy; else run it once, plainly)."""
    running: EnergyPlugin | None = request.config.pluginmanager.get_plugin("energy-running")
    return running.fixture(request) if running else Energy(_data_dir(request.config))


def _data_dir(config: pytest.Config) -> Path | None:
    """The one option that a test without ``--energy`` reads, too."""
    data = {option: given for option, given in _given(config).items() if option.name == "data"}
    return load_settings(data).under(config.rootpath).data
