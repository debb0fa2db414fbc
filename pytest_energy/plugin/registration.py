"""Registration of the hooks that a session needs, once its options are known.

What only some sessions need is imported inside functions: a session without ``--energy`` that has
tests about energy starts fast, too.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.options import ALIASES, OPTIONS, Option

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_energy.plugin.items.plain import PlainPlugin
    from pytest_energy.settings import Settings


def specify_hooks(manager: pytest.PytestPluginManager) -> None:
    """Specify the hooks of this plugin, unless this has been done."""
    from pytest_energy.plugin import hookspec

    caller = vars(manager.hook).get(hookspec.pytest_energy_workload.__name__)
    if caller is None or not caller.has_spec():
        manager.add_hookspecs(hookspec)


def register(config: pytest.Config) -> None:
    """Check the options of a session with ``--energy``, and register its hooks.

    Raises:
        pytest.UsageError: An option is not accepted, or something that it needs is missing.
    """
    specify_hooks(config.pluginmanager)
    try:
        settings = settings_of(config)
        if config.option.collectonly or config.option.setuponly or config.option.setupplan:
            # No test is run, so nothing is measured, and earlier results stay.
            _register_plain(config, settings.data)
        else:
            _register(config, settings)
    except EnergyError as error:
        raise pytest.UsageError(str(error)) from None


def register_unmeasured(config: pytest.Config) -> PlainPlugin:
    """Register and return the hooks of a session without ``--energy``."""
    return _register_plain(config, _data_dir(config))


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
    from pytest_energy.plugin.items.unpassed import UNPASSED, UnpassedTests
    from pytest_energy.plugin.measuring_hooks import EnergyPlugin
    from pytest_energy.plugin.reporter import Interruption, Reporter, ending_by_sigterm
    from pytest_energy.plugin.results_lock import hold_results, recover_results
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
            joined = option.joined_by.join(text) if isinstance(text, list) else text
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


def _data_dir(config: pytest.Config) -> Path | None:
    """The value of the only option that also applies without ``--energy``."""
    # The others stay unread: without --energy a wrong one must not stop the session.
    values = _user_values(config, [option for option in OPTIONS if option.attribute == "data"])
    if not values:
        return None
    from pytest_energy.settings import load_settings  # pytest starts without it

    return load_settings(values).under(config.rootpath).data
