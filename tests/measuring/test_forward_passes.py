"""Models and their inputs on a device."""

from __future__ import annotations

import sys
from collections import UserDict

import pytest
import torch

from pytest_energy.errors import UsageError
from pytest_energy.measuring.forward_passes import (
    POOL,
    Inputs,
    device_of,
    evaluating,
    import_torch,
    prepare,
    random_input,
)


def test_passes_make_no_gradients_and_the_mode_is_lent() -> None:
    """A module evaluates in the block only; each layer gets its own mode back."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout()).train()
    model[1].eval()
    outputs = []
    model.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
    with evaluating(model):
        prepare(model, (3,), 4, "cpu", None)(2)
        assert not any(layer.training for layer in model.modules())
    assert [layer.training for layer in model.modules()] == [True, True, False]
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


@pytest.mark.parametrize(
    ("batch", "kwargs", "args", "keywords"),
    [
        ("x", None, ("x",), {}),
        (["x", "y"], None, (["x", "y"],), {}),
        (("x", "y"), {"z": 1}, ("x", "y"), {"z": 1}),
        ({"x": 1}, {"z": 2}, (), {"x": 1, "z": 2}),
        (UserDict(x=1), None, (), {"x": 1}),
        ((("x", "y"),), None, (("x", "y"),), {}),
    ],
    ids=["one", "list", "tuple", "dict", "mapping", "a tuple as one argument"],
)
def test_a_tuple_is_positional_and_a_mapping_has_names(
    batch: object, kwargs: dict[str, object], args: tuple[object, ...], keywords: dict[str, object]
) -> None:
    """Each pass gets the arguments of its batch, and the keywords of all passes."""
    calls = []
    model = lambda *args, **kwargs: calls.append((args, kwargs))  # noqa: E731
    prepare(model, None, 1, "cpu", lambda: batch, kwargs)(1)
    assert calls == [(args, keywords)]


def test_a_keyword_in_both_is_refused() -> None:
    """Neither value wins silently."""
    with pytest.raises(UsageError, match=r"kwargs=\{'mask': …\}: the input has 'mask', too"):
        Inputs.of({"mask": 1}, {"mask": 2})


def test_several_shapes_make_several_inputs() -> None:
    """Each has the batch axis first."""
    by_place = random_input(print, ((3, 8), (5,)), 2, "cpu")()
    by_name = random_input(print, {"image": (3, 8)}, 2, "cpu")()
    assert [tuple(each.shape) for each in by_place] == [(2, 3, 8), (2, 5)]
    assert {name: tuple(each.shape) for name, each in by_name.items()} == {"image": (2, 3, 8)}
    assert Inputs.of(by_place, {"cache": True}).shapes() == {"0": [3, 8], "1": [5]}


def test_a_pass_that_fails_says_where_model_and_input_are() -> None:
    """Nothing is moved, and the model's own error stays."""
    model = torch.nn.Linear(3, 2, device="meta")
    passes = prepare(model, None, 1, "cpu", lambda: torch.ones(1, 3, device="cpu"))
    with pytest.raises(RuntimeError) as failure:
        passes(1)
    assert "The model is on meta and its input on cpu" in failure.value.__notes__[0]
    assert str(model.weight.device) == "meta"


def test_a_pass_that_fails_on_random_numbers_names_make_input() -> None:
    """An embedding takes no floating-point numbers."""
    passes = prepare(torch.nn.Embedding(4, 2), (3,), 1, "cpu", None)
    with pytest.raises(RuntimeError) as failure:
        passes(1)
    (note,) = failure.value.__notes__
    assert "random numbers of type torch.float32" in note
    assert "make_input" in note


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
