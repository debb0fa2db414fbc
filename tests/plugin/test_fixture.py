"""The calls of the energy fixture, and the results that they give."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import QUICK, Project

CALL = """
def test_it(energy):
    assert energy(lambda x: work(0.01) or x, 42) == 42
    assert energy.measurement.energy.value == pytest.approx(1.0)
"""


def test_a_call_is_measured(project: Project) -> None:
    """Warm-up, rounds and passes are run; joules are per call; the value is returned."""
    project.write(CALL)
    result = project.run("--energy-passes=7", "--energy-rounds=4")
    result.assert_outcomes(passed=1)
    benchmark = project.benchmark()
    assert benchmark["kind"] == "call"
    assert benchmark["status"] == "measured"
    assert [measured["passes"] for measured in benchmark["rounds"]] == [7] * 4
    energy = benchmark["metrics"]["energy_j"]
    assert energy["value"] == pytest.approx(1.0)
    assert energy["unit"] == "J/call"
    assert energy["uncertainty"] > 0


def test_pedantic_calls_setup_outside_the_window(project: Project) -> None:
    """The joules of setup are not counted; warm-up rounds are not measured."""
    project.write(
        """
def setup():
    work(5)
    return (0.01,), {}

def test_it(energy):
    energy.pedantic(work, setup=setup, rounds=2, warmup_rounds=3)
"""
    )
    project.run().assert_outcomes(passed=1)
    benchmark = project.benchmark()
    assert [measured["energy_j"] for measured in benchmark["rounds"]] == pytest.approx([1.0, 1.0])


def test_windows_are_benchmarks_of_their_own(project: Project) -> None:
    """Each name is a benchmark; a window that is entered again adds a round to it."""
    project.write(
        """
def test_it(energy):
    for _ in range(2):
        with energy.window("prefill"):
            work(0.02)
        with energy.window("decode"):
            work(0.01)
"""
    )
    project.run().assert_outcomes(passed=1)
    assert len(project.benchmark("prefill")["rounds"]) == 2
    assert project.benchmark("prefill")["metrics"]["energy_j"]["value"] == pytest.approx(2.0)
    assert project.benchmark("decode")["metrics"]["energy_j"]["value"] == pytest.approx(1.0)


def test_training_is_measured_by_epoch_and_scaled(project: Project) -> None:
    """One epoch warms up; the others are windows, and scoring after each is outside of them."""
    project.write(
        """
epochs, scored = [], []

def score():
    scored.append(len(epochs))
    work(5)

def train():
    epochs.append(1)
    work(36)
    return {"data_wait_share": 0.25}

def test_it(energy):
    energy.training(train, epochs=9, scale_to=200, evaluate=lambda: 0.9, after_epoch=score)
    energy.record(top5=0.99)
    assert len(epochs) == 4
    assert scored == [2, 3, 4]
"""
    )
    project.run("--energy-epochs=3").assert_outcomes(passed=1)
    metrics = project.benchmark()["metrics"]
    assert metrics["energy_j"]["value"] == pytest.approx(3600.0)
    assert metrics["energy_j"]["unit"] == "J/epoch"
    assert metrics["total_energy_j"]["value"] == pytest.approx(720_000.0)
    assert metrics["accuracy"]["value"] == 0.9
    # four epochs of 1 Wh led to the accuracy
    assert metrics["score_per_kwh"]["value"] == pytest.approx(0.9 / 0.004)
    assert metrics["data_wait_share"]["value"] == 0.25
    assert metrics["top5"]["value"] == 0.99


@pytest.mark.parametrize(
    ("evaluated", "score", "unit"),
    [
        ({"accuracy": 0.9, "miou": 0.3}, 0.3, "miou/kWh"),
        ({"map": 0.2, "map50": 0.4}, 0.2, "map/kWh"),
        ({"accuracy": 0.9, "train_accuracy": 1.0}, 0.9, "1/kWh"),
    ],
)
def test_the_score_is_that_of_the_task(
    project: Project, evaluated: dict[str, float], score: float, unit: str
) -> None:
    """Segmentation and detection have a Score by their own metric, named in its unit."""
    project.write(
        f"""
def test_it(energy):
    energy.training(lambda: work(36), epochs=1, evaluate=lambda: {evaluated!r})
"""
    )
    project.run().assert_outcomes(passed=1)
    # two epochs of 1 Wh led to it
    quantity = project.benchmark()["metrics"]["score_per_kwh"]
    assert (quantity["value"], quantity["unit"]) == (pytest.approx(score / 0.002), unit)


@pytest.mark.usefixtures("torch_forks")
def test_a_model_is_measured_with_its_facts(project: Project) -> None:
    """Parameters, MACs and FLOPs of the stated input accompany the joules per pass."""
    project.write(
        """
def test_it(energy):
    import torch

    class Model(torch.nn.Linear):
        def forward(self, x):
            work(0.01)
            assert not self.training
            return super().forward(x)

    energy.inference(Model(8, 4), input_shape=(8,), workload={"model": "linear"})
"""
    )
    project.run_apart("--energy-scale=small").assert_outcomes(passed=1)
    benchmark = project.benchmark()
    assert benchmark["workload"] == {
        "model": "linear",
        "technique": "baseline",
        "input_shape": [8],
        "batch_size": 1,
        "data": "random",
        "scale": "small",
    }
    metrics = {name: item["value"] for name, item in benchmark["metrics"].items()}
    assert metrics["params"] == 36
    assert metrics["macs"] == 32
    assert metrics["flops"] == 64
    assert metrics["energy_j"] == pytest.approx(1.0)
    assert [measured["passes"] for measured in benchmark["rounds"]] == [20] * 3


def test_the_marker_wins_over_the_command_line(project: Project) -> None:
    """Rounds of the marker closest to the test are run."""
    project.write("@pytest.mark.energy(rounds=2)\n" + CALL.lstrip())
    project.run("--energy-rounds=5", "--energy-passes=1").assert_outcomes(passed=1)
    assert len(project.benchmark()["rounds"]) == 2


def test_a_second_measurement_in_a_test_is_refused(project: Project) -> None:
    """The error says what to use instead."""
    project.write(
        """
def test_it(energy):
    energy(work, 0.01)
    energy(work, 0.01)
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*UsageError: test_it.py::test_it: the energy fixture measures*"])


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize(
    ("call", "argument"),
    [
        ("inference(None, input_shape=(1,), passes=0)", "passes=0"),
        ("inference(None, input_shape=(1,), rounds=-1)", "rounds=-1"),
        ("inference(None, input_shape=(1,), batch_size=0)", "batch_size=0"),
        ("training(work, epochs=0)", "epochs=0"),
        ("training(work, epochs=1.5)", "epochs=1.5"),
        ("training(work, scale_to=0)", "scale_to=0"),
        ("training(work, batch_size='8')", "batch_size='8'"),
        ("pedantic(work, rounds=0)", "rounds=0"),
        ("pedantic(work, iterations=0)", "iterations=0"),
        ("pedantic(work, warmup_rounds=-1)", "warmup_rounds=-1"),
    ],
)
def test_a_number_that_is_too_small_is_refused(
    project: Project, call: str, argument: str, measured: bool
) -> None:
    """The error names argument, value and the expected range, with and without --energy."""
    project.write(
        f"""
def test_it(energy):
    energy.{call}
"""
    )
    arguments = ("--energy", "--energy-meter=scripted") if measured else ()
    result = project.pytester.runpytest_inprocess(*QUICK, *arguments)
    least = 0 if "warmup" in call else 1
    method = call.partition("(")[0]
    result.stdout.fnmatch_lines(
        [f"*energy.{method}({argument}): expected a whole number of at least {least}*"]
    )


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("name", ["", " ", "two\nlines", "ends\n", "test_it::prefill"])
def test_a_bad_window_name_is_refused(project: Project, name: str, measured: bool) -> None:
    """The error comes before the body runs, with and without --energy."""
    project.write(
        f"""
def test_it(energy):
    with energy.window({name!r}):
        pytest.fail("it ran")
"""
    )
    arguments = ("--energy", "--energy-meter=scripted") if measured else ()
    result = project.pytester.runpytest_inprocess(*QUICK, *arguments)
    result.assert_outcomes(failed=1)
    message = f"UsageError: energy.window({name!r}): expected a name of one line without '::'"
    assert message in result.stdout.str()


@pytest.mark.parametrize(
    ("body", "name", "rounds", "remark"),
    [
        ("energy.training(rest, epochs=5)", "test_it", 1, "ran 1 of 5 rounds"),
        ("energy.pedantic(rest, rounds=4)", "test_it", 1, "ran 1 of 4 rounds"),
        (
            "for _ in range(3):\n        with energy.window('decode'):\n            rest()",
            "decode",
            1,
            "ran 1 of 3 rounds",
        ),
        ("energy.pedantic(work, (1,), rounds=4)", "test_it", 4, None),
    ],
)
def test_the_time_limit_bounds_epochs_rounds_and_windows(
    project: Project, body: str, name: str, rounds: int, remark: str | None
) -> None:
    """At least one is measured, and the result says how many ran."""
    project.write(
        f"""
import time

def rest():
    time.sleep(0.02)
    work(1)

@pytest.mark.energy(max_time={0.03 if remark else 600})
def test_it(energy):
    {body}
"""
    )
    project.run().assert_outcomes(passed=1)
    benchmark = project.benchmark(name)
    assert len(benchmark["rounds"]) == rounds
    messages = [reason["message"] for reason in benchmark["reasons"]]
    assert [message.partition(",")[0] for message in messages] == ([remark] if remark else [])


def test_an_absolute_budget_is_an_assertion(project: Project) -> None:
    """A failed assertion after measuring keeps the measurement, and says that the test failed."""
    project.write(
        """
def test_it(energy):
    energy(work, 0.01)
    assert energy.measurement.energy.value < 0.5
"""
    )
    project.run("--energy-update").assert_outcomes(failed=1)
    benchmark = project.benchmark()
    assert benchmark["status"] == "measured"
    assert [reason["code"] for reason in benchmark["reasons"]] == ["test-failed"]
    assert not project.path("baselines").exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "inference(run, input_shape=(1,), workload={'cfg': {'a': 1}})",
            "energy.inference(workload=*): 'cfg' is {'a': 1}: expected a string, a finite number*",
        ),
        (
            "training(run, workload={'rate': float('inf')})",
            "energy.training(workload=*): 'rate' is inf: expected a string, a finite number*",
        ),
        (
            "training(run, workload=3)",
            "energy.training(workload=*): 3 is not a mapping of names to values",
        ),
        (
            "inference(run, input_shape=(1,), facts={'params': 3})",
            "energy.inference(facts=*): 'params' is 3: expected a Quantity",
        ),
    ],
)
def test_facts_that_cannot_be_stored_are_refused_before_measuring(
    project: Project, call: str, message: str
) -> None:
    """The error names the key, its value and the expected type; nothing has run."""
    project.write(
        f"""
def run(*batch):
    print("it ran")

def test_it(energy):
    energy.{call}
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*UsageError: {message}"])
    result.stdout.no_fnmatch_line("it ran")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("record(x=float('nan'))", "energy.record: 'x' is nan"),
        ("record(tokens='x')", "energy.record: 'tokens' is 'x'"),
        ("record(tokens=[1, 2])", "energy.record: 'tokens' is [[]1, 2]"),
        ("record(huge=10**400)", "energy.record: 'huge' is 1000*"),
    ],
)
def test_a_metric_that_is_no_finite_number_is_refused_when_it_is_recorded(
    project: Project, call: str, message: str
) -> None:
    """The error names metric and value; windows measured before stay."""
    project.write(
        f"""
def test_it(energy):
    with energy.window("prefill"):
        work(0.01)
    energy.{call}
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*UsageError: *::test_it: {message}: expected a finite number*"])
    assert project.benchmark("prefill")["status"] == "measured"


@pytest.mark.parametrize(
    ("epoch", "evaluated", "message"),
    [
        ("None", "'good'", "'accuracy' is 'good'"),
        ("None", "None", "'accuracy' is None"),
        ("None", "{'miou': float('inf')}", "'miou' is inf"),
        ("{'loss': float('nan')}", "0.9", "'loss' is nan"),
    ],
)
def test_training_with_a_bad_metric_fails_by_its_name(
    project: Project, epoch: str, evaluated: str, message: str
) -> None:
    """The joules of the epochs stay in the results, as in any failed test."""
    project.write(
        f"""
def train():
    work(1)
    return {epoch}

def test_it(energy):
    energy.training(train, epochs=2, evaluate=lambda: {evaluated})
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [f"*::test_it: energy.training: {message}: expected a finite number*"]
    )
    assert project.benchmark()["metrics"]["energy_j"]["value"] == pytest.approx(100.0)


def test_an_exception_inside_a_window_is_raised_unchanged(project: Project) -> None:
    """Windows that ended before the exception stay; the interrupted one has no result."""
    project.write(
        """
def test_it(energy):
    with energy.window("prefill"):
        work(0.02)
    with energy.window("decode"):
        raise LookupError("no such token")
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*LookupError: no such token"])
    (benchmark,) = project.results()["benchmarks"]
    assert benchmark["id"] == "test_it.py::test_it::prefill"


@pytest.mark.parametrize(
    "outer",
    [
        "with energy.window('outer'):\n        inner()",
        "energy(inner)",
        "energy.pedantic(inner)",
    ],
    ids=["window", "call", "pedantic"],
)
@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ("with energy.window('inner'): work(0.01)", "::inner: energy.window() inside another"),
        ("energy(work, 0.01)", ": the energy fixture measures one benchmark a test"),
    ],
    ids=["window", "call"],
)
def test_one_measurement_inside_another_is_refused(
    project: Project, outer: str, inner: str, message: str
) -> None:
    """The outer one would contain the waiting of the inner one; neither has a result."""
    project.write(f"def test_it(energy):\n    def inner():\n        {inner}\n    {outer}")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*UsageError: test_it.py::test_it{message}*"])
    assert all(b["verdict"]["outcome"] == "inconclusive" for b in project.results()["benchmarks"])


def test_a_measurement_may_follow_one_that_raised(project: Project) -> None:
    """A test may try a smaller batch after one that did not fit into memory."""
    project.write(
        """
def test_it(energy):
    with pytest.raises(MemoryError):
        energy(lambda: exec("raise MemoryError"))
    energy(work, 0.01)
"""
    )
    project.run().assert_outcomes(passed=1)
    assert project.benchmark()["id"] == "test_it.py::test_it"


def test_failing_by_call_keeps_the_measurement(project: Project) -> None:
    """A test that calls pytest.fail() is a failed test like any other."""
    project.write("def test_it(energy):\n    energy(work, 0.01)\n    pytest.fail('too slow')")
    project.run().assert_outcomes(failed=1)
    assert [reason["code"] for reason in project.benchmark()["reasons"]] == ["test-failed"]


def test_a_measured_metric_cannot_be_recorded(project: Project) -> None:
    """Joules come from a meter, never from a test."""
    project.write("def test_it(energy):\n    energy(work, 0.01)\n    energy.record(energy_j=0.1)")
    result = project.run()
    result.stdout.fnmatch_lines(["*UsageError: test_it.py::test_it: energy.record: 'energy_j' is*"])


@pytest.mark.parametrize(
    "late",
    [
        "with energy.window('late'):\n        work(0.01)",
        "energy.record(x=1)",
        "energy(work, 0.01)",
    ],
)
def test_teardown_is_too_late_to_measure_or_record(project: Project, late: str) -> None:
    """The test already has its verdict: the error says so, and the verdict stays."""
    project.write(
        f"""
@pytest.fixture
def served(energy):
    yield
    {late}

def test_it(energy, served):
    with energy.window("prefill"):
        work(0.01)
"""
    )
    result = project.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*UsageError: *::test_it: the energy fixture was used after*"])
    (only,) = project.results()["benchmarks"]
    assert only["id"] == "test_it.py::test_it::prefill"


def test_metrics_without_a_benchmark_are_refused(project: Project) -> None:
    """Otherwise they would disappear silently."""
    project.write("def test_it(energy):\n    energy.record(tokens=512)")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*::test_it: energy.record(tokens=*measures nothing*"])


@pytest.mark.usefixtures("torch_forks")
@pytest.mark.parametrize("measured", [True, False])
def test_a_fixture_of_the_session_may_ask_for_the_device(project: Project, measured: bool) -> None:
    """It is the device of the energy fixture, which itself belongs to one test."""
    project.write(
        """
@pytest.fixture(scope="session")
def model(energy_device):
    return {"device": energy_device}

def test_it(energy, model):
    assert model["device"] == energy.device
    energy(work, 0.01)
"""
    )
    arguments = ("--energy", "--energy-meter=scripted", "--energy-passes=1") if measured else ()
    result = project.pytester.runpytest_subprocess(*QUICK, *arguments)
    result.assert_outcomes(passed=1)
