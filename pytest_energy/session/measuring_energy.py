"""The ``energy`` fixture with ``--energy``: it measures, and returns the results at the end."""

from __future__ import annotations

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import repeat
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar

from pytest_energy.errors import UsageError, is_refusal
from pytest_energy.fixture import (
    Around,
    CallFacts,
    Energy,
    Evaluation,
    Metric,
    Synchronize,
    Units,
    WindowHandle,
    Workload,
)
from pytest_energy.fixture.arguments import (
    asks_to_count,
    check_call_facts,
    check_callable,
    check_compare,
    check_counts,
    check_facts,
    check_helpers,
    check_input,
    check_metrics,
    check_pedantic,
    check_seconds,
    check_units,
)
from pytest_energy.fixture.comparison import (
    Candidate,
    Comparison,
    check_around,
    check_candidates,
)
from pytest_energy.fixture.lazy import (
    check_call,
    check_eager,
    check_returned,
    running_loop,
)
from pytest_energy.fixture.once import LoopedOnce
from pytest_energy.fixture.own_metric import evaluation, mean_metrics
from pytest_energy.marker import MarkerSettings
from pytest_energy.measuring.alternation import alternate
from pytest_energy.measuring.assemble import Place, assemble, training_metrics
from pytest_energy.measuring.processor import same_processor
from pytest_energy.measuring.protocol import (
    FEW_PASSES,
    Finished,
    Forecast,
    Plan,
    Progress,
    Size,
    Work,
    another_fits,
    are_enough,
    check_clock,
    fewer_rounds,
    finish,
    forecast,
    forecast_by_rounds,
    progress_of,
    progress_of_windows,
    run_rounds,
    size_rounds,
)
from pytest_energy.measuring.torchrun import agree, in_step, in_step_plan
from pytest_energy.measuring.waiting import synchronizer, waiter_for
from pytest_energy.measuring.window import OpenWindow, Window, measure_round, open_window
from pytest_energy.meters.base import Adjustable, LearnsPrograms
from pytest_energy.model.measurement import (
    Facts,
    Kind,
    Measurement,
    Quantity,
    Reason,
    ReasonCode,
    Round,
)
from pytest_energy.session.calls import AwaitedCalls, Calls
from pytest_energy.session.candidates import pairs_of
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.session.model_description import (
    check_placed,
    count_facts,
    counting,
    describe_model,
    facts_of_call,
    known_facts,
    name_of,
    peak_memory,
    training_inputs,
    uncounted,
)
from pytest_energy.session.planning import (
    Requested,
    limit_rounds,
    plan_call,
    plan_comparison,
    plan_epochs,
    plan_inference,
)

if TYPE_CHECKING:
    from pytest_energy.measuring.forward_passes import Shapes
    from pytest_energy.measuring.model_facts import Operations

T = TypeVar("T")
__tracebackhide__ = is_refusal

Watch = Callable[[str, Progress], None]
"""Called with the benchmark's id and its progress."""
Announce = Callable[[str, Forecast], None]
"""Called with the benchmark's id and what it will cost."""
Pause = Callable[[int], int]
"""Called with the passes that are planned for the next window; returns those that all processes
which measure in turn run."""


def as_planned(passes: int) -> int:
    """No other process measures."""
    return passes


class Surroundings(TypedDict):
    """What a protocol calls beside the work; see :func:`run_rounds`."""

    synchronize: Synchronize
    watch: Callable[[Progress], None]
    announce: Callable[[Forecast], None]
    spent_j: Callable[[], float | None]


COUNTED: Final = "the operations of this window were counted, which takes time: not measured"
"""Why the second window of its name has no joules, if it counts."""
USED_ONCE: Final = (
    "operations not counted: energy.window({name!r}) was entered once, and counting takes time that"
    " would be in its joules; enter it again, or use: for w in energy.repeat({name!r}, facts=…): …"
)
"""Why a window that was to be counted has no FLOPs."""


class MeasuringEnergy(Energy):
    """Measures what a test runs; :meth:`finish` returns the measurements."""

    def __init__(
        self,
        session: EnergySession,
        place: Place,
        marker: MarkerSettings,
        workload: Facts,
        watch: Watch = lambda benchmark, progress: None,
        pause: Pause = as_planned,
        announce: Announce = lambda benchmark, forecast: None,
    ) -> None:
        """Prepare to measure one test.

        Args:
            session: What it shares with other tests.
            place: The test.
            marker: The keywords of its marker.
            workload: Facts to add.
            watch: Told how far it is.
            pause: Called before the first window and after each, so that another process may
                measure meanwhile.
            announce: Told what a benchmark will cost, before its first round.
        """
        super().__init__(session.settings.data, place.id, marker)
        self._enabled = True
        self._scale = session.scale
        self._measures_gpu = session.measures_gpu
        self._session = session
        self._place = place
        self._requested = Requested.of(marker, session.settings)
        self._workload = workload
        self._watch = watch
        self._pause = pause
        self._announce = announce
        self._paused = False
        self._slices = 0
        self._synchronize = synchronizer()
        self._measurements: dict[str, Measurement] = {}
        self._windows: dict[str, list[Window]] = {}
        self._entered: Counter[str] = Counter()
        self._recorded: dict[str, Quantity] = {}
        self._remarks: list[Reason] = []
        self._recorded_inside: defaultdict[str, defaultdict[str, list[Quantity]]] = defaultdict(
            lambda: defaultdict(list)
        )
        self._facts: dict[str, Operations] = {}
        self._limits_s: dict[str, float | None] = {}

    def inference(  # noqa: D102
        self,
        model: Callable[..., Any],
        *,
        input_shape: Shapes | None = None,
        batch_size: int = 1,
        make_input: Callable[[], Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        passes: int | None = None,
        rounds: int | None = None,
        facts: bool | Mapping[str, Quantity] = True,
        workload: Workload | None = None,
    ) -> None:
        check_counts("inference", batch_size=batch_size, passes=passes, rounds=rounds)
        check_callable("energy.inference", model)
        check_eager("energy.inference", model)
        check_input("inference", input_shape, make_input, kwargs, needed=True)
        check_facts("inference", facts, workload)
        self._claim()
        from pytest_energy.measuring.forward_passes import evaluating, prepare

        meter = self._session.meter
        where = f"{self._place.id}: energy.inference"
        check_placed(model, self.device, meter.channels if meter else (), where)
        check = partial(check_returned, "energy.inference", model)
        run = prepare(model, input_shape, batch_size, self.device, make_input, kwargs, check)
        counted, reasons = count_facts(facts, model, run.inputs[0])
        with evaluating(model), peak_memory(self) as peak:
            plan = plan_inference(self._session, self._place.id, self._requested, passes, rounds)
            finished = self._run(run, plan)
        described = {
            **describe_model(model, input_shape, batch_size, run.inputs[0]),
            "data": "random" if make_input is None else "own",
            **(workload or {}),
        }
        units = {"sample": float(batch_size)} if batch_size > 1 else {}
        self._add("inference", described, finished, {**counted, **peak}, reasons, units=units)

    def training(  # noqa: D102
        self,
        train_one_epoch: Callable[[], Mapping[str, float] | object],
        *,
        epochs: int | None = None,
        scale_to: int | None = None,
        evaluate: Callable[[], Evaluation] | None = None,
        after_epoch: Callable[[], object] | None = None,
        model: object | None = None,
        input_shape: Shapes | None = None,
        batch_size: int | None = None,
        make_input: Callable[[], Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        facts: bool | Mapping[str, Quantity] = True,
        workload: Workload | None = None,
        units: Units | None = None,
    ) -> None:
        check_counts("training", epochs=epochs, scale_to=scale_to, batch_size=batch_size)
        check_input("training", input_shape, make_input, kwargs)
        unit_counts = check_units("energy.training", units)
        check_callable("energy.training", train_one_epoch)
        check_eager("energy.training", train_one_epoch)
        check_helpers("energy.training", evaluate=evaluate, after_epoch=after_epoch)
        check_facts("training", facts, workload)
        self._claim()
        inputs = training_inputs(model, input_shape, make_input, kwargs, self)
        counted, reasons = count_facts(facts, model, inputs)
        epoch_metrics: list[Mapping[str, float]] = []

        def work(passes: int) -> None:
            returned = [train_one_epoch() for _ in range(passes)]
            check_returned("energy.training", train_one_epoch, returned[-1])
            epoch_metrics.extend(item for item in returned if isinstance(item, Mapping))

        with peak_memory(self) as peak:
            plan = plan_epochs(self._session, self._requested, epochs)
            finished = self._run(work, plan, after=after_epoch)
        described = {
            **describe_model(model, input_shape, batch_size, inputs),
            "scale_to": scale_to,
            **(workload or {}),
        }
        self._add("training", described, finished, {**counted, **peak}, reasons, units=unit_counts)
        where = f"{self._place.id}: energy.training"
        evaluated = evaluation(evaluate, where)
        # The warm-up trains one epoch as well; its metrics come first and are left out.
        of_rounds = epoch_metrics[-len(finished.rounds) :]
        self._extend(self._current(), _as_quantities(mean_metrics(of_rounds, where)))
        measured = self._current()
        of_schedule = training_metrics(measured, 1 + len(finished.rounds), scale_to, evaluated)
        self._extend(measured, of_schedule)

    def __call__(  # noqa: D102
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        units: Units | None = None,
        synchronize: Synchronize | None = None,
        facts: CallFacts = None,
        **kwargs: Any,
    ) -> T:
        unit_counts = check_call("energy", function, units, synchronize, facts)
        check_facts("call", facts, None)
        self._claim(synchronize)
        calls = Calls("energy", function, args, kwargs)
        with self.usage.alone():
            known = facts_of_call(facts, lambda: calls(1))
        finished = self._run(calls, plan_call(self._session, self._place.id, self._requested))
        self._add_call(function, finished, known, unit_counts)
        return calls.returned

    async def _acall(
        self,
        function: Callable[..., Awaitable[T]],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        unit_counts: Units,
        synchronize: Synchronize | None,
        facts: CallFacts,
    ) -> T:
        self._claim(synchronize)
        loop = running_loop(self._place.id)
        calls = AwaitedCalls("energy.acall", function, args, kwargs, loop)
        with self.usage.alone():
            known = known_facts(facts)
            if asks_to_count(facts):
                with counting(facts) as known:
                    await calls.run(1)
        plan = plan_call(self._session, self._place.id, self._requested)
        finished = await calls.measured(partial(self._run, plan=plan))
        self._add_call(function, finished, known, unit_counts)
        return calls.returned

    def pedantic(  # noqa: D102
        self,
        target: Callable[..., T],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        setup: Callable[[], tuple[Sequence[Any], Mapping[str, Any]] | None] | None = None,
        rounds: int = 1,
        iterations: int = 1,
        warmup_rounds: int = 0,
        units: Units | None = None,
        synchronize: Synchronize | None = None,
        facts: CallFacts = None,
    ) -> T:
        unit_counts = check_units("energy.pedantic", units)
        arguments = check_pedantic(args, kwargs, setup, rounds, iterations, warmup_rounds)
        check_callable("energy.pedantic", target)
        check_call_facts("energy.pedantic", facts)
        check_facts("pedantic", facts, None)
        check_helpers("energy.pedantic", synchronize=synchronize)
        check_eager("energy.pedantic", target)
        self._claim(synchronize)
        last: list[T] = []

        def call(positional: Sequence[Any], keywords: Mapping[str, Any]) -> Work:
            def work(passes: int) -> None:
                for _ in range(passes):
                    last[:] = [target(*positional, **keywords)]
                    if wait := waiter_for(last[0]):
                        wait(last[0])
                check_returned("energy.pedantic", target, last[0])

            return work

        windows: list[Window] = []
        with self.usage.alone():
            known = facts_of_call(facts, lambda: call(*arguments())(1))
            for _ in range(warmup_rounds):
                self._watch(self._place.id, Progress(0, rounds, iterations, None))
                call(*arguments())(iterations)
            size = Size(iterations, rounds, iterations)
            limit_s = limit_rounds(self._session, self._requested)
            done: list[Round] = []
            self._next_program("")
            while len(done) < rounds and another_fits(done, limit_s):
                if done:  # without a warm-up the first round shows what the others take
                    self._announce(self._place.id, forecast_by_rounds(done, size, limit_s))
                self._watch(self._place.id, progress_of(done, size, None, limit_s))
                windows.append(self._measure(call(*arguments()), iterations))
                done.append(windows[-1].round)
        finished = self._finished(windows, rounds, limit_s)
        self._add_call(target, finished, known, unit_counts)
        return last[0]

    def compare(  # noqa: D102
        self,
        *candidates: Callable[[], Any] | Mapping[str, Callable[[], Any]],
        reference: str | None = None,
        units: Units | None = None,
        synchronize: Synchronize | None = None,
        blocks: int | None = None,
        around: Around | None = None,
        **named: Callable[[], Any],
    ) -> Comparison:
        functions, first = check_candidates(candidates, named, reference)
        counts = check_compare(units, synchronize, blocks)
        contexts = check_around(around, functions)
        self._claim(synchronize)
        self._check_one_process("compare")
        self._compared = True
        calls = {name: Calls("energy.compare", function) for name, function in functions.items()}
        plan = plan_comparison(self._session, self._requested, blocks)
        for name, finished in self._alternate(calls, plan, contexts).items():
            described: Facts = {"candidate": name, "function": name_of(functions[name])}
            place = self._place.window(name)
            self._add("candidate", described, finished, at=place, units=counts)
        measurements = {name: self._part(name) for name in calls}
        for name, pair in pairs_of(measurements, first).items():
            self._keep(measurements[name].model_copy(update={"pair": pair}))
        return Comparison(
            [
                Candidate(name, first, call.returned, self._part(name), self._part(first))
                for name, call in calls.items()
            ],
            first,
        )

    def _part(self, name: str) -> Measurement:
        """The measurement of a candidate."""
        return self._measurements[self._place.window(name).id]

    @contextmanager
    def _window(
        self, handle: WindowHandle, synchronize: Synchronize | None, facts: CallFacts
    ) -> Iterator[WindowHandle]:
        name = handle.name
        windows = self._windows.setdefault(name, [])
        with self._inside(handle):
            if asks_to_count(facts) and self.usage.must_count(name):
                with self._counted(handle, facts):
                    yield handle
                handle.end(self._unmeasured_window(name, COUNTED))
                return
            self._know(name, facts)
            self._entered[name] += 1
            if not self._in_time(windows):
                yield handle
                limit_s = self._requested.max_time_s or 0.0
                message = f"the windows before used the {limit_s:g} s of --energy-max-time"
                handle.end(self._unmeasured_window(name, message, ReasonCode.TIME_LIMIT))
                return
            last = windows[-1].round if windows else None
            progress = progress_of_windows(self._entered[name], last)
            self._watch(self._place.window(name).id, progress)
            with self._opened(handle, synchronizer(synchronize)) as opened:
                yield handle
            windows.append(opened.window)
            self.usage.window_ended(handle)
            handle.end(self._windows_alone(name, [opened.window]))

    @contextmanager
    def _opened(
        self, handle: WindowHandle, synchronize: Callable[[], None]
    ) -> Iterator[OpenWindow]:
        self._next_program(handle.name)
        with self._turn(), open_window(self._session.meter, 1, synchronize) as opened:
            handle.pause_by(opened.paused)
            yield opened

    @contextmanager
    def _counted(self, handle: WindowHandle, facts: CallFacts) -> Iterator[None]:
        """Count what runs in the body of the ``with`` statement for the windows of this name."""
        with counting(facts) as operations:
            handle.pause_by(operations.paused)
            yield
        self._facts[handle.name] = operations
        self.usage.counted(handle.name)

    def _know(self, name: str, facts: CallFacts) -> None:
        """Take the facts of a window that are known before it is counted."""
        if not asks_to_count(facts):
            self._facts |= {name: known_facts(facts)} if facts else {}
        elif name not in self._facts:
            self._facts[name] = uncounted(facts, USED_ONCE.format(name=name))

    def repeat(  # noqa: D102
        self,
        name: str,
        seconds: float | None = None,
        units: Units | None = None,
        facts: CallFacts = None,
    ) -> Iterable[WindowHandle]:
        check_seconds(f"energy.repeat({name!r})", seconds)
        handle = self._enter("repeat", name, units, facts)
        runs = self._repeat(handle, self._repetition(name, seconds), facts)
        return LoopedOnce(handle.where, runs)

    def _repetition(self, name: str, seconds: float | None) -> Plan:
        """The plan of a call, with windows of ``seconds`` unless they were requested."""
        if self._requested.window_s or seconds is None:
            return plan_call(self._session, self._place.window(name).id, self._requested)
        requested = replace(self._requested, window_s=seconds)
        return plan_call(self._session, self._place.window(name).id, requested)

    def _repeat(self, handle: WindowHandle, plan: Plan, facts: CallFacts) -> Iterator[WindowHandle]:
        windows: list[Window] = []
        with self.usage.alone(handle.name):
            self._know(handle.name, facts)
            if asks_to_count(facts):
                with self._counted(handle, facts):
                    yield handle
            before_j = self._spent_j()
            with open_window(None, 1, self._synchronize) as first:
                handle.pause_by(first.paused)
                yield handle
            pass_s = first.window.round.duration_s
            rounds = [first.window.round]
            watch = self._watch_repeat(handle.name, plan, pass_s, (before_j, self._spent_j()))
            passes = (yield from self._rehearse(handle, plan, pass_s)) if self._in_slices else None
            handle.begin_runs()
            while (
                len(windows) < plan.rounds
                and not are_enough(plan, rounds)
                and another_fits(rounds, plan.max_time_s)
            ):
                watch(windows)
                with self._on_processor(), self._opened(handle, self._synchronize) as opened:
                    if passes is None:
                        for more in _until_long_enough(opened, plan, pass_s):
                            yield from repeat(handle, more)
                    else:
                        opened.passes = passes
                        yield from repeat(handle, passes)
                windows.append(opened.window)
                rounds = [window.round for window in windows]
        self.usage.done(handle)
        self._windows.setdefault(handle.name, []).extend(windows)
        self._entered[handle.name] += plan.rounds
        self._limits_s[handle.name] = plan.max_time_s
        self.usage.window_ended(handle)
        runs = sum(window.round.passes for window in windows)
        handle.end(self._windows_alone(handle.name, windows), runs)

    def _watch_repeat(
        self,
        name: str,
        plan: Plan,
        pass_s: float,
        spent_j: tuple[float | None, float | None],
    ) -> Callable[[Sequence[Window]], None]:
        """Announce what a repeated window will cost; return what shows its progress."""
        size = size_rounds(plan, pass_s)
        place = self._place.window(name).id
        self._announce(place, forecast(size, pass_s, spent_j, pass_s))

        def watch(windows: Sequence[Window]) -> None:
            rounds = [window.round for window in windows]
            self._watch(place, progress_of(rounds, size, pass_s))

        return watch

    def _rehearse(
        self, handle: WindowHandle, plan: Plan, pass_s: float
    ) -> Generator[WindowHandle, None, int]:
        """Fill a slice outside every window; return the passes that both sides run in each."""
        with open_window(None, 1, self._synchronize) as opened:
            handle.pause_by(opened.paused)
            for more in _until_long_enough(opened, plan, pass_s):
                yield from repeat(handle, more)
        return self._agree(opened.passes)

    def _enter(self, method: str, name: str, units: Units | None, facts: CallFacts) -> WindowHandle:
        handle = super()._enter(method, name, units, facts)
        self._check_one_process(method)
        return handle

    def _check_one_process(self, method: str) -> None:
        if self._session.ranks is not None:
            raise UsageError(
                f"{self._place.id}: energy.{method}() measures one process; torchrun"
                " started several: use energy.training() or a call"
            )

    def record(self, *metrics: Metric, **values: float) -> None:  # noqa: D102
        check_metrics(metrics)
        recorded = _as_quantities(self.usage.record(metrics, values))
        recorded |= {
            metric.name: Quantity(
                value=metric.value, unit=metric.unit, uncertainty=metric.uncertainty
            )
            for metric in metrics
        }
        if self.usage.inside is not None:
            for name, quantity in recorded.items():
                self._recorded_inside[self.usage.inside][name].append(quantity)
            return
        self._recorded |= recorded
        for measured in list(self._measurements.values()):
            self._extend(measured, {})

    def _windows_alone(self, name: str, windows: Sequence[Window]) -> Measurement:
        """Windows as a measurement of their own, whatever other windows have the same name."""
        finished = self._finished(windows, len(windows))
        return assemble(
            self._place.window(name), "window", {"window": name}, finished, self._session.source, {}
        )

    def _unmeasured_window(
        self, name: str, message: str, code: ReasonCode = ReasonCode.NOTE
    ) -> Measurement:
        """A window without joules, and why."""
        reason = Reason(code=code, message=message, fatal=False)
        place = self._place.window(name)
        return Measurement(
            id=place.id, kind="window", workload={}, status="unmeasured", reasons=[reason]
        )

    def describe(self, **facts: Any) -> None:  # noqa: D102
        super().describe(**facts)
        self._workload = {**self._workload, **facts}

    def accept_settings(self) -> None:  # noqa: D102
        if isinstance(self._session.meter, Adjustable):
            self._session.meter.accept_settings()

    def remark(self, sentence: str) -> None:  # noqa: D102
        super().remark(sentence)
        self._remarks.append(Reason(code=ReasonCode.NOTE, message=sentence, fatal=False))

    def finish(self) -> list[Measurement]:
        """Return the measurements of the test; each window is a benchmark of its own.

        Nothing can be measured or recorded afterwards.
        """
        self.usage.end()
        for name, windows in self._windows.items():
            if not windows:  # its body raised
                continue
            limit_s = self._limits_s.get(name, self._requested.max_time_s)
            finished = self._finished(windows, self._entered[name], limit_s)
            units = _mean_units(self.usage.handles[name])
            recorded = {
                metric: _mean_quantity(values)
                for metric, values in self._recorded_inside[name].items()
            }
            place = self._place.window(name)
            known = self._facts.get(name) or known_facts(None)
            extra = {**known.metrics, **recorded}
            workload: Facts = {"window": name}
            self._add("window", workload, finished, extra, known.reasons, at=place, units=units)
        self._windows.clear()
        return [
            measured.model_copy(update={"reasons": [*measured.reasons, *self._remarks]})
            for measured in self._measurements.values()
        ]

    def _claim(self, synchronize: Synchronize | None = None) -> None:
        self.usage.claim()
        self._synchronize = synchronizer(synchronize)

    def _run(self, work: Work, plan: Plan, after: Callable[[], object] | None = None) -> Finished:
        """Run a plan; ``after`` is called after each window."""
        if self._session.ranks is not None:
            plan = in_step_plan(plan)

        def measure(work: Work, passes: int) -> Window:
            window = self._measure(work, passes)
            if after is not None:
                after()
            return window

        with self.usage.alone():
            self._next_program("")
            agree = self._agree if self._in_slices else None
            return run_rounds(work, plan, measure, agree=agree, **self._surroundings())

    def _alternate(
        self, works: Mapping[str, Work], plan: Plan, around: Around
    ) -> dict[str, Finished]:
        def measure(work: Work, passes: int) -> Window:
            self._next_program(next(name for name, other in works.items() if other is work))
            return self._measure(work, passes)

        with self.usage.alone():
            return alternate(works, plan, measure, around=around, **self._surroundings())

    def _surroundings(self) -> Surroundings:
        """What a protocol calls beside the work."""
        return {
            "synchronize": self._synchronize,
            "watch": partial(self._watch, self._place.id),
            "announce": partial(self._announce, self._place.id),
            "spent_j": self._spent_j,
        }

    def _spent_j(self) -> float | None:
        """Joules since some moment before; ``None`` without a meter."""
        return self._session.meter.spent_j() if self._session.meter else None

    @property
    def _in_slices(self) -> bool:
        """Whether the slices of two sides are compared by time alone."""
        return self._session.alternating and self._session.meter is None

    def _agree(self, passes: int) -> int:
        """Wait for the first turn; return the passes that both sides run in a slice."""
        self._paused = True
        return self._pause(passes)

    def _measure(self, work: Work, passes: int) -> Window:
        ranks = self._session.ranks
        if ranks is not None:
            synchronized = in_step(work, self._synchronize)
            own = measure_round(self._session.meter, synchronized, passes, self._synchronize)
            return agree(own, ranks)
        with self._turn(passes), self._on_processor():
            return measure_round(self._session.meter, work, passes, self._synchronize)

    def _next_program(self, name: str) -> None:
        """Tell the meter which of the test's programs the next windows are of."""
        if isinstance(self._session.meter, LearnsPrograms):
            self._session.meter.next_program(f"{self._place.id} {name}")

    def _on_processor(self) -> AbstractContextManager[None]:
        """The slices of both sides share a processor."""
        if not self._in_slices:
            return nullcontext()
        self._slices += 1
        return same_processor(self._slices)

    @contextmanager
    def _turn(self, passes: int = 1) -> Iterator[None]:
        """Measure one window in the body of a ``with`` statement, between two pauses."""
        if not self._paused:
            self._agree(passes)
        yield
        self._pause(passes)

    def _in_time(self, windows: Sequence[Window]) -> bool:
        return another_fits([window.round for window in windows], self._requested.max_time_s)

    def _finished(
        self, windows: Sequence[Window], requested: int, limit_s: float | None = None
    ) -> Finished:
        limit_s = limit_s or self._requested.max_time_s
        rounds = [window.round for window in windows]
        return finish(windows, fewer_rounds(requested, rounds, limit_s))

    def _add(
        self,
        kind: Kind,
        workload: Facts,
        finished: Finished,
        extra: Mapping[str, Quantity] | None = None,
        reasons: Sequence[Reason] = (),
        at: Place | None = None,
        units: Mapping[str, float] | None = None,
    ) -> None:
        place = at or self._place
        self.usage.measured(units or {})
        described = {**workload, "scale": self._scale, **self._workload}
        recorded = self._recorded | dict(extra or {})
        self._keep(
            assemble(
                place, kind, described, finished, self._session.source, recorded, reasons, units
            )
        )

    def _add_call(
        self,
        function: object,
        finished: Finished,
        known: Operations,
        units: Mapping[str, float],
    ) -> None:
        workload: Facts = {"function": name_of(function)}
        self._add("call", workload, finished, known.metrics, known.reasons, units=units)

    def _current(self) -> Measurement:
        return self._measurements[self._place.id]

    def _extend(self, measured: Measurement, extra: Mapping[str, Quantity]) -> None:
        metrics = {**measured.metrics, **extra, **self._recorded}
        self._keep(measured.model_copy(update={"metrics": metrics}))

    def _keep(self, measured: Measurement) -> None:
        measured = measured.model_copy(
            update={"better": self.usage.better, **self._session.machine}
        )
        self._measurements[measured.id] = measured
        self._measurement = measured


GROWTH: Final = 64
"""How many times its passes a repeated window may have after the next step."""


def _until_long_enough(opened: OpenWindow, plan: Plan, pass_s: float) -> Iterator[int]:
    """How many passes to run next, until a window is long enough or has the most passes.

    The most passes count from where the meter resolves the window, as those of a call do.
    The device is not synchronised between passes, so their number is estimated beforehand.
    """
    longest_s = math.inf if plan.max_time_s is None else plan.max_time_s
    window_s = min(max(plan.window_s or 0.0, plan.shortest_window_s), longest_s)
    most = plan.passes or sys.maxsize
    opened.passes, elapsed_s = 0, 0.0
    while True:
        is_cut = opened.passes >= most
        goal_s = min(plan.shortest_window_s, longest_s) if is_cut else window_s
        if opened.passes and elapsed_s >= goal_s:
            return
        estimated = math.ceil((goal_s - elapsed_s) / pass_s) if pass_s > 0 else 1
        # A clock that stands still gives no estimate; so few passes show it.
        known = max(FEW_PASSES, GROWTH * opened.passes)
        more = min(max(1, estimated), known, sys.maxsize if is_cut else most - opened.passes)
        yield more
        opened.passes += more
        elapsed_s = opened.elapsed_s()
        check_clock(opened.passes, elapsed_s)
        pass_s = elapsed_s / opened.passes


def _mean_units(handles: Sequence[WindowHandle]) -> dict[str, float]:
    """Units of work in one window: the mean over those of one name, for units that all have."""
    names = set.intersection(*(set(handle.counts) for handle in handles)) if handles else set()
    return {name: fmean(handle.counts[name] for handle in handles) for name in sorted(names)}


def _mean_quantity(values: Sequence[Quantity]) -> Quantity:
    """The mean of what the uses of a window recorded.

    Nobody says whether the errors of the uses are independent, so the largest uncertainty stays.
    """
    known = [value.uncertainty for value in values if value.uncertainty is not None]
    return Quantity(
        value=fmean(value.value for value in values),
        unit=values[-1].unit,
        uncertainty=max(known) if len(known) == len(values) else None,
    )


def _as_quantities(values: Mapping[str, float]) -> dict[str, Quantity]:
    return {name: Quantity(value=value, unit="1") for name, value in values.items()}
