/* The machine: its memory, its clock, the power script, the faults. */
#define _GNU_SOURCE
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static state_t *map_file(const char *path) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return NULL;
    struct stat found;
    void *memory = MAP_FAILED;
    if (fstat(file, &found) == 0 && found.st_size == (off_t)sizeof(state_t))
        memory = mmap(NULL, sizeof(state_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Mapped once: a library that is loaded has one machine. */
state_t *state_map(void) {
    static state_t *mapped;
    const char *path = getenv(STATE_VARIABLE);
    if (mapped == NULL && path != NULL) mapped = map_file(path);
    return mapped != NULL && mapped->layout == LAYOUT ? mapped : NULL;
}

/* A process may be killed while it holds the lock: what it guards stays consistent by the order of
 * its writes, so the next one goes on. */
void state_lock(state_t *state) {
    if (pthread_mutex_lock(&state->lock) == EOWNERDEAD) pthread_mutex_consistent(&state->lock);
}

void state_unlock(state_t *state) { pthread_mutex_unlock(&state->lock); }

int64_t state_now_ns(const state_t *state) {
    if (state->virtual_clock) return __atomic_load_n(&state->virtual_ns, __ATOMIC_SEQ_CST);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Joules of a pulsed stretch from the beginning of a period, `position_ns` long. */
static double pulse_energy_j(const segment_t *segment, int64_t position_ns) {
    double high_ns = segment->duty * (double)segment->period_ns;
    double cycles = (double)(position_ns / segment->period_ns);
    double rest_ns = (double)(position_ns % segment->period_ns);
    double at_high_ns = cycles * high_ns + (rest_ns < high_ns ? rest_ns : high_ns);
    return (segment->high_w * at_high_ns + segment->low_w * ((double)position_ns - at_high_ns)) * 1e-9;
}

/* Joules of the recording from its beginning; the power is constant within each step. */
static double recording_energy_j(const device_t *device, int64_t at_ns) {
    int64_t step = at_ns / device->recorded_step_ns;
    double share = (double)(at_ns % device->recorded_step_ns) / (double)device->recorded_step_ns;
    double before_j = step > 0 ? device->recorded_j[step - 1] : 0.0;
    return share > 0.0 ? before_j + share * (device->recorded_j[step] - before_j) : before_j;
}

/* Joules of a recorded stretch from its first sample on, `position_ns` long. */
static double replayed_energy_j(const device_t *device, const segment_t *segment,
                                int64_t position_ns) {
    int64_t from_ns = segment->recorded_from * device->recorded_step_ns;
    int64_t whole_ns = segment->recorded_count * device->recorded_step_ns;
    double begun_j = recording_energy_j(device, from_ns);
    double whole_j = recording_energy_j(device, from_ns + whole_ns) - begun_j;
    if (segment->period_ns == 0 && position_ns >= whole_ns)
        return whole_j + segment->high_w * (double)(position_ns - whole_ns) * 1e-9;
    return (double)(position_ns / whole_ns) * whole_j
         + recording_energy_j(device, from_ns + position_ns % whole_ns) - begun_j;
}

static double falling_energy_j(double power_w, double constant_s, int64_t length_ns) {
    if (power_w == 0.0) return 0.0;
    return power_w * constant_s * -expm1((double)length_ns * -1e-9 / constant_s);
}

static double segment_energy_j(const device_t *device, const segment_t *segment, int64_t at_ns) {
    int64_t length_ns = at_ns - segment->start_ns;
    if (segment->recorded_count != 0)
        return replayed_energy_j(device, segment, segment->phase_ns + length_ns)
             - replayed_energy_j(device, segment, segment->phase_ns);
    if (segment->period_ns == 0)
        return segment->high_w * (double)length_ns * 1e-9
             + falling_energy_j(segment->fast_w, segment->fast_s, length_ns)
             + falling_energy_j(segment->slow_w, segment->slow_s, length_ns);
    return pulse_energy_j(segment, segment->phase_ns + length_ns)
         - pulse_energy_j(segment, segment->phase_ns);
}

double script_energy_j(const device_t *device, int64_t at_ns) {
    int32_t low = 0, high = device->segment_count;
    while (high - low > 1) {
        int32_t middle = (low + high) / 2;
        if (device->segments[middle].start_ns <= at_ns) low = middle; else high = middle;
    }
    const segment_t *segment = &device->segments[low];
    return segment->energy_j + segment_energy_j(device, segment, at_ns);
}

/* The energy behind a first-order low-pass, and delayed: what has gone in, less what is still
 * stored. The store is followed from 15 time constants ago, where it is taken as settled. */
double lagging_energy_j(const device_t *device, int64_t at_ns, int64_t lag_ns, int64_t delay_ns) {
    at_ns -= delay_ns;
    double energy_j = script_energy_j(device, at_ns);
    if (lag_ns == 0) return energy_j;
    enum { STEPS = 1500 };
    int64_t step_ns = 15 * lag_ns / STEPS;
    int64_t from_ns = at_ns - STEPS * step_ns;
    double kept = exp(-(double)step_ns / (double)lag_ns);
    double taken = (1.0 - kept) * (double)lag_ns / (double)step_ns;
    double before_j = script_energy_j(device, from_ns);
    double stored_j = before_j - script_energy_j(device, from_ns - lag_ns);
    for (int64_t step = 1; step <= STEPS; step++) {
        double now_j = script_energy_j(device, from_ns + step * step_ns);
        stored_j = stored_j * kept + (now_j - before_j) * taken;
        before_j = now_j;
    }
    return energy_j - stored_j;
}

static size_t length_without_version(const char *function) {
    size_t length = strlen(function);
    if (length > 3 && function[length - 3] == '_' && function[length - 2] == 'v') return length - 3;
    return length;
}

static int concerns(const fault_t *fault, const char *function, int32_t device, int32_t field) {
    if (fault->field != field) return 0;
    if (fault->device >= 0 && fault->device != device) return 0;
    if (strcmp(fault->function, "*") == 0) return device >= 0;
    size_t length = length_without_version(function);
    return length == length_without_version(fault->function)
        && strncmp(function, fault->function, length) == 0;
}

int32_t fault_of(state_t *state, const char *function, int32_t device, int32_t field,
                 int64_t now_ns) {
    int32_t code = 0;
    for (int32_t i = 0; i < state->fault_count; i++) {
        fault_t *fault = &state->faults[i];
        if (!concerns(fault, function, device, field)) continue;
        if (now_ns < fault->from_ns || now_ns >= fault->until_ns) continue;
        int64_t failing = ++fault->seen - fault->after_calls;
        if (code == 0 && failing > 0 && (fault->times == 0 || failing <= fault->times))
            code = fault->code;
    }
    return code;
}

void count_call(state_t *state, const char *function) {
    int32_t i = 0;
    while (i < state->function_count && strcmp(state->functions[i].name, function) != 0) i++;
    if (i == MAX_FUNCTIONS) return;
    if (i == state->function_count) {
        strncpy(state->functions[i].name, function, TEXT - 1);
        state->function_count++;
    }
    state->functions[i].calls++;
}

/* ---- for the driver ---- */

int64_t nvml_sim_state_size(void) { return sizeof(state_t); }
int64_t nvml_sim_lock_offset(void) { return offsetof(state_t, lock); }

/* The file has its size already and its bytes are zero. 0: done, else errno. */
int nvml_sim_create(const char *path) {
    state_t *state = map_file(path);
    if (state == NULL) return errno ? errno : EINVAL;
    pthread_mutexattr_t shared;
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
    int failed = pthread_mutex_init(&state->lock, &shared);
    pthread_mutexattr_destroy(&shared);
    state->layout = LAYOUT;
    munmap(state, sizeof(state_t));
    return failed;
}

void nvml_sim_lock(state_t *state) { state_lock(state); }
void nvml_sim_unlock(state_t *state) { state_unlock(state); }
int64_t nvml_sim_now_ns(const state_t *state) { return state_now_ns(state); }

/* Appends a stretch to the script, from `start_ns`, or from now where that is 0. Under the lock, so
 * that no sensor has looked beyond its beginning. Returns the beginning, or -1: it would change the
 * past, or -2: the script is full. */
int64_t nvml_sim_append(state_t *state, int32_t index, const segment_t *wanted) {
    device_t *device = &state->devices[index];
    state_lock(state);
    int64_t now_ns = state_now_ns(state), result = wanted->start_ns ? wanted->start_ns : now_ns;
    int32_t count = device->segment_count;
    if (count == MAX_SEGMENTS) {
        result = -2;
    } else if (count > 0 && (result < now_ns || result < device->segments[count - 1].start_ns)) {
        result = -1;
    } else {
        segment_t *segment = &device->segments[count];
        *segment = *wanted;
        segment->start_ns = result;
        segment->energy_j = count > 0 ? script_energy_j(device, result) : 0.0;
        device->segment_count = count + 1;
    }
    state_unlock(state);
    return result;
}

double nvml_sim_energy_j(const state_t *state, int32_t index, int64_t from_ns, int64_t until_ns) {
    const device_t *device = &state->devices[index];
    return script_energy_j(device, until_ns) - script_energy_j(device, from_ns);
}
