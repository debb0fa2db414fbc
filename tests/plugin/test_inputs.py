"""Inputs of models in a session, and the facts of calls and windows."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import QUICK, Project

MODELS = """
import asyncio
import torch

LAYER = torch.nn.Linear(4, 5, bias=False)
BATCH = torch.ones(2, 4)

class Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = torch.nn.Embedding(10, 4), torch.nn.Linear(4, 3, bias=False)

    def forward(self, ids, mask=None, *, scale=1.0):
        work(0.01)
        assert not self.training
        return self.head(self.embedding(ids) * mask[..., None] * scale)

def forward():
    work(0.01)
    return LAYER(BATCH)

async def answer():
    return forward()

IDS, MASK = torch.ones(2, 7, dtype=torch.long), torch.ones(2, 7)
NAMED = lambda: {"ids": IDS, "mask": MASK}

def test_named(energy):
    energy.inference(Tagger(), make_input=NAMED, batch_size=2, kwargs={"scale": 2.0})

def test_by_place(energy):
    energy.inference(Tagger(), make_input=lambda: (IDS, MASK), batch_size=2)

def test_training(energy):
    energy.training(lambda: work(0.01), epochs=1, model=Tagger(), make_input=NAMED)

def test_call(energy):
    energy(forward, facts=True)

def test_model_call(energy):
    energy(forward, facts=LAYER)

def test_pedantic(energy):
    energy.pedantic(forward, rounds=2, facts=LAYER)

def test_awaited(energy):
    asyncio.run(energy.acall(answer, facts=True))

def test_repeat(energy):
    for w in energy.repeat("decode", seconds=0.001, facts=LAYER):
        with w.paused():
            forward()
        forward()

def test_window(energy):
    for _ in range(3):
        with energy.window("decode", facts=LAYER) as w:
            forward()
        if w.energy is None:
            assert "counted" in w.reasons[0].message

def test_once(energy):
    with energy.window("decode", facts=LAYER) as w:
        forward()
    assert not energy.enabled or w.energy is not None
"""


@pytest.fixture
def session(project: Project, torch_forks: None) -> tuple[pytest.RunResult, Project]:
    """One session of all of these tests, since each session imports torch anew."""
    project.write(MODELS)
    return project.run_apart("--energy-scale=small"), project


def test_inputs_of_every_form_are_run_and_counted(
    session: tuple[pytest.RunResult, Project],
) -> None:
    """One model as a mapping, a tuple and in training: the same joules, FLOPs and parameters."""
    result, project = session
    result.assert_outcomes(passed=10)
    for name in ("test_named", "test_by_place", "test_training"):
        metrics = project.benchmark(name)["metrics"]
        counts = {key: metrics[key]["value"] for key in ("energy_j", "params", "macs")}
        assert counts == {"energy_j": pytest.approx(1.0), "params": 52, "macs": 2 * 7 * 4 * 3}
    workload = project.benchmark("test_named")["workload"]
    assert (workload["input_shape.ids"], workload["kwargs.scale"]) == ([7], 2.0)
    assert "input_shape" not in workload
    # Of calls and windows, too, whose joules are those without the count.
    for name in ("test_call", "test_model_call", "test_pedantic", "test_awaited"):
        metrics = project.benchmark(name)["metrics"]
        assert metrics["macs"]["value"] == 2 * 4 * 5
        assert metrics["energy_j"]["value"] == pytest.approx(1.0)
    assert "params" not in project.benchmark("test_call")["metrics"]
    for name in ("test_model_call", "test_repeat::decode", "test_window::decode"):
        assert project.benchmark(name)["metrics"]["params"]["value"] == 20
    for name in ("test_repeat::decode", "test_window::decode"):
        decode = project.benchmark(name)
        assert decode["metrics"]["macs"]["value"] == 2 * 4 * 5
        assert decode["metrics"]["energy_j"]["value"] == pytest.approx(1.0)
    # The second window was counted, and two were measured.
    assert len(project.benchmark("test_window::decode")["rounds"]) == 2
    once = project.benchmark("test_once::decode")
    assert once["metrics"]["energy_j"]["value"] == pytest.approx(1.0)
    assert once["metrics"]["params"]["value"] == 20
    assert "macs" not in once["metrics"]
    (reason,) = [each["message"] for each in once["reasons"] if "not counted" in each["message"]]
    assert "energy.window('decode') was entered once" in reason


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("energy.inference(print)", "energy.inference: expected input_shape=(3, 224, 224)"),
        ("energy.inference(3, input_shape=(1,))", "energy.inference(3): expected a function"),
        ("energy.inference(print, input_shape=(3, 0))", "input_shape=(3, 0)): expected whole"),
        ("energy.inference(print, input_shape='28')", "input_shape='28'): expected whole numbers"),
        ("energy.inference(print, input_shape={'a': 3})", "input_shape={'a': 3}): expected whole"),
        ("energy.inference(print, make_input=[1])", "energy.inference: make_input([1]): expected"),
        (
            "energy.inference(print, input_shape=(1,), kwargs=['a'])",
            "energy.inference(kwargs=['a']): expected a mapping",
        ),
        ("energy.training(print, input_shape=3)", "energy.training(input_shape=3): expected"),
        ("energy.training(print, make_input=3)", "energy.training: make_input(3): expected"),
        ("energy(print, facts='flops')", "energy: facts='flops': expected True to count FLOPs"),
        ("energy.pedantic(print, facts=print)", "energy.pedantic: facts=<built-in function print>"),
        ("energy.window('a', facts=3).__enter__()", "energy.window('a'): facts=3: expected True"),
        ("energy.repeat('a', facts=3)", "energy.repeat('a'): facts=3: expected True"),
    ],
)
def test_what_cannot_be_an_input_or_a_fact_is_refused(
    project: Project, call: str, message: str, measured: bool
) -> None:
    """The error names the call, the argument and its value, with and without --energy."""
    project.write(f"def test_it(energy):\n    {call}")
    arguments = ("--energy", "--energy-meter=scripted") if measured else ()
    result = project.pytester.runpytest_inprocess(*QUICK, *arguments)
    result.assert_outcomes(failed=1)
    assert message in result.stdout.str()
