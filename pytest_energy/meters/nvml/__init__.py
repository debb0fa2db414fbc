"""Joules of NVIDIA GPUs, from their energy counters or from their power, through NVML.

``driver`` calls NVML, ``devices`` selects, identifies and reads the GPUs, and ``sources`` turns
counters and power samples into joules. ``opening`` opens all of these, ``meter`` measures windows
with them, ``validity`` judges each window, and ``capabilities`` lists missing readings.
"""

from __future__ import annotations

from pytest_energy.meters.base import Meter, MeterRequest


def open_meter(request: MeterRequest) -> Meter:
    """Open the meter: find the devices, measure their counters' periods and their idle power.

    Raises:
        MeterUnavailableError: The library, the driver, a permission, a device or a sensor is
            missing, or others use a device; with the reason and the remedy.
    """
    from pytest_energy.meters.nvml.opening import (
        open_nvml,  # pynvml is loaded only if this meter is used
    )

    return open_nvml(request)
