"""Run the suite on several kinds of accelerator at once, wherever an engine finds them.

pytest-energy fleet run TESTS --accelerator H100 --accelerator A100:2 --engine ray [-- PYTEST…]

Each kind of card runs all of the tests, divided into one shard a card. The results of all shards
become one file and one page. `fleet status` shows how far a run is. Ctrl-C stops it and keeps what
has finished; `fleet run --resume RUN` runs the rest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_energy.errors import EnergyError, UsageError

if TYPE_CHECKING:
    from pytest_energy.fleet.durations import Durations
    from pytest_energy.fleet.engine import Engine
    from pytest_energy.fleet.plan import Plan, RunFolder, State

USAGE: Final = "pytest-energy fleet run [options] [TESTS…] [-- PYTEST…]"
RESULTS: Final = Path(".energy/results.json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add one subcommand for each action."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "run tests on a fleet, or what an earlier run left to do"
    run_parser = actions.add_parser(
        "run", help=text, usage=USAGE, description=text.capitalize() + "."
    )
    _add_options(run_parser)
    # Options after TESTS are among the words, and are parsed when all words are known.
    run_parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="TESTS", help="as of pytest; after --: options"
    )
    text = "show how far a run is"
    status = actions.add_parser("status", help=text, description=text.capitalize() + ".")
    status.add_argument("name", nargs="?", metavar="RUN", help="name of the run [the newest]")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accelerator",
        action="append",
        metavar="NAME[:COUNT]",
        help="a kind of card, and how many of it share the tests [1]; may be repeated",
    )
    parser.add_argument("--engine", metavar="NAME", help="ray, slurm, local or another package's")
    parser.add_argument(
        "--engine-option",
        action="append",
        metavar="NAME=VALUE",
        help="for the engine, such as partition=gpu for slurm; may be repeated",
    )
    parser.add_argument(
        "--durations-from",
        type=Path,
        metavar="FILE",
        help=f"results.json by whose seconds tests are shared out [{RESULTS}, if it exists]",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=RESULTS,
        metavar="FILE",
        help="results file to write; report.html is written beside it [%(default)s]",
    )
    parser.add_argument("--resume", metavar="RUN", help="run what this run left to do")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action."""
    return _status(arguments) if arguments.action == "status" else _run(arguments)


def _status(arguments: argparse.Namespace) -> int:
    """Print a line for the run and one for each shard."""
    from pytest_energy.clocks import CLOCK
    from pytest_energy.fleet.plan import RunFolder
    from pytest_energy.fleet.standing import describe, table

    folder = RunFolder.find(arguments.name)
    plan = folder.load_plan()
    with _locked(folder) as is_free:
        state = folder.load_state().interrupted() if is_free else folder.load_state()
    now_s = CLOCK.time()
    print(f"{folder.name}: {describe(plan, state, now_s)}")
    for line in table(plan, state, now_s):
        print(f"  {line}")
    if is_free and not all(state.of(shard.name).state == "finished" for shard in plan.shards):
        print(f"No process runs it. Continue: {_resume(folder)}")
    return 0


def _resume(folder: RunFolder) -> str:
    return f"pytest-energy fleet run --resume {folder.name}"


@contextmanager
def _locked(folder: RunFolder) -> Iterator[bool]:
    """Whether no other process runs the fleet; none can begin to during the block."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _run(arguments: argparse.Namespace) -> int:
    """Plan a run, or take up an earlier one, and run it to its end."""
    from pytest_energy.fleet.engine import EngineRequest, find_engine
    from pytest_energy.fleet.plan import RunFolder

    tests, options = _words(arguments)
    if arguments.resume is None:
        plan = _plan(arguments, tests, options)
        folder = RunFolder.new(plan.created)
    elif tests or options or arguments.accelerator or arguments.engine or arguments.engine_option:
        raise UsageError(f"--resume={arguments.resume}: the run has its own tests and options")
    else:
        folder = RunFolder.find(arguments.resume)
        plan = folder.load_plan()
    request = EngineRequest(Path(plan.project), folder.engine.absolute(), plan.engine_options)
    engine = find_engine(plan.engine)(request)
    try:
        engine.check(plan.accelerators)
        if arguments.resume is None:
            folder.save_plan(plan)
        with _locked(folder) as is_free:
            if not is_free:
                raise UsageError(f"another process runs {folder.name}; see fleet status")
            state = _coordinate(plan, folder, engine)
    except KeyboardInterrupt:
        print(f"\nCancelled; what has finished is kept. Continue: {_resume(folder)}")
        return 2
    finally:
        engine.close()
    return _finish(plan, folder, state, arguments.output)


def _words(arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The tests and the options for pytest; options between them are added to ``arguments``."""
    words: list[str] = arguments.words
    end = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="pytest-energy fleet run", usage=USAGE)
    _add_options(parser)
    parser.add_argument("tests", nargs="*")
    parser.parse_intermixed_args(words[:end], arguments)
    options = words[end + 1 :]
    for option in options:
        if option.partition("=")[0] in _own_options():
            raise UsageError(f"{option}: the fleet itself writes the outputs; see -o, or `report`")
    return arguments.tests, options


def _own_options() -> set[str]:
    """Options of pytest that name outputs, which a shard has none of."""
    from pytest_energy.options import OUTPUT_FILES

    return {"--energy-output", *(f"--energy-{name}" for name in OUTPUT_FILES)}


def _plan(arguments: argparse.Namespace, tests: list[str], options: list[str]) -> Plan:
    """Collect the tests and share them out."""
    import os
    from datetime import UTC, datetime

    from pytest_energy.fleet.accelerators import parse_accelerators
    from pytest_energy.fleet.collection import collect
    from pytest_energy.fleet.engine import engine_names, find_engine
    from pytest_energy.fleet.plan import Plan, make_shards
    from pytest_energy.model.revision import read_revision

    if not arguments.accelerator:
        raise UsageError("no --accelerator; name at least one, such as --accelerator H100")
    if arguments.engine is None:
        raise UsageError(f"no --engine; choose one of {', '.join(engine_names())}")
    find_engine(arguments.engine)
    accelerators = parse_accelerators(arguments.accelerator)
    engine_options = _engine_options(arguments.engine_option or ())
    durations = _durations(arguments.durations_from)
    suite = collect(tests, options)
    here = Path.cwd()
    project = Path(os.path.commonpath([here, suite.root]))
    root = os.path.relpath(suite.root, here)
    fixed = [f"--rootdir={root}"]
    if suite.configuration is not None:
        fixed += ["-c", os.path.relpath(suite.configuration, here)]
    commit = read_revision(here).commit
    return Plan(
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        project=str(project),
        folder=str(here.relative_to(project)),
        root=root,
        options=[*options, *fixed],
        # A machine with a copy of the files has no repository to ask.
        environment={"GIT_COMMIT": commit} if commit else {},
        engine=arguments.engine,
        engine_options=engine_options,
        shards=make_shards(suite, accelerators, durations, here),
    )


def _durations(file: Path | None) -> Durations:
    """Seconds of an earlier run; without a file those of the last results, if there are any."""
    from pytest_energy.fleet.durations import measured_durations
    from pytest_energy.session.journal import load_results

    if file is None and not RESULTS.exists():
        return {}
    return measured_durations(load_results(file or RESULTS))


def _engine_options(texts: Sequence[str]) -> dict[str, str]:
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"--engine-option={text}: expected NAME=VALUE, such as partition=gpu")
        options[name] = value
    return options


def _coordinate(plan: Plan, folder: RunFolder, engine: Engine) -> State:
    """Run the shards with a line of progress."""
    import signal

    from pytest_energy.clocks import CLOCK
    from pytest_energy.fleet.coordinator import Coordinator
    from pytest_energy.fleet.standing import describe
    from pytest_energy.report.numbers import counted

    is_terminal = sys.stdout.isatty()

    def announce(line: str) -> None:
        print(f"\r\x1b[K{line}" if is_terminal else line, flush=True)

    def show(state: State) -> None:
        if is_terminal:
            print(f"\r\x1b[K{describe(plan, state, CLOCK.time())}", end="", flush=True)

    shards = counted(len(plan.shards), "shard")
    announce(f"{folder.name}: {shards} on {', '.join(plan.accelerators)} by {plan.engine}")
    # A job of CI that is cancelled gets this signal.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return Coordinator(plan, folder, engine, announce, show).run()
    finally:
        signal.signal(signal.SIGTERM, before)
        if is_terminal:
            print("\r\x1b[K", end="")


def _finish(plan: Plan, folder: RunFolder, state: State, output: Path) -> int:
    """Merge, write, and say what came out."""
    from pytest_energy.fleet.results import exit_status, write_results
    from pytest_energy.report.numbers import counted
    from pytest_energy.report.summary import headline

    runs = folder.load_results(plan)
    if not runs:
        raise EnergyError(f"no shard has results; their output is in {folder.path}")
    page = output.with_name("report.html")
    merged, failed = write_results(runs, output, page)
    died = [shard.name for shard in plan.shards if state.of(shard.name).state == "failed"]
    if died:
        print(f"Without a verdict: {', '.join(died)}. Try again: {_resume(folder)}")
    print(headline(merged))
    benchmarks = counted(len(merged.benchmarks), "benchmark")
    print(f"{output}: {benchmarks} from {counted(len(runs), 'shard')}")
    for line in failed:
        print(f"pytest-energy fleet: error: {line}", file=sys.stderr)
    return exit_status(plan, state)
