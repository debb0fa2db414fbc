"""The workloads of today: their settings change how a model runs, not what it computes."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.today.case import Case, Work, facts_of, ready
from benchmarks.today.components import component_cases, run_component
from benchmarks.today.encoders import encoder_cases
from benchmarks.today.facts import cases_by_id, record_missing
from benchmarks.today.fine_tuning import data_parallel_case, fine_tune, fine_tuning_cases
from benchmarks.today.language import MODELS, Serving, decode, prefill, quantise
from benchmarks.today.language_cases import language_cases
from benchmarks.today.speculation import speculate
from benchmarks.zoo.recipe import NotApplicableError
from pytest_energy.model.measurement import Quantity

ROOT = Path(__file__).parents[2]
CASES = cases_by_id()
NEED_A_GPU = {"attention_efficient", "cuda_graphs", "int4", "fp8"}
"""Techniques that no CPU can run."""
PARALLEL = (
    "benchmarks/today/test_fine_tuning.py::test_data_parallel"
    "[gpt2_small-data_parallel-batch_8-context_512]"
)


def seeded(make: Callable[..., Work], *setting: object) -> Work:
    """Small work on the CPU, with the weights of one seed."""
    torch.manual_seed(0)
    return make(*setting, "small", "cpu")


COUNTS: dict[tuple[object, ...], Mapping[str, Quantity]] = {}
"""The facts of each work that was counted."""


def counted(case: Case) -> Mapping[str, Quantity]:
    """The facts of a case; many cases differ in how the same work runs, which is counted once."""
    make = cast("partial[Work]", case.counted or case.make)
    work = (make.func, *make.args)
    if work not in COUNTS:
        COUNTS[work] = facts_of(case)
    return COUNTS[work]


def batches() -> list[list[str]]:
    """The ids of cases that differ in the batch only, the smallest batch first."""
    alike: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for place, case in sorted(CASES.items(), key=lambda item: int(item[1].knobs["batch"])):
        knobs = tuple((name, value) for name, value in case.knobs.items() if name != "batch")
        alike[place.partition("[")[0], case.model, case.technique, *knobs].append(place)
    return list(alike.values())


def counted_places() -> list[str]:
    """The cases to count: one batch of each, and no step whose operations are another's."""
    if "EVERY_ROW" in os.environ:
        return list(CASES)
    return [places[0] for places in batches() if "-accumulation-" not in places[0]]


@cache
def committed() -> dict[str, dict[str, float]]:
    """The metrics of the committed facts of this folder, by the id of their benchmark."""
    folder = ROOT / "baselines/facts"
    files = [json.loads(path.read_text("utf-8")) for path in folder.glob("*today*/*.json")]
    return {
        file["id"]: {name: quantity["value"] for name, quantity in file["metrics"].items()}
        for file in files
    }


def test_every_benchmark_has_its_facts() -> None:
    """None is missing or left over, those of a GPU included."""
    assert sorted(committed()) == sorted([*CASES, PARALLEL])


def test_two_processes_have_the_facts_of_one_of_them() -> None:
    """A step of data-parallel training is a step of full fine-tuning in each process."""
    (full,) = (place for place in CASES if "gpt2_small-full" in place)
    assert committed()[PARALLEL] == committed()[full]


@pytest.mark.parametrize("technique", ["minilm_l6", "cuda_graphs"])
def test_recorded_facts_are_those_that_a_run_records(technique: str, tmp_path: Path) -> None:
    """The command writes the same files, and none that is there already."""
    cases = {place: case for place, case in CASES.items() if technique in place}
    written = record_missing(tmp_path, cases)
    assert len(written) == len(cases) > 0
    for path in written:
        assert path.read_text() == (ROOT / "baselines" / path.relative_to(tmp_path)).read_text()
    assert record_missing(tmp_path, cases) == []


@pytest.mark.slow
@pytest.mark.parametrize("place", counted_places())
def test_the_committed_facts_of_today_are_those_that_are_counted(place: str) -> None:
    """Each file has the counts of its benchmark at full scale."""
    counts = {name: quantity.value for name, quantity in counted(CASES[place]).items()}
    assert counts == committed()[place]


def test_the_operations_of_a_batch_are_those_of_its_members() -> None:
    """So the files of all batches of a benchmark follow from that of one, which is counted."""
    grown = [places for places in batches() if len(places) > 1]
    assert len(grown) == 9
    for first, *others in grown:
        members = int(CASES[first].knobs["batch"])
        for place in others:
            times = int(CASES[place].knobs["batch"]) / members
            expected = {
                name: value * times if name in ("macs", "flops") else value
                for name, value in committed()[first].items()
            }
            assert committed()[place] == expected


@pytest.mark.parametrize("model", MODELS)
def test_a_step_in_parts_has_the_operations_of_the_whole_step(model: str) -> None:
    """Counted at small scale; the files at full scale are equal likewise."""
    operations = []
    for technique in ("full", "accumulation"):
        work = fine_tune(model, technique, "small", "meta")
        with FlopCounterMode(display=False) as counter:
            work.call()
        operations.append(counter.get_total_flops())
    assert operations[0] == operations[1] > 0
    full, parts = (
        committed()[f"benchmarks/today/test_fine_tuning.py::test_fine_tuning[{case.id}]"]
        for case in fine_tuning_cases()
        if case.model == model and case.technique in ("full", "accumulation")
    )
    assert full == parts


@pytest.mark.parametrize(
    "case",
    [case for case in [*CASES.values(), data_parallel_case()] if case.technique != "compile"],
    ids=lambda case: case.id,
)
def test_a_small_case_runs_or_says_what_it_needs(case: Case) -> None:
    """A call gives finite numbers; what cannot run on a CPU names the device or the package."""
    if case.technique in {*NEED_A_GPU, "data_parallel"}:
        with pytest.raises(NotApplicableError, match=r"GPU|cpu|torchao|torchrun"):
            ready(case, "small", "cpu")
        return
    if case.technique == "int8":
        pytest.importorskip("torchao")
    output = ready(case, "small", "cpu").call()
    assert isinstance(output, Tensor)
    assert output.isfinite().all()


@pytest.mark.parametrize("model", MODELS)
def test_the_cache_changes_no_token(model: str) -> None:
    """Decode with keys and values kept writes what it writes when it computes them again."""
    kept, again = (
        seeded(decode, Serving(model, batch=2, cache=cache, precision="float32"))
        for cache in (True, False)
    )
    assert kept.call().tolist() == again.call().tolist()  # type: ignore[attr-defined]
    assert kept.units == again.units == {"token": 8}


@pytest.mark.parametrize("model", MODELS)
def test_every_call_of_decode_starts_after_the_prompts(model: str) -> None:
    """A second call writes the same tokens: the first left nothing in the cache."""
    work = seeded(decode, Serving(model))
    assert torch.equal(work.call(), work.call())  # type: ignore[arg-type]


@pytest.mark.parametrize("model", MODELS)
def test_prefill_and_decode_agree_on_the_first_token(model: str) -> None:
    """The token that prefill finds most probable is the first that decode writes."""
    serving = Serving(model, batch=2, precision="float32")
    first = seeded(prefill, serving).call().argmax(dim=-1)  # type: ignore[attr-defined]
    assert torch.equal(first[:, 0], seeded(decode, serving).call()[:, 0])  # type: ignore[index]


@pytest.mark.parametrize("kernel", ["math", "flash"])
def test_an_attention_kernel_changes_no_logit(kernel: str) -> None:
    """Kernels differ in rounding only."""
    chosen, default = (
        seeded(prefill, Serving("llama_gqa", attention=name, precision="float32")).call()
        for name in (kernel, "default")
    )
    torch.testing.assert_close(chosen, default)


@pytest.mark.parametrize("model", MODELS)
def test_the_parts_of_a_model_make_up_its_prefill(model: str) -> None:
    """All parts together have the operations of prefill; tied weights are counted in two parts."""
    parts = [counted(case) for case in component_cases() if case.model == model]
    (whole,) = (
        counted(case)
        for case in language_cases()
        if case.id == f"{model}-baseline-phase_prefill-batch_1-context_1024"
    )
    flops = sum(part["flops"].value for part in parts if "flops" in part)
    assert flops == pytest.approx(whole["flops"].value, rel=1e-6)
    embedding, *others = (part["params"].value for part in parts)
    assert embedding + sum(others[:-1]) == pytest.approx(whole["params"].value, rel=0.01)
    assert [bool("flops" in part) for part in parts] == [False, True, True, False, True]


@pytest.mark.parametrize("model", MODELS)
def test_a_part_gives_what_it_gives_in_the_model(model: str) -> None:
    """The head alone, on its recorded input, has the logits of prefill."""
    serving = Serving(model)
    head = seeded(run_component, serving, "head").call()
    assert torch.equal(head, seeded(prefill, serving).call())  # type: ignore[arg-type]


def passes_of(work: Work) -> int:
    """Passes of the model in one call."""
    passes = []
    hook = work.model.register_forward_hook(lambda *_: passes.append(1))
    work.call()
    hook.remove()
    return len(passes)


@pytest.mark.parametrize("model", MODELS)
def test_a_draft_that_is_right_saves_passes(model: str) -> None:
    """A right draft lets the model check several tokens a pass; a wrong one never costs a pass."""
    none, right, wrong = (
        passes_of(seeded(speculate, Serving(model, written=64), draft))
        for draft in ("none", "all_right", "all_wrong")
    )
    assert right < wrong <= none == 4


def test_a_wrong_draft_changes_no_token() -> None:
    """The model writes what it would write alone."""
    alone, drafted = (
        seeded(speculate, Serving("llama_gqa"), draft).call() for draft in ("none", "all_wrong")
    )
    assert torch.equal(alone, drafted)  # type: ignore[arg-type]


@pytest.mark.parametrize("technique", ["checkpointing", "accumulation"])
def test_saving_memory_changes_no_loss(technique: str) -> None:
    """The second step's loss shows that the first changed the weights alike."""
    works = [seeded(fine_tune, "llama_gqa", name) for name in ("full", technique)]
    losses = [[float(work.call()) for _ in range(2)] for work in works]  # type: ignore[arg-type]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    assert losses[0][1] < losses[0][0]


@pytest.mark.parametrize("model", MODELS)
def test_lora_trains_adapters_alone(model: str) -> None:
    """A step changes matrices of LoRA and no other weight."""
    work = seeded(fine_tune, model, "lora")
    before = {name: p.detach().clone() for name, p in work.model.named_parameters()}
    work.call()
    changed = {n for n, p in work.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert all("lora_" in name for name in changed)


def test_checkpointing_computes_the_layers_twice() -> None:
    """Forward and backward are three passes of the layers; checkpointing adds a fourth."""
    full, again = (
        counted(case)["flops"].value
        for case in fine_tuning_cases()
        if case.model == "gpt2_small" and case.technique in ("full", "checkpointing")
    )
    assert 1.15 < again / full < 4 / 3


@pytest.mark.parametrize(
    ("model", "millions", "macs_a_token"),
    [("gpt2_small", 124.44, 124e6), ("llama_gqa", 1235.8, 1.24e9)],
)
def test_a_language_model_has_its_published_size(
    model: str, millions: float, macs_a_token: float
) -> None:
    """The parameters are the published ones; a token costs about one multiply-add for each."""
    case = next(
        case for case in language_cases() if case.model == model and case.knobs["context"] == 128
    )
    facts = counted(case)
    assert facts["params"].value == pytest.approx(millions * 1e6, rel=1e-3)
    # Embeddings look up, and only the last token has logits: fewer than the parameters.
    assert 0.6 < facts["macs"].value / 128 / macs_a_token < 1


def test_the_sizes_of_other_models_are_published() -> None:
    """ViT-B/16, Swin-T (torchvision), MiniLM-L6 without a pooler, Whisper base's encoder."""
    sizes = {case.model: counted(case)["params"].value / 1e6 for case in encoder_cases()}
    assert sizes["vit_b_16"] == pytest.approx(86.57, abs=0.01)
    assert sizes["swin_t"] == pytest.approx(28.29, abs=0.01)
    assert sizes["minilm_l6"] == pytest.approx(22.6, abs=0.1)
    assert sizes["whisper_base"] == pytest.approx(20.6, abs=0.3)


def test_fp8_needs_a_gpu_or_the_package() -> None:
    """The reason names what is missing."""
    with pytest.raises(NotApplicableError, match="torchao"):
        quantise(torch.nn.Linear(2, 2), "fp8", "cpu")


def test_too_little_memory_is_a_reason_to_skip() -> None:
    """A card without enough memory skips the case and says so."""

    def starve(scale: str, device: str) -> Work:
        raise torch.OutOfMemoryError("tried to allocate 80 GiB")

    starved = Case("huge", "baseline", "inference", "language", starve, (1, 8))
    with pytest.raises(NotApplicableError, match="needs more memory than cpu has"):
        ready(starved, "small", "cpu")
