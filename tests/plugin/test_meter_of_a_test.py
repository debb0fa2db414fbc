"""A test whose marker names another meter than that of the session."""

from __future__ import annotations

import pytest

from pytest_energy.meters.selected_channels import OWNERS
from tests.plugin.conftest import Project

BODY = """
@pytest.mark.energy(meter="processor")
def test_tokenize(energy):
    energy(work, {seconds})

def test_it(energy):
    energy(work, 0.01)
"""


def test_each_test_has_the_joules_of_its_meter(project: Project) -> None:
    """Joules, channels and identity are those of the processor; other tests keep the GPU."""
    project.write(BODY.format(seconds=0.01))
    result = project.run()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*tests with meter='processor': channels cpu of Scripted Proc*"])
    tokenize, whole = project.benchmark("test_tokenize"), project.benchmark()
    assert tokenize["metrics"]["energy_j"]["value"] == pytest.approx(0.1)
    assert whole["metrics"]["energy_j"]["value"] == pytest.approx(1.0)
    assert set(tokenize["rounds"][0]["channels"]) == {"cpu"}
    assert tokenize["identity"]["device"] == "Scripted Processor"
    assert whole["identity"] is None
    assert project.results()["environment"]["identity"]["device"] == "Scripted Card"


def test_its_baseline_is_in_the_folder_of_its_machine(project: Project) -> None:
    """A rise is found against it, and the other test has its own."""
    project.write(BODY.format(seconds=0.01))
    assert project.run("--energy-update", "--energy-baseline-runs=1").ret == 0
    folders = sorted(path.parent.parent.name for path in project.path("baselines").rglob("*.json"))
    assert folders == ["scripted-card", "scripted-processor"]
    project.write(BODY.format(seconds=0.012))
    assert project.run().ret == 1
    assert project.benchmark("test_tokenize")["verdict"]["outcome"] == "regressed"
    assert project.benchmark()["verdict"]["outcome"] == "unchanged"


def test_without_its_meter_the_test_alone_is_unmeasured(project: Project) -> None:
    """The reason is that of the meter, and the joules of the GPU do not replace its own."""
    project.script(no_processor="the counters belong to root")
    project.write(BODY.format(seconds=0.01))
    project.run().assert_outcomes(passed=2)
    tokenize = project.benchmark("test_tokenize")
    assert (tokenize["status"], "energy_j" in tokenize["metrics"]) == ("unmeasured", False)
    assert "the counters belong to root" in tokenize["reasons"][0]["message"]
    assert project.benchmark()["status"] == "measured"


@pytest.mark.parametrize(
    ("meter", "message"),
    [
        ("'steam'", "test_it.py::test_it: @pytest.mark.energy: no meter 'steam'; choose one of"),
        ("''", "meter=: expected a meter's name, such as rapl"),
        ("['cpu']", "expected a meter's name, such as rapl"),
        ("'processor', channels=['dram']", "no channel 'dram'; processor has cpu"),
        ("'processor', channels='cpu'", "channels='cpu': expected a list of channels"),
        ("'processor', channels=[]", "channels=[]: expected a list of channels"),
        ("'scripted', channels=['steam']", "no channel 'steam'; scripted has gpu0"),
    ],
)
def test_a_meter_that_cannot_be_is_refused(project: Project, meter: str, message: str) -> None:
    """Before anything is measured."""
    project.write(
        f"@pytest.mark.energy(meter={meter})\ndef test_it(energy):\n    energy(work, 0.01)"
    )
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


CHANNELS = """
@pytest.mark.energy(channels=["cpu"])
def test_tokenize(energy):
    energy(work, 0.01)

def test_it(energy):
    energy(work, 0.01)
"""


def test_a_test_takes_some_channels_of_the_meter(project: Project) -> None:
    """Only their joules count, and the identity is that of their part of the machine."""
    project.write(CHANNELS)
    result = project.run("--energy-meter=scripted+processor")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*tests with channels=[[]'cpu']: channels cpu of Scripted Proc*"])
    tokenize, whole = project.benchmark("test_tokenize"), project.benchmark()
    assert tokenize["metrics"]["energy_j"]["value"] == pytest.approx(0.1)
    assert tokenize["identity"]["device"] == "Scripted Processor"
    assert set(whole["rounds"][0]["channels"]) == {"gpu0", "cpu"}


@pytest.mark.parametrize("meter", ["", "the counters belong to root"])
def test_channels_that_the_session_lacks_have_their_own_meter(
    project: Project, meter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is opened for these tests alone; without it they are unmeasured, and say why."""
    monkeypatch.setitem(OWNERS, "cpu", "processor")
    project.script(no_processor=meter)
    project.write(CHANNELS)
    project.run().assert_outcomes(passed=2)
    tokenize = project.benchmark("test_tokenize")
    if meter:
        assert tokenize["status"] == "unmeasured"
        assert meter in tokenize["reasons"][0]["message"]
    else:
        assert tokenize["metrics"]["energy_j"]["value"] == pytest.approx(0.1)
    assert project.benchmark()["metrics"]["energy_j"]["value"] == pytest.approx(1.0)


def test_an_unknown_channel_is_refused(project: Project) -> None:
    """The error names the test, the channel and those that there are."""
    project.write(CHANNELS.replace("cpu", "ram"))
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: test_it.py::test_tokenize: *no channel 'ram' here; known are cpu, dram, gpu0*"]
    )


def test_the_meter_of_the_session_needs_no_second_one(project: Project) -> None:
    """A marker that names it changes nothing."""
    project.write(
        "@pytest.mark.energy(meter='scripted')\ndef test_it(energy):\n    energy(work, 0.01)"
    )
    project.run().assert_outcomes(passed=1)
    assert project.benchmark()["identity"] is None
