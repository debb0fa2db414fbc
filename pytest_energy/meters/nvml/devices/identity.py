"""Facts of the measured devices: the identity, which must agree, and the context."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.meters.nvml.devices.selection import Device
from pytest_energy.meters.nvml.devices.sensors import Snapshot
from pytest_energy.meters.nvml.driver import is_simulated, query
from pytest_energy.model.environment import SIMULATED
from pytest_energy.model.measurement import Environment, Facts, Scalar


def describe(
    devices: Sequence[Device], snapshots: Sequence[Snapshot], scopes: Mapping[str, str]
) -> Environment:
    """Identity and context of the devices, without facts that the driver does not offer.

    Args:
        devices: The measured devices.
        snapshots: The state of each device.
        scopes: What the counters of devices in modules count, by channel.
    """
    prefix = SIMULATED if is_simulated() else ""
    identity: Facts = {
        # Part of the name, so that all outputs show it and no real card has the same identity.
        "device": _common([f"{prefix}{device.candidate.name}" for device in devices]),
        "device_count": len(devices),
        "power_limit_w": _common([snapshot.power_limit_w for snapshot in snapshots]),
    }
    if scopes:  # joules of a module and of its GPU must not be compared
        identity["scope"] = _common([scopes.get(device.channel) for device in devices])
    if any(device.candidate.place for device in devices):
        identity["mig_profile"] = _common([mig_profile(device) for device in devices])
    return Environment(identity=_known(identity), context=_known(_context(devices, snapshots)))


def board_hash(device: Device) -> str:
    """A short hash that distinguishes boards without revealing their UUIDs."""
    return hashlib.sha256(device.candidate.uuid.encode()).hexdigest()[:12]


def mig_profile(device: Device) -> str | None:
    """The profile of a MIG instance, such as ``1g.10gb``: the end of its name."""
    return device.candidate.name.rpartition("MIG ")[2] if device.candidate.place else None


def _context(devices: Sequence[Device], snapshots: Sequence[Snapshot]) -> Facts:
    return {
        "board": [board_hash(device) for device in devices],
        "driver": query(pynvml.nvmlSystemGetDriverVersion),
        "cuda_driver": _cuda_version(),
        "ecc": _each(devices, lambda d: _ecc(d)),
        "applications_clock_mhz": _common([s.applications_clock_mhz for s in snapshots]),
        "max_clock_mhz": _each(devices, lambda d: _max_clock(d, pynvml.NVML_CLOCK_SM)),
        "max_memory_clock_mhz": _each(devices, lambda d: _max_clock(d, pynvml.NVML_CLOCK_MEM)),
        "temperature_c": [s.temperature_c for s in snapshots],
        "desktop": [*sorted({name for s in snapshots for name in s.desktop.values()})] or None,
    }


def _each(devices: Sequence[Device], read: Callable[[Device], Scalar]) -> Scalar | list[Scalar]:
    return _common([read(device) for device in devices])


def _common(values: Sequence[Scalar]) -> Scalar | list[Scalar]:
    """One value if all devices agree, else a list with the value of each device."""
    return values[0] if len(set(values)) == 1 else list(values)


def _known(facts: Facts) -> Facts:
    return {name: value for name, value in facts.items() if value not in (None, [None])}


def _ecc(device: Device) -> bool | None:
    modes = query(pynvml.nvmlDeviceGetEccMode, device.candidate.board)
    return None if modes is None else bool(modes[0])


def _max_clock(device: Device, kind: int) -> int | None:
    return query(pynvml.nvmlDeviceGetMaxClockInfo, device.candidate.board, kind)


def _cuda_version() -> str | None:
    version = query(pynvml.nvmlSystemGetCudaDriverVersion)
    return None if version is None else f"{version // 1000}.{version % 1000 // 10}"
