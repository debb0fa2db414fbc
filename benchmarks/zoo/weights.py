"""Pretrained weights from a folder, for the models that their papers pretrained on ImageNet.

The files have the names that torchvision and timm give them; nothing is downloaded:

- torchvision: ``vgg16-397923af.pth``, ``resnet50-0676ba61.pth``. The eight digits begin the file's
  SHA-256, and are checked.
- timm: ``resnet18.tv_in1k.safetensors``, or ``model.safetensors`` in a folder ``resnet18.tv_in1k``.
  Names and shapes of the weights are checked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from benchmarks.zoo.models.bisenet import BiSeNet
from benchmarks.zoo.models.transfer import Transfer
from benchmarks.zoo.recipe import NotApplicableError

_FOLDER: Final[ContextVar[Path | None]] = ContextVar("weights", default=None)
# Every kind of benchmark builds its model deep inside of its run, so the folder is no argument.

BASES: Final = {
    "vgg16_transfer": "vgg16",
    "vgg19_transfer": "vgg19",
    "resnet50_transfer": "resnet50",
    "bisenet_resnet18": "resnet18",
}
"""From a model of the zoo to the network whose weights it starts from."""

CLASSIFIERS: Final = ("fc.", "classifier.", "pre_logits.", "head.")
"""The names of the layers behind the base, in torchvision's and timm's files."""


class WeightsError(Exception):
    """A file of weights that is damaged, or of another network. The message names the file."""


@contextmanager
def weights_from(folder: Path | None) -> Iterator[None]:
    """Read pretrained weights below ``folder`` in the ``with`` block; ``None``: random ones."""
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


def pretrain(name: str, model: nn.Module) -> None:
    """Load the pretrained weights of a model of the zoo, if a folder was given and it has a base.

    Raises:
        NotApplicableError: The folder has no file of the base.
        WeightsError: The file is damaged, or of another network.
    """
    folder, base = _FOLDER.get(), BASES.get(name)
    if folder is None or base is None:
        return
    path = file_of(base, folder)
    if path is None:
        raise NotApplicableError(
            f"{folder} has no weights of {base}: put torchvision's {base}-<hash>.pth there, or "
            f"timm's {base}.<tag>.safetensors, or leave --energy-weights out for random weights"
        )
    load(path, base_weights(model))


def file_of(base: str, folder: Path) -> Path | None:
    """The file of a network's weights, the first by name; ``None`` if there is none."""
    patterns = (f"{base}-*.pth", f"{base}.*.safetensors", f"{base}.*/model.safetensors")
    files = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return files[0] if files else None


def name_of_weights(model: str, folder: Path | None) -> str | None:
    """The weights that a model of the zoo starts from, for its workload; ``None``: random ones."""
    base = BASES.get(model)
    path = file_of(base, folder) if folder is not None and base is not None else None
    return None if path is None else str(path.relative_to(folder or path))


def base_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of the pretrained part of a model, by their names in torchvision's network."""
    if isinstance(model, BiSeNet):
        weights = model.context.backbone.state_dict()
        return {name: weight for name, weight in weights.items() if not name.startswith("fc.")}
    assert isinstance(model, Transfer)
    return {
        f"{layer}.{name}": weight
        for layer, part in zip(model.children_names, model.base.children(), strict=True)
        for name, weight in part.state_dict().items()
    }


def load(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Copy the weights of a file into ``weights``.

    Raises:
        WeightsError: The hash in the name is not that of the file, or a weight is missing, has
            another shape or is not expected.
    """
    _check_hash(path)
    stored = _read(path)
    # Old files lack the counters of batch normalisation, which matter to no output.
    wanted = {name: w for name, w in weights.items() if not name.endswith("num_batches_tracked")}
    faults = [
        f"{name}: {tuple(stored[name].shape) if name in stored else 'missing'}, "
        f"not {tuple(weight.shape)}"
        for name, weight in wanted.items()
        if name not in stored or stored[name].shape != weight.shape
    ]
    faults += [
        f"{name}: not expected"
        for name in stored
        if name not in weights and not name.startswith(CLASSIFIERS)
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise WeightsError(
            f"{path} holds the weights of another network: {'; '.join(faults[:3])}{more}"
        )
    with torch.no_grad():
        for name, weight in wanted.items():
            weight.copy_(stored[name])


def _check_hash(path: Path) -> None:
    digits = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    if digits is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(digits.group(1)):
        raise WeightsError(
            f"{path} is damaged: its SHA-256 begins with {found[:8]}, not with {digits.group(1)} "
            "as its name says; copy it again"
        )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # each format has errors of its own
        raise WeightsError(f"{path} is no file of weights: {error}") from error
