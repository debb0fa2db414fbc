"""Which devices are measured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.measurement import ReasonCode
from pytest_energy.meters.base import MeterUnavailableError
from pytest_energy.meters.nvml import library
from pytest_energy.meters.nvml.selection import select_devices
from pytest_energy.testing import SimulatedNvml


@pytest.fixture(scope="module")
def three() -> Iterator[SimulatedNvml]:
    """Two alike cards, and one of which all is cut into instances."""
    with SimulatedNvml("hopper", "hopper", "mig") as machine:
        yield machine


def chosen(named: tuple[str, ...] | None = None) -> list[str]:
    """The UUIDs of the devices that would be measured."""
    library.start()
    try:
        return [device.candidate.uuid for device in select_devices(named)]
    finally:
        library.stop()


def test_without_a_choice_all_whole_cards_are_measured(
    three: SimulatedNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CUDA shows by default: cards in MIG mode are not among them while others are there."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert chosen() == [three.uuid(0), three.uuid(1)]


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        ("1", [1]),
        ("1,0", [1, 0]),
        ("0,-1,1", [0]),
        ("{1}", [1]),
        ("{1:.12}", [1]),
        ("{3}", [3]),
        ("2", [3]),
        ("MIG-{2}/2/0", [4]),
    ],
)
def test_cuda_visible_devices_is_respected(
    three: SimulatedNvml, monkeypatch: pytest.MonkeyPatch, visible: str, devices: list[int]
) -> None:
    """Indices, UUIDs, unique beginnings of UUIDs and MIG names are read as CUDA reads them."""
    uuids = [three.uuid(i) for i in range(three.device_count)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible.format(*uuids))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert chosen() == [uuids[device] for device in devices]


@pytest.mark.parametrize("visible", ["", "-1", "7", "GPU-", "0,0", "nonsense"])
def test_showing_no_device_measures_none(
    three: SimulatedNvml, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    """Nothing visible, nothing measured: and the refusal shows what there is."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if visible == "0,0":
        assert chosen() == [three.uuid(0)]
        return
    code, text = refusal()
    assert code is ReasonCode.NO_METER
    assert three.uuid(0) in text


def test_indices_of_unlike_cards_are_ambiguous(
    three: SimulatedNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA counts the fastest first, NVML by bus: an index is refused, not guessed."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in refusal()[1]


def test_devices_named_by_the_user_are_measured(three: SimulatedNvml) -> None:
    """An option names devices as nvidia-smi does, among them a card in MIG mode as a whole."""
    assert chosen((three.uuid(2), "1")) == [three.uuid(2), three.uuid(1)]


def test_a_device_that_is_not_there_is_named(three: SimulatedNvml) -> None:
    """The refusal says what was asked for and what there is."""
    code, text = refusal(("9",))
    assert code is ReasonCode.NO_METER
    assert "'9'" in text
    assert three.uuid(1) in text


@pytest.mark.parametrize("again", ["0", "{0}", "{0:.12}"])
def test_a_device_named_twice_is_refused(three: SimulatedNvml, again: str) -> None:
    """By whichever of its names: else its joules would count twice."""
    again = again.format(three.uuid(0))
    with pytest.raises(UsageError) as caught:
        chosen(("0", "1", again))
    assert f"--energy-devices=0,1,{again}" in str(caught.value)
    assert three.uuid(0) in str(caught.value)


def refusal(named: tuple[str, ...] | None = None) -> tuple[ReasonCode, str]:
    """Why no device can be measured."""
    with pytest.raises(MeterUnavailableError) as caught:
        chosen(named)
    return caught.value.reason.code, str(caught.value)
