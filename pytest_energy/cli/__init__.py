"""The ``pytest-energy`` command: one module of this package a subcommand.

A subcommand's module has a docstring whose first line is its help, ``configure(parser)`` that adds
its arguments, and ``run(arguments) -> int`` that returns the exit status. What is heavy is imported
inside ``run``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from pytest_energy import __version__
from pytest_energy.errors import EnergyError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; errors meant for people end in one line and exit status 2."""
    parser = build_parser(_commands())
    chosen = parser.parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except BrokenPipeError:  # the reader, `head` say, has gone: nobody is left to be told
        sys.stderr.close()
    except (EnergyError, OSError) as error:
        print(f"pytest-energy {chosen.command}: error: {error}", file=sys.stderr)
    return 2


def build_parser(commands: dict[str, ModuleType]) -> argparse.ArgumentParser:
    """The parser of the whole command line, one subparser a command."""
    parser = argparse.ArgumentParser(
        prog="pytest-energy", description="Work with energy measurements, baselines and reports."
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in commands.items():
        text = (module.__doc__ or "").strip()
        subparser = subparsers.add_parser(name, help=text.splitlines()[0], description=text)
        module.configure(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def _commands() -> dict[str, ModuleType]:
    names = sorted(module.name for module in iter_modules(__path__))
    return {
        name.rstrip("_").replace("_", "-"): import_module(f"{__name__}.{name}") for name in names
    }
