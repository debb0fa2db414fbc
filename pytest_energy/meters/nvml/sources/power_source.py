"""Joules from power samples, for devices that do not count energy.

A sample is the mean power over the sensor's averaging window before it; the time between samples is
the sensor's period. The samples from the last one before the window to one after it are summed, and
the idle energy outside the window is subtracted, as with a counter. If the sensor averages only a
part w of each period T, a step of the load at an unknown moment of the period appears up to T − w
earlier or later. Times the height of the step, this is the uncertainty of each edge.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.collector import Collector, Samples
from pytest_energy.meters.nvml.sources.coverage import CLEAR_J
from pytest_energy.meters.nvml.sources.fall import EndedLoad, with_late
from pytest_energy.meters.nvml.sources.joules import Joules, with_term
from pytest_energy.meters.nvml.sources.late_tail import (
    SPACED_S,
    LateTail,
    Moments,
    classify,
    late_tail_joules,
)
from pytest_energy.meters.nvml.sources.power_sensor import RING, PowerSensor, Sample
from pytest_energy.meters.nvml.sources.probing import REST_S, STEP_S, OwnLoad, check_seen, soon_s
from pytest_energy.meters.nvml.sources.settling import (
    ANY_SCALE,
    LATE_UNCERTAINTY,
    NOT_SEEN,
    Response,
    Scale,
    Step,
    Tail,
    alike,
    clearly_late,
    response_of,
    shortest_if_doubtful_s,
    weighted_mean,
)
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.measurement import SETTLING, UNSEEN, Quantity, ReasonCode, Scalar
from pytest_energy.model.traces import integrate
from pytest_energy.uncertainty.gum import (
    COVERAGE,
    bounded,
    combine,
    significant,
    standard_error,
    t_quantile,
    uniform,
    variance,
)
from pytest_energy.uncertainty.rounds import mean_of

SAMPLES_AFTER = 3
"""Samples after the window from which the idle power is taken."""
SAMPLES_BEFORE = 2
"""Periods before a window: the last sample before it must not average over what ran earlier."""
SHORTEST_PERIODS = 10
"""A window with fewer samples is not resolved: its edges are too large a part of it."""
LONGEST_GAP_PERIODS = 5
"""A longer time between samples is reported as a gap."""

STAMP_S = 1e-3
"""Time stamps of samples are exact to about a millisecond."""
LATE_ROUNDS = 60
"""Each leaves a tenth of the error if a tenth of the load is modelled, and more of it where samples
come so often that much is still to come after the last one."""
NEAR_W = 1e-3
"""A power at the end of a load that changes by less in a round is final."""
LONG_PERIODS = 50
"""In longer windows the fall of the power weighs little."""
LONG_IF_LATE_PERIODS = 60
"""The same for a sensor that is late: the model adds what it has not shown after three samples."""
SAME_REST = 0.02
SAME_REST_W = 0.5
"""The device is at rest if its power exceeds the last power at rest by no more than these."""
TWICE_MEAN = 2.0
FALL_S = 0.2
"""For how long after a window the fall of the power is sampled, before the power at rest."""
LARGEST_MISS = 0.43
"""Largest relative error of a part-time sensor, at any length of the window, on loads with a period
of 50 to 100 ms. Source: arXiv 2312.02741."""
MISSED_SHARE = 2 * COVERAGE * LARGEST_MISS - LARGEST_MISS
"""95 % of errors that lie evenly within ± :data:`LARGEST_MISS` are below this share of the true
joules."""


@dataclass
class PassedOn:
    """What is uncertain at a window's end and in the next one, with the opposite sign.

    What one window misses the next one has too much. So this part of the error is not shared by the
    rounds of a result, which are windows of one program in a row: it averages out. Between two
    programs it does not: each round of the one may lose to the other what that has too much.
    """

    energy_j: float
    """The joules of the window."""
    program: str
    uncertainty_j: float = 0.0


class PowerSource:
    """The power sensors of one or several devices."""

    name = "power"

    def __init__(
        self,
        sensors: Mapping[str, PowerSensor],
        samples: Samples,
    ) -> None:
        """Take the idle power from samples of idle devices.

        Args:
            sensors: The sensors by channel.
            samples: Their samples while the devices were idle.

        Raises:
            SensorError: A sensor gave no samples.
        """
        self._sensors = sensors
        self._responses: Mapping[str, Response] = {}
        self._doubtful: Mapping[str, Response] = {}
        """How late a sensor may be, if it may also be that it sees a tail."""
        self._late_tails: Mapping[str, LateTail] = {}
        """The sensors that are late and see a tail."""
        self._too_late: Mapping[str, SensorError] = {}
        self._tails = {channel: Tail() for channel in sensors}
        self.channels = tuple(sensors)
        self.period_s = max(sensor.period_s for sensor in sensors.values())
        self.idle_power_w = {c: sampled_idle_power(c, samples.get(c, ())) for c in sensors}
        self._noise_w = {
            channel: math.sqrt(variance([power_w for _, power_w in samples[channel]]))
            for channel in sensors
        }
        """Standard deviation of samples at rest."""
        self._rest_w = {channel: idle.value for channel, idle in self.idle_power_w.items()}
        """The power after the last window, or idle power before the first one."""
        self._was_long = False
        """Whether the last window was long."""
        self._last: dict[str, EndedLoad] = {}
        """The last window of each late sensor, by seconds since the epoch."""
        self._passed_on: dict[str, PassedOn] = {}
        """What the last window of each late sensor will pass on to the next one."""
        self._program = ""

    def next_program(self, name: str) -> None:
        """Take the next windows for those of a program; other programs show nothing of it."""
        self._program = name
        for tail in self._tails.values():
            tail.next_program(name)

    @property
    def shortest_window_s(self) -> float:
        """Ten samples by their stamps: the edges of a shorter window are too large a part."""
        resolved_s = SHORTEST_PERIODS * self.period_s - STAMP_S
        tail_s = SPACED_S if self._late_tails else 0.0
        return max(resolved_s, tail_s, shortest_if_doubtful_s(self._doubtful.values()))

    def await_rest(self, at_once: bool = False) -> None:
        """Wait until samples show the power at rest before a window.

        A ring that shows the devices at rest already has these samples. A late sensor shows work
        that has just ended one sample after its delay at the latest.

        Args:
            at_once: Whether the window follows another one so soon that nothing worked in between.
        """
        if at_once and len(self._late_tails) == len(self.channels):
            return  # the samples after the last window are enough
        if self._late_s and not at_once:
            CLOCK.sleep(max(r.delay_s for r in self._responses.values()) + self.period_s)
        if not all(self._at_rest(channel, at_once) for channel in self.channels):
            CLOCK.sleep(SAMPLES_BEFORE * self.period_s + self._late_s)

    def _at_rest(self, channel: str, at_once: bool) -> bool:
        sensor, rest_w = self._sensors[channel], self._rest_w[channel]
        if sensor.source != RING:
            return False
        if at_once and self._was_long:  # a power that still falls weighs little
            return True
        since = CLOCK.time() - (SAMPLES_BEFORE + 1) * sensor.period_s
        try:
            samples = sensor.read(since)
        except SensorError:
            return False  # the window's own samples will say so
        known = self._without_late(channel, samples)
        near_w = max(SAME_REST * rest_w, SAME_REST_W)
        above_w = [
            known_w - rest_w - near_w - 2 * LATE_UNCERTAINTY * (seen_w - known_w)
            for (_, seen_w), (_, known_w) in zip(samples, known, strict=True)
        ][-SAMPLES_BEFORE:]
        return len(above_w) >= SAMPLES_BEFORE and max(above_w) <= 0

    def _without_late(self, channel: str, samples: Sequence[Sample]) -> list[Sample]:
        """Samples without what a late sensor shows in them of the last window."""
        load, period_s = self._last.get(channel), self._sensors[channel].period_s
        if load is None:
            return list(samples)
        response = self._responses[channel]
        starts_s = [time_s - period_s for time_s, _ in samples[:1]] + [t for t, _ in samples[:-1]]
        return [
            (time_s, power_w - load.shown_j(response, start_s, time_s) / (time_s - start_s))
            for start_s, (time_s, power_w) in zip(starts_s, samples, strict=True)
        ]

    def after_s(self, duration_s: float) -> float:
        """For how long samples are needed after a window: until the power has settled.

        Long windows are hardly changed by what is left of the fall after three samples. Samples
        whose stamps differ from their arrival may be early by that.
        """
        early_s = max(sensor.stamps_off_s for sensor in self._sensors.values())
        waits_s = [t.wait_s + 3 * self._spaced_s(c) for c, t in self._late_tails.items()]
        if len(waits_s) < len(self.channels):
            waits_s.append(SAMPLES_AFTER * self.period_s)
            if not self._long(duration_s):
                waits_s.append((SAMPLES_AFTER + 1) * self.period_s + max(self._late_s, FALL_S))
        return max(waits_s) + early_s

    def _spaced_s(self, channel: str) -> float:
        """The time between the three moments beside a window."""
        period_s = self._sensors[channel].period_s
        return max(1, round(SPACED_S / period_s)) * period_s

    def _long(self, duration_s: float) -> bool:
        """Whether a window's edges weigh little; never if what follows it may be late or a tail."""
        if any(clearly_late(response) for response in self._doubtful.values()):
            return False
        periods = LONG_IF_LATE_PERIODS if self._late_s else LONG_PERIODS
        return duration_s >= periods * self.period_s - STAMP_S

    @property
    def _late_s(self) -> float:
        """After this time a late sensor has shown 99 % of what is late."""
        late_tails = (tail.response for tail in self._late_tails.values())
        responses = (*self._responses.values(), *self._doubtful.values(), *late_tails)
        return max((response.over_s for response in responses), default=0.0)

    def probe(self, collector: Collector, load: OwnLoad) -> None:
        """Learn by a load of the meter's own how late the sensors are.

        Args:
            collector: Collects their samples.
            load: The meter's own load.

        Raises:
            SensorError: The samples were not collected, or do not show the load.
        """
        steps = own_load_steps(self._sensors, collector, load)
        found = classify(steps, _response)
        if doubtful := {c: self._sensors[c] for c, r in found.doubtful.items() if clearly_late(r)}:
            again = own_load_steps(doubtful, collector, load, shortly_before_a_sample=True)
            found = classify({**steps, **again}, _response)
        self._responses, self._doubtful = found.responses, found.doubtful
        self._late_tails, self._too_late = found.late_tails, found.too_late

    def details(self) -> dict[str, Scalar]:
        """How late each sensor is, if a load of the meter's own has shown it."""
        seen = {n: tail.response for n, tail in self._late_tails.items()}
        late: dict[str, Scalar] = {
            f"{channel}.{name}": significant(time_s, 3)
            for channel, response in {**self._responses, **seen}.items()
            for name, time_s in (("delay_s", max(0.0, response.delay_s)), ("lag_s", response.lag_s))
        }
        for channel, response in self._doubtful.items():
            late[f"{channel}.may_be_late_s"] = significant(response.mean_s, 3)
        return late

    def joules(self, samples: Samples, window: Span) -> dict[str, Joules | SensorError]:
        """The joules of each channel within a window.

        Args:
            samples: From :meth:`await_rest` before the window to :meth:`after_s` after it.
            window: The window in seconds since the epoch.
        """
        self._was_long = self._long(window.duration_s)
        return {c: self._joules(c, samples.get(c, ()), window) for c in self.channels}

    def _joules(
        self, channel: str, samples: Sequence[Sample], window: Span
    ) -> Joules | SensorError:
        if channel in self._too_late:
            return self._too_late[channel]
        sensor = self._sensors[channel]
        before = [sample for sample in samples if sample[0] <= window.start_s]
        # one period later: an earlier sample may still average over the load
        after = [sample for sample in samples if sample[0] >= window.end_s + sensor.period_s]
        if not before or not after:
            return SensorError(
                ReasonCode.DATA_GAP, f"{channel}: no power samples around the window's edges"
            )
        first, last = before[-1], after[-1]
        around = [first, *(sample for sample in samples if first[0] < sample[0] <= last[0])]
        gap_s = max(later[0] - earlier[0] for earlier, later in pairwise(around))
        if gap_s > LONGEST_GAP_PERIODS * sensor.period_s:
            return SensorError(
                ReasonCode.DATA_GAP,
                f"{channel}: no power samples for {gap_s:.3g} s; the sensor's period is "
                f"{sensor.period_s:.3g} s",
            )
        if channel in self._late_tails:
            return self._late_tail_joules(channel, samples, window)
        response = self._responses.get(channel, Response())
        _, first_w = self._without_late(channel, [first])[0]
        # After a long window there are few samples: of a fall, the last one is nearest to rest.
        rest = after[-1:] if self._long(window.duration_s) else after[-SAMPLES_AFTER:]
        if response.late:
            used = self._late_joules(channel, around, len(rest), window)
        else:
            used = sampled_joules(around, [w for _, w in rest], window, sensor.unseen_s)
            used = self._without_tail(channel, used, around, window)
        self._rest_w[channel] = max(used.rest_w, first_w)
        return used.changed(lambda used: _with_doubts(used, window, sensor))

    def _late_tail_joules(
        self, channel: str, samples: Sequence[Sample], window: Span
    ) -> Joules | SensorError:
        """Joules by a sensor that is late and sees a tail, of three moments at each edge."""
        sensor, tail = self._sensors[channel], self._late_tails[channel]
        shown = _shown(samples)
        apart = round(self._spaced_s(channel) / sensor.period_s)
        opened = sum(time_s <= window.start_s for time_s, _ in samples)
        before = range(opened - 1 - 2 * apart, opened, apart)
        closed = sum(time_s < window.end_s + tail.wait_s for time_s, _ in samples)
        after = range(closed, closed + 2 * apart + 1, apart)
        if before[0] < 0 or after[-1] >= len(samples):
            return SensorError(
                ReasonCode.DATA_GAP,
                f"{channel}: too few power samples beside the window: the sensor shows power late"
                " and its device has a tail, which takes three",
            )
        noise_j = self._noise_w[channel] * sensor.period_s
        opening, closing = (
            Moments(
                [shown[n] for n in chosen],
                combine((noise_j, uniform(STAMP_S) * max(samples[n][1] for n in chosen))),
                uniform(STAMP_S),
            )
            for chosen in (before, after)
        )
        earlier = self._last.get(channel, EndedLoad(window.start_s, 0.0, 0.0))
        idle_w = self.idle_power_w[channel].value
        used, load = late_tail_joules(tail, opening, closing, window, earlier, idle_w)
        self._last[channel], self._rest_w[channel] = load, used.rest_w
        unseen_j = math.sqrt(2) * load.step_w * uniform(sensor.unseen_s)
        return _with_doubts(_unshared(used, unseen_j), window, sensor)

    def _late_joules(
        self, channel: str, samples: Sequence[Sample], at_rest: int, window: Span
    ) -> Joules:
        """Joules by a late sensor, without what it shows in the window of an earlier one.

        Args:
            channel: The channel.
            samples: From the last one before the window on.
            at_rest: From so many of the last of them the power at rest is taken.
            window: The window in seconds since the epoch.
        """
        sensor, response = self._sensors[channel], self._responses[channel]
        earlier = self._last.get(channel)
        known = self._without_late(channel, samples)
        used, scale = late_joules(known, known[-at_rest:], window, sensor, response)
        step_w = used.energy_j / window.duration_s - used.rest_w
        early_j = earlier.unsure_j(response, samples[0][0]) if earlier else 0.0
        left = earlier.if_left(response, samples[-1][0]) if earlier else None
        end_w, unsure_w = scale.value * step_w, scale.uncertainty * step_w
        self._last[channel] = EndedLoad(window.end_s, window.duration_s, end_w, unsure_w, left)
        before, passed_on = self._passed_on.get(channel), PassedOn(used.energy_j, self._program)
        self._passed_on[channel] = passed_on
        # Of its uncertainty only what is still to come is passed on. The rest is that of the power
        # after the window, which is wrong in each window alike.
        left_s = response.left_of_s(window.duration_s, samples[-1][0] - window.end_s)
        late_j = combine((unsure_w * left_s, response.uncertainty_s * step_w))
        same = before is not None and before.program == self._program
        if before is None or not same or not alike(before.energy_j, used.energy_j):
            used = with_term(used, SETTLING, combine((used.budget[SETTLING], early_j)))
        else:
            before.uncertainty_j = early_j
            used = _unshared(used, early_j)

        def revised() -> Joules:
            averaged_j = min(passed_on.uncertainty_j, late_j, used.budget[SETTLING])
            kept_j = math.sqrt(used.budget[SETTLING] ** 2 - averaged_j**2)
            return _unshared(with_term(used, SETTLING, kept_j), averaged_j)

        return replace(used, revised=revised)

    def _without_tail(
        self, channel: str, used: Joules, samples: Sequence[Sample], window: Span
    ) -> Joules:
        """Joules without the tail of the load, of which the samples show the end only.

        The sample in which the load ended hides the beginning. Loads that end at other moments of
        a sample show other parts of it. Before they have, the tail may be as long as what is hidden
        allows; and without a load of the meter's own, the same joules may have come late.
        """
        shown_j = math.fsum(
            (power_w - used.rest_w) * (time_s - earlier_s)
            for (earlier_s, _), (time_s, power_w) in pairwise(samples)
            if earlier_s >= window.end_s
        )
        step_w = (used.energy_j - shown_j) / window.duration_s - used.rest_w
        energy_j = used.energy_j - shown_j
        period_s = self._sensors[channel].period_s
        if window.duration_s < period_s or step_w * period_s <= CLEAR_J:
            return with_term(replace(used, energy_j=energy_j), SETTLING, abs(shown_j))
        after_s = next(t for t, _ in samples if t >= window.end_s) - window.end_s
        after_s, left_s = max(after_s, STAMP_S), max(shown_j, 0.0) / step_w
        tail = self._tails[channel]
        if not tail.points or not self._long(window.duration_s):
            tail.learn(after_s, left_s)
        curve = tail.curve()
        scale = tail.ended(used.energy_j, after_s, left_s, curve.uncertainty_s).scale()
        hidden_j = scale.value * (curve.length_s - curve.left_s(after_s)) * step_w
        # Any load may end at twice its mean power, or at none: this one, and those that have shown
        # how long the tail is.
        settling_j = [TWICE_MEAN * curve.uncertainty_s * step_w, uniform(2 * hidden_j)]
        if not self._responses:
            settling_j.append(shown_j + hidden_j)
        used = replace(used, energy_j=energy_j - hidden_j)
        used = with_term(used, SETTLING, combine(settling_j))
        if channel not in self._doubtful:
            return used
        return with_late(used, self._doubtful[channel], scale.value * step_w)


def _with_doubts(used: Joules, window: Span, sensor: PowerSensor) -> Joules:
    """Joules with what is uncertain of a sensor's stamps, and of what it does not see."""
    used = _with_stamps(used, window, sensor.stamps_off_s)
    return with_term(used, UNSEEN, largest_miss(used.energy_j)) if sensor.part_time else used


def _unshared(used: Joules, uncertainty_j: float) -> Joules:
    """Joules with an uncertainty more that differs from window to window."""
    return with_term(used, "edges", combine((used.budget["edges"], uncertainty_j)))


def _with_stamps(used: Joules, window: Span, off_s: float) -> Joules:
    """Joules with the uncertainty of stamps that differ from the arrival of their samples.

    Either the stamps are early or late, and the load seems to have run then, or the ring shows its
    samples late. The interval reaches from one to the other, in all windows alike. If a part of the
    load seems to have run outside the window, its joules are of that much less time.
    """
    if not off_s:
        return used
    seen_s = max(window.duration_s - off_s, off_s)
    step_w = (used.energy_j - used.rest_w * window.duration_s) / seen_s
    stamps_j = off_s * abs(step_w) / t_quantile(math.inf)
    return with_term(used, SETTLING, combine((used.budget.get(SETTLING, 0.0), stamps_j)))


def own_load_steps(
    sensors: Mapping[str, PowerSensor],
    collector: Collector,
    load: OwnLoad,
    shortly_before_a_sample: bool = False,
) -> dict[str, Step]:
    """How power sensors show a load of the meter's own; none of a sensor without samples at rest.

    Args:
        sensors: The sensors by channel.
        collector: Collects their samples.
        load: The meter's own load.
        shortly_before_a_sample: Whether the load ends then, which tells a late sensor from power
            that rises and falls as slowly.

    Raises:
        SensorError: The samples were not collected.
    """
    # Stamps that may be early would show the load among the samples at rest.
    rest_s = REST_S + max(sensor.stamps_off_s for sensor in sensors.values())
    collector.begin()
    CLOCK.sleep(rest_s)
    began_s = CLOCK.time()
    with load():
        CLOCK.sleep(STEP_S)
        if shortly_before_a_sample:
            CLOCK.sleep(_until_soon_s(next(iter(sensors.values()))))
    ended_s = CLOCK.time()
    CLOCK.sleep(FALL_S + STEP_S)
    samples = collector.end()
    steps = {
        channel: step
        for channel, sensor in sensors.items()
        if (step := _step(samples[channel], began_s, ended_s, sensor.stamps_off_s)) is not None
    }
    check_seen(steps)
    return steps


def _until_soon_s(sensor: PowerSensor) -> float:
    """How long to wait until shortly before a sensor's next sample, if its ring shows when."""
    if sensor.source != RING:
        return 0.0
    now_s = CLOCK.time()
    try:
        samples = sensor.read(now_s - 2 * sensor.period_s)
    except SensorError:
        return 0.0  # the end of the collection will say so
    if not samples:
        return 0.0
    last_s, _ = samples[-1]
    return (last_s - soon_s(sensor.period_s) - now_s) % sensor.period_s


def _response(step: Step) -> Response:
    """How late a sensor is, and by how much that may not explain what comes last.

    A sensor that is not quite of first order may show a small part much later than the rest. A
    window may miss what its samples show after all that the response explains, by the power at its
    end: none, or twice the mean.
    """
    response = response_of(step)
    unsure_s = bounded(2 * TWICE_MEAN * step.still_to_come_s(response))
    return replace(response, uncertainty_s=max(response.uncertainty_s, unsure_s))


def _step(samples: Sequence[Sample], began_s: float, ended_s: float, off_s: float) -> Step | None:
    """The joules above rest at each sample since a load began; ``None`` without samples at rest.

    The driver's ring may also hold loads of the program's own that ended before. By stamps that are
    early by ``off_s``, the load began earlier.
    """
    rested_s = began_s - off_s
    near = [sample for sample in samples if sample[0] >= rested_s - REST_S]
    at_rest = [power_w for time_s, power_w in near if time_s < rested_s]
    if not at_rest:
        return None
    rest_w = statistics.fmean(at_rest)
    above = [(t - began_s, j) for t, j in _shown(near, rest_w) if t > began_s]
    return Step(ended_s - began_s, above)


def _shown(samples: Sequence[Sample], rest_w: float = 0.0) -> list[tuple[float, float]]:
    """The moment of each sample, and the joules above rest since the first one."""
    joules = accumulate(
        ((power_w - rest_w) * (t - before_s) for (before_s, _), (t, power_w) in pairwise(samples)),
        initial=0.0,
    )
    return [(time_s, j) for (time_s, _), j in zip(samples, joules, strict=True)]


def largest_miss(energy_j: float) -> float:
    """Standard uncertainty of joules whose relative error is below :data:`LARGEST_MISS`.

    The sensor reads r = t·(1 + e) of the true joules t. If e lies evenly within ±m, 95 % of the
    errors are below x·r with x/(1 + x) = 2·0.95·m - m: what reads too low is further off, as a
    share of r, than what reads as much too high.
    """
    share = MISSED_SHARE / (1 - MISSED_SHARE)
    return share * abs(energy_j) / t_quantile(math.inf)


def sampled_joules(
    samples: Sequence[Sample],
    after_w: Sequence[float],
    window: Span,
    unseen_s: float,
) -> Joules:
    """The joules of a window, from samples that begin before it and end after it.

    Args:
        samples: Oldest first; the first one is not later than the window's start.
        after_w: Samples of the idle power after the window.
        window: The window in seconds since the epoch.
        unseen_s: The part of each period that the sensor does not sample.
    """
    times, powers_w = zip(*samples, strict=True)
    total_j = integrate(times, powers_w, times[0], times[-1])
    before_s, after_s = window.start_s - times[0], times[-1] - window.end_s
    gap_w = statistics.fmean(after_w)
    outside_j = powers_w[0] * before_s + gap_w * after_s
    energy_j = total_j - outside_j
    step_w = energy_j / window.duration_s - gap_w
    unseen_j = math.sqrt(2) * abs(step_w) * uniform(unseen_s)
    # A sample is of the time since the one before, so a stamp that is late adds to one sample and
    # takes off the next: what they differ by counts (GUM 5.1.2).
    differ_w = combine(later - earlier for earlier, later in pairwise(powers_w))
    stamps_j = differ_w * uniform(STAMP_S)
    return Joules(
        energy_j=energy_j,
        budget={"edges": combine((unseen_j, stamps_j, standard_error(after_w) * after_s))},
        rest_w=gap_w,
    )


def late_joules(
    samples: Sequence[Sample],
    rest: Sequence[Sample],
    window: Span,
    sensor: PowerSensor,
    response: Response,
) -> tuple[Joules, Scale]:
    """The joules of a window by a late sensor, with what its samples do not show any more.

    Also returns the power at the load's end as a share of its mean, by what came late of it.

    Args:
        samples: Oldest first; from before the window to after it.
        rest: The last of them, from which the power at rest is taken.
        window: The window in seconds since the epoch.
        sensor: The sensor.
        response: How late it is.
    """
    last_s = rest[-1][0] - window.end_s
    left_s = [
        response.left_of_s(window.duration_s, time_s - window.end_s)
        for time_s in (rest[0][0] - sensor.period_s, *(time_s for time_s, _ in rest))
    ]
    shown_s = [earlier - later for earlier, later in pairwise(left_s)]
    fall = [s for s in samples if window.end_s <= s[0] <= rest[0][0] - sensor.period_s / 2]
    # Not from the power after the window, as for a late counter: it may exceed that of the load.
    begun = sampled_joules(samples, [samples[0][1]], window, sensor.unseen_s)
    step_w, scale = begun.energy_j / window.duration_s - begun.rest_w, NOT_SEEN
    for _ in range(LATE_ROUNDS):  # what is late depends on the step, and this on the joules
        end_w = scale.value * step_w
        rest_w = [w - end_w * s / sensor.period_s for (_, w), s in zip(rest, shown_s, strict=True)]
        used = sampled_joules(samples, rest_w, window, sensor.unseen_s)
        used = replace(used, energy_j=used.energy_j + end_w * left_s[-1])
        step_w = used.energy_j / window.duration_s - used.rest_w
        scale = _late_scale(fall, rest_w, window, response, step_w)
        if abs(scale.value * step_w - end_w) < NEAR_W:
            break
    modelled_s = left_s[-1] + statistics.fmean(shown_s) / sensor.period_s * last_s
    settling_s = combine((scale.uncertainty * modelled_s, response.uncertainty_s))
    return with_term(used, SETTLING, settling_s * abs(step_w)), scale


def _late_scale(
    fall: Sequence[Sample],
    rest_w: Sequence[float],
    window: Span,
    response: Response,
    step_w: float,
) -> Scale:
    """The power at a load's end, as a share of its mean, by what its sensor showed late.

    Args:
        fall: The samples between the load's end and those at rest.
        rest_w: The samples at rest, without what they show late.
        window: The window in seconds since the epoch.
        response: How late the sensor is.
        step_w: The mean power of the load above rest.
    """
    if len(fall) < 2 or step_w <= 0:
        return NOT_SEEN  # the load may end at twice its mean power, or at none
    first_s, last_s = (time_s - window.end_s for time_s in (fall[0][0], fall[-1][0]))
    left_s = [response.left_of_s(window.duration_s, after_s) for after_s in (first_s, last_s)]
    expected_j = step_w * (left_s[0] - left_s[1])
    level_w = statistics.fmean(rest_w)
    shown_j = math.fsum(
        (power_w - level_w) * (time_s - earlier_s)
        for (earlier_s, _), (time_s, power_w) in pairwise(fall)
    )
    noise_j = standard_error(rest_w) * (last_s - first_s)
    unexplained_j = combine(
        (bounded(2 * LATE_UNCERTAINTY) * expected_j, response.uncertainty_s * step_w)
    )
    unsure_j = combine((noise_j, unexplained_j))
    if expected_j <= unsure_j:
        return NOT_SEEN
    return weighted_mean([ANY_SCALE, Scale(shown_j / expected_j, unsure_j / expected_j)])


def sampled_idle_power(channel: str, samples: Sequence[Sample]) -> Quantity:
    """The mean of samples of an idle device.

    Raises:
        SensorError: There are none.
    """
    if len(samples) < 2:
        raise SensorError(ReasonCode.METER_FAILED, f"{channel}: the power sensor gives no samples")
    return mean_of([power_w for _, power_w in samples], "W")
