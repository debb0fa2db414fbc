"""Set a card's power limit through NVML for a while, and always restore the previous one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.rows import Row
from benchmarks.zoo.recipe import NotApplicableError
from pytest_energy.fixture import Energy
from pytest_energy.model.measurement import Scalar


@contextmanager
def power_cap(knobs: Mapping[str, Scalar], device: str) -> Iterator[str]:
    """Cap the power of a torch ``device``, and give a sentence on the limit in force.

    The previous limit is restored at the end, also if the body fails or is interrupted.

    Args:
        knobs: ``power_cap_w`` in watts, or ``power_cap_pct`` in per cent of the default limit.
        device: A torch device.

    Raises:
        NotApplicableError: There is no NVIDIA card, no permission, or the card does not accept
            this limit or any. The message says which.
    """
    if not device.startswith("cuda"):
        raise NotApplicableError(f"a power cap needs an NVIDIA GPU; the device is {device}")
    import pynvml  # type: ignore[import-untyped] # ships no types

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:  # ROCm and WSL have devices of this name, and no NVML
        raise NotApplicableError(f"a power cap needs NVML: {error}") from None
    try:
        card = _card_of(pynvml, device)
        before_mw, sentence = _set_limit(pynvml, card, knobs)
        try:
            yield sentence
        finally:
            pynvml.nvmlDeviceSetPowerManagementLimit(card, before_mw)
    finally:
        pynvml.nvmlShutdown()


@contextmanager
def capped(energy: Energy, row: Row, config: pytest.Config) -> Iterator[None]:
    """Cap the power as a row says, and remark the limit; skip without ``--power-caps``."""
    check_permitted(config)
    with accepted_cap(energy, row.knobs) as sentence:
        energy.remark(sentence)
        yield


def check_permitted(config: pytest.Config) -> None:
    """Skip the test without ``--power-caps``."""
    if not config.getoption("--power-caps"):
        pytest.skip("this changes the card's power limit: run it with --power-caps (needs root)")


@contextmanager
def accepted_cap(energy: Energy, knobs: Mapping[str, Scalar]) -> Iterator[str]:
    """A :func:`power_cap` that the meter knows of: any other change makes its windows invalid."""
    try:
        with power_cap(knobs, energy.device) as sentence:
            energy.accept_settings()
            yield sentence
    finally:
        energy.accept_settings()


def _card_of(nvml: Any, device: str) -> Any:
    try:
        return nvml.nvmlDeviceGetHandleByUUID(uuid_of(device))
    except nvml.NVMLError as error:  # a part of a card (MIG) has no handle of a card
        raise NotApplicableError(f"{device} has no power limit of its own ({error})") from None


def _set_limit(nvml: Any, card: Any, knobs: Mapping[str, Scalar]) -> tuple[int, str]:
    """Set a limit. Return the previous one in milliwatts, NVML's unit, and the sentence."""
    try:
        before_mw = nvml.nvmlDeviceGetPowerManagementLimit(card)
        default_mw = nvml.nvmlDeviceGetPowerManagementDefaultLimit(card)
        lowest_mw, highest_mw = nvml.nvmlDeviceGetPowerManagementLimitConstraints(card)
    except nvml.NVMLError as error:  # cards without a limit, such as many laptops': not supported
        raise NotApplicableError(f"this card has no power limit to set ({error})") from None
    limit_mw = _wanted_mw(knobs, default_mw)
    if not lowest_mw <= limit_mw <= highest_mw:
        raise NotApplicableError(
            f"this card accepts a limit of {lowest_mw / 1000:g} to {highest_mw / 1000:g} W, "
            f"not {limit_mw / 1000:g} W"
        )
    try:
        nvml.nvmlDeviceSetPowerManagementLimit(card, limit_mw)
    except nvml.NVMLError as error:
        raise NotApplicableError(
            f"cannot set the power limit ({error}); this needs root on the bare machine"
        ) from None
    share = limit_mw / default_mw
    return before_mw, f"The power limit was {limit_mw / 1000:g} W, {share:.0%} of the default."


def _wanted_mw(knobs: Mapping[str, Scalar], default_mw: int) -> int:
    if "power_cap_w" in knobs:
        return round(float(str(knobs["power_cap_w"])) * 1000)
    return round(default_mw * float(str(knobs["power_cap_pct"])) / 100)


def uuid_of(device: str) -> str:
    """NVML's UUID of a torch device: torch and NVML may number the same cards differently."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"
