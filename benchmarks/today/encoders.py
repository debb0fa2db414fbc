"""Models of today that read or paint: images, sentences, speech, and a step of diffusion.

Each is counted in what its users ask for: joules an image, a sentence, or a second of audio.

Source: for the transformers of images, ``zoo/models/vision_transformer.py``. Ho et al. 2020,
https://arxiv.org/abs/2006.11239 (diffusion). Wang et al. 2020, https://arxiv.org/abs/2002.10957, in
the sizes of all-MiniLM-L6 (sentences). Radford et al. 2022, https://arxiv.org/abs/2212.04356, the
encoder of the size *base* (speech). Random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from benchmarks.today.case import Case, Make, Work
from benchmarks.zoo.registry import find_models
from pytest_energy.settings import Scale

BATCHES: Final = (1, 32)
SENTENCE: Final = 64
"""Tokens of a sentence."""
AUDIO_S: Final = 30
"""Seconds that the speech encoder reads at once."""
NOISE: Final = 0.01
"""The variance that one step of diffusion removes."""


def encoder_cases() -> Iterator[Case]:
    """Every model with one input and with 32."""
    for batch in BATCHES:
        for name in ("vit_b_16", "swin_t"):
            make = partial(classify, name, batch)
            yield _case(name, "classification", make, batch, (3, 224, 224))
        yield _case("unet_ddpm", "diffusion", partial(denoise, batch), batch, (3, 64, 64))
        yield _case("minilm_l6", "embedding", partial(embed, batch), batch, (SENTENCE,))
        frames = AUDIO_S * 100
        yield _case("whisper_base", "speech", partial(listen, batch), batch, (80, frames))


def _case(model: str, task: str, make: Make, batch: int, sample: tuple[int, ...]) -> Case:
    shape = (batch, *sample)
    return Case(model, "baseline", "inference", task, make, shape, {"batch": batch})


def classify(name: str, batch: int, scale: Scale, device: str) -> Work:
    """Classify images of 224², or 32² at small scale."""
    side = 32 if scale == "small" else 224
    with torch.device(device):
        model = find_models()[name].build((3, side, side), 1000).eval()
        images = torch.rand(_at(batch, scale), 3, side, side)
    return _work(model, lambda: model(images), {"image": len(images)})


def denoise(batch: int, scale: Scale, device: str) -> Work:
    """One step of the reverse process: predict the noise, and take its share away.

    The U-Net has ResNet-18's encoder. Its fourth channel is the time of the step.
    """
    from segmentation_models_pytorch import Unet

    side = 32 if scale == "small" else 64
    with torch.device(device):
        model = Unet("resnet18", encoder_weights=None, in_channels=4, classes=3).eval()
        images = torch.randn(_at(batch, scale), 3, side, side)
        time = torch.full((len(images), 1, side, side), 0.5)

    def step() -> Tensor:
        noise = model(torch.cat([images, time], dim=1))
        fresh = torch.randn_like(images)
        # Algorithm 2 of the source, halfway: the mean of the step, and fresh noise.
        mean = (images - NOISE / 0.5**0.5 * noise) / (1 - NOISE) ** 0.5
        denoised: Tensor = mean + NOISE**0.5 * fresh
        return denoised

    return _work(model, step, {"image": len(images)})


def embed(batch: int, scale: Scale, device: str) -> Work:
    """Embed sentences: the mean over their tokens, of length 1."""
    from transformers import BertConfig, BertModel

    small = scale == "small"
    config = BertConfig(
        hidden_size=64 if small else 384,
        num_hidden_layers=2 if small else 6,
        num_attention_heads=4 if small else 12,
        intermediate_size=128 if small else 1536,
        vocab_size=512 if small else 30_522,
    )
    with torch.device(device):
        model: Any = BertModel(config, add_pooling_layer=False)
        model.eval()
        length = 8 if small else SENTENCE
        sentences = torch.randint(config.vocab_size, (_at(batch, scale), length))

    def mean_of_tokens() -> Tensor:
        states = model(input_ids=sentences).last_hidden_state
        return nn.functional.normalize(states.mean(dim=1), dim=-1)

    return _work(model, mean_of_tokens, {"sentence": len(sentences)})


def listen(batch: int, scale: Scale, device: str) -> Work:
    """Encode the spectrograms of 30 s of audio each; at small scale of 0.3 s."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    small = scale == "small"
    frames = AUDIO_S if small else AUDIO_S * 100  # of 10 ms
    config = WhisperConfig(
        d_model=64 if small else 512,
        encoder_layers=2 if small else 6,
        encoder_attention_heads=4 if small else 8,
        encoder_ffn_dim=128 if small else 2048,
        num_mel_bins=80,
        max_source_positions=frames // 2,  # the second convolution halves them
    )
    with torch.device(device):
        model: Any = WhisperEncoder(config)
        model.eval()
        spectrograms = torch.randn(_at(batch, scale), 80, frames)
    seconds = len(spectrograms) * frames / 100
    return _work(model, lambda: model(spectrograms).last_hidden_state, {"audio_second": seconds})


def _at(batch: int, scale: Scale) -> int:
    return min(batch, 2) if scale == "small" else batch


def _work(model: nn.Module, call: Any, units: dict[str, float]) -> Work:
    def one_pass() -> Tensor:
        with torch.inference_mode():
            output: Tensor = call()
            return output

    return Work(model, one_pass, units)
