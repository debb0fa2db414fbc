"""The pytest plugin: options, marker, fixture and the hooks of every session.

All code that uses pytest is in this folder, apart from :mod:`pytest_energy.testing`. pytest imports
this module at every start and looks at each name in it, even without ``--energy``. So it is short,
has few names, and imports what it needs inside functions. It is the folder's own module, since each
further file would add to the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from pytest_energy.fixture import Energy

MARKER = (
    "energy(tolerance, tolerances, rounds, passes, epochs, max_time, window_s, max_joules, better,"
    " meter): how to measure the energy of this test, how much it may change, and its limit"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--energy``, and every option of ``options.json`` with its ini twin."""
    import json
    from argparse import SUPPRESS
    from pathlib import Path

    # Not by pytest_energy.options, which says why.
    declared = json.loads(Path(__file__).parents[1].joinpath("options.json").read_bytes())
    # What [tool.pytest] and pytest.toml may hold; older versions of pytest take text only.
    text: Any = str | int | float | bool if pytest.version_tuple >= (9, 2) else None
    first = parser.getgroup("energy", "energy regression testing")
    first.addoption(
        "--energy",
        action="store_true",
        help="measure the energy of tests that use the energy fixture, and fail on regressions",
    )
    for heading, options in declared["sections"].items():
        # An option is compared with all of its group: several groups take less time than one.
        group = parser.getgroup(heading, heading)
        for attribute, keywords in options.items():
            ini, said = f"energy_{attribute}", keywords["help"]
            flag = f"--energy-{attribute.replace('_', '-')}"
            keywords["help"] = said.replace("%", "%%")  # argparse formats the help
            group.addoption(flag, dest=ini, **keywords)
            kind: Any = "linelist" if attribute == "output" else text
            parser.addini(ini, f"same as {flag}: {said}", kind, default=None)
    for output in declared["output_files"]:
        ini = f"energy_{output.replace('-', '_')}"
        first.addoption(f"--energy-{output}", dest=ini, metavar="FILE", help=SUPPRESS)
        parser.addini(ini, f"same as --energy-output={output}:FILE", default=None)


def pytest_plugin_registered(manager: pytest.PytestPluginManager) -> None:
    """Specify the hooks of this plugin once another one implements any of them.

    pytest looks for hooks that nobody has specified only after the collection.
    """
    implemented = vars(manager.hook)
    if (
        "pytest_energy_workload" in implemented
        or "pytest_energy_identity" in implemented
        or "pytest_energy_result" in implemented
        or "pytest_energy_outputs" in implemented
    ):
        from pytest_energy.plugin.registration import specify_hooks

        specify_hooks(manager)


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
    if config.getoption("energy"):
        from pytest_energy.plugin.registration import register

        register(config)
    elif any(str(text).startswith("--energy") for text in config.invocation_params.args):
        from pytest_energy.plugin.items.requests import check_alone

        check_alone(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Check the tests of a session without ``--energy``, if any is about energy.

    Other sessions import no more of the plugin, and their tests do not pass through its hooks.
    """
    config = session.config
    if not config.getoption("energy") and any(map(_is_about_energy, session.items)):
        from pytest_energy.plugin.registration import register_unmeasured

        register_unmeasured(config).pytest_collection_finish(session)


def _is_about_energy(item: pytest.Item) -> bool:
    """Whether a test requests a fixture of this name, or has the marker of this name."""
    return "energy" in getattr(item, "fixturenames", ()) or any(
        mark.name == "energy" for mark in item.own_markers
    )


@pytest.fixture
def energy() -> Energy:
    """Measure the energy of what the test runs; without --energy only run it once."""
    __tracebackhide__ = True
    from pytest_energy.plugin.items.phases import begin_visit

    return begin_visit()


@pytest.fixture(scope="session")
def energy_device() -> str:
    """The torch device for models, as ``energy.device``, for fixtures of any scope."""
    from pytest_energy.measuring.forward_passes import default_device

    return default_device()
