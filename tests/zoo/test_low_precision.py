"""Eight bits on a GPU: where they run, and what they convert."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.zoo import low_precision
from benchmarks.zoo.low_precision import converted, linear_share
from benchmarks.zoo.recipe import NotApplicableError, Recipe
from benchmarks.zoo.registry import find_models, find_techniques

TECHNIQUES = find_techniques()


def recipe(model: nn.Module, device: str) -> Recipe:
    """A classification of four classes."""
    return Recipe("classification", model, (3, 8, 8), 4, device)


def linear() -> nn.Module:
    """A model of linear layers, for images of 3 × 8 × 8."""
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 4))


@pytest.mark.parametrize("name", ["int8", "fp8"])
def test_a_cpu_is_skipped(name: str) -> None:
    """A CPU has no such units."""
    with pytest.raises(NotApplicableError, match="the device is cpu"):
        TECHNIQUES[name].apply(recipe(linear(), "cpu"))


@pytest.mark.parametrize(
    ("name", "capability", "why"),
    [("int8", (7, 5), "8.0; this card has 7.5"), ("fp8", (8, 0), "8.9; this card has 8.0")],
)
def test_a_card_without_the_units_is_skipped(
    name: str, capability: tuple[int, int], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has what the row needs and what the card has."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    with pytest.raises(NotApplicableError, match=why):
        TECHNIQUES[name].apply(recipe(linear(), "cuda:0"))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the command that installs it."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(low_precision, "find_spec", lambda _: None)
    with pytest.raises(NotApplicableError, match="pip install"):
        TECHNIQUES["int8"].apply(recipe(linear(), "cuda:0"))


def test_a_model_of_convolutions_would_hardly_change_and_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ResNet-18 has its classifier only; ConvNeXt-T has nearly all weights in linear layers."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(low_precision, "find_spec", lambda _: object())
    with torch.device("meta"):
        models = {name: find_models()[name].build() for name in ("resnet18", "convnext_tiny")}
    with pytest.raises(NotApplicableError, match="4% of this model's weights"):
        TECHNIQUES["int8"].apply(recipe(models["resnet18"], "cuda:0"))
    assert linear_share(models["convnext_tiny"]) > 0.9


def test_the_linear_layers_are_converted_and_the_answers_stay() -> None:
    """Torchao's own int8 kernels for the CPU stand for those of a GPU."""
    pytest.importorskip("torchao", reason="needs pip install 'pytest-energy[quantization]'")
    torch.manual_seed(0)
    model = linear()
    images = torch.rand(2, 3, 8, 8)
    expected = model(images)
    quantised = converted(recipe(model, "cpu"), "Int8DynamicActivationInt8WeightConfig")
    assert "torchao" in type(quantised.model[1].weight).__module__
    answers = quantised.model(quantised.prepare(images)).float()
    torch.testing.assert_close(answers, expected, rtol=0.1, atol=0.05)
