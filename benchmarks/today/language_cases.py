"""The settings in which the two language models serve: each differs from one reference in a knob.

The reference is one prompt of 1,024 tokens in bf16, with a cache of keys and values, torch's choice
of attention kernel, and no compilation. Attention kernels are compared on eight prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from benchmarks.today.case import Case
from benchmarks.today.language import ATTENTION, MODELS, QUANTISED, Serving, decode, prefill
from benchmarks.today.speculation import DRAFTS, speculate

PHASES: Final = {"prefill": prefill, "decode": decode}
BATCHES: Final = (1, 8, 32)
CONTEXTS: Final = (128, 1024, 8192)


def language_cases() -> Iterator[Case]:
    """Every setting; what has nothing to do with the kind of model is measured on one of them."""
    for model in MODELS:
        reference = Serving(model)
        for batch in BATCHES:
            yield from _phases("baseline", replace(reference, batch=batch))
        for context in CONTEXTS:
            if context != reference.context:
                yield from _phases("baseline", replace(reference, context=context))
        yield _case("no_cache", replace(reference, cache=False), "decode")
        for kernel in ATTENTION:
            serving = replace(reference, batch=8, attention=kernel)
            yield _case(f"attention_{kernel}", serving, "prefill")
    gpt2, llama = Serving("gpt2_small"), Serving("llama_gqa")
    for execution in ("compile", "cuda_graphs"):
        yield _case(execution, replace(gpt2, execution=execution), "decode")
    for precision in ("float32", *QUANTISED):
        yield from _phases(precision, replace(llama, precision=precision))
    yield from (_speculation(llama, draft) for draft in DRAFTS)


def _phases(technique: str, serving: Serving) -> Iterator[Case]:
    yield from (_case(technique, serving, phase) for phase in PHASES)


def _case(technique: str, serving: Serving, phase: str) -> Case:
    make = PHASES[phase]
    return Case(
        serving.model,
        technique,
        "inference",
        "language",
        partial(make, serving),
        (serving.batch, serving.context),
        {"phase": phase, "batch": serving.batch, "context": serving.context},
        counted=partial(make, serving.counted),
    )


def _speculation(serving: Serving, draft: str) -> Case:
    case = _case(f"speculative_{draft}", serving, "decode")
    return replace(case, make=partial(speculate, serving, draft))
