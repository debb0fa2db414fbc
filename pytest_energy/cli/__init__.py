"""The ``pytest-energy`` command; each module of this package is one subcommand.

The module's docstring is the subcommand's description, and the first line of it its help.
``configure(parser)`` adds the arguments, and ``run(arguments) -> int`` returns the exit status.
Heavy imports belong inside ``run``: the help of the whole command imports every subcommand.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from pytest_energy import __version__
from pytest_energy.errors import EnergyError, explained


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; an expected error prints one line and returns exit status 2."""
    _escape_what_has_no_code()
    options = read(sys.argv[1:] if arguments is None else arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:
        # The reader, for example `head`, has closed the pipe. Python would complain about that on
        # stderr while it shuts down.
        sys.stderr.close()
    except (EnergyError, OSError) as error:
        print(f"pytest-energy {options.command}: error: {explained(error)}", file=sys.stderr)
    return 2


def _escape_what_has_no_code() -> None:
    """Let ``±`` and ``µ`` be escaped where the terminal or file has no code for them, as by pytest.

    Windows gives a file that the output is redirected to its code page 1252, and a locale such as
    ``C`` may be ASCII.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """Read a command line; words after ``--`` may follow any option.

    argparse fills a list of positionals as soon as it has read those before it, with nothing if an
    option comes first. It then does not recognize words behind that option. A command whose list
    takes the words after ``--`` names it in ``after_dashes``.
    """
    parser = build_parser(_commands(arguments[:1]))
    options, unread = parser.parse_known_args(arguments)
    words = list(arguments)
    after = words[words.index("--") + 1 :] if "--" in words else []
    name = getattr(options, "after_dashes", None)
    if name and after and [word for word in unread if word != "--"] == after:
        setattr(options, name, [*getattr(options, name), *after])
    elif unread:
        parser.error(f"unrecognized arguments: {' '.join(unread)}")
    return options


def build_parser(commands: dict[str, ModuleType]) -> argparse.ArgumentParser:
    """The parser of a command line with these commands, each in a subparser."""
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


def _commands(asked: Sequence[str]) -> dict[str, ModuleType]:
    """The subcommand that is asked for, or all of them if there is none of this name."""
    # A module cannot be called `import`, a keyword of Python: `import_` is that command.
    modules = sorted(module.name for module in iter_modules(__path__))
    commands = {module.rstrip("_").replace("_", "-"): module for module in modules}
    names = commands.keys() & asked or commands.keys()
    return {
        name: import_module(f"{__name__}.{module}")
        for name, module in commands.items()
        if name in names
    }
