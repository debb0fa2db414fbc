"""The shared memory of the simulated machine, field by field as in ``nvml_sim/state.h``."""

from __future__ import annotations

from ctypes import Structure, c_char, c_double, c_int32, c_int64, c_uint32, c_uint64

MAX_DEVICES = 16
MAX_SEGMENTS = 32768
MAX_RECORDED = 32768
MAX_FAULTS = 64
MAX_PROCESSES = 64
MAX_THROTTLES = 256
MAX_FUNCTIONS = 640
FOREVER = 2**63 - 1

_Text = c_char * 96


class Segment(Structure):
    """A section of the power script."""

    _fields_ = (
        ("start_ns", c_int64),
        ("period_ns", c_int64),
        ("phase_ns", c_int64),
        ("high_w", c_double),
        ("low_w", c_double),
        ("duty", c_double),
        ("fast_w", c_double),
        ("fast_s", c_double),
        ("slow_w", c_double),
        ("slow_s", c_double),
        ("recorded_from", c_int64),
        ("recorded_count", c_int64),
        ("energy_j", c_double),
    )


class Process(Structure):
    """A process on a device."""

    _fields_ = (
        ("from_ns", c_int64),
        ("until_ns", c_int64),
        ("used_memory_bytes", c_uint64),
        ("pid", c_uint32),
        ("graphics", c_uint32),
        ("sm_percent", c_uint32),
        ("spare", c_uint32),
        ("name", _Text),
    )


class Throttle(Structure):
    """A time during which a device is throttled."""

    _fields_ = (
        ("from_ns", c_int64),
        ("until_ns", c_int64),
        ("reasons", c_uint64),
        ("share", c_double),
    )


class Device(Structure):
    """A device: its properties, its sensors and the events that concern it."""

    _fields_ = (
        ("name", _Text),
        ("uuid", _Text),
        ("serial", _Text),
        ("part_number", _Text),
        ("bus_id", _Text),
        ("parent", c_int32),
        ("mig_mode", c_int32),
        ("gpu_instance", c_int32),
        ("compute_instance", c_int32),
        ("architecture", c_int32),
        ("brand", c_int32),
        ("compute_major", c_int32),
        ("compute_minor", c_int32),
        ("cores", c_int32),
        ("ecc", c_int32),
        ("persistence", c_int32),
        ("may_set", c_int32),
        ("temperature_c", c_int32),
        ("utilization_percent", c_int32),
        ("memory_utilization_percent", c_int32),
        ("performance_state", c_int32),
        ("clock_mhz", c_int32 * 4),
        ("max_clock_mhz", c_int32 * 4),
        ("pci_bus", c_uint32),
        ("pci_device_id", c_uint32),
        ("power_limit_mw", c_uint32),
        ("default_limit_mw", c_uint32),
        ("min_limit_mw", c_uint32),
        ("max_limit_mw", c_uint32),
        ("memory_bytes", c_uint64),
        ("used_memory_bytes", c_uint64),
        ("counter_tick_ns", c_int64),
        ("counter_phase_ns", c_int64),
        ("counter_window_ns", c_int64),
        ("counter_lag_ns", c_int64),
        ("counter_delay_ns", c_int64),
        ("counter_jitter_ns", c_int64),
        ("counter_reset_ns", c_int64),
        ("seen_tick", c_int64),
        ("seen_j", c_double),
        ("seen_at_reset_j", c_double),
        ("power_update_ns", c_int64),
        ("power_phase_ns", c_int64),
        ("power_lag_ns", c_int64),
        ("power_delay_ns", c_int64),
        ("power_second_lag_ns", c_int64),
        ("power_second_share", c_double),
        ("instant_window_ns", c_int64),
        ("usage_window_ns", c_int64),
        ("average_window_ns", c_int64),
        ("sample_period_ns", c_int64),
        ("sample_count", c_int32),
        ("throttle_counters", c_int32),
        ("gain", c_double),
        ("module_extra_w", c_double),
        ("memory_share", c_double),
        ("counter_gain", c_double),
        ("counter_loss_j", c_double),
        ("counter_lost_j", c_double),
        ("counter_losing_j", c_double),
        ("counter_read_ns", c_int64),
        ("counter_step_mj", c_int64),
        ("sample_offset_ns", c_int64),
        ("sample_jitter_ns", c_int64),
        ("sample_copies", c_int32),
        ("counter_scope", c_int32),
        ("samples_scope", c_int32),
        ("unused", c_int32),
        ("processes", Process * MAX_PROCESSES),
        ("throttles", Throttle * MAX_THROTTLES),
        ("process_count", c_int32),
        ("throttle_count", c_int32),
        ("segment_count", c_int32),
        ("spare", c_int32),
        ("tail_fast_share", c_double),
        ("tail_fast_s", c_double),
        ("tail_slow_share", c_double),
        ("tail_slow_s", c_double),
        ("recorded_step_ns", c_int64),
        ("recorded_j", c_double * MAX_RECORDED),
        ("segments", Segment * MAX_SEGMENTS),
    )


class Fault(Structure):
    """A function that is to fail, and when."""

    _fields_ = (
        ("function", _Text),
        ("device", c_int32),
        ("field", c_int32),
        ("code", c_int32),
        ("spare", c_int32),
        ("from_ns", c_int64),
        ("until_ns", c_int64),
        ("after_calls", c_int64),
        ("times", c_int64),
        ("seen", c_int64),
    )


class Function(Structure):
    """The number of calls of a function."""

    _fields_ = (("name", _Text), ("calls", c_int64))


class State(Structure):
    """The machine without its lock, which only the library uses."""

    _fields_ = (
        ("layout", c_int32),
        ("virtual_clock", c_int32),
        ("virtual_ns", c_int64),
        ("epoch_offset_ns", c_int64),
        ("call_cost_ns", c_int64),
        ("clock_read_cost_ns", c_int64),
        ("created_ns", c_int64),
        ("driver_version", _Text),
        ("nvml_version", _Text),
        ("cuda_version", c_int32),
        ("device_count", c_int32),
        ("fault_count", c_int32),
        ("function_count", c_int32),
        ("faults", Fault * MAX_FAULTS),
        ("functions", Function * MAX_FUNCTIONS),
        ("devices", Device * MAX_DEVICES),
    )
