"""What a test calls: the ``energy`` fixture.

:class:`Energy` itself is the fixture without ``--energy``: it runs each body once, as a plain
test, and measures nothing. :class:`~pytest_energy.session.measuring_energy.MeasuringEnergy`
measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, SupportsIndex, TypeVar

from pytest_energy.errors import UsageError

if TYPE_CHECKING:
    from pytest_energy.model.measurement import Measurement, Quantity
    from pytest_energy.settings import Scale

P = ParamSpec("P")
T = TypeVar("T")

Evaluation = float | Mapping[str, float]
"""An accuracy between 0 and 1, or several metrics by name, ``accuracy`` among them."""
Workload = Mapping[str, Any]
"""Facts that say what is run: plain JSON values by name."""


class Energy:
    """Energy of what a test runs, in joules; in this class, of nothing.

    A test uses one of :meth:`inference`, :meth:`training`, a plain call or :meth:`pedantic`, once;
    or :meth:`window` any number of times, each name a benchmark of its own. What it measures ends
    with its body: a fixture's teardown is refused.
    """

    enabled: bool = False
    """Whether anything is measured: True with ``--energy``."""
    scale: Scale = "small"
    """``small`` on machines without a GPU, unless ``--energy-scale`` says otherwise."""
    measurement: Measurement | None = None
    """The measurement finished last; ``None`` before, and always without ``--energy``."""

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        """The folder of ``--energy-data``, also without ``--energy``."""

    @property
    def device(self) -> str:
        """The torch device to put models on: ``cuda:0`` where torch can use it, else ``cpu``."""
        from pytest_energy.measuring.forward_passes import default_device

        return default_device()

    def inference(
        self,
        model: Callable[[Any], Any],
        *,
        input_shape: Sequence[int],
        batch_size: int = 1,
        make_input: Callable[[], Any] | None = None,
        passes: int | None = None,
        rounds: int | None = None,
        facts: bool | Mapping[str, Quantity] = True,
        workload: Workload | None = None,
    ) -> None:
        """Measure forward passes: joules and seconds a pass.

        Args:
            model: An ``nn.Module``, which is put on :attr:`device` and switched to ``eval()``, or
                any callable.
            input_shape: Shape of one sample, without the batch axis, such as ``(3, 224, 224)``.
            batch_size: Samples a pass.
            make_input: Makes one batch on :attr:`device`; by default seeded random numbers.
            passes: Passes a round; the command line and the marker win. By default 10,000, or 20
                at small scale.
            rounds: Windows to measure; likewise. By default 3.
            facts: Whether to count parameters, MACs and FLOPs, or their values where the test
                knows them.
            workload: Facts to add, such as ``{"model": "small", "cache": True}``.

        Raises:
            UsageError: torch is missing, a number is too small, or the test has measured a
                benchmark already.
        """
        from pytest_energy.measuring.forward_passes import prepare

        check_counts("inference", batch_size=batch_size, passes=passes, rounds=rounds)
        prepare(model, input_shape, batch_size, self.device, make_input)(1)

    def training(
        self,
        train_one_epoch: Callable[[], Mapping[str, float] | object],
        *,
        epochs: int = 10,
        scale_to: int | None = None,
        evaluate: Callable[[], Evaluation] | None = None,
        model: object | None = None,
        input_shape: Sequence[int] | None = None,
        batch_size: int | None = None,
        facts: bool | Mapping[str, Quantity] = True,
        workload: Workload | None = None,
    ) -> None:
        """Measure training: joules an epoch, after one epoch of warm-up.

        Args:
            train_one_epoch: Runs one epoch. A mapping that it returns is recorded as metrics (the
                mean over the measured epochs), such as ``{"data_wait_share": 0.1}``.
            epochs: Epochs to measure, each a window; the command line and the marker win.
            scale_to: Epochs of the full schedule; gives ``total_energy_j``.
            evaluate: Called after the last epoch, outside every window: an accuracy between 0 and
                1, or metrics by name. Score is ``miou``, else ``map``, else ``accuracy`` / kWh.
            model: For parameters, MACs and FLOPs.
            input_shape: Shape of one sample, for MACs and FLOPs.
            batch_size: Samples a step, recorded.
            facts: As for :meth:`inference`.
            workload: Facts to add.

        Raises:
            UsageError: A number is too small, or the test has measured a benchmark already.
        """
        check_counts("training", epochs=epochs, scale_to=scale_to, batch_size=batch_size)
        train_one_epoch()
        if evaluate is not None:
            evaluate()

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Measure a call, as ``benchmark(function, *args)`` does: joules and seconds a call.

        Returns:
            What ``function`` returned, the last time it was called.
        """
        return function(*args, **kwargs)

    def pedantic(
        self,
        target: Callable[..., T],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        setup: Callable[[], tuple[Sequence[Any], Mapping[str, Any]] | None] | None = None,
        rounds: int = 1,
        iterations: int = 1,
        warmup_rounds: int = 0,
    ) -> T:
        """Measure a call with full control, as ``benchmark.pedantic`` does.

        Args:
            target: What to call.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            setup: Called before each round, outside the window; may return ``(args, kwargs)``,
                and then no ``args`` or ``kwargs`` may be given, nor more than one iteration.
            rounds: Windows.
            iterations: Calls a window.
            warmup_rounds: Rounds before the first one measured.

        Returns:
            What ``target`` returned, the last time it was called.

        Raises:
            UsageError: A number is too small, or the arguments contradict one another.
        """
        checked = check_pedantic(args, kwargs, setup, rounds, iterations, warmup_rounds)
        arguments, keywords = checked()
        return target(*arguments, **keywords)

    @contextmanager
    def window(self, name: str) -> Iterator[None]:
        """Measure the body of a ``with`` statement as a benchmark called ``name``.

        Entered again under the same name, it adds a round; once ``--energy-max-time`` is used up,
        the body is run without being measured.

        Raises:
            UsageError: It is inside another measurement, or after one that is no window; or
                ``name`` cannot be a part of the benchmark's id.
        """
        check_name(name)
        yield

    def record(self, **metrics: float) -> None:
        """Add metrics of one's own, such as ``accuracy=0.87``, to the benchmark of this test.

        Raises:
            UsageError: One is no finite number, or is measured. A test that records and measures
                nothing fails at its end.
        """


def check_counts(method: str, least: int = 1, **counts: object) -> None:
    """Check arguments that count something; ``None`` stands for one that was not given.

    Raises:
        UsageError: One is not a whole number of at least ``least``.
    """
    for name, value in counts.items():
        if value is None or (isinstance(value, SupportsIndex) and index(value) >= least):
            continue
        raise UsageError(
            f"energy.{method}({name}={value!r}): expected a whole number of at least {least}"
        )


def check_name(name: str) -> None:
    """Check the name of a window, which ends the id of its benchmark.

    Raises:
        UsageError: It is empty, has several lines, or holds ``::``, which separates an id's parts.
    """
    if not name.strip() or name.splitlines() != [name] or "::" in name:
        raise UsageError(f"energy.window({name!r}): expected a name of one line without '::'")


Arguments = Callable[[], tuple[Sequence[Any], Mapping[str, Any]]]


def check_pedantic(
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    setup: Callable[[], tuple[Sequence[Any], Mapping[str, Any]] | None] | None,
    rounds: int,
    iterations: int,
    warmup_rounds: int,
) -> Arguments:
    """Check the arguments of :meth:`Energy.pedantic`.

    Returns:
        A function that gives a round's arguments, calling ``setup`` where there is one.

    Raises:
        UsageError: A number is too small, or they contradict one another.
    """
    check_counts("pedantic", rounds=rounds, iterations=iterations)
    check_counts("pedantic", 0, warmup_rounds=warmup_rounds)
    if setup is not None and iterations > 1:
        raise UsageError("energy.pedantic: setup goes with iterations=1 only")

    def arguments() -> tuple[Sequence[Any], Mapping[str, Any]]:
        made = setup() if setup is not None else None
        if made is None:
            return args, kwargs or {}
        if args or kwargs:
            raise UsageError("energy.pedantic: args and kwargs given, and setup returns them too")
        return made

    return arguments
