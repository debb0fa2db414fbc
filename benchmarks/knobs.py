"""The knobs of a run, each as candidates that are measured in turn against its reference.

All candidates of a knob do the same work: they run the same weights over the same images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import torch
from torch import Tensor

from benchmarks.determinism import settle
from benchmarks.power_cap import accepted_cap
from benchmarks.rows import BASELINE, CAPS_PCT, Row
from benchmarks.workbench import recipe_for, scheduled
from benchmarks.zoo.recipe import NotApplicableError, Recipe
from pytest_energy.fixture import Around, Energy

MODEL: Final = ("resnet50", "imagenet")
"""The model of all knobs, and the data set that its images are as large as."""
IMAGES: Final = {"full": 32, "small": 4}
"""Images of one call, by scale."""
TF32_CAPABILITY: Final = (8, 0)
"""The first cards that have TF32."""


@dataclass(frozen=True)
class Candidates:
    """What is compared; the first candidate is the reference."""

    runs: Mapping[str, Callable[[], object]]
    """By candidate: runs the model over all images."""
    around: Around = field(default_factory=dict)


Make = Callable[[Row, Energy], Candidates]
"""Makes the candidates of a row; raises NotApplicableError if they cannot run here."""


def run_knob(energy: Energy, row: Row) -> None:
    """Compare the candidates of a row's knob.

    Raises:
        NotApplicableError: The knob does not exist on this machine.
    """
    candidates = KNOBS[str(row.knobs["knob"])](row, energy)
    images = IMAGES[energy.scale]
    energy.compare(candidates.runs, around=candidates.around, units={"sample": images})


def _recipe(row: Row, energy: Energy, technique: str = BASELINE) -> Recipe:
    """The row's model with a technique; its weights are the same for every technique."""
    settle()
    plain = Row(row.paper, row.stage, row.model, row.dataset, technique)
    recipe = recipe_for(plain, scheduled(plain, energy.scale), energy.device)
    recipe.model.eval()
    return recipe


def _passes(recipe: Recipe, images: int, batch: int | None = None) -> Callable[[], Tensor]:
    """Run the model over the images of one call, in batches; (B, K) logits in their order."""
    settle()  # the same images for every candidate
    batches = recipe.example(images).split(batch or images)
    model = recipe.model

    @torch.inference_mode()
    def passes() -> Tensor:
        return torch.cat([model(images) for images in batches])

    return passes


def _techniques(names: Mapping[str, str], row: Row, energy: Energy) -> Candidates:
    """Candidates that are techniques of the zoo, by their names here."""
    return Candidates(
        {
            name: _passes(_recipe(row, energy, technique), IMAGES[energy.scale])
            for name, technique in names.items()
        }
    )


def _compile(row: Row, energy: Energy) -> Candidates:
    if energy.scale == "small":
        raise NotApplicableError(
            "compiling takes minutes, and measuring seconds: at small scale see"
            " test_inference[resnet18_cifar-compile-cifar100]"
        )
    return _techniques({"eager": BASELINE, "compile": "compile"}, row, energy)


def _batch(row: Row, energy: Energy) -> Candidates:
    recipe, images = _recipe(row, energy), IMAGES[energy.scale]
    sizes = dict.fromkeys((1, min(8, images), images))
    return Candidates({f"batch_{size}": _passes(recipe, images, size) for size in sizes})


def _tf32(row: Row, energy: Energy) -> Candidates:
    device = energy.device
    if not device.startswith("cuda") or torch.cuda.get_device_capability(device) < TF32_CAPABILITY:
        raise NotApplicableError(
            f"TF32 needs an NVIDIA GPU of compute capability 8.0; the device is {device}"
        )
    passes = _passes(_recipe(row, energy), IMAGES[energy.scale])
    return Candidates({"float32": passes, "tf32": passes}, {"tf32": partial(backends, tf32=True)})


def _cudnn_benchmark(row: Row, energy: Energy) -> Candidates:
    if not energy.device.startswith("cuda"):
        raise NotApplicableError(
            f"cudnn.benchmark needs an NVIDIA GPU; the device is {energy.device}"
        )
    passes = _passes(_recipe(row, energy), IMAGES[energy.scale])
    # Both may take algorithms that are not deterministic, so that they differ in one flag.
    around: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "heuristic": partial(backends, deterministic=False),
        "cudnn_benchmark": partial(backends, deterministic=False, benchmark=True),
    }
    return Candidates(dict.fromkeys(around, passes), around)


def _power_cap(row: Row, energy: Energy) -> Candidates:
    around: dict[str, Callable[[], AbstractContextManager[object]]] = {
        f"cap_{share}_pct": partial(accepted_cap, energy, {"power_cap_pct": share})
        for share in CAPS_PCT[1:]
    }
    for cap in around.values():
        with cap():  # a limit that cannot be set is found before anything is measured
            pass
    passes = _passes(_recipe(row, energy), IMAGES[energy.scale])
    return Candidates({"uncapped": passes, **dict.fromkeys(around, passes)}, around)


@contextmanager
def backends(
    *, tf32: bool = False, benchmark: bool = False, deterministic: bool = True
) -> Iterator[None]:
    """Set flags of torch's CUDA backends, and restore them."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    cudnn.allow_tf32 = matmul.allow_tf32 = tf32
    cudnn.benchmark, cudnn.deterministic = benchmark, deterministic
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


KNOBS: Final[Mapping[str, Make]] = {
    "tf32": _tf32,
    "cudnn_benchmark": _cudnn_benchmark,
    "channels_last": partial(
        _techniques, {"contiguous": BASELINE, "channels_last": "channels_last"}
    ),
    "compile": _compile,
    "batch": _batch,
    "power_cap": _power_cap,
}
"""By name: makes the candidates."""


def knob_rows() -> list[Row]:
    """A row for each knob."""
    model, dataset = MODEL
    return [Row("beyond", "inference", model, dataset, knobs={"knob": knob}) for knob in KNOBS]
