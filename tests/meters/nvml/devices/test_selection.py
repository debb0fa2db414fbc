"""Which devices are measured."""

from __future__ import annotations

from collections.abc import Iterator

import pynvml
import pytest

from pytest_energy.errors import UsageError
from pytest_energy.meters.base import MeterUnavailableError
from pytest_energy.meters.nvml import driver as library
from pytest_energy.meters.nvml.devices.selection import select_devices
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.testing import SimulatedNvml


@pytest.fixture(scope="module")
def three() -> Iterator[SimulatedNvml]:
    """Two equal cards, and one that is divided into MIG instances."""
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
    """The default of CUDA: no cards in MIG mode if there are others."""
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
    """Indices, UUIDs, unique beginnings of UUIDs and MIG names mean the same as in CUDA."""
    uuids = [three.uuid(i) for i in range(three.device_count)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible.format(*uuids))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert chosen() == [uuids[device] for device in devices]


@pytest.mark.parametrize("visible", ["", "-1", "-1,0", "NoDevFiles"])
def test_hiding_all_devices_measures_none(
    three: SimulatedNvml, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    """If all devices are hidden, the meter refuses and lists the devices that exist."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    code, text = refusal()
    assert code is ReasonCode.NO_METER
    assert three.uuid(0) in text


@pytest.mark.parametrize("visible", ["7", "GPU-", "GPU-0", "nonsense", "7,0", "gpu0"])
def test_a_wrong_name_in_cuda_visible_devices_is_an_error(
    three: SimulatedNvml, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    """CUDA would show no device, and the processor would be measured instead."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    with pytest.raises(UsageError, match=f"CUDA_VISIBLE_DEVICES={visible!r}.*{three.uuid(0)}"):
        chosen()


def test_a_device_shown_twice_is_measured_once(
    three: SimulatedNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like CUDA, names from the first repeated one on are ignored."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,0")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert chosen() == [three.uuid(0)]


@pytest.mark.parametrize("order", [None, "FASTEST_FIRST", "PCI_BUS"])
def test_indices_of_unlike_cards_are_ambiguous(
    three: SimulatedNvml, monkeypatch: pytest.MonkeyPatch, order: str | None
) -> None:
    """CUDA counts the fastest first, NVML by bus: an ambiguous index is an error."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    if order is not None:
        monkeypatch.setenv("CUDA_DEVICE_ORDER", order)
    with pytest.raises(UsageError, match="CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        chosen()


def test_devices_named_by_the_user_are_measured(three: SimulatedNvml) -> None:
    """The option names devices as nvidia-smi does, including a whole card in MIG mode."""
    assert chosen((three.uuid(2), "1")) == [three.uuid(2), three.uuid(1)]


def test_a_device_that_is_not_there_is_named(three: SimulatedNvml) -> None:
    """The message has the name and the devices that exist."""
    with pytest.raises(UsageError, match=f"^--energy-devices=9: .*'9'.*{three.uuid(1)}"):
        chosen(("9",))


@pytest.mark.parametrize("again", ["0", "{0}", "{0:.12}"])
def test_a_device_named_twice_is_refused(three: SimulatedNvml, again: str) -> None:
    """With any two of its names; otherwise its joules would count twice."""
    again = again.format(three.uuid(0))
    with pytest.raises(UsageError) as caught:
        chosen(("0", "1", again))
    assert f"--energy-devices=0,1,{again}" in str(caught.value)
    assert three.uuid(0) in str(caught.value)


CLOSED = pynvml.NVML_ERROR_NO_PERMISSION
LOST = pynvml.NVML_ERROR_GPU_IS_LOST
BROKEN = pynvml.NVML_ERROR_UNKNOWN
CODES = {
    CLOSED: ReasonCode.NO_PERMISSION,
    LOST: ReasonCode.DEVICE_LOST,
    BROKEN: ReasonCode.METER_FAILED,
}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedNvml]:
    """Three equal cards; the tests break the first one."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with SimulatedNvml("turing", "turing", "turing") as machine:
        yield machine


@pytest.mark.parametrize("function", ["nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID", "*"])
@pytest.mark.parametrize("fault", [LOST, BROKEN])
def test_a_spoilt_card_leaves_the_others_usable(
    broken: SimulatedNvml, monkeypatch: pytest.MonkeyPatch, function: str, fault: int
) -> None:
    """Whichever call fails, the other cards can be named, shown, or found."""
    broken.fail(function, fault, device=0)
    others = [broken.uuid(1), broken.uuid(2)]
    assert chosen(("1", others[1])) == others
    assert chosen() == others
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", others[1])
    assert chosen() == others[1:]


@pytest.mark.parametrize("fault", CODES)
@pytest.mark.parametrize("name", ["0", "{0}"])
def test_a_spoilt_card_that_is_named_is_refused(
    broken: SimulatedNvml, name: str, fault: int
) -> None:
    """The message has its fault and the usable devices; a UUID may be that of the broken card."""
    broken.fail("nvmlDeviceGetHandleByIndex", fault, device=0)
    with pytest.raises(UsageError if fault == CLOSED else MeterUnavailableError) as caught:
        chosen((name.format(broken.uuid(0)),))
    if isinstance(caught.value, MeterUnavailableError):
        assert caught.value.reason.code is CODES[fault]
    assert "GPU 0 cannot be used" in str(caught.value)
    assert broken.uuid(1) in str(caught.value)


def test_if_all_cards_are_broken_each_is_reported(broken: SimulatedNvml) -> None:
    """A lost card takes precedence over cards that this user may not open."""
    for device, fault in enumerate((CLOSED, LOST, CLOSED)):
        broken.fail("nvmlDeviceGetHandleByIndex", fault, device=device)
    code, text = refusal()
    assert code is ReasonCode.DEVICE_LOST
    assert all(f"GPU {device} cannot be used" in text for device in range(3))


@pytest.mark.parametrize(("visible", "devices"), [("0", [1]), ("1,0", [2, 1]), ("0,2", [1])])
def test_cuda_does_not_count_cards_that_are_closed_to_it(
    broken: SimulatedNvml, monkeypatch: pytest.MonkeyPatch, visible: str, devices: list[int]
) -> None:
    """In a batch job's cgroup, CUDA's first card is the first one that the job may open."""
    broken.fail("nvmlDeviceGetHandleByIndex", CLOSED, device=0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert chosen() == [broken.uuid(device) for device in devices]


@pytest.mark.parametrize("fault", [LOST, BROKEN])
def test_an_index_from_a_broken_card_on_is_ambiguous(
    broken: SimulatedNvml, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    """It is not published whether CUDA counts it: only indices before it are accepted."""
    broken.fail("nvmlDeviceGetHandleByIndex", fault, device=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert chosen() == [broken.uuid(0)]
    for visible in ("1", "2", "0,2"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        code, text = refusal()
        assert code is CODES[fault]
        assert "name the GPUs by UUID" in text


def refusal(named: tuple[str, ...] | None = None) -> tuple[ReasonCode, str]:
    """Why no device can be measured."""
    with pytest.raises(MeterUnavailableError) as caught:
        chosen(named)
    return caught.value.reason.code, str(caught.value)
