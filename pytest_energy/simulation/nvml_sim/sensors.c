/* What a device says of itself: sensors tick, average and look away; the script is the truth. */
#include "state.h"

#include <math.h>

int64_t last_update_ns(int64_t at_ns, int64_t period_ns, int64_t phase_ns) {
    return at_ns - (at_ns - phase_ns) % period_ns;
}

static double late_energy_j(const device_t *device, int64_t end_ns, int64_t window_ns,
                            int64_t lag_ns) {
    return lagging_energy_j(device, end_ns, lag_ns, device->power_delay_ns)
         - lagging_energy_j(device, end_ns - window_ns, lag_ns, device->power_delay_ns);
}

double mean_power_w(const device_t *device, int64_t end_ns, int64_t window_ns) {
    double second = device->power_second_share;
    double energy_j = (1.0 - second) * late_energy_j(device, end_ns, window_ns, device->power_lag_ns);
    if (second != 0.0)
        energy_j += second * late_energy_j(device, end_ns, window_ns, device->power_second_lag_ns);
    return energy_j / ((double)window_ns * 1e-9);
}

double sensed_power_w(const device_t *device, int64_t at_ns, int64_t window_ns) {
    int64_t update_ns = last_update_ns(at_ns, device->power_update_ns, device->power_phase_ns);
    return device->gain * mean_power_w(device, update_ns, window_ns);
}

/* A counter that looks at the last part of each tick and takes it for the whole. The sum over all
 * ticks is kept in the state and carried on from call to call: the past does not change. */
static double part_time_energy_j(device_t *device, int64_t until_ns) {
    double tick_s = (double)device->counter_tick_ns * 1e-9;
    while (device->seen_tick + device->counter_tick_ns <= until_ns) {
        device->seen_tick += device->counter_tick_ns;
        device->seen_j +=
            tick_s * mean_power_w(device, device->seen_tick, device->counter_window_ns);
        if (device->seen_tick <= device->counter_reset_ns) device->seen_at_reset_j = device->seen_j;
    }
    return device->seen_j;
}

static double seen_energy_j(const state_t *state, device_t *device, int64_t tick_ns) {
    if (device->counter_window_ns == 0)
        return lagging_energy_j(device, tick_ns, device->counter_lag_ns, device->counter_delay_ns);
    if (device->seen_tick == 0) {
        device->seen_tick = last_update_ns(state->created_ns, device->counter_tick_ns,
                                           device->counter_phase_ns);
        device->seen_j = device->seen_at_reset_j = script_energy_j(device, device->seen_tick);
    }
    return part_time_energy_j(device, tick_ns);
}

/* What reads have cost, as the counter shows it: it moves at ticks only. */
static double lost_energy_j(device_t *device, int64_t tick_ns) {
    if (tick_ns != device->counter_read_ns) {
        device->counter_lost_j += device->counter_losing_j;
        device->counter_losing_j = 0.0;
        device->counter_read_ns = tick_ns;
    }
    device->counter_losing_j += device->counter_loss_j;
    return device->counter_lost_j;
}

/* A tick or a stamp at its own moment: early or late by a share that its number decides
 * (splitmix64). */
int64_t jittered_ns(int64_t at_ns, int64_t period_ns, int64_t jitter_ns) {
    uint64_t mixed = (uint64_t)(at_ns / period_ns) + 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    double share = (double)(mixed >> 11) * 0x1p-52 - 1.0;
    return at_ns + (int64_t)(share * (double)jitter_ns);
}

static int64_t last_tick_ns(const device_t *device, int64_t at_ns) {
    int64_t period_ns = device->counter_tick_ns, jitter_ns = device->counter_jitter_ns;
    int64_t even_ns = last_update_ns(at_ns, period_ns, device->counter_phase_ns);
    for (int64_t later = 1; later > -1; later--) {
        int64_t tick_ns = jittered_ns(even_ns + later * period_ns, period_ns, jitter_ns);
        if (tick_ns <= at_ns) return tick_ns;
    }
    return jittered_ns(even_ns - period_ns, period_ns, jitter_ns);
}

uint64_t counter_mj(const state_t *state, device_t *device, int64_t at_ns) {
    int64_t tick_ns = last_tick_ns(device, at_ns);
    double energy_j = seen_energy_j(state, device, tick_ns);
    if (at_ns >= device->counter_reset_ns) {
        int whole = device->counter_window_ns == 0;
        double before_j = whole ? script_energy_j(device, device->counter_reset_ns)
                                : device->seen_at_reset_j;
        energy_j = fmax(0.0, energy_j - before_j);
    }
    uint64_t counted_mj = (uint64_t)(device->counter_gain * device->gain * energy_j * 1e3);
    uint64_t lost_mj = (uint64_t)(lost_energy_j(device, tick_ns) * 1e3);
    counted_mj = counted_mj > lost_mj ? counted_mj - lost_mj : 0;
    return device->counter_step_mj > 0 ? counted_mj - counted_mj % device->counter_step_mj
                                       : counted_mj;
}

static double overlap_ns(const throttle_t *throttle, int64_t at_ns) {
    int64_t end_ns = at_ns < throttle->until_ns ? at_ns : throttle->until_ns;
    return end_ns > throttle->from_ns ? (double)(end_ns - throttle->from_ns) : 0.0;
}

uint64_t throttled_ns(const device_t *device, uint64_t reasons, int64_t at_ns) {
    double sum_ns = 0.0;
    for (int32_t i = 0; i < device->throttle_count; i++)
        if (device->throttles[i].reasons & reasons)
            sum_ns += device->throttles[i].share * overlap_ns(&device->throttles[i], at_ns);
    return (uint64_t)sum_ns;
}

uint64_t active_reasons(const device_t *device, int64_t at_ns) {
    uint64_t reasons = 0;
    for (int32_t i = 0; i < device->throttle_count; i++)
        if (device->throttles[i].from_ns <= at_ns && at_ns < device->throttles[i].until_ns)
            reasons |= device->throttles[i].reasons;
    return reasons;
}
