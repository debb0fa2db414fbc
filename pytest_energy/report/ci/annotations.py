"""GitHub annotations: workflow commands that mark the test's file and line.

GitHub shows at most ten annotations of a kind for a step. Only the worst benchmarks get one, and
the last annotation counts the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from pytest_energy.gate.acceptance import OF_ANOTHER_MACHINE
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run
from pytest_energy.report.machines import Machines
from pytest_energy.report.sentences import mark_simulated, remarks, sentence, severity
from pytest_energy.settings import NO_METER

MOST = 10
"""The number of annotations of a kind that GitHub shows for a step."""


def render_annotations(run: Run, folder: str = "") -> list[str]:
    """Workflow commands for standard output, one a line.

    Args:
        run: The run.
        folder: The tests' root folder, relative to the root of the repository.
    """
    failed = [result for result in run.benchmarks if result.verdict.fails]
    warned = [
        result
        for result in run.benchmarks
        if result.verdict.outcome.traits.warns
        and not result.verdict.fails
        and not _has_no_joules_by_choice(result, run)
    ]
    elsewhere = [result for result in warned if _only_the_machine_differs(result)]
    if len(elsewhere) > 1:  # one cause, however many benchmarks it concerns
        warned = [result for result in warned if not _only_the_machine_differs(result)]
    else:
        elsewhere = []
    errors = _commands("error", failed, run, folder)
    return errors + _commands("warning", warned, run, folder) + _of_the_machine(elsewhere)


def _only_the_machine_differs(result: Result) -> bool:
    """Whether joules were not compared because of the machine, not of the benchmark."""
    differences = result.verdict.differences
    here = all(each.name.startswith(OF_ANOTHER_MACHINE) for each in differences)
    incomparable = result.verdict.outcome is Outcome.INCOMPARABLE and bool(differences) and here
    reasons = {reason.code for reason in result.reasons}
    return incomparable or (
        result.verdict.outcome is Outcome.UNMEASURED and ReasonCode.NO_METER in reasons
    )


def _of_the_machine(results: Sequence[Result]) -> list[str]:
    """One warning for all benchmarks whose joules this machine cannot compare."""
    if not results:
        return []
    causes = "\n".join(dict.fromkeys(map(sentence, results)))
    text = f"the joules of {len(results)} benchmarks were not compared on this machine\n{causes}"
    return [f"::warning title={_property('energy')}::{_data(text)}"]


def _has_no_joules_by_choice(result: Result, run: Run) -> bool:
    """Whether the job compares exact metrics only, so that missing joules are no news."""
    missing = result.verdict.outcome in (Outcome.UNMEASURED, Outcome.INCOMPARABLE)
    return missing and run.run.settings.get("meter") == NO_METER and not result.has_joules


def _commands(kind: str, results: Sequence[Result], run: Run, folder: str) -> list[str]:
    machines = Machines(run)
    ordered = sorted(results, key=severity, reverse=True)
    # One more than GitHub shows would hide the annotation that counts the others.
    shown = ordered if len(ordered) <= MOST else ordered[: MOST - 1]
    commands = []
    for result in shown:
        properties = {"title": f"energy {result.verdict.outcome}: {result.id}"}
        if result.file is not None:
            properties = {"file": str(PurePosixPath(folder, result.file)), **properties}
            if result.line is not None:
                properties["line"] = str(result.line)
        listed = ",".join(f"{name}={_property(text)}" for name, text in properties.items())
        mark = mark_simulated(result, run)
        machine = f"machine: {machines.of(result)}"
        message = "\n".join([f"{mark}{sentence(result)}", *remarks(result), machine])
        commands.append(f"::{kind} {listed}::{_data(message)}")
    left_out = len(ordered) - len(shown)
    if left_out:
        text = f"{left_out} more benchmarks are in the job summary and in the report"
        commands.append(f"::{kind} title={_property('energy')}::{_data(text)}")
    return commands


def _data(text: str) -> str:
    """Escape a message, as GitHub's own toolkit does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape the value of a property, where ``:`` and ``,`` have a meaning, too."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
