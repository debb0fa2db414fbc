"""What a workload says of its model and inputs, and where the model has to be."""

from __future__ import annotations

import pytest
import torch

from pytest_energy.errors import UsageError
from pytest_energy.measuring.forward_passes import Inputs
from pytest_energy.session.model_description import check_placed, describe_model


@pytest.mark.parametrize(
    ("shapes", "batch", "facts"),
    [
        ((3, 8), "x", {"input_shape": [3, 8]}),
        (((3, 8), (5,)), "x", {"input_shape.0": [3, 8], "input_shape.1": [5]}),
        ({"image": (3, 8)}, "x", {"input_shape.image": [3, 8]}),
        (None, torch.ones(2, 3, 8), {"input_shape": [3, 8]}),
        (None, (torch.ones(2, 3), torch.ones(2, 5)), {"input_shape.0": [3], "input_shape.1": [5]}),
        (None, {"ids": torch.ones(2, 7)}, {"input_shape.ids": [7]}),
        (None, "x", {}),
    ],
    ids=["one", "tuple", "mapping", "made", "made tuple", "made mapping", "no tensor"],
)
def test_a_workload_has_the_shape_of_each_input(
    shapes: object, batch: object, facts: dict[str, list[int]]
) -> None:
    """As the test states it, or else of the tensors that it makes, without the batch axis."""
    described = describe_model(torch.nn.ReLU(), shapes, 2, Inputs.of(batch))  # type: ignore[arg-type]
    assert described == {"model": "ReLU", "technique": "baseline", "batch_size": 2, **facts}


def test_plain_keywords_are_part_of_the_workload() -> None:
    """They change what runs, so results with other ones are not compared."""
    inputs = Inputs.of({"ids": torch.ones(1, 7)}, {"use_cache": False, "mask": torch.ones(1, 7)})
    described = describe_model(None, None, None, inputs)
    assert described["kwargs.use_cache"] is False
    assert "kwargs.mask" not in described


@pytest.mark.parametrize(
    ("device", "model_on", "channels", "refused"),
    [
        ("cuda:0", "cpu", ("gpu0",), True),
        ("cuda:0", "meta", ("gpu0",), False),
        ("cuda:0", "cpu", ("gpu0", "cpu"), False),
        ("cuda:0", "cpu", ("cpu",), False),
        ("cuda:0", "cpu", (), False),
        ("cpu", "cpu", ("gpu0",), False),
    ],
    ids=["left behind", "elsewhere", "both", "the CPU", "nothing", "no CUDA"],
)
def test_a_model_that_was_left_on_the_cpu_is_refused(
    device: str, model_on: str, channels: tuple[str, ...], refused: bool
) -> None:
    """It is not moved; the error has both remedies, before anything is measured."""
    model = torch.nn.Linear(1, 1, device=model_on)
    if not refused:
        check_placed(model, device, channels, "test_it")
        return
    with pytest.raises(UsageError, match=r"test_it: Linear is on the CPU.*\.to\(energy\.device\)"):
        check_placed(model, device, channels, "test_it")
