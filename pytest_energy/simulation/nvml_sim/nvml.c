/* The functions of libnvidia-ml.so.1, answered from the simulated machine.
 *
 * Each begins in enter(), which counts the call, charges its virtual time and looks for a fault
 * that was asked for, and ends in leave(). Names, arguments and codes are those of NVML's
 * documented interface (NVML API Reference Guide); lengths in nanoseconds unless NVML says
 * otherwise: field values and samples have microseconds since the epoch.
 */
#define _GNU_SOURCE
#include "state.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef int32_t nvmlReturn_t;
typedef void *nvmlDevice_t;

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    LIBRARY_NOT_FOUND = 12,
    ARGUMENT_VERSION_MISMATCH = 25,
};

enum { REASON_IDLE = 0x1, REASON_POWER_CAP = 0x4, REASON_SYNC_BOOST = 0x10,
       REASON_SW_THERMAL = 0x20, REASON_HW_THERMAL = 0x40, REASON_POWER_BRAKE = 0x80,
       REASON_ALL = 0x1ff };

enum { TYPE_UINT = 1, TYPE_ULONGLONG = 3 };

typedef union {
    double d;
    uint32_t ui;
    uint64_t ull;
} value_t;

static state_t *state;
static int initialised;
static _Thread_local int holding;
static _Thread_local int64_t now_ns;

/* ---- the frame of every call ---- */

static device_t *device_of(nvmlDevice_t handle) {
    uintptr_t index = (uintptr_t)handle - 1;
    return index < (uintptr_t)state->device_count ? &state->devices[index] : NULL;
}

static nvmlDevice_t handle_of(int32_t index) { return (nvmlDevice_t)(uintptr_t)(index + 1); }

static int32_t index_of(const device_t *device) { return (int32_t)(device - state->devices); }

static nvmlReturn_t begin(const char *function) {
    state_lock(state);
    holding = 1;
    count_call(state, function);
    if (state->virtual_clock)
        __atomic_add_fetch(&state->virtual_ns, state->call_cost_ns, __ATOMIC_SEQ_CST);
    now_ns = state_now_ns(state);
    return SUCCESS;
}

static nvmlReturn_t enter(const char *function) {
    if (!initialised) return UNINITIALIZED;
    begin(function);
    return fault_of(state, function, -1, 0, now_ns);
}

static nvmlReturn_t enter_device(const char *function, nvmlDevice_t handle, device_t **device) {
    if (!initialised) return UNINITIALIZED;
    begin(function);
    *device = device_of(handle);
    if (*device == NULL) return INVALID_ARGUMENT;
    return fault_of(state, function, index_of(*device), 0, now_ns);
}

static nvmlReturn_t leave(nvmlReturn_t result) {
    if (holding) state_unlock(state);
    holding = 0;
    return result;
}

#define SYSTEM_CALL(name, arguments, answer)                 \
    nvmlReturn_t name arguments {                            \
        nvmlReturn_t result = enter(__func__);               \
        return leave(result != SUCCESS ? result : (answer)); \
    }

#define DEVICE_CALL(name, arguments, answer)                         \
    nvmlReturn_t name arguments {                                    \
        device_t *device = NULL;                                     \
        nvmlReturn_t result = enter_device(__func__, handle, &device); \
        return leave(result != SUCCESS ? result : (answer));         \
    }

#define WITH(...) (nvmlDevice_t handle, __VA_ARGS__)

static nvmlReturn_t give(uint32_t *out, uint32_t value) {
    if (out == NULL) return INVALID_ARGUMENT;
    *out = value;
    return SUCCESS;
}

static nvmlReturn_t give_if(int supported, uint32_t *out, uint32_t value) {
    return supported ? give(out, value) : NOT_SUPPORTED;
}

static nvmlReturn_t give_two(uint32_t *first, uint32_t a, uint32_t *second, uint32_t b) {
    nvmlReturn_t result = give(first, a);
    return result != SUCCESS ? result : give(second, b);
}

static nvmlReturn_t give_long(uint64_t *out, uint64_t value) {
    if (out == NULL) return INVALID_ARGUMENT;
    *out = value;
    return SUCCESS;
}

static nvmlReturn_t give_text(char *out, uint32_t length, const char *text) {
    if (out == NULL) return INVALID_ARGUMENT;
    if (strlen(text) + 1 > length) return INSUFFICIENT_SIZE;
    strcpy(out, text);
    return SUCCESS;
}

static nvmlReturn_t give_handle(nvmlDevice_t *out, const char *function, int32_t index) {
    if (out == NULL) return INVALID_ARGUMENT;
    if (index < 0) return NOT_FOUND;
    *out = handle_of(index);
    return fault_of(state, function, index, 0, now_ns);
}

/* ---- the library ---- */

nvmlReturn_t nvmlInitWithFlags(uint32_t flags) {
    (void)flags;
    state_t *found = state_map();
    if (found == NULL) return LIBRARY_NOT_FOUND;
    state = found;
    begin("nvmlInit");
    nvmlReturn_t result = fault_of(state, "nvmlInit", -1, 0, now_ns);
    initialised += result == SUCCESS;
    return leave(result);
}

nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlInit(void) { return nvmlInitWithFlags(0); }

nvmlReturn_t nvmlShutdown(void) {
    nvmlReturn_t result = enter(__func__);
    initialised -= result == SUCCESS;
    return leave(result);
}

const char *nvmlErrorString(nvmlReturn_t code) {
    static const char *const TEXTS[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported",
        "Insufficient Permissions", "Already Initialized", "Not Found", "Insufficient Size",
        "Insufficient External Power", "Driver Not Loaded", "Timeout", "Interrupt Request Issue",
        "NVML Shared Library Not Found", "Function Not Found", "Corrupted infoROM",
        "GPU is lost", "GPU requires reset", "Operating System call failed",
        "Driver/library version mismatch", "In use by another client", "Insufficient Memory",
        "No data", "ECC not supported on vGPU", "Insufficient Resources",
        "Frequency Not Supported", "Argument Version Mismatch", "Deprecated", "Not Ready",
        "GPU Not Found", "Invalid State", "Reset Type Not Supported"};
    if (code >= 0 && code < (int32_t)(sizeof TEXTS / sizeof *TEXTS)) return TEXTS[code];
    return "Unknown Error";
}

SYSTEM_CALL(nvmlSystemGetDriverVersion, (char *out, uint32_t length),
            give_text(out, length, state->driver_version))
SYSTEM_CALL(nvmlSystemGetNVMLVersion, (char *out, uint32_t length),
            give_text(out, length, state->nvml_version))
SYSTEM_CALL(nvmlSystemGetCudaDriverVersion, (uint32_t *out), give(out, (uint32_t)state->cuda_version))
SYSTEM_CALL(nvmlSystemGetCudaDriverVersion_v2, (uint32_t *out),
            give(out, (uint32_t)state->cuda_version))

/* ---- finding a device ---- */

/* The index-th device that `parent` has; -1 for the physical ones. Returns -1 where there is none. */
static int32_t child_of(int32_t parent, uint32_t index) {
    for (int32_t i = 0; i < state->device_count; i++)
        if (state->devices[i].parent == parent && index-- == 0) return i;
    return -1;
}

static uint32_t count_children(int32_t parent) {
    uint32_t count = 0;
    while (child_of(parent, count) >= 0) count++;
    return count;
}

static int32_t find_by(size_t offset, const char *text) {
    for (int32_t i = 0; text != NULL && i < state->device_count; i++)
        if (strcasecmp((const char *)&state->devices[i] + offset, text) == 0) return i;
    return -1;
}

static uint32_t place_of(const device_t *device) {
    uint32_t place = 0;
    while (child_of(device->parent, place) != index_of(device)) place++;
    return place;
}

static nvmlReturn_t by_index(const char *function, int32_t parent, uint32_t index,
                             nvmlDevice_t *out) {
    if (index >= count_children(parent)) return parent < 0 ? INVALID_ARGUMENT : NOT_FOUND;
    return give_handle(out, function, child_of(parent, index));
}

SYSTEM_CALL(nvmlDeviceGetCount, (uint32_t *out), give(out, count_children(-1)))
SYSTEM_CALL(nvmlDeviceGetCount_v2, (uint32_t *out), give(out, count_children(-1)))
SYSTEM_CALL(nvmlDeviceGetHandleByIndex, (uint32_t index, nvmlDevice_t *out),
            by_index(__func__, -1, index, out))
SYSTEM_CALL(nvmlDeviceGetHandleByIndex_v2, (uint32_t index, nvmlDevice_t *out),
            by_index(__func__, -1, index, out))
SYSTEM_CALL(nvmlDeviceGetHandleByUUID, (const char *uuid, nvmlDevice_t *out),
            give_handle(out, __func__, find_by(offsetof(device_t, uuid), uuid)))
SYSTEM_CALL(nvmlDeviceGetHandleBySerial, (const char *serial, nvmlDevice_t *out),
            give_handle(out, __func__, find_by(offsetof(device_t, serial), serial)))
SYSTEM_CALL(nvmlDeviceGetHandleByPciBusId, (const char *bus_id, nvmlDevice_t *out),
            give_handle(out, __func__, find_by(offsetof(device_t, bus_id), bus_id)))
SYSTEM_CALL(nvmlDeviceGetHandleByPciBusId_v2, (const char *bus_id, nvmlDevice_t *out),
            give_handle(out, __func__, find_by(offsetof(device_t, bus_id), bus_id)))

/* ---- what a device is ---- */

typedef struct {
    char bus_id_legacy[16];
    uint32_t domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
} pci_t; /* nvmlPciInfo_t; what is newer than version 2 lies at its end */

static nvmlReturn_t give_pci(const device_t *device, pci_t *out) {
    if (out == NULL) return INVALID_ARGUMENT;
    memset(out, 0, sizeof *out);
    snprintf(out->bus_id, sizeof out->bus_id, "%.31s", device->bus_id);
    snprintf(out->bus_id_legacy, sizeof out->bus_id_legacy, "0000:%02X:00.0", device->pci_bus);
    out->bus = device->pci_bus;
    out->device_id = device->pci_device_id;
    return SUCCESS;
}

static nvmlReturn_t give_clock(const int32_t *clocks_mhz, uint32_t type, uint32_t *out) {
    return type < 4 ? give(out, (uint32_t)clocks_mhz[type]) : INVALID_ARGUMENT;
}

static nvmlReturn_t give_clock_of(const device_t *device, uint32_t type, uint32_t id,
                                  uint32_t *out) {
    return give_clock(id == 0 ? device->clock_mhz : device->max_clock_mhz, type, out);
}

DEVICE_CALL(nvmlDeviceGetIndex, WITH(uint32_t *out), give(out, place_of(device)))
DEVICE_CALL(nvmlDeviceGetMinorNumber, WITH(uint32_t *out), give(out, place_of(device)))
DEVICE_CALL(nvmlDeviceGetName, WITH(char *out, uint32_t length),
            give_text(out, length, device->name))
DEVICE_CALL(nvmlDeviceGetUUID, WITH(char *out, uint32_t length),
            give_text(out, length, device->uuid))
DEVICE_CALL(nvmlDeviceGetSerial, WITH(char *out, uint32_t length),
            device->serial[0] ? give_text(out, length, device->serial) : NOT_SUPPORTED)
DEVICE_CALL(nvmlDeviceGetBoardPartNumber, WITH(char *out, uint32_t length),
            device->part_number[0] ? give_text(out, length, device->part_number) : NOT_SUPPORTED)
DEVICE_CALL(nvmlDeviceGetBoardId, WITH(uint32_t *out), give(out, device->pci_bus << 8))
DEVICE_CALL(nvmlDeviceGetMultiGpuBoard, WITH(uint32_t *out), give(out, 0))
DEVICE_CALL(nvmlDeviceGetBrand, WITH(uint32_t *out), give(out, (uint32_t)device->brand))
DEVICE_CALL(nvmlDeviceGetArchitecture, WITH(uint32_t *out),
            give(out, (uint32_t)device->architecture))
DEVICE_CALL(nvmlDeviceGetCudaComputeCapability, WITH(uint32_t *major, uint32_t *minor),
            give_two(major, (uint32_t)device->compute_major, minor,
                     (uint32_t)device->compute_minor))
DEVICE_CALL(nvmlDeviceGetNumGpuCores, WITH(uint32_t *out), give(out, (uint32_t)device->cores))
DEVICE_CALL(nvmlDeviceGetPciInfo, WITH(pci_t *out), give_pci(device, out))
DEVICE_CALL(nvmlDeviceGetPciInfo_v2, WITH(pci_t *out), give_pci(device, out))
DEVICE_CALL(nvmlDeviceGetPciInfo_v3, WITH(pci_t *out), give_pci(device, out))
DEVICE_CALL(nvmlDeviceGetEccMode, WITH(uint32_t *current, uint32_t *pending),
            device->ecc < 0 ? NOT_SUPPORTED
                            : give_two(current, (uint32_t)device->ecc, pending,
                                       (uint32_t)device->ecc))
DEVICE_CALL(nvmlDeviceGetPersistenceMode, WITH(uint32_t *out),
            give(out, (uint32_t)device->persistence))
DEVICE_CALL(nvmlDeviceGetComputeMode, WITH(uint32_t *out), give(out, 0))
DEVICE_CALL(nvmlDeviceGetDisplayMode, WITH(uint32_t *out), give(out, 0))
DEVICE_CALL(nvmlDeviceGetDisplayActive, WITH(uint32_t *out), give(out, 0))
DEVICE_CALL(nvmlDeviceGetPerformanceState, WITH(uint32_t *out),
            give(out, (uint32_t)device->performance_state))
DEVICE_CALL(nvmlDeviceGetPowerState, WITH(uint32_t *out),
            give(out, (uint32_t)device->performance_state))
DEVICE_CALL(nvmlDeviceGetClockInfo, WITH(uint32_t type, uint32_t *out),
            give_clock(device->clock_mhz, type, out))
DEVICE_CALL(nvmlDeviceGetMaxClockInfo, WITH(uint32_t type, uint32_t *out),
            give_clock(device->max_clock_mhz, type, out))
DEVICE_CALL(nvmlDeviceGetApplicationsClock, WITH(uint32_t type, uint32_t *out),
            give_clock(device->max_clock_mhz, type, out))
DEVICE_CALL(nvmlDeviceGetDefaultApplicationsClock, WITH(uint32_t type, uint32_t *out),
            give_clock(device->max_clock_mhz, type, out))
DEVICE_CALL(nvmlDeviceGetClock, WITH(uint32_t type, uint32_t id, uint32_t *out),
            give_clock_of(device, type, id, out))

typedef struct {
    uint32_t version, sensor;
    int32_t temperature_c;
} temperature_t;

static nvmlReturn_t give_temperature(const device_t *device, temperature_t *out) {
    if (out == NULL || out->sensor != 0) return INVALID_ARGUMENT;
    out->temperature_c = device->temperature_c;
    return SUCCESS;
}

DEVICE_CALL(nvmlDeviceGetTemperature, WITH(uint32_t sensor, uint32_t *out),
            sensor == 0 ? give(out, (uint32_t)device->temperature_c) : INVALID_ARGUMENT)
DEVICE_CALL(nvmlDeviceGetTemperatureV, WITH(temperature_t *out), give_temperature(device, out))

DEVICE_CALL(nvmlDeviceGetUtilizationRates, WITH(uint32_t *out),
            give_two(out, (uint32_t)device->utilization_percent, out ? out + 1 : NULL,
                     (uint32_t)device->memory_utilization_percent))

typedef struct {
    uint64_t total, free, used;
} memory_t;

typedef struct {
    uint32_t version;
    uint64_t total, reserved, free, used;
} memory_v2_t;

static nvmlReturn_t give_memory(const device_t *device, memory_t *out) {
    if (out == NULL) return INVALID_ARGUMENT;
    uint64_t used = device->used_memory_bytes;
    *out = (memory_t){device->memory_bytes, device->memory_bytes - used, used};
    return SUCCESS;
}

static nvmlReturn_t give_memory_v2(const device_t *device, memory_v2_t *out) {
    if (out == NULL) return INVALID_ARGUMENT;
    uint64_t used = device->used_memory_bytes;
    *out = (memory_v2_t){out->version, device->memory_bytes, 0, device->memory_bytes - used, used};
    return SUCCESS;
}

DEVICE_CALL(nvmlDeviceGetMemoryInfo, WITH(memory_t *out), give_memory(device, out))
DEVICE_CALL(nvmlDeviceGetMemoryInfo_v2, WITH(memory_v2_t *out), give_memory_v2(device, out))

/* ---- MIG ---- */

static uint32_t mig_capacity(const device_t *device) { return device->mig_mode >= 0 ? 7 : 0; }

static nvmlReturn_t give_parent(const device_t *device, nvmlDevice_t *out) {
    if (out == NULL || device->parent < 0) return INVALID_ARGUMENT;
    *out = handle_of(device->parent);
    return SUCCESS;
}

DEVICE_CALL(nvmlDeviceGetMigMode, WITH(uint32_t *current, uint32_t *pending),
            device->mig_mode < 0 ? NOT_SUPPORTED
                                 : give_two(current, (uint32_t)device->mig_mode, pending,
                                            (uint32_t)device->mig_mode))
DEVICE_CALL(nvmlDeviceGetMaxMigDeviceCount, WITH(uint32_t *out), give(out, mig_capacity(device)))
DEVICE_CALL(nvmlDeviceGetMigDeviceHandleByIndex, WITH(uint32_t index, nvmlDevice_t *out),
            by_index(__func__, index_of(device), index, out))
DEVICE_CALL(nvmlDeviceIsMigDeviceHandle, WITH(uint32_t *out), give(out, device->parent >= 0))
DEVICE_CALL(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, WITH(nvmlDevice_t *out),
            give_parent(device, out))
DEVICE_CALL(nvmlDeviceGetGpuInstanceId, WITH(uint32_t *out),
            give_if(device->parent >= 0, out, (uint32_t)device->gpu_instance))
DEVICE_CALL(nvmlDeviceGetComputeInstanceId, WITH(uint32_t *out),
            give_if(device->parent >= 0, out, (uint32_t)device->compute_instance))

/* ---- power and energy ---- */

static uint32_t power_mw(const device_t *device, int64_t window_ns) {
    return (uint32_t)(sensed_power_w(device, now_ns, window_ns) * 1e3 + 0.5);
}

/* Where there is a module it is the module that is told: GH200 (arXiv 2312.02741). */
static nvmlReturn_t give_usage(const device_t *device, uint32_t *out) {
    if (device->usage_window_ns == 0) return NOT_SUPPORTED;
    double module_w = device->module_extra_w > 0.0 ? device->module_extra_w : 0.0;
    return give(out, power_mw(device, device->usage_window_ns) + (uint32_t)(module_w * 1e3));
}

/* What the module without the GPU has used since the machine was created. */
static uint64_t module_extra_mj(const device_t *device) {
    int64_t tick_ns = last_update_ns(now_ns, device->counter_tick_ns, device->counter_phase_ns);
    double since_s = (double)(tick_ns - state->created_ns) * 1e-9 + 3600.0;
    return device->module_extra_w > 0.0 ? (uint64_t)(device->module_extra_w * since_s * 1e3) : 0;
}

static nvmlReturn_t give_scoped_energy(device_t *device, uint32_t scope, uint64_t *out) {
    if (device->counter_tick_ns == 0 || scope > 1) return NOT_SUPPORTED;
    if (scope == 1 && device->module_extra_w < 0.0) return NOT_SUPPORTED;
    uint64_t module_mj = scope == 1 ? module_extra_mj(device) : 0;
    return give_long(out, counter_mj(state, device, now_ns) + module_mj);
}

static nvmlReturn_t give_energy(device_t *device, uint64_t *out) {
    return give_scoped_energy(device, (uint32_t)device->counter_scope, out);
}

static nvmlReturn_t give_limits(const device_t *device, uint32_t *low, uint32_t *high) {
    if (device->power_limit_mw == 0) return NOT_SUPPORTED;
    return give_two(low, device->min_limit_mw, high, device->max_limit_mw);
}

static nvmlReturn_t set_limit(device_t *device, uint32_t limit_mw) {
    if (!device->may_set) return NO_PERMISSION;
    if (limit_mw < device->min_limit_mw || limit_mw > device->max_limit_mw) return INVALID_ARGUMENT;
    device->power_limit_mw = limit_mw;
    return SUCCESS;
}

static nvmlReturn_t set_persistence(device_t *device, uint32_t mode) {
    if (!device->may_set) return NO_PERMISSION;
    device->persistence = mode != 0;
    return SUCCESS;
}

DEVICE_CALL(nvmlDeviceGetTotalEnergyConsumption, WITH(uint64_t *out), give_energy(device, out))
DEVICE_CALL(nvmlDeviceGetPowerUsage, WITH(uint32_t *out), give_usage(device, out))
DEVICE_CALL(nvmlDeviceGetPowerManagementMode, WITH(uint32_t *out),
            give(out, device->power_limit_mw != 0))
DEVICE_CALL(nvmlDeviceGetPowerManagementLimit, WITH(uint32_t *out),
            give_if(device->power_limit_mw != 0, out, device->power_limit_mw))
DEVICE_CALL(nvmlDeviceGetEnforcedPowerLimit, WITH(uint32_t *out),
            give_if(device->power_limit_mw != 0, out, device->power_limit_mw))
DEVICE_CALL(nvmlDeviceGetPowerManagementDefaultLimit, WITH(uint32_t *out),
            give_if(device->default_limit_mw != 0, out, device->default_limit_mw))
DEVICE_CALL(nvmlDeviceGetPowerManagementLimitConstraints, WITH(uint32_t *low, uint32_t *high),
            give_limits(device, low, high))
DEVICE_CALL(nvmlDeviceSetPowerManagementLimit, WITH(uint32_t limit_mw),
            set_limit(device, limit_mw))
DEVICE_CALL(nvmlDeviceSetPersistenceMode, WITH(uint32_t mode), set_persistence(device, mode))

/* ---- throttling ---- */

static uint64_t current_reasons(const device_t *device) {
    uint64_t reasons = active_reasons(device, now_ns);
    if (reasons == 0 && device->performance_state >= 8) return REASON_IDLE;
    return reasons;
}

DEVICE_CALL(nvmlDeviceGetCurrentClocksEventReasons, WITH(uint64_t *out),
            give_long(out, current_reasons(device)))
DEVICE_CALL(nvmlDeviceGetCurrentClocksThrottleReasons, WITH(uint64_t *out),
            give_long(out, current_reasons(device)))
DEVICE_CALL(nvmlDeviceGetSupportedClocksEventReasons, WITH(uint64_t *out),
            give_long(out, REASON_ALL))
DEVICE_CALL(nvmlDeviceGetSupportedClocksThrottleReasons, WITH(uint64_t *out),
            give_long(out, REASON_ALL))

typedef struct {
    uint64_t reference_us, violation_ns;
} violation_t;

static uint64_t reasons_of_policy(uint32_t policy) {
    switch (policy) {
    case 0: return REASON_POWER_CAP;
    case 1: return REASON_SW_THERMAL | REASON_HW_THERMAL;
    case 2: return REASON_SYNC_BOOST;
    default: return 0;
    }
}

static int64_t epoch_us(int64_t at_ns) { return (at_ns + state->epoch_offset_ns) / 1000; }

static nvmlReturn_t give_violation(const device_t *device, uint32_t policy, violation_t *out) {
    uint64_t reasons = reasons_of_policy(policy);
    if (!device->throttle_counters || reasons == 0) return NOT_SUPPORTED;
    if (out == NULL) return INVALID_ARGUMENT;
    *out = (violation_t){(uint64_t)epoch_us(now_ns), throttled_ns(device, reasons, now_ns)};
    return SUCCESS;
}

DEVICE_CALL(nvmlDeviceGetViolationStatus, WITH(uint32_t policy, violation_t *out),
            give_violation(device, policy, out))

/* ---- field values ---- */

typedef struct {
    uint32_t field, scope;
    int64_t timestamp_us, latency_us;
    uint32_t type;
    nvmlReturn_t result;
    value_t value;
} field_value_t;

static nvmlReturn_t field_uint(field_value_t *out, int supported, uint32_t value) {
    out->type = TYPE_UINT;
    out->value.ui = value;
    return supported ? SUCCESS : NOT_SUPPORTED;
}

static nvmlReturn_t field_energy(device_t *device, field_value_t *out, uint32_t scope) {
    out->type = TYPE_ULONGLONG;
    int64_t tick_ns = device->counter_tick_ns;
    if (tick_ns != 0)
        out->timestamp_us = epoch_us(last_update_ns(now_ns, tick_ns, device->counter_phase_ns));
    return give_scoped_energy(device, scope, &out->value.ull);
}

static nvmlReturn_t field_power(const device_t *device, field_value_t *out, int64_t window_ns) {
    if (window_ns == 0 || out->scope > 2) return NOT_SUPPORTED;
    if (out->scope == 1 && device->module_extra_w < 0.0) return NOT_SUPPORTED;
    if (out->scope == 2 && device->memory_share < 0.0) return NOT_SUPPORTED;
    double power_w = sensed_power_w(device, now_ns, window_ns);
    if (out->scope == 1) power_w += device->module_extra_w;
    if (out->scope == 2) power_w *= device->memory_share;
    out->timestamp_us =
        epoch_us(last_update_ns(now_ns, device->power_update_ns, device->power_phase_ns));
    return field_uint(out, 1, (uint32_t)(power_w * 1e3 + 0.5));
}

static nvmlReturn_t field_throttled(const device_t *device, field_value_t *out, uint64_t reasons) {
    out->type = TYPE_ULONGLONG;
    out->value.ull = throttled_ns(device, reasons, now_ns);
    return device->throttle_counters ? SUCCESS : NOT_SUPPORTED;
}

static nvmlReturn_t field_value(device_t *device, field_value_t *out) {
    int limited = device->power_limit_mw != 0;
    switch (out->field) {
    case 74: return field_throttled(device, out, REASON_POWER_CAP);
    case 75: return field_throttled(device, out, REASON_SW_THERMAL | REASON_HW_THERMAL);
    case 76: return field_throttled(device, out, REASON_SYNC_BOOST);
    case 83: return field_energy(device, out, (uint32_t)device->counter_scope);
    case 185: return field_power(device, out, device->average_window_ns);
    case 186: return field_power(device, out, device->instant_window_ns);
    case 187: return field_uint(out, limited, device->min_limit_mw);
    case 188: return field_uint(out, limited, device->max_limit_mw);
    case 189: return field_uint(out, limited, device->default_limit_mw);
    case 191: return field_energy(device, out, out->scope);
    case 190:
    case 192: return field_uint(out, limited, device->power_limit_mw);
    case 269: return field_throttled(device, out, REASON_SW_THERMAL);
    case 270: return field_throttled(device, out, REASON_HW_THERMAL);
    case 271: return field_throttled(device, out, REASON_POWER_BRAKE);
    default: return NOT_SUPPORTED;
    }
}

static nvmlReturn_t fill_fields(device_t *device, int32_t count, field_value_t *values) {
    if (count <= 0 || values == NULL) return INVALID_ARGUMENT;
    for (int32_t i = 0; i < count; i++) {
        values[i].timestamp_us = epoch_us(now_ns);
        values[i].latency_us = 0;
        nvmlReturn_t fault = fault_of(state, "nvmlDeviceGetFieldValues", index_of(device),
                                      (int32_t)values[i].field, now_ns);
        values[i].result = fault != SUCCESS ? fault : field_value(device, &values[i]);
    }
    return SUCCESS;
}

DEVICE_CALL(nvmlDeviceGetFieldValues, WITH(int32_t count, field_value_t *values),
            fill_fields(device, count, values))

/* ---- the driver's ring of samples ---- */

typedef struct {
    uint64_t timestamp_us;
    value_t value;
} sample_t;

/* Oldest first; of those newer than `seen_us`, what the ring still has. */
static uint32_t fill_samples(const device_t *device, uint64_t seen_us, uint32_t room,
                             sample_t *samples) {
    int64_t last_ns = last_update_ns(now_ns, device->sample_period_ns, device->power_phase_ns);
    uint32_t count = 0;
    for (int32_t back = device->sample_count - 1; back >= 0 && count < room; back--) {
        int64_t at_ns = last_ns - back * device->sample_period_ns;
        int64_t stamp_ns = jittered_ns(at_ns, device->sample_period_ns, device->sample_jitter_ns);
        uint64_t stamp_us = (uint64_t)epoch_us(stamp_ns + device->sample_offset_ns);
        if (at_ns < state->created_ns || stamp_us <= seen_us) continue;
        double power_w = device->gain * mean_power_w(device, at_ns, device->instant_window_ns);
        if (device->samples_scope == 1) power_w += fmax(0.0, device->module_extra_w);
        for (int32_t copy = 0; copy <= device->sample_copies && count < room; copy++) {
            samples[count].timestamp_us = stamp_us;
            samples[count++].value.ui = (uint32_t)(power_w * 1e3 + 0.5);
        }
    }
    return count;
}

static nvmlReturn_t give_samples(const device_t *device, uint32_t sampling, uint64_t seen_us,
                                 uint32_t *type, uint32_t *count, sample_t *samples) {
    if (type == NULL || count == NULL) return INVALID_ARGUMENT;
    if (sampling != 0 || device->sample_count == 0) return NOT_SUPPORTED;
    *type = TYPE_UINT;
    if (samples == NULL) return give(count, (uint32_t)(device->sample_count * (1 + device->sample_copies)));
    *count = fill_samples(device, seen_us, *count, samples);
    return *count > 0 ? SUCCESS : NOT_FOUND;
}

DEVICE_CALL(nvmlDeviceGetSamples,
            WITH(uint32_t sampling, uint64_t seen_us, uint32_t *type, uint32_t *count,
                 sample_t *samples),
            give_samples(device, sampling, seen_us, type, count, samples))

/* ---- processes ---- */

typedef struct {
    uint32_t pid;
    uint64_t used_memory;
} process_v1_t;

typedef struct {
    uint32_t pid;
    uint64_t used_memory;
    uint32_t gpu_instance, compute_instance;
} process_v2_t;

static int runs(const device_t *device, int32_t i, uint32_t graphics) {
    const process_t *process = &device->processes[i];
    if (process->graphics != graphics) return 0;
    if (now_ns < process->from_ns || now_ns >= process->until_ns) return 0;
    for (int32_t before = 0; before < i; before++)
        if (device->processes[before].pid == process->pid && runs(device, before, graphics))
            return 0;
    return 1;
}

static uint32_t count_processes(const device_t *device, uint32_t graphics) {
    uint32_t count = 0;
    for (int32_t i = 0; i < device->process_count; i++) count += (uint32_t)runs(device, i, graphics);
    return count;
}

/* Both forms begin alike; the newer one has the MIG instance behind. */
static void fill_processes(const device_t *device, uint32_t graphics, char *out, size_t size) {
    uint32_t instance = device->parent < 0 ? UINT32_MAX : (uint32_t)device->gpu_instance;
    for (int32_t i = 0; i < device->process_count; i++) {
        if (!runs(device, i, graphics)) continue;
        const process_t *process = &device->processes[i];
        process_v2_t entry = {process->pid, process->used_memory_bytes, instance, instance};
        memcpy(out, &entry, size);
        out += size;
    }
}

static nvmlReturn_t give_processes(const device_t *device, uint32_t graphics, uint32_t *count,
                                   void *out, size_t size) {
    if (count == NULL) return INVALID_ARGUMENT;
    uint32_t room = *count;
    *count = count_processes(device, graphics);
    if (*count > room) return INSUFFICIENT_SIZE;
    if (*count > 0 && out == NULL) return INVALID_ARGUMENT;
    if (*count > 0) fill_processes(device, graphics, out, size);
    return SUCCESS;
}

DEVICE_CALL(nvmlDeviceGetComputeRunningProcesses, WITH(uint32_t *count, process_v1_t *out),
            give_processes(device, 0, count, out, sizeof *out))
DEVICE_CALL(nvmlDeviceGetComputeRunningProcesses_v2, WITH(uint32_t *count, process_v2_t *out),
            give_processes(device, 0, count, out, sizeof *out))
DEVICE_CALL(nvmlDeviceGetComputeRunningProcesses_v3, WITH(uint32_t *count, process_v2_t *out),
            give_processes(device, 0, count, out, sizeof *out))
DEVICE_CALL(nvmlDeviceGetGraphicsRunningProcesses, WITH(uint32_t *count, process_v1_t *out),
            give_processes(device, 1, count, out, sizeof *out))
DEVICE_CALL(nvmlDeviceGetGraphicsRunningProcesses_v2, WITH(uint32_t *count, process_v2_t *out),
            give_processes(device, 1, count, out, sizeof *out))
DEVICE_CALL(nvmlDeviceGetGraphicsRunningProcesses_v3, WITH(uint32_t *count, process_v2_t *out),
            give_processes(device, 1, count, out, sizeof *out))
DEVICE_CALL(nvmlDeviceGetMPSComputeRunningProcesses_v3, WITH(uint32_t *count), give(count, 0))

static nvmlReturn_t give_process_name(uint32_t pid, char *out, uint32_t length) {
    for (int32_t d = 0; d < state->device_count; d++)
        for (int32_t i = 0; i < state->devices[d].process_count; i++)
            if (state->devices[d].processes[i].pid == pid && state->devices[d].processes[i].name[0])
                return give_text(out, length, state->devices[d].processes[i].name);
    return NOT_FOUND;
}

SYSTEM_CALL(nvmlSystemGetProcessName, (uint32_t pid, char *out, uint32_t length),
            give_process_name(pid, out, length))

typedef struct {
    uint32_t pid;
    uint64_t timestamp_us;
    uint32_t sm_percent, memory_percent, encoder_percent, decoder_percent;
} utilization_t;

static nvmlReturn_t give_utilization(const device_t *device, uint32_t *count, utilization_t *out) {
    if (count == NULL) return INVALID_ARGUMENT;
    uint32_t room = out == NULL ? 0 : *count;
    *count = count_processes(device, 0) + count_processes(device, 1);
    if (*count == 0) return NOT_FOUND;
    if (*count > room) return INSUFFICIENT_SIZE;
    for (int32_t i = 0; i < device->process_count; i++) {
        const process_t *process = &device->processes[i];
        if (runs(device, i, process->graphics))
            *out++ = (utilization_t){process->pid, (uint64_t)epoch_us(now_ns),
                                     process->sm_percent, 0, 0, 0};
    }
    return SUCCESS;
}

DEVICE_CALL(nvmlDeviceGetProcessUtilization,
            WITH(utilization_t *out, uint32_t *count, uint64_t seen_us),
            ((void)seen_us, give_utilization(device, count, out)))

/* ---- everything else ---- */

/* Answers whatever its arguments are: nothing reads them. */
#define UNSUPPORTED(name) SYSTEM_CALL(name, (void), NOT_SUPPORTED)
#include "unsupported.h"
