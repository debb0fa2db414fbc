"""A contract test for meters: checks that a meter keeps the promises of :mod:`.base`.

Each check yields one sentence for each broken promise. They are collected and raised together, so
that the author of a meter sees all of them in one run.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from pytest_energy.meters.base import Edge, Meter, MeterRequest, Reading
from pytest_energy.model.measurement import Environment, MeterInfo, Quantity, ReasonCode

WINDOWS = 3
"""Windows in a row: a meter must not keep state from one window to the next."""
SHORTEST_S = 0.2
"""The contract's windows are at least this long, so that a delayed process does not matter."""
LATE_S = 0.25
"""A window's duration may exceed the time between its edges by this: process delays are shorter."""
CLOCK_SHARE = 0.01
"""A window's duration may fall short by this share: a meter may have a clock of its own."""
CLOCK_S = 5.0
"""The start of a window may differ from the wall clock by this."""


class BrokenContractError(AssertionError):
    """A meter broke promises of its interface; the message lists all of them."""

    def __init__(self, broken: Iterable[str]) -> None:
        self.broken = tuple(broken)
        """One sentence for each broken promise."""
        lines = "".join(f"\n- {sentence}" for sentence in self.broken)
        super().__init__(f"the meter breaks its contract (pytest_energy.meters.base):{lines}")


@dataclass(frozen=True)
class _Window:
    """A window as the contract saw it, beside what the meter says about it."""

    label: str
    edge: Edge
    reading: Reading
    called_s: float
    """``time.perf_counter()`` when ``begin`` was called."""
    began_s: float
    """When ``begin`` returned."""
    ended_s: float
    """When ``end`` was called."""
    threads: int
    """Threads that ``begin`` started and that ran during the window."""


def meter_contract(
    open_meter: Callable[[MeterRequest], Meter],
    request: MeterRequest | None = None,
    work: Callable[[float], object] | None = None,
) -> None:
    """Open a meter and check that it keeps the promises of its interface.

    Args:
        open_meter: Opens the meter, as the entry point in ``pytest_energy.meters`` does.
        request: What is asked of the meter; by default, what a session without options asks.
        work: Runs for about the given number of seconds inside each window; by default, it sleeps.

    Raises:
        BrokenContractError: The meter breaks at least one promise.
        MeterError: The meter cannot measure here, so nothing can be checked.
    """
    meter = open_meter(request or MeterRequest())
    try:
        broken = [*_check_description(meter), *_check_windows(meter, work or time.sleep)]
    finally:
        closing = list(_check_closing(meter))
    if broken or closing:
        raise BrokenContractError([*broken, *closing])


def _check_description(meter: Meter) -> Iterator[str]:
    """Check what a meter says of itself outside windows."""
    # A third party's meter may not be type-checked, so nothing is taken for granted here.
    names: Sequence[object] = meter.channels
    info: object = meter.info
    environment: object = meter.environment
    if not names:
        yield "channels is empty; name at least one channel, such as 'gpu0'"
    if not all(isinstance(name, str) and name for name in names):
        yield f"channels has a name that is no text or empty: {names!r}"
    if len(set(names)) < len(names):
        yield f"channels has a name twice, so its joules would count twice: {names!r}"
    yield from _check_record("info", info, MeterInfo)
    yield from _check_record("environment", environment, Environment)
    if isinstance(info, MeterInfo):
        if not (info.name and info.source):
            yield "info has no name or no source; results could not say where joules come from"
        if info.tick_s is not None and info.tick_s <= 0:
            yield f"info.tick_s is {info.tick_s!r}; use None if the tick is unknown"
    if isinstance(environment, Environment) and not environment.identity:
        yield "environment.identity is empty; results of different machines could be compared"
    if not _is_amount(meter.shortest_window_s):
        yield f"shortest_window_s is {meter.shortest_window_s!r}; it must be 0 or more seconds"
    yield from _check_idle_power(meter)


def _check_record(name: str, record: object, kind: type[BaseModel]) -> Iterator[str]:
    if not isinstance(record, kind):
        yield f"{name} is a {type(record).__name__}; it must be a {kind.__name__}"
        return
    try:
        json.dumps(record.model_dump(warnings="none"), allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"{name} cannot be written as JSON: {error}"


def _check_idle_power(meter: Meter) -> Iterator[str]:
    powers: Mapping[str, object] = meter.idle_power_w
    for channel, power in powers.items():
        if channel not in meter.channels:
            yield f"idle_power_w has {channel!r}, which is not in channels {meter.channels!r}"
        if not isinstance(power, Quantity) or power.unit != "W" or not _is_amount(power.value):
            yield f"idle_power_w[{channel!r}] is {power!r}; it must be a Quantity of 0 W or more"


def _check_windows(meter: Meter, work: Callable[[float], object]) -> Iterator[str]:
    """Check some windows in a row, and one that ends at once, as if its passes had raised."""
    shortest_s = meter.shortest_window_s if _is_amount(meter.shortest_window_s) else 0.0
    length_s = max(1.2 * shortest_s, SHORTEST_S)
    lengths = [(f"window {number}", length_s) for number in range(1, WINDOWS + 1)]
    channels, spent_j, seen = meter.channels, None, list[_Window]()
    for label, planned_s in [*lengths, ("a window without passes", 0.0)]:
        try:
            window = _measure(meter, label, work, planned_s)
            now_j = meter.spent_j()
        except Exception as error:
            yield (
                f"{label}: a method raised {type(error).__name__}: {error}; what a sensor does must"
                " be a Reason in the Reading"
            )
            return
        yield from _check_spent(label, spent_j, now_j)
        spent_j = now_j
        yield from _check_edges(window)
        yield from _check_reading(window.label, window.reading, channels)
        seen.append(window)
        if planned_s:
            yield from _check_no_zeros(window, shortest_s)
        else:
            yield from _check_too_short(window, shortest_s)
    for window in seen:  # as a result is made, after the last one
        yield from _check_revised(window, channels)
    if meter.channels != channels:
        yield f"channels changed from {channels!r} to {meter.channels!r} while windows ran"


def _measure(meter: Meter, label: str, work: Callable[[float], object], length_s: float) -> _Window:
    threads, called_s = threading.active_count(), time.perf_counter()
    edge = meter.begin()
    began_s = time.perf_counter()
    started = threading.active_count() - threads
    if length_s:
        work(length_s)
    ended_s = time.perf_counter()
    return _Window(label, edge, meter.end(edge), called_s, began_s, ended_s, started)


def _check_spent(label: str, before_j: float | None, now_j: float | None) -> Iterator[str]:
    if now_j is not None and not _is_amount(now_j):
        yield f"{label}: spent_j() is {now_j!r}; it must be 0 or more joules, or None"
    elif now_j is not None and before_j is not None and now_j < before_j:
        yield f"{label}: spent_j() fell from {before_j!r} to {now_j!r}; it must never fall"


def _check_edges(window: _Window) -> Iterator[str]:
    label, edge, reading = window.label, window.edge, window.reading
    if window.threads > 0:
        yield f"{label}: begin started a thread, which would use energy of the measured process"
    if not window.called_s <= edge.time_s <= window.began_s:
        yield f"{label}: Edge.time_s is not time.perf_counter() at the time of begin"
    if abs(edge.start - time.time()) > CLOCK_S + time.perf_counter() - window.called_s:
        yield f"{label}: Edge.start is {edge.start!r}; it must be seconds since the epoch (UTC)"
    inside_s = window.ended_s - window.began_s
    longest_s = window.ended_s - edge.time_s + LATE_S
    if not (1 - CLOCK_SHARE) * inside_s <= reading.duration_s <= longest_s:
        yield (
            f"{label}: duration_s is {reading.duration_s!r}, but {inside_s:.4g} s passed between"
            " begin and end; count from the return of begin to the call of end"
        )


def _check_revised(window: _Window, channels: tuple[str, ...]) -> Iterator[str]:
    reading = window.reading
    if reading.revised is None:
        return
    label = f"{window.label}, revised"
    try:
        by_now = reading.by_now()
    except Exception as error:
        yield f"{label}: it raised {type(error).__name__}: {error}, which would end the session"
        return
    yield from _check_reading(label, by_now, channels)
    if by_now.duration_s != reading.duration_s or set(by_now.channels) != set(reading.channels):
        yield f"{label}: the duration and the channels must be those that end returned"


def _check_reading(label: str, reading: Reading, channels: tuple[str, ...]) -> Iterator[str]:
    for channel, energy_j in reading.channels.items():
        if channel not in channels:
            yield f"{label}: the Reading has channel {channel!r}, which is not in {channels!r}"
        if not _is_amount(energy_j):
            yield f"{label}: channel {channel!r} has {energy_j!r} J; it must be 0 or more"
    missing = [channel for channel in channels if channel not in reading.channels]
    if missing and not any(reason.fatal for reason in reading.reasons):
        yield f"{label}: channels {missing!r} have no joules, but the Reading has no fatal reason"
    if any(not reason.message for reason in reading.reasons):
        yield f"{label}: a reason has no message; name the thing, the value and the next step"
    if reading.channels and not reading.budget:
        yield f"{label}: the budget is empty, so the joules would count as exact"
    for cause, uncertainty_j in reading.budget.items():
        if not _is_amount(uncertainty_j):
            yield f"{label}: the budget has {uncertainty_j!r} J for {cause!r}; it must be 0 or more"
    for key, value in reading.conditions.items():
        if not _is_number(value):
            yield f"{label}: condition {key!r} is {value!r}; leave out what is unknown"
    for trace in reading.traces:
        if trace.channel not in channels:
            yield f"{label}: a trace is of channel {trace.channel!r}, which is not in {channels!r}"


def _check_no_zeros(window: _Window, shortest_s: float) -> Iterator[str]:
    """Powered hardware uses energy: exactly 0 J means that a reading is missing."""
    zeros = [channel for channel, energy_j in window.reading.channels.items() if energy_j == 0]
    if zeros and window.reading.duration_s >= shortest_s:
        yield (
            f"{window.label}: channels {zeros!r} have exactly 0 J; leave out a channel that could"
            " not be read, and add a fatal reason"
        )


def _check_too_short(window: _Window, shortest_s: float) -> Iterator[str]:
    codes = {reason.code for reason in window.reading.reasons}
    # a fourth: a meter may ask for longer windows than it strictly needs, as a margin
    if window.reading.duration_s < shortest_s / 4 and ReasonCode.WINDOW_TOO_SHORT not in codes:
        yield (
            f"{window.label}: it took {window.reading.duration_s:.2g} s, and shortest_window_s is"
            f" {shortest_s:.4g} s, but no reason has the code 'window-too-short'"
        )


def _check_closing(meter: Meter) -> Iterator[str]:
    for call in ("first", "second"):
        try:
            meter.close()
        except Exception as error:
            yield (
                f"the {call} call of close raised {type(error).__name__}: {error}; it must be safe"
                " to call it twice"
            )
            return


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _is_amount(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
