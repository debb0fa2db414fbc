"""A power cap lasts exactly as long as its block."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import ModuleType

import pytest

from benchmarks import power_cap as module
from benchmarks.knobs import knob_rows, run_knob
from benchmarks.power_cap import accepted_cap, power_cap
from benchmarks.rows import CAPS_PCT, CAPS_W
from benchmarks.zoo.recipe import NotApplicableError
from pytest_energy.fixture import Energy

WATTS_150 = {"sweep": "power_cap_w", "power_cap_w": 150}


class NVMLError(Exception):
    """The error of NVML's bindings."""


class Nvml(ModuleType):
    """A card of 100 to 300 W, set to 250 W. It records every limit that is set, in milliwatts."""

    NVMLError = NVMLError

    def __init__(self, permitted: bool = True) -> None:
        super().__init__("pynvml")
        self.permitted = permitted
        self.supported = self.installed = self.whole_card = True
        self.limit_mw = 250_000
        self.set_mw: list[int] = []
        self.open = 0

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's name
        if not self.installed:
            raise NVMLError("Shared Library Not Found")
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if not self.whole_card:
            raise NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetPowerManagementLimit(self, card: str) -> int:  # noqa: N802
        return self.limit_mw

    def nvmlDeviceGetPowerManagementDefaultLimit(self, card: str) -> int:  # noqa: N802
        if not self.supported:
            raise NVMLError("Not Supported")
        return 300_000

    def nvmlDeviceGetPowerManagementLimitConstraints(self, card: str) -> tuple[int, int]:  # noqa: N802
        return 100_000, 300_000

    def nvmlDeviceSetPowerManagementLimit(self, card: str, limit_mw: int) -> None:  # noqa: N802
        if not self.permitted:
            raise NVMLError("Insufficient Permissions")
        self.limit_mw = limit_mw
        self.set_mw.append(limit_mw)


def install(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> Nvml:
    """Make ``import pynvml`` find ``nvml``, with its card as torch's first device."""
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(module, "uuid_of", lambda device: "GPU-0")
    return nvml


def test_the_cap_is_set_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The card is capped inside the block and has its previous limit after it."""
    nvml = install(Nvml(), monkeypatch)
    with power_cap(WATTS_150, "cuda:0"):
        assert nvml.limit_mw == 150_000
    assert nvml.set_mw == [150_000, 250_000]
    assert nvml.open == 0


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt])
def test_the_limit_comes_back_when_the_body_fails(
    raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A benchmark that fails or is interrupted leaves no cap behind."""
    nvml = install(Nvml(), monkeypatch)
    with pytest.raises(raised), power_cap(WATTS_150, "cuda:0"):
        raise raised
    assert nvml.limit_mw == 250_000
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("cap_w", "permitted", "why"),
    [(50, True, "accepts a limit of 100 to 300 W, not 50 W"), (150, False, "needs root")],
)
def test_a_cap_that_cannot_be_set_is_refused(
    cap_w: float, permitted: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of range or without permission: the error gives the reason, and the limit stays."""
    nvml = install(Nvml(permitted), monkeypatch)
    with pytest.raises(NotApplicableError, match=why), power_cap({"power_cap_w": cap_w}, "cuda:0"):
        pytest.fail("the body ran without its cap")
    assert nvml.limit_mw == 250_000
    assert nvml.open == 0


def test_a_cpu_has_no_cap() -> None:
    """Without an NVIDIA card the benchmark is not applicable."""
    with pytest.raises(NotApplicableError, match="the device is cpu"), power_cap(WATTS_150, "cpu"):
        pytest.fail("the body ran without its cap")


def test_a_share_is_one_of_the_default_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 % of 300 W is 120 W, whatever the limit was before; the sentence has both."""
    nvml = install(Nvml(), monkeypatch)
    with power_cap({"power_cap_pct": 40}, "cuda:0") as sentence:
        assert nvml.limit_mw == 120_000
    assert sentence == "The power limit was 120 W, 40% of the default."
    assert nvml.limit_mw == 250_000


def test_a_card_without_a_power_limit_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML's "not supported" is a reason to skip, not an error."""
    nvml = install(Nvml(), monkeypatch)
    nvml.supported = False
    refused = pytest.raises(NotApplicableError, match="no power limit to set")
    with refused, power_cap({"power_cap_pct": 40}, "cuda:0"):
        pytest.fail("the body ran without its cap")
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("lack", "why"), [("installed", "needs NVML"), ("whole_card", "no power limit of its own")]
)
def test_a_device_that_nvml_does_not_know_is_skipped(
    lack: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ROCm calls its devices CUDA's, and NVML has no card for a part of one."""
    nvml = install(Nvml(), monkeypatch)
    setattr(nvml, lack, False)
    with pytest.raises(NotApplicableError, match=why), power_cap(WATTS_150, "cuda:0"):
        pytest.fail("the body ran without its cap")
    assert nvml.open == 0


def test_every_cap_of_the_paper_has_its_share() -> None:
    """The shares are those of the paper's card of 250 W."""
    assert [250 * share / 100 for share in CAPS_PCT] == list(CAPS_W)


class Accepting(Energy):
    """Records the limit of a card whenever the settings are accepted."""

    device = "cuda:0"

    def __init__(self, nvml: Nvml) -> None:
        super().__init__()
        self.nvml = nvml
        self.accepted_mw: list[int] = []

    def accept_settings(self) -> None:
        self.accepted_mw.append(self.nvml.limit_mw)


@pytest.mark.parametrize("raised", [None, RuntimeError])
def test_the_meter_accepts_the_cap_and_its_end(
    raised: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other change of the limit makes windows invalid, and so would this one."""
    energy = Accepting(install(Nvml(), monkeypatch))
    with suppress(RuntimeError), accepted_cap(energy, WATTS_150):
        if raised:
            raise raised
    assert energy.accepted_mw == [150_000, 250_000]


def test_a_knob_of_caps_finds_a_limit_that_cannot_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is measured."""
    energy = Accepting(install(Nvml(permitted=False), monkeypatch))
    row = next(row for row in knob_rows() if row.knobs["knob"] == "power_cap")
    with pytest.raises(NotApplicableError, match="needs root"):
        run_knob(energy, row)
