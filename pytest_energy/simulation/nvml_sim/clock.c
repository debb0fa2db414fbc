/* A virtual clock for one single-threaded process, by LD_PRELOAD.
 *
 * Where the simulated machine has a virtual clock, reading a clock takes a little virtual time and
 * sleeping takes none of the real: minutes of measuring pass in milliseconds, and the same in each
 * run. Clocks of CPU time stay real. Waiting on locks and files is not virtual.
 */
#define _GNU_SOURCE
#include "state.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int64_t SECOND_NS = 1000000000LL;

/* Looked up until it is there: a child process starts before its clock does. */
static state_t *virtual_state(void) {
    static state_t *state;
    if (state == NULL) state = state_map();
    return state != NULL && state->virtual_clock ? state : NULL;
}

static int64_t advance_ns(state_t *state, int64_t by_ns) {
    return __atomic_add_fetch(&state->virtual_ns, by_ns, __ATOMIC_SEQ_CST);
}

static int is_wall(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

static int is_cpu_time(clockid_t clock) {
    return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    state_t *state = is_cpu_time(clock) ? NULL : virtual_state();
    if (state == NULL) return (int)syscall(SYS_clock_gettime, clock, time);
    int64_t now_ns = advance_ns(state, state->clock_read_cost_ns);
    if (is_wall(clock)) now_ns += state->epoch_offset_ns;
    time->tv_sec = now_ns / SECOND_NS;
    time->tv_nsec = now_ns % SECOND_NS;
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return (time_t)-1;
    if (out != NULL) *out = now.tv_sec;
    return now.tv_sec;
}

/* Python waits for a child by asking and sleeping in turn, up to a time limit. The child needs real
 * time, so after the answer "not yet" the next sleep is real. It takes no virtual time at first, so
 * that each run gives the same numbers; a child that hangs must reach the time limit. */
static const int64_t PATIENCE_NS = 5000000000LL;
static int child_is_awaited;
static int64_t awaited_ns;

pid_t waitpid(pid_t child, int *status, int options) {
    pid_t ended = (pid_t)syscall(SYS_wait4, child, status, options, NULL);
    child_is_awaited = ended == 0 && (options & WNOHANG);
    if (!child_is_awaited) awaited_ns = 0;
    return ended;
}

static void sleep_for_real(int64_t length_ns) {
    struct timespec length = {length_ns / SECOND_NS, length_ns % SECOND_NS};
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &length, NULL);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted,
                    struct timespec *rest) {
    state_t *state = is_cpu_time(clock) ? NULL : virtual_state();
    if (state == NULL)
        return syscall(SYS_clock_nanosleep, clock, flags, wanted, rest) == 0 ? 0 : errno;
    if (wanted->tv_sec < 0 || wanted->tv_nsec < 0 || wanted->tv_nsec >= SECOND_NS) return EINVAL;
    int64_t length_ns = wanted->tv_sec * SECOND_NS + wanted->tv_nsec;
    if (flags & TIMER_ABSTIME) {
        length_ns -= state_now_ns(state);
        if (is_wall(clock)) length_ns -= state->epoch_offset_ns;
    }
    if (length_ns <= 0) return 0;
    if (child_is_awaited) {
        child_is_awaited = 0;
        sleep_for_real(length_ns);
        awaited_ns += length_ns;
        if (awaited_ns < PATIENCE_NS) return 0;
    }
    advance_ns(state, length_ns);
    return 0;
}

int nanosleep(const struct timespec *wanted, struct timespec *rest) {
    int failed = clock_nanosleep(CLOCK_MONOTONIC, 0, wanted, rest);
    if (failed == 0) return 0;
    errno = failed;
    return -1;
}

int usleep(useconds_t length_us) {
    struct timespec wanted = {length_us / 1000000, (long)(length_us % 1000000) * 1000};
    return nanosleep(&wanted, NULL);
}

/* An event loop, such as asyncio's, sleeps in epoll_wait: what is ready counts, the rest of the
 * timeout is virtual. Without a timeout it waits for another thread or process, in real time.
 * Programs that watch a child process use poll, which stays real. */
int epoll_wait(int queue, struct epoll_event *events, int most, int timeout_ms) {
    state_t *state = timeout_ms > 0 ? virtual_state() : NULL;
    int real_ms = state == NULL ? timeout_ms : 0;
    int ready = (int)syscall(SYS_epoll_pwait, queue, events, most, real_ms, NULL, 8);
    if (state != NULL && ready == 0) advance_ns(state, timeout_ms * 1000000LL);
    return ready;
}
