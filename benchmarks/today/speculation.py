"""Speculative decoding: a draft model proposes tokens, and the model checks them in one pass.

What it saves depends on how many proposals are right, which random weights do not tell. So there
are the two ends, and the plain text that ``transformers`` writes beside them:

- ``none``: no draft.
- ``all_right``: the draft is the first layers of the model. The other layers of the model run as
  always, but add zero to its stream. So both agree on every token.
- ``all_wrong``: the draft is as large, with weights of its own. Its head is not its embedding:
  otherwise both would repeat the last token, as random weights with a shared table do.

The operations that are counted are those of plain decoding.

Source: Leviathan et al. 2023, https://arxiv.org/abs/2211.17192; ``assistant_model`` of
``transformers``.
"""

from __future__ import annotations

import copy
from typing import Any, Final

import torch
from torch import Tensor, nn

from benchmarks.today.case import Work
from benchmarks.today.language import WRITTEN, Serving, build_language_model, random_tokens
from pytest_energy.settings import Scale

DRAFTS: Final = ("none", "all_right", "all_wrong")
DRAFT_LAYERS: Final = {"full": 2, "small": 1}
"""Layers of the draft; the models have 12 or 16, the small ones two."""


def speculate(serving: Serving, draft: str, scale: Scale, device: str) -> Work:
    """Write tokens after a prompt, with a draft model or without one."""
    at = serving.at(scale)
    model: Any = build_language_model(at.model, scale, device, at.context + WRITTEN)
    model = model.bfloat16().eval()
    assistant = None if draft == "none" else draft_of(model, DRAFT_LAYERS[scale], draft)
    if draft == "all_right":
        silence(layers_of(model)[DRAFT_LAYERS[scale] :])
    prompt = random_tokens(model, at.batch, at.context)

    def write_tokens() -> Tensor:
        with torch.inference_mode():
            texts: Tensor = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                assistant_model=assistant,
                max_new_tokens=at.written,
                do_sample=False,
            )
        return texts[:, at.context :]

    return Work(model, write_tokens, {"token": at.batch * at.written})


def draft_of(model: Any, layers: int, kind: str) -> Any:
    """A model of the first layers, with copies of the embedding, the last norm and the head.

    Args:
        model: The model to be drafted for.
        layers: How many layers the draft has.
        kind: ``all_right``, or ``all_wrong`` for other weights and a head of its own.
    """
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = layers
    config.tie_word_embeddings = kind == "all_right"
    with torch.device(model.device):
        draft = type(model)(config).to(model.dtype).eval()
    if kind == "all_wrong":
        return draft
    known = draft.state_dict()
    draft.load_state_dict({name: w for name, w in model.state_dict().items() if name in known})
    return draft


def layers_of(model: Any) -> nn.ModuleList:
    """The layers of a GPT-2 or a Llama, first to last."""
    layers: nn.ModuleList = (
        model.transformer.h if hasattr(model, "transformer") else model.model.layers
    )
    return layers


def silence(layers: nn.ModuleList) -> None:
    """Let layers add zero to the stream: what attention and the perceptron put out is zero."""
    ends = (".c_proj", ".o_proj", ".down_proj")
    for name, module in layers.named_modules():
        if name.endswith(ends):
            for parameter in module.parameters():
                nn.init.zeros_(parameter)
