"""Calls of NVML through its Python bindings; a missing reading is ``None``, never zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.meters.base import MeterUnavailableError
from pytest_energy.model.measurement import Reason, ReasonCode

Handle = Any
"""A device as the bindings know it."""
Field = int | tuple[int, int]
"""The number of a field, or the pair of it and a scope (``nvmlPowerScopeType_t``)."""
T = TypeVar("T")

ABSENT = frozenset(
    {
        pynvml.NVML_ERROR_INVALID_ARGUMENT,
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_NOT_FOUND,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_NO_DATA,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
    }
)
"""Codes for a reading that the driver does not offer, at all or to this user."""

LOST = frozenset(
    {
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_RESET_REQUIRED,
        pynvml.NVML_ERROR_GPU_NOT_FOUND,
    }
)
"""Codes for a device that is gone until it is reset."""

_REFUSALS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        ReasonCode.NO_METER,
        "libnvidia-ml.so.1 was not found; install the NVIDIA driver; a container must be started "
        "with its GPUs (docker run --gpus all)",
    ),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: (
        ReasonCode.UNSUPPORTED,
        "the driver's NVML is too old; install a driver of 2019 or later (418 or newer)",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        ReasonCode.NO_METER,
        "the NVIDIA kernel driver is not loaded; load it (modprobe nvidia) and check nvidia-smi",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        ReasonCode.NO_PERMISSION,
        "this user may not use the driver; grant access to /dev/nvidiactl and /dev/nvidia*",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        ReasonCode.METER_FAILED,
        "the library and the kernel driver have different versions; reload the driver or reboot",
    ),
}


class SensorError(Exception):
    """A sensor did not answer, or gave an impossible answer; has the reason for the results."""

    def __init__(self, code: ReasonCode, message: str) -> None:
        super().__init__(message)
        self.reason = Reason(code=code, message=message)


@dataclass(frozen=True)
class FieldValue:
    """The value of one field."""

    value: float
    stamp_s: float
    """The driver's time stamp in seconds since the epoch; 0 if the driver gives none."""

    def times(self, factor: float) -> FieldValue:
        """The same value in another unit."""
        return FieldValue(self.value * factor, self.stamp_s)


def start() -> None:
    """Load the library and connect to the driver.

    Raises:
        MeterUnavailableError: One of the two failed; with the remedy.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        unknown = f"{error} ({error.value}): check that nvidia-smi works for this user"
        code, remedy = _REFUSALS.get(error.value, (ReasonCode.METER_FAILED, unknown))
        raise MeterUnavailableError(code, f"NVML: {remedy}") from None


def stop() -> None:
    """Disconnect from the driver; a device or a connection that is already gone is no error."""
    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_UNINITIALIZED and error.value not in LOST:
            raise SensorError(ReasonCode.METER_FAILED, f"NVML: shutdown: {error}") from None


def is_simulated() -> bool:
    """Whether the loaded library is the simulated NVML, whatever started this process."""
    return hasattr(pynvml.nvmlLib, "nvml_sim_now_ns")


def query(function: Callable[..., T], *arguments: Any) -> T | None:
    """Call a function of the bindings; ``None`` if the driver does not offer the reading.

    Every failure but a lost device counts as a missing reading, because drivers report missing
    readings in many ways: the driver of WSL2 answers "Unknown Error" to calls that it does not
    know.

    Raises:
        SensorError: The device is lost.
    """
    try:
        return require(function, *arguments)
    except SensorError as error:
        if error.reason.code is ReasonCode.DEVICE_LOST:
            raise
        return None


def require(function: Callable[..., T], *arguments: Any) -> T | None:
    """Call a function that a measurement depends on; ``None`` only for the codes in ``ABSENT``.

    Raises:
        SensorError: The device is lost, or the call failed in another way.
    """
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value in ABSENT:
            return None
        raise failure(error.value, function.__name__) from None


def failure(code: int, what: str) -> SensorError:
    """The error for the return ``code`` of a call or a field."""
    reason = ReasonCode.DEVICE_LOST if code in LOST else ReasonCode.METER_FAILED
    return SensorError(reason, f"NVML: {what}: {pynvml.NVMLError(code)} ({code})")


def read_fields(handle: Handle, fields: Iterable[Field]) -> dict[int, FieldValue]:
    """Read many fields in one call; fields that the driver does not offer are left out.

    Of a field with several scopes, ask for one.

    Raises:
        SensorError: The device is lost.
    """
    values = {}
    for answer in query(pynvml.nvmlDeviceGetFieldValues, handle, list(fields)) or ():
        if answer.nvmlReturn == pynvml.NVML_SUCCESS:
            values[answer.fieldId] = _field_value(answer)
        elif answer.nvmlReturn in LOST:
            raise failure(answer.nvmlReturn, f"field {answer.fieldId}")
    return values


def require_field(handle: Handle, field: Field) -> FieldValue | None:
    """Read a field that a measurement depends on; ``None`` only for the codes in ``ABSENT``.

    Raises:
        SensorError: The device is lost, or the call or the field failed in another way.
    """
    for answer in require(pynvml.nvmlDeviceGetFieldValues, handle, [field]) or ():
        if answer.nvmlReturn == pynvml.NVML_SUCCESS:
            return _field_value(answer)
        if answer.nvmlReturn not in ABSENT:
            raise failure(answer.nvmlReturn, f"field {field}")
    return None


def _field_value(answer: Any) -> FieldValue:
    return FieldValue(number(answer.value, answer.valueType), answer.timestamp * 1e-6)  # stamps: µs


_MEMBERS = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
}


def number(value: Any, kind: int) -> float:
    """The member of NVML's union ``value`` that ``kind`` (``nvmlValueType_t``) selects."""
    return float(getattr(value, _MEMBERS[kind]))
