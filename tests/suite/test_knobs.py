"""Knobs: their candidates do the same work, and those that this machine lacks say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from benchmarks import knobs
from benchmarks.determinism import one_thread
from benchmarks.knobs import IMAGES, KNOBS, backends, knob_rows, run_knob
from benchmarks.rows import Row
from benchmarks.workbench import scheduled
from benchmarks.zoo.recipe import NotApplicableError
from pytest_energy.fixture import Energy
from tests.suite.quick_weights import cut_depth

ROWS = {str(row.knobs["knob"]): row for row in knob_rows()}
NEED = {
    "tf32": "TF32 needs an NVIDIA GPU of compute capability 8.0; the device is cpu",
    "cudnn_benchmark": "cudnn.benchmark needs an NVIDIA GPU; the device is cpu",
    "power_cap": "a power cap needs an NVIDIA GPU; the device is cpu",
    "compile": "compiling takes minutes",
}
"""What a CPU at small scale lacks, by knob."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, as the suite at small scale, and networks of few blocks."""
    cut_depth(monkeypatch)
    with one_thread():
        yield


@pytest.mark.parametrize("knob", sorted(KNOBS.keys() - NEED.keys()))
def test_candidates_give_the_same_logits(knob: str) -> None:
    """The same weights see the same images, in the same order."""
    candidates = KNOBS[knob](ROWS[knob], Energy())
    outputs = [run() for run in candidates.runs.values()]
    assert len(outputs) > 1
    for output in outputs:
        assert isinstance(output, Tensor)
        torch.testing.assert_close(output, outputs[0])


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_knob_runs_or_says_what_it_needs(row: Row) -> None:
    """On a CPU at small scale, in the test of the suite."""
    knob = str(row.knobs["knob"])
    if knob not in NEED:
        run_knob(Energy(), row)
        return
    with pytest.raises(NotApplicableError, match=NEED[knob]):
        run_knob(Energy(), row)


class FullScale(Energy):
    """The fixture where a GPU would be measured."""

    scale = "full"


@pytest.mark.parametrize("knob", ["channels_last", "compile", "batch"])
def test_a_knob_compares_at_full_scale(knob: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The candidates of a GPU, with a small model, small images and no compiler."""
    small = replace(scheduled(ROWS[knob], "full"), image_size=32)
    monkeypatch.setattr(knobs, "scheduled", lambda *_: small)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    row = replace(ROWS[knob], model="resnet18")
    candidates = KNOBS[knob](row, FullScale())
    assert set(candidates.runs) == FULL_SCALE[knob]
    outputs = [run() for run in candidates.runs.values()]
    assert outputs[0].shape == (IMAGES["full"], 1000)
    for output in outputs:
        torch.testing.assert_close(output, outputs[0], rtol=1e-3, atol=1e-4)
    run_knob(FullScale(), row)


FULL_SCALE = {
    "channels_last": {"contiguous", "channels_last"},
    "compile": {"eager", "compile"},
    "batch": {"batch_1", "batch_8", "batch_32"},
}
"""The candidates of a knob at full scale, the reference included."""


def test_flags_last_as_long_as_their_block() -> None:
    """Those of TF32 and of cuDNN's choice of algorithms, also after an error."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    with suppress(ZeroDivisionError), backends(tf32=True, benchmark=True, deterministic=False):
        assert (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark) == (True, True, True)
        assert not cudnn.deterministic
        raise ZeroDivisionError
    after = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    assert after == before
