"""Pretrained weights from a folder, in the formats of torchvision and timm."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.zoo.models.bisenet import BiSeNet
from benchmarks.zoo.recipe import NotApplicableError
from benchmarks.zoo.registry import find_models
from benchmarks.zoo.weights import (
    BASES,
    WeightsError,
    base_weights,
    file_of,
    name_of_weights,
    pretrain,
    weights_from,
)
from tests.suite.quick_weights import cut_depth

pytestmark = pytest.mark.usefixtures("repeated_draws")
MODELS = find_models()


def network(name: str) -> dict[str, Tensor]:
    """The weights of a network that differ from those of any other call."""
    return torchvision.models.get_model(name, weights=None).state_dict()


def torchvisions(folder: Path, name: str, weights: dict[str, Tensor]) -> Path:
    """A file as torchvision publishes it: with the begin of its hash in the name."""
    path = folder / "weights.pth"
    torch.save(weights, path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return path.rename(folder / f"{name}-{digits}.pth")


def pretrained(model: str, folder: Path) -> nn.Module:
    """A model of the zoo with the weights of a folder."""
    built = MODELS[model].build((3, 32, 32), 10)
    with weights_from(folder):
        pretrain(model, built)
    return built


def test_torchvisions_file_fills_the_backbone(tmp_path: Path) -> None:
    """Every weight of BiSeNet's backbone comes from the file; the heads keep theirs."""
    weights = network("resnet18")
    path = torchvisions(tmp_path, "resnet18", weights)
    model = pretrained("bisenet_resnet18", tmp_path)
    assert isinstance(model, BiSeNet)
    loaded = model.context.backbone.state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in base_weights(model))
    assert name_of_weights("bisenet_resnet18", tmp_path) == path.name


@pytest.mark.slow
def test_the_frozen_base_of_a_transfer_is_torchvisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ResNet-50 below the trained head gives the maps of the network in the file."""
    cut_depth(monkeypatch)
    weights = network("resnet50")
    torchvisions(tmp_path, "resnet50", weights)
    model = pretrained("resnet50_transfer", tmp_path).eval()
    whole = torchvision.models.resnet50(weights=None)
    whole.load_state_dict(weights)
    maps = nn.Sequential(*list(whole.children())[:-2]).eval()
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.get_submodule("base")(images), maps(images))


@pytest.mark.parametrize("place", ["resnet18.tv_in1k.safetensors", "resnet18.a1/model.safetensors"])
def test_timms_files_are_read(tmp_path: Path, place: str) -> None:
    """A file of that name, or in a folder of that name."""
    weights = network("resnet18")
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    save_file(weights, path)
    model = pretrained("bisenet_resnet18", tmp_path)
    assert torch.equal(base_weights(model)["conv1.weight"], weights["conv1.weight"])
    assert name_of_weights("bisenet_resnet18", tmp_path) == place


def test_a_damaged_file_is_named_with_both_hashes(tmp_path: Path) -> None:
    """A byte more than the name promises is an error, not a model of other weights."""
    path = torchvisions(tmp_path, "resnet18", network("resnet18"))
    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(WeightsError, match=rf"{path.name} is damaged: its SHA-256 begins with"):
        pretrained("bisenet_resnet18", tmp_path)


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """The error names the first weights that differ in shape or are missing."""
    save_file(network("resnet34"), tmp_path / "resnet18.fake.safetensors")
    # ResNet-34 has all layers of ResNet-18, and more
    with pytest.raises(WeightsError, match=r"another network: layer1\.2\..*: not expected"):
        pretrained("bisenet_resnet18", tmp_path)
    save_file(network("mobilenet_v2"), tmp_path / "resnet18.fake.safetensors")
    with pytest.raises(WeightsError, match=r"another network: conv1\.weight: missing, not \(64, 3"):
        pretrained("bisenet_resnet18", tmp_path)


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "resnet18.x.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"resnet18\.x\.safetensors is no file of weights"):
        pretrained("bisenet_resnet18", tmp_path)


def test_a_folder_without_the_base_skips_and_says_what_to_put_there(tmp_path: Path) -> None:
    """The names of both libraries' files are in the message."""
    with pytest.raises(NotApplicableError, match=r"torchvision's vgg16-<hash>\.pth"):
        pretrained("vgg16_transfer", tmp_path)
    assert name_of_weights("vgg16_transfer", tmp_path) is None


def test_models_without_a_base_and_runs_without_a_folder_keep_random_weights(
    tmp_path: Path,
) -> None:
    """A model that its paper trains from scratch ignores the folder."""
    assert "resnet50_cifar" not in BASES
    pretrained("resnet18_cifar", tmp_path)
    pretrain("bisenet_resnet18", MODELS["bisenet_resnet18"].build((3, 32, 32), 10))
    assert file_of("resnet18", tmp_path) is None
