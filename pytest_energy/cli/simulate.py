"""Run a command on simulated GPUs, to try pytest-energy on a machine without one.

pytest-energy simulate h100[,h100] [options] -- pytest --energy

While the body of a test runs, each card draws half of its power limit, or what the options say.
Outside of it the cards rest. The command, its children and the real NVML bindings see the cards.
All outputs say that they are simulated. Needs Linux and a C compiler.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pytest_energy.errors import UsageError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from pytest_energy.simulation.load import Load
    from pytest_energy.simulation.profiles import Profile

USAGE = "pytest-energy simulate CARD[,CARD…] [options] -- COMMAND"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options and the words, which are the cards, more options and the command."""
    parser.usage = USAGE
    _add_options(parser)
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="CARD[,CARD…] -- COMMAND",
        help="cards by name, such as h100; after -- the command with its arguments",
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    power = parser.add_mutually_exclusive_group()
    power.add_argument(
        "--power",
        metavar="WATTS",
        help="power of each card while a test's body runs; 'script': the test sets it itself by"
        " pytest_energy.testing.Machine (default: half of the power limit)",
    )
    power.add_argument(
        "--watts-per-tflops",
        metavar="W",
        type=_positive,
        help="power above rest for each TFLOP/s of torch, which runs on the CPU: joules per TFLOP",
    )
    parser.add_argument(
        "--tflops",
        metavar="RATE",
        type=_positive,
        default=0.05,
        help="with --watts-per-tflops: TFLOP/s of a card (default 0.05, about that of a CPU)",
    )
    parser.add_argument(
        "--virtual-clock",
        action="store_true",
        help="time passes only by sleeping and on the card, so that runs are quick and repeatable;"
        " for commands with one thread",
    )


def _positive(text: str) -> float:
    from math import isfinite

    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (number > 0 and isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return its exit status.

    Raises:
        UsageError: A card is unknown, or the command is missing or cannot be started.
        SimulationError: There is no C compiler.
    """
    names, command = _split(arguments)
    from pytest_energy.simulation.nvml import SimulatedNvml

    profiles = [_profile(name) for name in names.split(",")]
    load = _load(arguments, profiles)
    clock = "virtual clock" if arguments.virtual_clock else "real clock"
    with SimulatedNvml(*profiles, virtual_clock=arguments.virtual_clock) as machine:
        cards = ", ".join(profile.name for profile in profiles)
        print(
            f"pytest-energy simulate: simulated {cards}; load {load.label}; {clock}",
            file=sys.stderr,
            flush=True,
        )
        return _run(command, machine.environment() | load.to_environment())


def _split(arguments: argparse.Namespace) -> tuple[str, list[str]]:
    """Return the cards and the command; options between them are added to ``arguments``."""
    words: list[str] = arguments.words
    end = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="pytest-energy simulate", usage=USAGE)
    _add_options(parser)
    parser.add_argument("cards", metavar="CARD[,CARD…]")
    parsed = parser.parse_args(words[:end], arguments)
    if not words[end + 1 :]:
        raise UsageError(f"no command after --; expected {USAGE}")
    return parsed.cards, words[end + 1 :]


def _profile(name: str) -> Profile:
    from pytest_energy.simulation.profiles import CARDS, PROFILES

    known = CARDS | PROFILES
    if name not in known:
        raise UsageError(f"no simulated card {name!r}; choose of {', '.join(known)}")
    return known[name]


def _load(arguments: argparse.Namespace, profiles: Sequence[Profile]) -> Load:
    from importlib.util import find_spec

    from pytest_energy.simulation.load import Load

    if arguments.watts_per_tflops is not None:
        if find_spec("torch") is None:
            raise UsageError("--watts-per-tflops needs torch, which is not installed here")
        return Load(watts_per_tflops=arguments.watts_per_tflops, tflops=arguments.tflops)
    if arguments.power == "script":
        return Load()
    lowest_w = max(profile.idle_w for profile in profiles)
    if arguments.power is None:
        return Load(power_w=min(profile.power_limit_w for profile in profiles) / 2)
    try:
        power_w = _positive(arguments.power)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--power={error}, or script") from None
    if power_w <= lowest_w:
        raise UsageError(
            f"--power={power_w:g}: expected more than the {lowest_w:g} W of a card at rest"
        )
    return Load(power_w=power_w)


def _run(command: Sequence[str], variables: dict[str, str]) -> int:
    import os
    import signal
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="nvml-sim-locks-") as locks:
        # Nobody shares these cards, so the session waits for no other.
        environment = os.environ | variables | {"PYTEST_ENERGY_LOCKS": locks}
        # Its results file may be that of another session.
        environment["PYTEST_ENERGY_RESULTS_LOCKS"] = os.environ.get("PYTEST_ENERGY_LOCKS", "")
        try:
            process = subprocess.Popen(command, env=environment)
        except OSError as error:
            raise UsageError(f"cannot run {command[0]!r}: {error.strerror}") from None
        before = signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
        try:
            return _wait(process)
        finally:
            signal.signal(signal.SIGTERM, before)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end, also after Ctrl-C, which the command gets as well."""
    while True:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            continue
        return status if status >= 0 else 128 - status  # as a shell reports a signal
