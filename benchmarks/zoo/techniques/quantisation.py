"""Quantisation: weights and maps in 8-bit integers, after training (static, per tensor of maps).

The model is traced and runs on random images of the recipe's size, which set the ranges of its
maps. Then it is converted to integer kernels, which exist for the CPU only. Shapes do not change.

Source: Jacob et al. 2018, https://arxiv.org/abs/1712.05877; torch's FX graph mode, which torch
plans to move to the package ``torchao``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from benchmarks.zoo.recipe import NotApplicableError, Recipe

TASKS = ("classification",)
STAGES = ("inference",)
CALIBRATION_IMAGES = 8


def apply(recipe: Recipe) -> Recipe:
    """Convert a copy of the model in evaluation mode.

    Raises:
        NotApplicableError: The device is not a CPU, or this torch has no int8 kernels for it.
    """
    if torch.device(recipe.device).type != "cpu":
        raise NotApplicableError(
            f"torch's int8 kernels run on the CPU, not on {recipe.device}, whose meter would "
            "measure an idle card: run only this row and its float32 row, with "
            "CUDA_VISIBLE_DEVICES= --energy-meter=rapl --energy-scale=full; on a GPU, the rows "
            "int8 and fp8 use its 8-bit units"
        )
    if torch.backends.quantized.engine not in ("x86", "onednn", "fbgemm", "qnnpack"):
        raise NotApplicableError("this build of torch has no int8 kernels for this CPU")
    with _ignore_move_warnings():
        return replace(recipe, model=quantised(recipe))


def quantised(recipe: Recipe) -> nn.Module:
    """Observe the model, convert it, and run it once: kernels pack their weights in that pass."""
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    images = recipe.example(CALIBRATION_IMAGES)
    mapping = get_default_qconfig_mapping(torch.backends.quantized.engine)
    with torch.no_grad():
        observed = prepare_fx(recipe.model.eval(), mapping, (images,))
        observed(images)
        model: nn.Module = convert_fx(observed)
        model(images)
    return model


@contextmanager
def _ignore_move_warnings() -> Iterator[None]:
    """Ignore torch's warnings of the move: the alternative needs another package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
