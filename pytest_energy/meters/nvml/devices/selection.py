"""Select the devices to measure: all, those that CUDA shows, or those that the user names.

Source: CUDA C++ Programming Guide, "CUDA Environment Variables"; MIG User Guide, "CUDA Device
Enumeration".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.meters.base import MeterUnavailableError
from pytest_energy.meters.nvml.driver import Handle, SensorError, query, require
from pytest_energy.model.measurement import Reason, ReasonCode

HIDING = frozenset({"", "-1", "NoDevFiles", "none", "void"})
"""Values of ``CUDA_VISIBLE_DEVICES`` by which users, SLURM and containers hide all GPUs."""


@dataclass(frozen=True)
class Candidate:
    """A GPU, or a MIG instance of one."""

    handle: Handle
    board: Handle
    """The whole GPU of a MIG instance; otherwise the same as ``handle``."""
    index: int
    """The GPU's index in NVML's order, which is by PCI bus."""
    name: str
    uuid: str
    """``GPU-…`` or ``MIG-…``."""
    place: tuple[int, int] | None = None
    """GPU instance and compute instance of a MIG instance."""
    sliced: bool = False
    """Whether this is a GPU in MIG mode: CUDA sees only its instances."""


@dataclass(frozen=True)
class Unusable:
    """A GPU that NVML counts but this process cannot use."""

    index: int
    """The GPU's index in NVML's order."""
    reason: Reason

    @property
    def closed(self) -> bool:
        """Whether this process may not open it, as in a container with other GPUs."""
        return self.reason.code is ReasonCode.NO_PERMISSION


@dataclass(frozen=True)
class Inventory:
    """The GPUs that NVML counts."""

    candidates: tuple[Candidate, ...]
    unusable: tuple[Unusable, ...]
    """GPUs whose names and UUIDs are unknown."""

    def __str__(self) -> str:
        shown = ", ".join(_label(candidate) for candidate in self.candidates) or "none"
        return "; ".join(
            [f"usable here: {shown}", *(card.reason.message for card in self.unusable)]
        )


@dataclass(frozen=True)
class Device:
    """A device to measure."""

    channel: str
    """``gpu0``, ``gpu1``, … in the order of the selection."""
    candidate: Candidate

    @property
    def handle(self) -> Handle:
        """The handle that the bindings take."""
        return self.candidate.handle


def select_devices(named: Sequence[str] | None) -> tuple[Device, ...]:
    """The devices to measure; a GPU that cannot be used does not prevent measuring others.

    Args:
        named: The user's names: NVML's indices, UUIDs or unique beginnings of UUIDs, MIG names.
            ``None``: the devices that CUDA shows to this process.

    Raises:
        MeterUnavailableError: There is no device, ``CUDA_VISIBLE_DEVICES`` hides all of them, or a
            named device is lost or broken.
        UsageError: A named device does not exist, may not be opened by this user, or is named
            twice, so that its joules would be counted twice. The same for the first name in
            ``CUDA_VISIBLE_DEVICES``, and for its indices if their order is unknown.
    """
    inventory = _find()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        chosen = [_named(name, inventory) for name in named]
        _refuse_repeats(named, chosen)
    elif visible is not None:
        chosen = _visible(visible, inventory)
    else:
        chosen = _shown_by_default(inventory.candidates)
    if not chosen:
        raise _nothing_shown(visible, inventory)
    return tuple(Device(f"gpu{i}", candidate) for i, candidate in enumerate(chosen))


def _find() -> Inventory:
    candidates: list[Candidate] = []
    unusable: list[Unusable] = []
    for index in range(require(pynvml.nvmlDeviceGetCount) or 0):
        try:
            candidates += _card(index)
        except SensorError as error:
            cause = error.reason.message.removeprefix("NVML: ")
            message = f"GPU {index} cannot be used: {cause}"
            unusable.append(Unusable(index, Reason(code=error.reason.code, message=message)))
    return Inventory(tuple(candidates), tuple(unusable))


def _card(index: int) -> list[Candidate]:
    """A GPU and its MIG instances.

    Raises:
        SensorError: The GPU cannot be used. NVML also counts GPUs that this user may not open.
    """
    handle = require(pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        raise SensorError(
            ReasonCode.NO_PERMISSION,
            f"this user may not open it; grant access to /dev/nvidia{index}",
        )
    instances = _instances(handle, index)
    return [_candidate(handle, handle, index, None, bool(instances)), *instances]


def _instances(board: Handle, index: int) -> list[Candidate]:
    mode = query(pynvml.nvmlDeviceGetMigMode, board)
    if not mode or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return []
    instances = []
    for number in range(require(pynvml.nvmlDeviceGetMaxMigDeviceCount, board) or 0):
        handle = require(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, board, number)
        if handle is not None:
            place = (
                require(pynvml.nvmlDeviceGetGpuInstanceId, handle) or 0,
                require(pynvml.nvmlDeviceGetComputeInstanceId, handle) or 0,
            )
            instances.append(_candidate(handle, board, index, place, False))
    return instances


def _candidate(
    handle: Handle, board: Handle, index: int, place: tuple[int, int] | None, sliced: bool
) -> Candidate:
    name = require(pynvml.nvmlDeviceGetName, handle) or require(pynvml.nvmlDeviceGetName, board)
    uuid = require(pynvml.nvmlDeviceGetUUID, handle) or ""
    return Candidate(handle, board, index, str(name or "unknown GPU"), uuid, place, sliced)


def _shown_by_default(candidates: Sequence[Candidate]) -> list[Candidate]:
    """All whole GPUs; if all GPUs are in MIG mode, the first instance, as in CUDA."""
    whole = [c for c in candidates if c.place is None and not c.sliced]
    return whole or [c for c in candidates if c.place is not None][:1]


def _visible(text: str, inventory: Inventory) -> list[Candidate]:
    """What ``CUDA_VISIBLE_DEVICES`` shows: like CUDA, all names before the first invalid one."""
    names = [name.strip() for name in text.split(",")]
    if any(name.isdigit() for name in names):
        _refuse_another_order(inventory.candidates)
    chosen: list[Candidate] = []
    for name in names:
        matching = _shown(name, inventory)
        if len(matching) != 1 or matching[0] in chosen:
            break
        chosen += matching
    return chosen


def _shown(name: str, inventory: Inventory) -> list[Candidate]:
    """The devices that one name in ``CUDA_VISIBLE_DEVICES`` matches.

    An index counts the GPUs that CUDA can open. GPUs that the cgroup of a container or a batch job
    hides are counted by NVML, but not by CUDA. It is not published whether CUDA counts a lost or
    broken GPU, so an index of such a GPU or a later one is refused.

    Raises:
        MeterUnavailableError: A GPU at the index or before it is lost or broken.
    """
    if not name.isdigit():
        return _matching(name, inventory.candidates)
    broken = {card.index: card.reason for card in inventory.unusable if not card.closed}
    counted = sorted({candidate.index for candidate in inventory.candidates} | broken.keys())
    up_to = counted[: int(name) + 1]
    if reasons := [broken[index] for index in up_to if index in broken]:
        raise MeterUnavailableError(
            reasons[0].code,
            f"NVML: CUDA_VISIBLE_DEVICES has the index {name}, but a GPU at or before it cannot be "
            f"used, and CUDA may or may not count it; name the GPUs by UUID ({inventory})",
        )
    return _matching(str(up_to[-1]), inventory.candidates) if int(name) < len(counted) else []


def _refuse_another_order(candidates: Sequence[Candidate]) -> None:
    """Refuse indices of unlike GPUs: CUDA counts the fastest first, NVML by PCI bus."""
    models = {candidate.name for candidate in candidates if candidate.place is None}
    if len(models) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise UsageError(
            f"CUDA_VISIBLE_DEVICES has indices, but the GPUs differ "
            f"({', '.join(sorted(models))}) and CUDA may count them in another order; "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID or name the GPUs by UUID"
        )


def _named(name: str, inventory: Inventory) -> Candidate:
    matching = _matching(name, inventory.candidates)
    if len(matching) == 1:
        return matching[0]
    what = f"{len(matching)} devices match" if matching else "no usable device matches"
    meant = [] if matching else _meant(name, inventory.unusable)
    if any(not card.closed for card in meant):
        raise MeterUnavailableError(_fault(meant), f"NVML: {what} {name!r}; {inventory}")
    raise UsageError(f"--energy-devices={name}: {what} {name!r}; {inventory}")


def _meant(name: str, unusable: Sequence[Unusable]) -> list[Unusable]:
    """The unusable GPUs that an unmatched name may mean; a UUID may belong to any of them."""
    if name.isdigit():
        return [card for card in unusable if card.index == int(name)]
    return list(unusable) if name.startswith(("GPU-", "MIG-")) else []


def _fault(meant: Sequence[Unusable]) -> ReasonCode:
    """Why the meant GPUs cannot be used; a lost or broken GPU takes precedence."""
    codes = [card.reason.code for card in sorted(meant, key=lambda card: card.closed)]
    return codes[0] if codes else ReasonCode.NO_METER


def _refuse_repeats(named: Sequence[str], chosen: Sequence[Candidate]) -> None:
    """Refuse two names of one GPU, such as its index and its UUID."""
    for place, candidate in enumerate(chosen):
        if candidate in chosen[:place]:
            first = named[chosen.index(candidate)]
            raise UsageError(
                f"--energy-devices={','.join(named)}: {first!r} and {named[place]!r} are the same"
                f" device, {_label(candidate)}; name it once"
            )


def _matching(name: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    if name.isdigit():
        whole = [c for c in candidates if c.index == int(name) and c.place is None and not c.sliced]
        return whole or [c for c in candidates if c.index == int(name) and c.place][:1]
    # Drivers before 470 name instances MIG-GPU-<uuid>/<gpu instance>/<compute instance>.
    if name.startswith("MIG-GPU-"):
        return [c for c in candidates if c.place and _old_name(c, candidates) == name]
    if not name.startswith(("GPU-", "MIG-")):
        return []
    return [c for c in candidates if c.uuid.startswith(name)]


def _old_name(candidate: Candidate, candidates: Sequence[Candidate]) -> str | None:
    boards = [c.uuid for c in candidates if c.index == candidate.index and c.place is None]
    if candidate.place is None or not boards:
        return None
    return f"MIG-{boards[0]}/{candidate.place[0]}/{candidate.place[1]}"


def _label(candidate: Candidate) -> str:
    return f"{candidate.index} ({candidate.name}, {candidate.uuid})"


def _nothing_shown(visible: str | None, inventory: Inventory) -> EnergyError:
    """Why no device is shown; a wrong name is a mistake, hiding all devices is a choice."""
    if not inventory.candidates:
        faults = "; ".join(card.reason.message for card in inventory.unusable)
        none = "the driver finds no GPU; check the power and the seat of the card"
        return MeterUnavailableError(_fault(inventory.unusable), f"NVML: {faults or none}")
    first = (visible or "").split(",")[0].strip()
    meant = _meant(first, inventory.unusable)
    text = f"CUDA_VISIBLE_DEVICES={visible!r} shows no GPU; {inventory}"
    if first in HIDING or any(not card.closed for card in meant):
        return MeterUnavailableError(_fault(meant), f"NVML: {text}")
    return UsageError(f"{text}; correct it, or set it to -1 to hide the GPUs")
