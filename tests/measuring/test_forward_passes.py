"""Models and their inputs on a device."""

from __future__ import annotations

import sys

import pytest
import torch

from pytest_energy.errors import UsageError
from pytest_energy.measuring.forward_passes import (
    POOL,
    device_of,
    import_torch,
    prepare,
    random_input,
)


def test_a_module_is_prepared_for_inference() -> None:
    """It is switched to evaluation, and its passes make no gradients."""
    model = torch.nn.Linear(3, 2).train()
    outputs = []
    model.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
    prepare(model, (3,), 4, "cpu", None)(2)
    assert not model.training
    assert [tuple(output.shape) for output in outputs] == [(4, 2)] * 2
    assert not any(output.requires_grad for output in outputs)


@pytest.mark.parametrize(("batch_size", "batches"), [(1, POOL), (3, POOL // 3), (100, 1)])
def test_the_passes_go_round_a_pool_of_inputs(batch_size: int, batches: int) -> None:
    """The pool has about the set number of samples, at least one batch, in a fixed order."""
    inputs: list[int] = []
    passes = prepare(lambda batch: inputs.append(id(batch)), (2,), batch_size, "cpu", None)
    passes(2 * batches)
    assert len(set(inputs)) == batches
    assert inputs[:batches] == inputs[batches:]


def test_the_users_inputs_are_taken() -> None:
    """With ``make_input`` no random numbers are made."""
    batches = []
    prepare(batches.append, (1,), POOL, "cpu", lambda: "batch")(2)
    assert batches == ["batch"] * 2


def test_random_inputs_are_the_same_in_every_run() -> None:
    """They are seeded, between 0 and 1, and of the type of the model's parameters."""
    model = torch.nn.Linear(3, 2).half()
    first, second = (random_input(model, (3,), 2, "cpu")() for _ in range(2))
    assert torch.equal(first, second)
    assert first.dtype is torch.float16
    assert tuple(first.shape) == (2, 3)
    assert 0 <= first.min() <= first.max() <= 1


@pytest.mark.parametrize(
    ("model", "device"),
    [(torch.nn.Linear(1, 1, device="meta"), "meta"), (torch.nn.ReLU(), "cpu"), (print, "cpu")],
    ids=["module", "no-parameters", "callable"],
)
def test_the_device_is_that_of_the_parameters(model: object, device: str) -> None:
    """A model without parameters takes the default."""
    assert device_of(model, "cpu") == device


def test_without_torch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is one command."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"pip install 'pytest-energy\[torch\]'"):
        import_torch()
