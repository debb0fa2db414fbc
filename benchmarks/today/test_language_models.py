"""The energy of language models per token: reading prompts, writing, and requests of both."""

from __future__ import annotations

import pytest

from benchmarks.today.case import Case, parameters, run
from benchmarks.today.components import component_cases
from benchmarks.today.language import MODELS, Serving, decode, prefill
from benchmarks.today.language_cases import language_cases
from pytest_energy.fixture import Energy


@pytest.mark.parametrize("case", parameters(language_cases()))
def test_language_model(energy: Energy, case: Case) -> None:
    """One phase in one setting. A call is a batch of prompts, or the tokens after it."""
    run(energy, case)


@pytest.mark.parametrize("case", parameters(component_cases()))
def test_component(energy: Energy, case: Case) -> None:
    """One part of prefill in all layers."""
    run(energy, case)


@pytest.mark.beyond
@pytest.mark.inference
@pytest.mark.parametrize("model", MODELS)
def test_request(energy: Energy, model: str) -> None:
    """Eight requests, whose phases alternate as in a server: each phase is a window."""
    serving = Serving(model, batch=8)
    phases = {
        name: make(serving, energy.scale, energy.device)
        for name, make in (("prefill", prefill), ("decode", decode))
    }
    for work in phases.values():
        work.call()
    calls = {"full": {"prefill": 64, "decode": 4}, "small": {"prefill": 4, "decode": 2}}
    for _ in range(3):
        for name, work in phases.items():
            repeats = calls[energy.scale][name]
            units = {unit: count * repeats for unit, count in work.units.items()}
            with energy.window(name, units=units):
                for _ in range(repeats):
                    work.call()
