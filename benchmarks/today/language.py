"""Two decoder-only language models, and the two phases in which they serve.

``gpt2_small`` is GPT-2's smallest size: learnt positions, and keys and values for every head.
``llama_gqa`` has the sizes of Llama 3.2 1B: rotary positions, and grouped queries, so that four
heads share their keys and values. Weights are random and drawn on the device.

*Prefill* reads a batch of prompts in one pass. *Decode* writes :data:`WRITTEN` tokens after them,
one pass a token. Both are measured in joules per token: of all that were read, or written.
ML.ENERGY (https://ml.energy/leaderboard) and TokenPowerBench (arXiv 2512.03024) divide serving in
this way.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; Llama Team 2024,
https://arxiv.org/abs/2407.21783; both as ``transformers`` builds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.today.case import Work
from benchmarks.zoo.recipe import NotApplicableError
from benchmarks.zoo.techniques.compile import require_compiler
from pytest_energy.settings import Scale

MODELS: Final = ("gpt2_small", "llama_gqa")
WRITTEN: Final = 64
"""Tokens that one call of decode writes for each prompt, at full scale."""
ATTENTION: Final = {
    "math": SDPBackend.MATH,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
}
DTYPES: Final = {"float32": torch.float32}
"""The type of the weights by precision; every other precision starts from bf16."""


@dataclass(frozen=True)
class Serving:
    """How a language model serves. The defaults are the reference of every other setting."""

    model: str
    batch: int = 1
    context: int = 1024
    """Tokens of each prompt."""
    cache: bool = True
    """Whether keys and values are kept, or computed again for each token."""
    attention: str = "default"
    """``default`` lets torch choose the kernel; others are keys of :data:`ATTENTION`."""
    precision: str = "bf16"
    execution: str = "eager"
    """``eager``, ``compile`` or ``cuda_graphs``."""
    written: int = WRITTEN

    def at(self, scale: Scale) -> Serving:
        """The same setting at ``scale``: the small one has short prompts and two at most."""
        if scale == "full":
            return self
        return replace(self, batch=min(self.batch, 2), context=self.context // 64, written=4)

    @property
    def counted(self) -> Serving:
        """The setting whose operations are counted: the reference's kernels, and one token."""
        plain: dict[str, Any] = {"attention": "default", "precision": "bf16", "execution": "eager"}
        return replace(self, written=1, **plain)


def build_language_model(name: str, scale: Scale, device: str, positions: int = 1024) -> nn.Module:
    """Build a model in float32 with random weights and no dropout.

    Args:
        name: One of :data:`MODELS`.
        scale: ``small`` has two layers of width 64 and 512 words.
        device: Where the weights are drawn.
        positions: The longest sequence, which sizes GPT-2's table of positions.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    small = scale == "small"
    with torch.device(device):
        if name == "gpt2_small":
            sizes: dict[str, Any] = (
                {"n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 512} if small else {}
            )
            no_dropout: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
            longest = max(positions, 1024)
            config = GPT2Config(n_positions=longest, **no_dropout, **sizes, **special_tokens())
            return GPT2LMHeadModel(config)
        return LlamaForCausalLM(
            LlamaConfig(
                hidden_size=64 if small else 2048,
                intermediate_size=128 if small else 8192,
                num_hidden_layers=2 if small else 16,
                num_attention_heads=4 if small else 32,
                num_key_value_heads=1 if small else 8,
                vocab_size=512 if small else 128_256,
                max_position_embeddings=131_072,
                tie_word_embeddings=True,
                **special_tokens(),
            )
        )


def special_tokens() -> dict[str, Any]:
    """No token ends a text, so every text has the length that is asked for."""
    return {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def prefill(serving: Serving, scale: Scale, device: str) -> Work:
    """Read the prompts, and compute the first token after each."""
    at = serving.at(scale)
    model = _served(at, scale, device)
    prompts = random_tokens(model, at.batch, at.context)

    def read_prompts() -> Tensor:
        with _settings(at):
            logits: Tensor = model(input_ids=prompts, use_cache=True, logits_to_keep=1).logits
            return logits

    return Work(model, read_prompts, {"token": at.batch * at.context})


def decode(serving: Serving, scale: Scale, device: str) -> Work:
    """Write tokens after the prompts, always the most probable one."""
    at = serving.at(scale)
    model = _served(at, scale, device)
    prompts = random_tokens(model, at.batch, at.context)
    write = _with_cache(model, prompts, at) if at.cache else _without_cache(model, prompts, at)
    return Work(model, write, {"token": at.batch * at.written})


def random_tokens(model: Any, batch: int, length: int) -> Tensor:
    """Draw token numbers (``batch``, ``length``) on the model's device, the same for every run."""
    words = model.config.vocab_size
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(words, (batch, length), generator=generator)
    return tokens.to(model.device)


def without_cache(tokens: Tensor) -> dict[str, Any]:
    """The arguments of a pass over ``tokens`` that keeps no keys and values."""
    arguments = {"input_ids": tokens, "use_cache": False}
    if tokens.device.type != "meta":
        return arguments
    # Without a mask, transformers reads positions, and meta tensors have no values. The mask of
    # this shape is taken as it is, and changes no operation that is counted.
    length = tokens.shape[1]
    mask = torch.ones(1, 1, length, length, dtype=torch.bool, device="meta")
    return {**arguments, "attention_mask": mask}


def _with_cache(model: Any, prompts: Tensor, at: Serving) -> Callable[[], Tensor]:
    cache = _cache(model, at)
    with _settings(at):
        first = _most_probable(model(input_ids=prompts, cache=cache, logits_to_keep=1))

    def write_tokens() -> Tensor:
        token, written = first, [first]
        with _settings(at):
            for _ in range(at.written):
                token = _most_probable(model(input_ids=token, cache=cache, logits_to_keep=1))
                written.append(token)
            cache.crop(-at.written)  # so that every call starts after the prompts
        return torch.cat(written[:-1], dim=1)

    return write_tokens


def _cache(model: Any, at: Serving) -> Any:
    from transformers import DynamicCache, StaticCache

    if at.execution == "eager":
        return DynamicCache(config=model.config)
    # Graphs need keys and values that stay in place.
    return StaticCache(config=model.config, max_cache_len=at.context + at.written)


def _without_cache(model: Any, prompts: Tensor, at: Serving) -> Callable[[], Tensor]:
    def write_tokens_again() -> Tensor:
        tokens = prompts
        with _settings(at):
            for _ in range(at.written):
                output = model(**without_cache(tokens), logits_to_keep=1)
                tokens = torch.cat([tokens, _most_probable(output)], dim=1)
        return tokens[:, prompts.shape[1] :]

    return write_tokens_again


def _most_probable(output: Any) -> Tensor:
    token: Tensor = output.logits[:, -1:].argmax(dim=-1)
    return token


@contextmanager
def _settings(at: Serving) -> Iterator[None]:
    kernel = ATTENTION.get(at.attention)
    with torch.inference_mode(), sdpa_kernel(kernel) if kernel else nullcontext():
        yield


def _served(at: Serving, scale: Scale, device: str) -> Any:
    model = build_language_model(at.model, scale, device, at.context + WRITTEN).eval()
    model = model.to(DTYPES.get(at.precision, torch.bfloat16))
    if at.precision in QUANTISED:
        quantise(model, at.precision, device)
    return _compiled(model, at.execution, device)


QUANTISED: Final = {
    "int8": "Int8WeightOnlyConfig",
    "int4": "Int4WeightOnlyConfig",
    "fp8": "Float8DynamicActivationFloat8WeightConfig",
}
"""The precisions that torchao makes, each with the name of its configuration."""
FP8_CAPABILITY: Final = (8, 9)
"""The first compute capability with units for fp8: that of Ada."""


def quantise(model: nn.Module, precision: str, device: str) -> None:
    """Replace the weights of the linear layers: int8 and int4 alone, or fp8 with the activations.

    Raises:
        NotApplicableError: torchao is missing, or does not support the precision on this device.
    """
    try:
        from torchao import quantization
    except ImportError:
        raise NotApplicableError(
            f"{precision} needs torchao: pip install 'pytest-energy[quantization]'"
        ) from None
    if precision != "int8" and not device.startswith("cuda"):
        raise NotApplicableError(f"torchao's {precision} needs an NVIDIA GPU; this is {device}")
    if precision == "fp8" and torch.cuda.get_device_capability(device) < FP8_CAPABILITY:
        raise NotApplicableError(f"{torch.cuda.get_device_name(device)} has no units for fp8")
    try:
        quantization.quantize_(model, getattr(quantization, QUANTISED[precision])())
    except (ImportError, NotImplementedError, AssertionError) as error:
        raise NotApplicableError(f"torchao cannot make {precision} here: {error}") from None


def _compiled(model: nn.Module, execution: str, device: str) -> nn.Module:
    if execution == "eager":
        return model
    if execution == "cuda_graphs" and not device.startswith("cuda"):
        raise NotApplicableError(f"CUDA graphs need an NVIDIA GPU; the device is {device}")
    require_compiler()
    # This mode records CUDA graphs of the compiled code.
    mode = "reduce-overhead" if execution == "cuda_graphs" else "default"
    model.forward = torch.compile(model.forward, mode=mode)
    return model
