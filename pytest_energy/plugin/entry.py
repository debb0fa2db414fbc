"""The pytest plugin: options, marker, fixture and hooks.

The functions here only decide what to register. Heavy modules are imported inside functions, so
that a session without ``--energy`` starts fast.
"""

from __future__ import annotations

import os
from argparse import SUPPRESS
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.options import ALIASES, OPTIONS, Option

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

    from pytest_energy.fixture import Energy
    from pytest_energy.plugin.items.plain import PlainPlugin
    from pytest_energy.plugin.measuring_hooks import EnergyPlugin
    from pytest_energy.settings import Settings

MARKER = (
    "energy(tolerance, tolerances, rounds, passes, epochs, max_time, window_s, max_joules, better,"
    " meter): how to measure the energy of this test, how much it may change, and its limit"
)

INI_TYPE: Any = str | int | float | bool if pytest.version_tuple >= (9, 2) else None
"""What ``[tool.pytest]`` and ``pytest.toml`` may hold; older versions of pytest take text only."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add ``--energy``, and every other option with its ini twin."""
    from pytest_energy.plugin import hookspec

    pluginmanager.add_hookspecs(hookspec)
    group = parser.getgroup("energy", "energy regression testing")
    group.addoption(
        "--energy",
        action="store_true",
        help="measure the energy of tests that use the energy fixture, and fail on regressions",
    )
    for option in OPTIONS:
        _add_option(group, option)
        kind: Any = "linelist" if option.joined_by == "\n" else INI_TYPE
        parser.addini(option.ini, f"same as {option.flag}: {option.help}", kind, default=None)
    for alias in ALIASES:
        group.addoption(alias.flag, dest=alias.ini, metavar=alias.metavar, help=SUPPRESS)
        parser.addini(alias.ini, alias.help, default=None)


def _add_option(group: pytest.OptionGroup, option: Option) -> None:
    arguments: dict[str, Any] = {"metavar": option.metavar}
    if option.metavar is None:
        arguments = {"action": "store_const", "const": "true"}
    elif option.const is not None:
        arguments |= {"nargs": "?", "const": option.const}
    elif option.joined_by:
        arguments |= {"action": "append"}
    text = option.help.replace("%", "%%")  # argparse formats the help
    group.addoption(option.flag, dest=option.ini, help=text, **arguments)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-xdist reads -n
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Take the number of workers from pytest-xdist if two revisions are compared."""
    if config.getoption("energy") and (
        config.getoption("energy_against") or config.getini("energy_against")
    ):
        from pytest_energy.plugin.alternation.cards import take_workers

        take_workers(config)
    return (yield)


@pytest.hookimpl(trylast=True)  # live progress needs the terminal reporter to be registered
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; with ``--energy``, check the options and register the hooks."""
    config.addinivalue_line("markers", MARKER)
    if not config.getoption("energy"):
        if any(str(text).startswith("--energy") for text in config.invocation_params.args):
            from pytest_energy.plugin.items.requests import check_alone

            check_alone(config)
        return
    try:
        settings = settings_of(config)
        if config.option.collectonly or config.option.setuponly or config.option.setupplan:
            # No test is run, so nothing is measured, and earlier results stay.
            _register_plain(config, settings.data)
        else:
            _register(config, settings)
    except EnergyError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Check the tests of a session without ``--energy``, if any is about energy.

    Other sessions import no more of the plugin, and their tests do not pass through its hooks.
    """
    config = session.config
    if not config.getoption("energy") and any(map(_is_about_energy, session.items)):
        _register_plain(config, _data_dir(config)).pytest_collection_finish(session)


def _is_about_energy(item: pytest.Item) -> bool:
    """Whether a test requests a fixture of this name, or has the marker of this name."""
    return "energy" in getattr(item, "fixturenames", ()) or any(
        mark.name == "energy" for mark in item.own_markers
    )


def _register_plain(config: pytest.Config, data_dir: Path | None) -> PlainPlugin:
    from pytest_energy.plugin.items.plain import PlainPlugin

    plugin = PlainPlugin(data_dir)
    config.pluginmanager.register(plugin, "energy-plain")
    return plugin


def _register(config: pytest.Config, settings: Settings) -> None:
    """Register what measures and what reports: one process does both, or xdist's share the work."""
    from pytest_energy.against.messages import SideConfig
    from pytest_energy.measuring.torchrun import ranks_of
    from pytest_energy.plugin.gpu_locks import show_only
    from pytest_energy.plugin.measuring_hooks import EnergyPlugin
    from pytest_energy.plugin.reporter import Interruption, Reporter, ending_by_sigterm
    from pytest_energy.plugin.results_lock import hold_results, recover_results
    from pytest_energy.plugin.unpassed import UNPASSED, UnpassedTests
    from pytest_energy.plugin.xdist import Controller, is_controller, torchrun_settings

    config.pluginmanager.register(Interruption(config), "energy-interruption")
    if "PYTEST_ENERGY_SIMULATED_LOAD" in os.environ:
        from pytest_energy.plugin.simulated import register_load

        register_load(config, settings)
    if settings.control:
        from pytest_energy.plugin.control.collection import ControlCollection

        control = ControlCollection(alternating=settings.against is not None)
        config.pluginmanager.register(control, "energy-control")
    if side := SideConfig.load():
        from pytest_energy.plugin.alternation.side import SidePlugin

        config.pluginmanager.register(SidePlugin(config, settings, side), "energy-measuring")
        return
    ranks = ranks_of(os.environ)
    worker_input = getattr(config, "workerinput", None)
    workers = worker_input is not None or is_controller(config)
    if settings.fresh:
        from pytest_energy.plugin.alternation.fresh import check_fresh

        check_fresh(config, settings, ranks, workers=workers)
    if settings.against is None:
        from pytest_energy.plugin.items.requests import check_against

        check_against(config)
    else:
        from pytest_energy.plugin.alternation.against import check_supported

        check_supported(config, settings, ranks, workers=workers)
    if worker_input is not None:
        _register_worker(config, settings, worker_input)
        return
    stack = ExitStack()
    stack.enter_context(ending_by_sigterm())
    config.add_cleanup(stack.close)
    recovered = None
    if ranks is None or ranks.reports:
        config.add_cleanup(hold_results(settings.json))
        recovered = recover_results(settings)
    reporter = Reporter(config, settings, recovered)
    config.pluginmanager.register(reporter, "energy-reporter")
    config.pluginmanager.register(UnpassedTests(), UNPASSED)
    if is_controller(config):
        config.pluginmanager.register(Controller(config, settings, reporter), "energy-controller")
        return
    show_only(settings.devices)
    if settings.against is not None:
        from pytest_energy.plugin.alternation.against import AgainstPlugin
        from pytest_energy.plugin.alternation.cards import reserve_cards

        cards = reserve_cards(config, settings)
        against = AgainstPlugin(config, settings, reporter.report, cards)
        config.pluginmanager.register(against, "energy-measuring")
        return
    if settings.fresh:
        from pytest_energy.plugin.alternation.fresh import FreshPlugin

        fresh = FreshPlugin(config, settings, reporter.report)
        config.pluginmanager.register(fresh, "energy-measuring")
        return
    settings = torchrun_settings(settings, ranks) if ranks else settings
    measuring = EnergyPlugin(config, settings, reporter.report, ranks=ranks)
    config.pluginmanager.register(measuring, "energy-measuring")


def _register_worker(
    config: pytest.Config, settings: Settings, worker_input: Mapping[str, Any]
) -> None:
    from pytest_energy.plugin.measuring_hooks import EnergyPlugin
    from pytest_energy.plugin.xdist import start_worker

    worker = start_worker(settings, worker_input)
    measuring = EnergyPlugin(
        config,
        worker.settings,
        worker.report,
        worker.reservation,
        progress=worker.progress,
        announce=worker.announce,
    )
    config.pluginmanager.register(measuring, "energy-measuring")
    config.pluginmanager.register(worker.errors, "energy-errors")


def settings_of(config: pytest.Config) -> Settings:
    """The settings of a session, with the full paths of its files.

    Raises:
        UsageError: An option is not accepted.
    """
    from pytest_energy.settings import load_settings  # pytest starts without it

    return load_settings(_user_values(config)).under(config.rootpath)


def _user_values(
    config: pytest.Config, options: Iterable[Option] = (*OPTIONS, *ALIASES)
) -> dict[Option, tuple[str, str]]:
    """The options that the user set; the command line takes precedence over the ini file.

    Returns:
        By option: its spelling where the user set it, and its text.
    """
    values = {}
    for option in options:
        text, spelling = config.getoption(option.ini), option.flag
        if text is None:
            text, spelling = _ini_text(config, option.ini), option.ini
        if text is not None:
            joined = (option.joined_by or ",").join(text) if isinstance(text, list) else text
            values[option] = (spelling, joined)
    return values


def _ini_text(config: pytest.Config, name: str) -> str | list[str] | None:
    """An option of the configuration file; numbers and booleans of TOML as text."""
    try:
        value = config.getini(name)
    except TypeError as error:  # before pytest 9.2
        raise pytest.UsageError(f"{error}; write it in quotes") from None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


@pytest.fixture
def energy(request: pytest.FixtureRequest) -> Energy:
    """Measure the energy of what the test runs; without --energy only run it once."""
    __tracebackhide__ = True
    from pytest_energy.plugin.items.phases import VISIT, Visit
    from pytest_energy.plugin.items.requests import requested_at_run_time

    plugins = request.config.pluginmanager
    plugin: EnergyPlugin | PlainPlugin | None
    plugin = plugins.get_plugin("energy-measuring") or plugins.get_plugin("energy-plain")
    if plugin is None and not request.config.getoption("energy"):  # no test has requested it
        raise requested_at_run_time(request.node)
    if plugin is None:  # the controller of pytest-xdist runs no test
        raise pytest.UsageError("the energy fixture needs the process that runs the tests")
    fixture: Energy = plugin.fixture(request)
    request.node.stash[VISIT] = Visit(fixture)
    return fixture


@pytest.fixture(scope="session")
def energy_device() -> str:
    """The torch device for models, as ``energy.device``, for fixtures of any scope."""
    from pytest_energy.measuring.forward_passes import default_device

    return default_device()


def _data_dir(config: pytest.Config) -> Path | None:
    """The value of the only option that also applies without ``--energy``."""
    # The others stay unread: without --energy a wrong one must not stop the session.
    values = _user_values(config, [option for option in OPTIONS if option.attribute == "data"])
    if not values:
        return None
    from pytest_energy.settings import load_settings  # pytest starts without it

    return load_settings(values).under(config.rootpath).data
