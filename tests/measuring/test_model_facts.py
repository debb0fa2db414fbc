"""Facts of a model: the counts are exact, and the model stays as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pytest_energy.measuring.model_facts import (
    counted_operations,
    model_facts,
    peak_memory_bytes,
    reset_peak_memory,
)


def small_net() -> nn.Module:
    """3×8×8 images: 3·4·9·64 = 6912 MACs of convolution, 256·10 = 2560 of the head."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def test_counts_by_hand() -> None:
    """Parameters and MACs equal the counts by hand, FLOPs are twice the MACs, and all are exact."""
    facts, reasons = model_facts(small_net(), torch.rand(1, 3, 8, 8))
    assert reasons == ()
    assert {name: quantity.value for name, quantity in facts.items()} == {
        "params": 108 + 8 + 2570,
        "trainable_params": 108 + 8 + 2570,
        "macs": 6912 + 2560,
        "flops": 2 * (6912 + 2560),
    }
    assert all(quantity.exact and quantity.uncertainty is None for quantity in facts.values())
    assert [facts[name].unit for name in ("params", "macs", "flops")] == [
        "parameters",
        "MAC",
        "FLOP",
    ]


@settings(deadline=None, max_examples=25)
@given(batch=st.integers(1, 5), inputs=st.integers(1, 9), outputs=st.integers(1, 9))
def test_operations_are_those_of_the_whole_batch(batch: int, inputs: int, outputs: int) -> None:
    """A linear layer costs batch × inputs × outputs multiply-adds."""
    facts, _ = model_facts(nn.Linear(inputs, outputs), torch.rand(batch, inputs))
    assert facts["macs"].value == batch * inputs * outputs


def test_frozen_parameters_are_counted_but_not_trainable() -> None:
    """With a frozen base only the head is trainable."""
    model = small_net()
    model[0].requires_grad_(False)
    facts, _ = model_facts(model, torch.rand(1, 3, 8, 8))
    assert facts["params"].value - facts["trainable_params"].value == 108


def test_a_shared_parameter_counts_once() -> None:
    """Tied weights count once as parameters and twice as products."""
    tied = nn.Linear(4, 4, bias=False)
    facts, _ = model_facts(nn.Sequential(tied, tied), torch.rand(1, 4))
    assert (facts["params"].value, facts["macs"].value) == (16, 32)


def test_counting_disturbs_nothing() -> None:
    """Modes of every layer, weights, running statistics and the generator stay as they were."""
    model = small_net().train()
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [layer.training for layer in model.modules()]
    generator = torch.get_rng_state()

    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.inner(images + torch.rand_like(images))

    model_facts(Noisy(), torch.zeros(1, 3, 8, 8))
    assert [layer.training for layer in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_model_is_still_trainable_after_counting() -> None:
    """Training can use a tensor that the model cached during the count."""

    class Caching(nn.Linear):
        grid: torch.Tensor | None = None

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            self.grid = torch.ones_like(features) if self.grid is None else self.grid
            return super().forward(features * self.grid)

    model = Caching(4, 4)
    model_facts(model, torch.rand(1, 4))
    model(torch.rand(1, 4)).sum().backward()
    assert model.weight.grad is not None


def test_a_failing_model_keeps_its_parameters_and_gets_a_reason() -> None:
    """If the pass fails only the operations are missing, and modes are restored."""
    model = small_net().train()
    facts, (reason,) = model_facts(model, torch.rand(1, 5, 8, 8))
    assert set(facts) == {"params", "trainable_params"}
    assert not reason.fatal
    assert "5 channels" in reason.message
    assert model.training


def test_a_model_without_known_operators_has_no_operations_rather_than_zero() -> None:
    """If nothing is counted, FLOPs are absent with a reason, and never zero."""
    facts, (reason,) = model_facts(nn.ReLU(), torch.rand(1, 4))
    assert facts["params"].value == 0
    assert "flops" not in facts
    assert "FLOP formula" in reason.message


def test_an_uninitialised_lazy_model_is_not_counted() -> None:
    """A lazy layer without a shape has no facts yet, and stays lazy."""
    model = nn.LazyLinear(3)
    facts, (reason,) = model_facts(model, torch.rand(1, 4))
    assert facts == {}
    assert not reason.fatal
    assert model.has_uninitialized_params()


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")  # deprecated, in use
def test_a_quantised_layer_is_refused_by_name() -> None:
    """Packed weights would count as zero parameters; the reason names the layer instead."""
    model = nn.Sequential(nn.ReLU(), torch.ao.nn.quantized.Linear(4, 4))
    facts, (reason,) = model_facts(model, torch.rand(1, 4))
    assert facts == {}
    assert "1 is quantised" in reason.message


def refuse(*_: object) -> None:
    """A compiler of torch that nothing may call."""
    raise AssertionError("compiled")


@pytest.mark.parametrize("compiled", ["wrapped", "in place"])
def test_a_compiled_model_is_counted_without_compiling_it(compiled: str) -> None:
    """Compiling changes how operations run, not their number; counting compiles nothing."""
    model: nn.Module = nn.Linear(4, 4)
    if compiled == "wrapped":
        model = torch.compile(model, backend=refuse)
    else:
        model.compile(backend=refuse)
    facts, reasons = model_facts(model, torch.rand(1, 4))
    assert (facts["macs"].value, reasons) == (16, ())


def test_a_function_has_no_facts_and_needs_no_torch() -> None:
    """A plain function has no facts, and counting does not import torch."""
    code = (
        "import sys; from pytest_energy.measuring.model_facts import model_facts;"
        "assert model_facts(print, 'text') == ({}, ()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_several_inputs_are_counted() -> None:
    """By position, or by the names of the model's arguments."""

    class Two(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a @ b

    a, b = torch.ones(2, 3), torch.ones(3, 4)
    for inputs in ((a, b), {"a": a, "b": b}):
        facts, _ = model_facts(Two(), inputs)
        assert facts["macs"].value == 24


def test_operations_of_a_body_are_counted_forward_and_backward() -> None:
    """A training step has three products of a linear layer, or two without gradients of inputs.

    It is not compiled.
    """
    layer, batch = nn.Linear(4, 5, bias=False), torch.ones(2, 4, requires_grad=True)
    with counted_operations() as step:
        torch.compile(layer, backend=refuse)(batch).sum().backward()
    assert step.metrics["macs"].value == 3 * 2 * 4 * 5
    assert step.metrics["flops"].exact
    assert step.reasons == ()


def test_what_runs_in_a_pause_is_not_counted() -> None:
    """Such as the loading of data."""
    layer, batch = nn.Linear(4, 5), torch.ones(2, 4)
    with torch.no_grad(), counted_operations() as operations:
        layer(batch)
        with operations.paused():
            layer(batch)
    assert operations.metrics["macs"].value == 2 * 4 * 5


def test_a_body_without_operations_has_a_remark_and_no_zero() -> None:
    """Sleeping has no FLOPs that anyone could compare."""
    with counted_operations() as operations:
        pass
    assert operations.metrics == {}
    assert "no operator of torch ran" in operations.reasons[0].message


def test_peak_memory_is_absent_on_the_cpu() -> None:
    """The allocator of the CPU does not count, so there is no figure instead of zero."""
    reset_peak_memory("cpu")
    assert peak_memory_bytes("cpu") is None
