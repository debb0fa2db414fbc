"""Joules of NVIDIA GPUs, from their energy counters or from their power, through NVML.

``library`` speaks to the driver, ``selection`` says which devices are meant, ``sensors`` reads
them, ``ticks`` finds the counter's edges, ``validity`` judges what the edges showed, ``identity``
says what the devices are, ``missing`` what their driver does not tell, and ``meter`` puts them
together.
"""

from __future__ import annotations

from pytest_energy.meters.base import Meter, MeterRequest


def open_meter(request: MeterRequest) -> Meter:
    """Open the meter: find the devices, time their counters, measure their idle power.

    Raises:
        MeterUnavailableError: No library, driver, permission, device or sensor, or a device that
            others use; with the reason and the remedy.
    """
    from pytest_energy.meters.nvml.opening import open_nvml  # pynvml is loaded where it is used

    return open_nvml(request)
