/* The state of the simulated machine: a file mapped by every process that takes part.
 *
 * The driver (Python, pytest_energy.simulation.layout) mirrors these structures field by field and
 * writes them; the library reads them. All fields of time are nanoseconds of the simulated
 * CLOCK_MONOTONIC. What a sensor says is a pure function of this state and the time of the call, so
 * that all processes see one device.
 */
#ifndef NVML_SIM_STATE_H
#define NVML_SIM_STATE_H

#include <pthread.h>
#include <stdint.h>

#define STATE_VARIABLE "PYTEST_ENERGY_NVML_SIM"
#define LAYOUT 3
#define MAX_DEVICES 16
#define MAX_SEGMENTS 32768
#define MAX_RECORDED 32768
#define MAX_FAULTS 64
#define MAX_PROCESSES 64
#define MAX_THROTTLES 256
#define MAX_FUNCTIONS 640
#define TEXT 96
#define FOREVER INT64_MAX

/* A stretch of the power script, up to the start of the next one. */
typedef struct {
    int64_t start_ns;
    int64_t period_ns; /* 0: constant at high_w */
    int64_t phase_ns;  /* how far into a period the stretch begins */
    double high_w;
    double low_w;
    double duty;     /* share of each period, from its beginning, at high_w */
    double fast_w, fast_s, slow_w, slow_s; /* what a constant stretch starts above high_w, and the
                                              time constants with which both parts of it fall */
    int64_t recorded_from, recorded_count; /* a stretch of the recording, if the count is not 0:
                                              repeated with a period, else followed by high_w */
    double energy_j; /* from the beginning of the script to start_ns, exact */
} segment_t;

typedef struct {
    int64_t from_ns, until_ns;
    uint64_t used_memory_bytes;
    uint32_t pid;
    uint32_t graphics; /* 0: a compute context, 1: a graphics context */
    uint32_t sm_percent; /* what it uses of the multiprocessors */
    uint32_t spare;
    char name[TEXT];     /* empty: the driver does not know it */
} process_t;

typedef struct {
    int64_t from_ns, until_ns;
    uint64_t reasons; /* clocks event reasons, as NVML's bit mask */
    double share;     /* of the time, 0 to 1 */
} throttle_t;

typedef struct {
    char name[TEXT], uuid[TEXT], serial[TEXT], part_number[TEXT], bus_id[TEXT];
    /* what it is */
    int32_t parent; /* index of the physical device, for a MIG instance; else -1 */
    int32_t mig_mode;
    int32_t gpu_instance, compute_instance;
    int32_t architecture, brand;
    int32_t compute_major, compute_minor;
    int32_t cores;
    int32_t ecc, persistence, may_set; /* ecc < 0: not supported; may_set: as root */
    int32_t temperature_c, utilization_percent, memory_utilization_percent, performance_state;
    int32_t clock_mhz[4], max_clock_mhz[4]; /* graphics, SM, memory, video */
    uint32_t pci_bus, pci_device_id;
    uint32_t power_limit_mw, default_limit_mw, min_limit_mw, max_limit_mw;
    uint64_t memory_bytes, used_memory_bytes;
    /* the energy counter; a tick of 0 means that there is none */
    int64_t counter_tick_ns, counter_phase_ns;
    int64_t counter_window_ns; /* seen of each tick, at its end; 0: all of it */
    int64_t counter_lag_ns;    /* time constant of a low-pass before the counter; 0: none */
    int64_t counter_delay_ns;  /* the counter shows the energy of so long ago */
    int64_t counter_jitter_ns; /* a tick comes up to so much early or late */
    int64_t counter_reset_ns;  /* from then on it has started again from zero; FOREVER: never */
    int64_t seen_tick; /* the part-time counter's running sum: up to this tick */
    double seen_j, seen_at_reset_j;
    /* the power sensor; windows of 0 mean that the quantity is not supported */
    int64_t power_update_ns, power_phase_ns;
    int64_t power_lag_ns, power_delay_ns; /* as those of the counter */
    int64_t power_second_lag_ns; /* another low-pass beside the first one, and its share of the */
    double power_second_share;   /* joules: together they are not quite of first order */
    int64_t instant_window_ns; /* field 186 and the samples */
    int64_t usage_window_ns;   /* nvmlDeviceGetPowerUsage */
    int64_t average_window_ns; /* field 185 */
    int64_t sample_period_ns;
    int32_t sample_count; /* the ring's length; 0: not supported */
    int32_t throttle_counters; /* whether throttled time is counted */
    double gain;           /* what sensor and counter say / what is true */
    double module_extra_w; /* the module above the GPU; < 0: no module scope */
    double memory_share;   /* of the GPU's power; < 0: no memory scope */
    /* what is wrong with its sensors */
    double counter_gain;   /* the counter alone, beside `gain` */
    double counter_loss_j; /* lost with each read of the counter */
    double counter_lost_j, counter_losing_j; /* until the last tick that was read, and since */
    int64_t counter_read_ns;                 /* that tick */
    int64_t counter_step_mj;   /* the counter's resolution; 0: millijoules */
    int64_t sample_offset_ns;  /* the clock of the ring's stamps, against that of the epoch */
    int64_t sample_jitter_ns;  /* the stamp of a sample is up to so much early or late */
    int32_t sample_copies;     /* how often the ring repeats each sample */
    int32_t counter_scope, samples_scope; /* of field 83 and of the ring: 0 GPU, 1 module */
    int32_t unused;
    /* what happens to it */
    process_t processes[MAX_PROCESSES];
    throttle_t throttles[MAX_THROTTLES];
    int32_t process_count, throttle_count;
    int32_t segment_count, spare;
    /* how its power falls when a load ends: parts of the step, and their time constants */
    double tail_fast_share, tail_fast_s, tail_slow_share, tail_slow_s;
    int64_t recorded_step_ns; /* between two means of the recorded power */
    double recorded_j[MAX_RECORDED]; /* joules from the recording's beginning to each step's end */
    segment_t segments[MAX_SEGMENTS];
} device_t;

typedef struct {
    char function[TEXT];       /* without _v2, _v3; "*": all that concern a device */
    int32_t device;            /* -1: every one */
    int32_t field;             /* 0: the whole call; else the return code of this field only */
    int32_t code;              /* nvmlReturn_t */
    int32_t spare;
    int64_t from_ns, until_ns;
    int64_t after_calls;       /* so many matching calls pass first */
    int64_t times;             /* then so many fail; 0: all */
    int64_t seen;              /* matching calls so far */
} fault_t;

typedef struct {
    char name[TEXT];
    int64_t calls;
} function_t;

typedef struct {
    int32_t layout;
    int32_t virtual_clock;
    int64_t virtual_ns;
    int64_t epoch_offset_ns;      /* CLOCK_REALTIME - CLOCK_MONOTONIC */
    int64_t call_cost_ns;         /* virtual time that a call of NVML takes */
    int64_t clock_read_cost_ns;   /* virtual time that reading a clock takes */
    int64_t created_ns;
    char driver_version[TEXT], nvml_version[TEXT];
    int32_t cuda_version;
    int32_t device_count, fault_count, function_count;
    fault_t faults[MAX_FAULTS];
    function_t functions[MAX_FUNCTIONS];
    device_t devices[MAX_DEVICES];
    pthread_mutex_t lock; /* last: its size is the platform's */
} state_t;

/* state.c: the machine */
state_t *state_map(void);                  /* of STATE_VARIABLE; NULL: none, or another layout */
void state_lock(state_t *state);
void state_unlock(state_t *state);
int64_t state_now_ns(const state_t *state);
double script_energy_j(const device_t *device, int64_t at_ns); /* from the script's beginning */
double lagging_energy_j(const device_t *device, int64_t at_ns, int64_t lag_ns, int64_t delay_ns);
int32_t fault_of(state_t *state, const char *function, int32_t device, int32_t field, int64_t now_ns);
void count_call(state_t *state, const char *function);

/* sensors.c: what the device says of itself */
int64_t last_update_ns(int64_t at_ns, int64_t period_ns, int64_t phase_ns);
int64_t jittered_ns(int64_t at_ns, int64_t period_ns, int64_t jitter_ns);
uint64_t counter_mj(const state_t *state, device_t *device, int64_t at_ns);
double mean_power_w(const device_t *device, int64_t end_ns, int64_t window_ns);
double sensed_power_w(const device_t *device, int64_t at_ns, int64_t window_ns);
uint64_t throttled_ns(const device_t *device, uint64_t reasons, int64_t at_ns);
uint64_t active_reasons(const device_t *device, int64_t at_ns);

#endif
