"""Which devices are meant: all, those that CUDA shows, or those that the user names.

Source: CUDA C++ Programming Guide, "CUDA Environment Variables"; MIG User Guide, "CUDA Device
Enumeration".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.errors import UsageError
from pytest_energy.measurement import ReasonCode
from pytest_energy.meters.base import MeterUnavailableError
from pytest_energy.meters.nvml.library import Handle, ask, insist


@dataclass(frozen=True)
class Candidate:
    """A GPU, or a MIG instance of one."""

    handle: Handle
    board: Handle
    """The GPU itself, where this is a MIG instance; else the same as ``handle``."""
    index: int
    """The GPU's index in NVML's order (by PCI bus)."""
    name: str
    uuid: str
    """``GPU-…`` or ``MIG-…``."""
    place: tuple[int, int] | None = None
    """GPU instance and compute instance, for a MIG instance."""
    sliced: bool = False
    """A GPU in MIG mode, on which CUDA sees only the instances."""


@dataclass(frozen=True)
class Device:
    """A device that is measured."""

    channel: str
    """``gpu0``, ``gpu1``, … in the order in which the devices were named."""
    candidate: Candidate

    @property
    def handle(self) -> Handle:
        """What the bindings call it."""
        return self.candidate.handle


def select_devices(named: Sequence[str] | None) -> tuple[Device, ...]:
    """The devices to measure.

    Args:
        named: As the user names them: NVML's indices, UUIDs or unique beginnings of UUIDs, MIG
            names. ``None``: what CUDA shows to this process.

    Raises:
        MeterUnavailableError: There is none, or one named does not exist.
        UsageError: One is named twice: its joules would be added to themselves.
    """
    candidates = _candidates()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        chosen = [_named(name, candidates) for name in named]
        _refuse_repeats(named, chosen)
    elif visible is not None:
        chosen = _visible(visible, candidates)
    else:
        chosen = _shown_by_default(candidates)
    if not chosen:
        raise MeterUnavailableError(ReasonCode.NO_METER, _nothing_shown(visible, candidates))
    return tuple(Device(f"gpu{i}", candidate) for i, candidate in enumerate(chosen))


def _candidates() -> list[Candidate]:
    found: list[Candidate] = []
    for index in range(insist(pynvml.nvmlDeviceGetCount) or 0):
        handle = insist(pynvml.nvmlDeviceGetHandleByIndex, index)
        if handle is None:
            raise MeterUnavailableError(
                ReasonCode.NO_PERMISSION,
                f"NVML: this user may not open GPU {index}; give it access to /dev/nvidia{index}",
            )
        instances = _instances(handle, index)
        found += [_candidate(handle, handle, index, None, bool(instances)), *instances]
    return found


def _instances(board: Handle, index: int) -> list[Candidate]:
    mode = ask(pynvml.nvmlDeviceGetMigMode, board)
    if not mode or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return []
    found = []
    for number in range(insist(pynvml.nvmlDeviceGetMaxMigDeviceCount, board) or 0):
        handle = insist(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, board, number)
        if handle is not None:
            place = (
                insist(pynvml.nvmlDeviceGetGpuInstanceId, handle) or 0,
                insist(pynvml.nvmlDeviceGetComputeInstanceId, handle) or 0,
            )
            found.append(_candidate(handle, board, index, place, False))
    return found


def _candidate(
    handle: Handle, board: Handle, index: int, place: tuple[int, int] | None, sliced: bool
) -> Candidate:
    name = insist(pynvml.nvmlDeviceGetName, handle) or insist(pynvml.nvmlDeviceGetName, board)
    uuid = insist(pynvml.nvmlDeviceGetUUID, handle) or ""
    return Candidate(handle, board, index, str(name or "unknown GPU"), uuid, place, sliced)


def _shown_by_default(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Whole GPUs; where all are in MIG mode, the first instance, as CUDA has it."""
    whole = [c for c in candidates if c.place is None and not c.sliced]
    return whole or [c for c in candidates if c.place is not None][:1]


def _visible(text: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    """What ``CUDA_VISIBLE_DEVICES`` shows: everything before the first name that is wrong."""
    names = [name.strip() for name in text.split(",")]
    if any(name.isdigit() for name in names):
        _refuse_another_order(candidates)
    chosen: list[Candidate] = []
    for name in names:
        matching = _matching(name, candidates)
        if len(matching) != 1 or matching[0] in chosen:
            break
        chosen += matching
    return chosen


def _refuse_another_order(candidates: Sequence[Candidate]) -> None:
    """CUDA counts the fastest first, NVML by PCI bus: of unlike GPUs an index is ambiguous."""
    models = {candidate.name for candidate in candidates if candidate.place is None}
    if len(models) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise MeterUnavailableError(
            ReasonCode.UNSUPPORTED,
            f"NVML: CUDA_VISIBLE_DEVICES has indices, and the GPUs differ "
            f"({', '.join(sorted(models))}), so that CUDA counts them in another order; "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID or name the GPUs by UUID",
        )


def _named(name: str, candidates: Sequence[Candidate]) -> Candidate:
    matching = _matching(name, candidates)
    if len(matching) == 1:
        return matching[0]
    what = f"{len(matching)} devices begin with" if matching else "no device is called"
    shown = ", ".join(_label(candidate) for candidate in candidates) or "none"
    raise MeterUnavailableError(
        ReasonCode.NO_METER, f"NVML: {what} {name!r}; this machine has {shown}"
    )


def _refuse_repeats(named: Sequence[str], chosen: Sequence[Candidate]) -> None:
    """A card has several names: its index, its UUID and the beginnings of that."""
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
    if name.startswith("MIG-GPU-"):  # MIG-GPU-<uuid>/<gpu instance>/<compute instance>
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


def _nothing_shown(visible: str | None, candidates: Sequence[Candidate]) -> str:
    if not candidates:
        return "NVML: the driver is there, but no GPU; check the power and seat of the card"
    shown = ", ".join(_label(candidate) for candidate in candidates)
    return f"NVML: CUDA_VISIBLE_DEVICES={visible!r} shows no GPU; this machine has {shown}"
