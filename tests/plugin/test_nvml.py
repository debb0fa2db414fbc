"""The whole plugin on a simulated card, from true joules to the exit status."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest

from pytest_energy.testing import SimulatedNvml
from tests.plugin.conftest import QUICK
from tests.virtual import virtual_machine

BODY = """
import os, time
from pytest_energy.testing import Machine

MACHINE = Machine.attached()
POWER_W = float(os.environ.get("POWER_W", "300"))
true_j = []

def work(in_the_middle=lambda: None):
    start_s = time.perf_counter()
    with MACHINE.load(POWER_W):
        time.sleep(0.3)
        in_the_middle()
        time.sleep(0.3)
        true_j.append(MACHINE.true_energy_j(start_s, time.perf_counter()))

def test_it(energy):
    energy.pedantic({call}, rounds=2)
    if true_j:
        energy.record(true_energy_j=sum(true_j) / 2)
"""


class Card:
    """A folder with one energy test, and a machine with one card."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pytester = pytester
        self._monkeypatch = monkeypatch
        self.write("work")

    def write(self, call: str) -> None:
        """Write the test; ``call`` is what it measures."""
        self._pytester.makepyfile(test_it=BODY.replace("{call}", call))

    def run(
        self, machine: SimulatedNvml, *arguments: str, power_w: float = 300.0, apart: bool = False
    ) -> pytest.RunResult:
        """Run the test on ``machine``, with a constant power while the test works.

        Args:
            machine: The simulated machine.
            arguments: Arguments of pytest, added to ``--energy``.
            power_w: The power of the card during the test.
            apart: Whether pytest runs in another process.
        """
        with self._monkeypatch.context() as patch:
            for name, value in {**os.environ, **machine.environment()}.items():
                patch.setenv(name, value)
            patch.setenv("POWER_W", str(power_w))
            run = (
                self._pytester.runpytest_subprocess if apart else self._pytester.runpytest_inprocess
            )
            return run("--energy", "--energy-baseline-runs=1", *QUICK, *arguments)

    @property
    def folder(self) -> Path:
        """The folder of the project."""
        return self._pytester.path

    def benchmark(self) -> dict[str, Any]:
        """The one benchmark of the last run."""
        text = (self.folder / ".energy" / "results.json").read_text("utf-8")
        (benchmark,) = json.loads(text)["benchmarks"]
        return dict(benchmark)


@pytest.fixture
def card(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, forks: None) -> Card:
    """A project to run on simulated cards."""
    return Card(pytester, monkeypatch)


@pytest.fixture
def machine() -> Iterator[SimulatedNvml]:
    """A machine with one H100."""
    with virtual_machine("hopper") as simulated:
        yield simulated


def test_joules_agree_with_the_truth_within_a_tick(card: Card, machine: SimulatedNvml) -> None:
    """The reported joules are those drawn, within the joules of one tick at that power."""
    card.run(machine).assert_outcomes(passed=1)
    benchmark = card.benchmark()
    metrics = benchmark["metrics"]
    assert benchmark["status"] == "measured"
    assert benchmark["meter"]["source"] == "counter"
    tick_j = 300.0 * benchmark["meter"]["tick_s"]
    assert metrics["energy_j"]["value"] == pytest.approx(
        metrics["true_energy_j"]["value"], abs=tick_j
    )


def test_cards_of_two_kinds_have_every_output(card: Card) -> None:
    """Facts of the machine are then lists: every report names both cards, and no shape of them."""
    outputs = ("html", "markdown", "openmetrics", "github-benchmark", "code-quality")
    options = [f"--energy-output={name}:out/{name}" for name in outputs]
    with virtual_machine("hopper", "ada") as machine:
        assert card.run(machine, "--energy-update").ret == 0
        result = card.run(machine, *options, "--junitxml=junit.xml")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*Gate passed*"])
    both = "simulated NVIDIA H100 80GB HBM3, simulated NVIDIA GeForce RTX 4090"
    result.stdout.fnmatch_lines([f"energy: will measure with NVML counter on {both} (*"])
    for name in outputs:
        assert (card.folder / "out" / name).exists(), name
    for name in ("html", "markdown"):
        text = (card.folder / "out" / name).read_text("utf-8")
        assert both in text, name
        assert "1980, 3105" in text, name
        assert "yes × no" not in text, name


def test_ten_percent_more_power_fails_until_it_is_accepted(card: Card) -> None:
    """Each step of a regression has its exit status."""
    with virtual_machine("hopper") as machine:  # nothing can hold a window up

        def run(*arguments: str, power_w: float = 300.0) -> pytest.RunResult:
            return card.run(machine, *arguments, power_w=power_w)

        assert run("--energy-update").ret == 0
        assert run().ret == 0
        assert card.benchmark()["verdict"]["outcome"] == "unchanged"
        risen = run(power_w=330.0)
        assert risen.ret == 1
        assert card.benchmark()["verdict"]["outcome"] == "regressed"
        for pattern in ("*regressed*", "*+10*%*", "*cause*power*", "*--energy-update*"):
            risen.stdout.fnmatch_lines([pattern])
        assert run("--energy-update", power_w=330.0).ret == 0
        assert run(power_w=330.0).ret == 0


@pytest.mark.parametrize(
    ("in_the_middle", "reason"),
    [
        ("MACHINE.lose", "device-lost"),
        ("MACHINE.reset_counter", "counter-reset"),
    ],
)
def test_a_fault_in_the_middle_has_its_reason(
    card: Card, machine: SimulatedNvml, in_the_middle: str, reason: str
) -> None:
    """There is no traceback, no zero and no negative joule; strict mode fails."""
    card.write(f"lambda: work({in_the_middle})")
    result = card.run(machine)
    assert result.ret == 0
    benchmark = card.benchmark()
    assert benchmark["status"] == "invalid"
    assert reason in [row["code"] for row in benchmark["reasons"]]
    assert "energy_j" not in benchmark["metrics"]
    assert all(row["energy_j"] is None or row["energy_j"] > 0 for row in benchmark["rounds"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    machine.recover()
    assert card.run(machine, "--energy-strict").ret == 1


def test_limits_of_the_checks_are_options(card: Card, machine: SimulatedNvml) -> None:
    """A limit applies and is in the results; the option may be repeated."""
    limits = (
        "--energy-validity-limit=implausible-power=0.3",
        "--energy-validity-limit=contended=3",
    )
    assert card.run(machine, *limits).ret == 0
    benchmark = card.benchmark()
    assert benchmark["status"] == "invalid"
    (reason,) = benchmark["reasons"]
    assert reason["code"] == "implausible-power"
    assert "0.3 × the limit" in reason["message"]
    settings = json.loads((card.folder / ".energy" / "results.json").read_text("utf-8"))["run"][
        "settings"
    ]
    assert settings["validity_limit.implausible-power"] == 0.3
    assert settings["validity_limit.contended"] == 3


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "xdist"])
@pytest.mark.parametrize(
    ("devices", "message"), [("0,{0}", "*{0}*name it once"), ("7", " no usable device *{0}*")]
)
def test_a_wrong_selection_of_cards_is_a_usage_error(
    card: Card, machine: SimulatedNvml, workers: tuple[str, ...], devices: str, message: str
) -> None:
    """The error names the option before a test runs; a CPU meter never replaces the cards."""
    option = f"--energy-devices={devices.format(machine.uuid())}"
    refused = card.run(machine, option, *workers, apart=bool(workers))
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines([f"ERROR: *{option}:{message.format(machine.uuid())}"])


@pytest.mark.parametrize(
    ("cards", "visible", "arguments", "message"),
    [
        (("ada", "turing"), "0", (), "*set CUDA_DEVICE_ORDER=PCI_BUS_ID*"),
        (("ada",), "3", (), "*CUDA_VISIBLE_DEVICES='3' shows no GPU*"),
        ((), "0", ("--energy-devices=0",), "*--energy-devices=0: these devices cannot be*"),
    ],
    ids=["unknown order", "wrong index", "no driver"],
)
def test_a_mistake_is_an_error_and_no_estimate(
    card: Card,
    monkeypatch: pytest.MonkeyPatch,
    cards: tuple[str, ...],
    visible: str,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    """With auto, too, a wrong setting never ends in joules of the processor and exit status 0."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    with virtual_machine(*cards, library=bool(cards)) as machine:
        refused = card.run(machine, *arguments)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_the_wait_for_a_busy_gpu_is_an_option(card: Card, machine: SimulatedNvml) -> None:
    """The error names the time that the option sets."""
    machine.add_process(4_000_000)
    refused = card.run(machine, "--energy-meter=nvml", "--energy-wait-idle=0.1")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: *after waiting 0.1 s*"])


def test_a_contended_gpu_is_not_replaced_by_an_estimate(card: Card, machine: SimulatedNvml) -> None:
    """The result is inconclusive with a reason, with auto, too; only strict mode fails."""
    machine.add_process(4_000_000)
    result = card.run(machine, "--energy-wait-idle=0.1", apart=True)
    assert result.ret == 0
    benchmark = card.benchmark()
    assert benchmark["status"] == "unmeasured"
    assert benchmark["verdict"]["outcome"] == "inconclusive"
    assert [reason["code"] for reason in benchmark["reasons"]] == ["contended"]
    result.stdout.fnmatch_lines(["energy: will measure no joules here (*4000000*"])
    result.stdout.no_fnmatch_line("*--energy-update*")
    assert card.run(machine, "--energy-wait-idle=0.1", "--energy-strict", apart=True).ret == 1


@pytest.mark.parametrize(
    "code",
    [pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_NO_PERMISSION],
)
def test_without_nvml_the_session_goes_on_or_says_why(
    card: Card, machine: SimulatedNvml, code: int
) -> None:
    """With auto the session uses another meter and says why; with nvml it ends before any test."""
    machine.fail("nvmlInit", code)
    refused = card.run(machine, "--energy-meter=nvml")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: *"])
    assert "Traceback" not in refused.stderr.str()
    fallen_back = card.run(machine, apart=True)  # imports what must not be imported twice
    assert fallen_back.ret == 0
    assert card.benchmark()["status"] in ("estimated", "unmeasured", "measured")
    assert "rapl" in fallen_back.stdout.str() or "codecarbon" in fallen_back.stdout.str()
    fallen_back.stdout.fnmatch_lines(["energy: no GPU meter: NVML: *"])


def test_without_the_library_the_remedy_is_named(card: Card) -> None:
    """A machine without an NVIDIA driver is distinguished from a broken one."""
    with virtual_machine(library=False) as machine:
        refused = card.run(machine, "--energy-meter=nvml")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: *libnvidia-ml.so.1*"])


SEES = """
import os, time

def test_it(energy):
    energy.pedantic(time.sleep, (0.05,))
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == {shown!r}
"""


def test_the_header_says_that_all_gpus_are_added_up(card: Card, pytester: pytest.Pytester) -> None:
    """The header names the GPUs, says that all are added, and which option measures one."""
    with virtual_machine("turing", "turing") as machine:
        pytester.makepyfile(test_it=SEES.format(shown=None))
        result = card.run(machine)
        first, second = (machine.uuid(number)[:12] for number in (0, 1))
    result.assert_outcomes(passed=1)
    assert card.benchmark()["rounds"][0]["channels"].keys() == {"gpu0", "gpu1"}
    result.stdout.fnmatch_lines(
        [
            f"energy: will measure with NVML counter on * ({first}, {second}); channels gpu0, *",
            f"energy: * all 2 GPUs are added, *--energy-devices={first} measures one",
        ]
    )


def test_a_selected_gpu_runs_the_test_and_is_measured(
    card: Card, pytester: pytest.Pytester
) -> None:
    """CUDA shows the test this GPU only, and only its joules count."""
    with virtual_machine("turing", "turing") as machine:
        pytester.makepyfile(test_it=SEES.format(shown=machine.uuid(1)))
        result = card.run(machine, "--energy-devices=1", apart=True)
        named = machine.uuid(1)[:12]
    result.assert_outcomes(passed=1)
    assert card.benchmark()["rounds"][0]["channels"].keys() == {"gpu0"}
    result.stdout.fnmatch_lines(
        [f"energy: will measure with NVML counter on * ({named}); channels*"]
    )
    result.stdout.no_fnmatch_line("*GPUs are added*")


def test_a_test_that_leaves_the_gpu_idle_has_no_joules(card: Card, machine: SimulatedNvml) -> None:
    """The joules of rest belong to nobody: the result is invalid and names two remedies."""
    card.write("time.sleep, (0.3,)")
    card.run(machine)
    benchmark = card.benchmark()
    assert benchmark["status"] == "invalid"
    (reason,) = [found for found in benchmark["reasons"] if found["fatal"]]
    assert reason["code"] == "device-idle"
    assert "energy_j" not in benchmark["metrics"]
