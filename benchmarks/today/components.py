"""The parts of a language model, each measured alone on the inputs that it has in a prefill.

A call runs a part in all layers: ``attention`` with its projections, ``feed_forward``, ``norm``,
``embedding`` with the positions that are learnt, and ``head``, which reads the last token only.
Parts are in joules per token of the prompt, so that their sum can be compared with prefill.

Source: CLEAR, arXiv 2510.02810, which measures these parts of transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import torch
from torch import nn

from benchmarks.today.case import Case, Work
from benchmarks.today.language import (
    MODELS,
    Serving,
    build_language_model,
    random_tokens,
    without_cache,
)
from pytest_energy.settings import Scale

COMPONENTS: Final = {
    "embedding": r"wte|wpe|embed_tokens",
    "attention": r"attn|self_attn",
    "feed_forward": r"mlp",
    "norm": r"ln_1|ln_2|ln_f|norm|input_layernorm|post_attention_layernorm",
    "head": r"lm_head",
}
"""By name: the modules, as ``transformers`` names them in GPT-2 and Llama."""


def component_cases() -> Iterator[Case]:
    """Every part of both models."""
    for model in MODELS:
        serving = Serving(model)
        for name in COMPONENTS:
            yield Case(
                model,
                f"component_{name}",
                "inference",
                "language",
                partial(run_component, serving, name),
                (serving.batch, serving.context),
                {"phase": "prefill", "batch": serving.batch, "context": serving.context},
            )


def run_component(serving: Serving, name: str, scale: Scale, device: str) -> Work:
    """Make the work of one part, with the inputs of one pass over the prompts."""
    at = serving.at(scale)
    model: Any = build_language_model(at.model, scale, device, at.context)
    model = model.to(torch.bfloat16).eval()
    modules = [
        module
        for path, module in model.named_modules()
        if re.fullmatch(COMPONENTS[name], path.rpartition(".")[2])
    ]
    inputs = _inputs_of(modules, model, random_tokens(model, at.batch, at.context))

    def run_all_layers() -> object:
        output = None
        with torch.inference_mode():
            for module, (arguments, keywords) in zip(modules, inputs, strict=True):
                output = module(*arguments, **keywords)
        return output[0] if isinstance(output, tuple) else output

    return Work(nn.ModuleList(modules), run_all_layers, {"token": at.batch * at.context})


Inputs = tuple[tuple[Any, ...], dict[str, Any]]


def _inputs_of(modules: list[nn.Module], model: Any, prompts: torch.Tensor) -> list[Inputs]:
    """The arguments and keywords of each module in a pass over the prompts."""
    found: dict[nn.Module, Inputs] = {}

    def keep(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        found[module] = (arguments, keywords)

    hooks = [module.register_forward_pre_hook(keep, with_kwargs=True) for module in modules]
    with torch.inference_mode():
        model(**without_cache(prompts), logits_to_keep=1)
    for hook in hooks:
        hook.remove()
    return [found[module] for module in modules]
