"""Budgets: ``max_joules`` of a marker, by the interval, on measured joules only."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

CALL = """
@pytest.mark.energy(max_joules={limit})
def test_it(energy):
    energy(work, 0.1, units={{"token": 5}})  # 10 J a call, 2 J a token
"""


@pytest.mark.parametrize(
    ("limit", "outcome", "status"),
    [
        ("9.9", "over budget", 1),
        ("10.0", "inconclusive", 0),
        ("10.1", "new", 0),
        ('{"token": 1.9}', "over budget", 1),
        ('{"token": 2.1}', "new", 0),
    ],
)
def test_a_budget_is_judged_by_the_interval(
    project: Project, limit: str, outcome: str, status: int
) -> None:
    """Wholly above the limit fails, on the limit is undecided, within it changes nothing."""
    project.write(CALL.format(limit=limit))
    assert project.run().ret == status
    assert project.benchmark()["verdict"]["outcome"] == outcome


def test_the_failure_names_value_and_budget(project: Project) -> None:
    """In the failure, in the summary, and without the offer to accept it."""
    project.write(CALL.format(limit=8))
    result = project.run()
    result.stdout.fnmatch_lines(
        [
            "*energy over budget: *::test_it",
            "*Energy 10.00* J/call, budget 8 J/call (max_joules)",
            "over budget (1)",
        ]
    )
    result.stdout.no_fnmatch_line("*accept it*")


def test_a_baseline_does_not_lift_a_budget(project: Project) -> None:
    """What is over budget is not accepted, and fails also while updating."""
    project.write(CALL.format(limit=8))
    assert project.run("--energy-update").ret == 1
    assert not project.path("baselines").exists()


@pytest.mark.parametrize(
    "changes", [{"estimated": True}, {"faults": ["throttled"]}, {"unavailable": "no card"}]
)
@pytest.mark.usefixtures("only_scripted")
def test_only_measured_joules_are_compared_with_a_budget(
    project: Project, changes: dict[str, object]
) -> None:
    """An estimate says so; what is invalid or unmeasured has that outcome."""
    project.script(**changes)
    project.write(CALL.format(limit=8))
    meter = ("--energy-meter=auto",) if "unavailable" in changes else ()
    assert project.run(*meter).ret == 0
    verdict = project.benchmark()["verdict"]
    assert verdict["budgets"] == []
    if "estimated" in changes:
        assert "The budget (max_joules) was not checked" in verdict["notes"][0]


def test_a_budget_of_windows_counts_for_each(project: Project) -> None:
    """Each window is a benchmark."""
    project.write(
        """
@pytest.mark.energy(max_joules=5)
def test_it(energy):
    for _ in range(3):
        with energy.window("prefill"):
            work(0.1)
        with energy.window("decode"):
            work(0.01)
"""
    )
    assert project.run().ret == 1
    assert project.benchmark("prefill")["verdict"]["outcome"] == "over budget"
    assert project.benchmark("decode")["verdict"]["outcome"] == "new"


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("0", "max_joules=0: expected a number of joules above 0"),
        ("'much'", "max_joules=much: expected a number of joules above 0"),
        ("{'token': -1}", "max_joules['token']=-1: expected a number of joules above 0"),
        ("{'step': 1}", "max_joules={'step': *}, but nothing that was measured has the unit"),
    ],
)
def test_a_budget_that_cannot_be_checked_is_refused(
    project: Project, limit: str, message: str
) -> None:
    """A budget that is never compared would pass any joules."""
    project.write(CALL.format(limit=limit))
    result = project.run()
    assert result.ret != 0
    lines = result.stdout.str() + result.stderr.str()
    assert message.partition("*")[0] in lines
