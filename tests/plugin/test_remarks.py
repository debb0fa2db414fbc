"""Remarks and facts that a test adds while it runs."""

from __future__ import annotations

from tests.plugin.conftest import QUICK, Project


def test_a_remark_is_in_the_result_and_changes_no_verdict(project: Project) -> None:
    """It may come before and after the measurement, and the result stays valid."""
    project.write(
        """
def test_it(energy):
    energy.remark("the loss rose")
    energy(work, 0.01)
    energy.remark("the loss fell")
"""
    )
    project.run(*QUICK).assert_outcomes(passed=1)
    benchmark = project.benchmark()
    remarks = [reason for reason in benchmark["reasons"] if reason["message"].startswith("the ")]
    assert [remark["message"] for remark in remarks] == ["the loss rose", "the loss fell"]
    assert {(remark["code"], remark["fatal"]) for remark in remarks} == {("note", False)}
    assert benchmark["status"] == "measured"


def test_facts_that_a_test_adds_are_in_the_workload(project: Project) -> None:
    """They identify the benchmark as those of a hook do."""
    project.write(
        """
def test_it(energy):
    energy.describe(images=130, data="real")
    energy.pedantic(work, (0.01,))
"""
    )
    project.run(*QUICK).assert_outcomes(passed=1)
    workload = project.benchmark()["workload"]
    assert (workload["images"], workload["data"]) == (130, "real")


def test_facts_that_come_too_late_or_are_not_plain_are_refused(project: Project) -> None:
    """The error says what to do, or which fact it is."""
    project.write(
        """
def test_late(energy):
    energy(work, 0.01)
    with pytest.raises(Exception, match="call it before"):
        energy.describe(images=1)

def test_strange(energy):
    with pytest.raises(Exception, match="'images' is <object"):
        energy.describe(images=object())
    energy(work, 0.01)

def test_silent(energy):
    with pytest.raises(Exception, match="expected a sentence"):
        energy.remark(" ")
    energy(work, 0.01)
"""
    )
    project.run(*QUICK).assert_outcomes(passed=3)
