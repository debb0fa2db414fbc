"""One step of fine-tuning a language model: what is trained, and how its memory is saved.

- ``full``: every weight is trained, by AdamW. It is the reference.
- ``lora``: adapters of rank 8 beside the projections of attention are trained, nothing else.
- ``checkpointing``: activations of each layer are computed again for its gradient.
- ``accumulation``: the batch is taken in four parts, and their gradients are added up.
- ``data_parallel``: every process of ``torchrun`` trains a batch of its own, and the gradients are
  averaged.

All of them see the same batch of tokens a step. AdamW's rate is 1e-4, and there is no dropout.

Source: Hu et al. 2021, https://arxiv.org/abs/2106.09685 (LoRA, as ``peft`` builds it); Chen et al.
2016, https://arxiv.org/abs/1604.06174 (checkpointing); Li et al. 2020,
https://arxiv.org/abs/2006.15704 (``DistributedDataParallel``).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.today.case import Case, Work
from benchmarks.today.language import MODELS, build_language_model, random_tokens, without_cache
from benchmarks.zoo.recipe import NotApplicableError
from pytest_energy.settings import Scale

TECHNIQUES: Final = ("full", "lora", "checkpointing", "accumulation")
PARTS: Final = 4
"""Parts of an accumulated batch."""
BATCH: Final = {"full": (8, 512), "small": (4, 16)}
"""Texts and tokens of each text in one step."""
RANK: Final = 8
"""Rank of LoRA's matrices."""


def fine_tuning_cases() -> Iterator[Case]:
    """Every technique on both models."""
    for model in MODELS:
        yield from (_case(model, technique) for technique in TECHNIQUES)


def data_parallel_case() -> Case:
    """A step of every process; what is counted is the step of one."""
    return _case("gpt2_small", "data_parallel")


def _case(model: str, technique: str) -> Case:
    return Case(
        model,
        technique,
        "training",
        "language",
        partial(fine_tune, model, technique),
        BATCH["full"],
        {"batch": BATCH["full"][0], "context": BATCH["full"][1]},
        counted=partial(fine_tune, model, "full") if technique == "data_parallel" else None,
    )


def fine_tune(name: str, technique: str, scale: Scale, device: str) -> Work:
    """Make one step of a technique in bf16."""
    batch, length = BATCH[scale]
    built: Any = build_language_model(name, scale, device).to(torch.bfloat16).train()
    texts = random_tokens(built, batch, length)
    model = prepared(built, technique)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-4)
    parts = texts.chunk(PARTS if technique == "accumulation" else 1)

    def one_step() -> Tensor:
        optimizer.zero_grad()
        losses = [backward(model, part, len(parts)) for part in parts]
        optimizer.step()
        return torch.stack(losses).sum()

    processes = torch.distributed.get_world_size() if technique == "data_parallel" else 1
    return Work(model, one_step, {"token": processes * batch * length})


def backward(model: Any, texts: Tensor, parts: int) -> Tensor:
    """Add the gradients of one of several equal parts of a batch; return its share of the loss."""
    logits = model(**without_cache(texts)).logits[:, :-1]
    # Each token is predicted from those before it.
    loss = F.cross_entropy(logits.flatten(0, 1).float(), texts[:, 1:].flatten()) / parts
    loss.backward()
    return loss.detach()


def prepared(model: Any, technique: str) -> nn.Module:
    """Give a model what a technique needs before its first step.

    Raises:
        NotApplicableError: ``data_parallel`` without several processes.
    """
    if technique == "lora":
        from peft import LoraConfig, get_peft_model

        names = ["c_attn"] if model.config.model_type == "gpt2" else ["q_proj", "v_proj"]
        by_column = model.config.model_type == "gpt2"  # whose layers store the transposed matrix
        config = LoraConfig(r=RANK, lora_alpha=16, target_modules=names, fan_in_fan_out=by_column)
        with warnings.catch_warnings():
            # peft asks transformers for properties by names that are about to go.
            warnings.simplefilter("ignore", FutureWarning)
            adapted: nn.Module = get_peft_model(model, config)
        return adapted
    if technique == "checkpointing":
        # Without dropout there is no random state to restore.
        model.activation_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    if technique == "data_parallel":
        return in_parallel(model)
    assert isinstance(model, nn.Module)
    return model


def in_parallel(model: nn.Module) -> nn.Module:
    """Connect the model's copies in all processes.

    Raises:
        NotApplicableError: The processes are not connected.
    """
    if not torch.distributed.is_initialized():
        raise NotApplicableError(
            "data-parallel training needs several processes: torchrun --nproc-per-node=2 -m pytest"
            " benchmarks/today --energy -k data_parallel"
        )
    return nn.parallel.DistributedDataParallel(model)
