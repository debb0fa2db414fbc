"""The ``energy`` fixture, as tests use it.

:class:`Energy` itself is the fixture without ``--energy``: it runs each benchmark once and measures
nothing. With ``--energy`` the fixture is a
:class:`~pytest_energy.session.measuring_energy.MeasuringEnergy`.
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
"""An accuracy between 0 and 1, or several metrics by name, including ``accuracy``."""
Workload = Mapping[str, Any]
"""Facts about what runs: plain JSON values by name."""


class Energy:
    """Measures the energy of what a test runs; this class itself measures nothing.

    A test uses :meth:`inference`, :meth:`training`, a plain call or :meth:`pedantic` once. Or it
    uses :meth:`window` any number of times; each name is a separate benchmark. Measuring in a
    fixture's teardown, after the body of the test, is refused.
    """

    enabled: bool = False
    """Whether the fixture measures: True with ``--energy``."""
    scale: Scale = "small"
    """``small`` on machines without a GPU, unless ``--energy-scale`` is set."""
    measures_gpu: bool = False
    """Whether joules of a GPU are measured."""
    measurement: Measurement | None = None
    """The last measurement; ``None`` before the first one, and always without ``--energy``."""

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        """The folder of ``--energy-data``, also without ``--energy``."""

    @property
    def device(self) -> str:
        """The torch device for models: ``cuda:0`` if torch can use it, else ``cpu``."""
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
        """Measure forward passes: joules and seconds per pass.

        Args:
            model: An ``nn.Module``, which is moved to :attr:`device` and switched to ``eval()``, or
                any callable.
            input_shape: Shape of one sample, without the batch axis, such as ``(3, 224, 224)``.
            batch_size: Samples per pass.
            make_input: Makes one batch on :attr:`device`; by default seeded random numbers.
            passes: Passes per round; the marker and the command line take precedence. By default
                10,000, or 20 at small scale. Fewer run if they would exceed ``--energy-max-time``.
            rounds: Windows to measure, with the same precedence. By default 3.
            facts: Whether to count parameters, MACs and FLOPs; or their values, if the test knows
                them.
            workload: Facts to add, such as ``{"model": "small", "cache": True}``.

        Raises:
            UsageError: torch is missing, a number is too small, or the test has already measured a
                benchmark.
        """
        from pytest_energy.measuring.forward_passes import prepare

        check_counts("inference", batch_size=batch_size, passes=passes, rounds=rounds)
        prepare(model, input_shape, batch_size, self.device, make_input)(1)

    def training(
        self,
        train_one_epoch: Callable[[], Mapping[str, float] | object],
        *,
        epochs: int | None = None,
        scale_to: int | None = None,
        evaluate: Callable[[], Evaluation] | None = None,
        model: object | None = None,
        input_shape: Sequence[int] | None = None,
        batch_size: int | None = None,
        facts: bool | Mapping[str, Quantity] = True,
        workload: Workload | None = None,
    ) -> None:
        """Measure training: joules per epoch, after one epoch of warm-up.

        Args:
            train_one_epoch: Runs one epoch. If it returns a mapping, such as
                ``{"data_wait_share": 0.1}``, the means over the measured epochs become metrics.
            epochs: Epochs to measure, each in one window; the marker and the command line take
                precedence. By default 10, or fewer if they would exceed ``--energy-max-time``.
            scale_to: Epochs of the full schedule, for ``total_energy_j``.
            evaluate: Called after the last epoch, outside every window. Returns an accuracy between
                0 and 1, or metrics by name. Score is ``miou``, else ``map``, else ``accuracy``, per
                kWh.
            model: For parameters, MACs and FLOPs.
            input_shape: Shape of one sample, for MACs and FLOPs.
            batch_size: Samples per step, for the record.
            facts: As for :meth:`inference`.
            workload: Facts to add.

        Raises:
            UsageError: A number is too small, or the test has already measured a benchmark.
        """
        check_counts("training", epochs=epochs, scale_to=scale_to, batch_size=batch_size)
        train_one_epoch()
        if evaluate is not None:
            evaluate()

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Measure a call, as ``benchmark(function, *args)`` does: joules and seconds per call.

        A call is timed first. Each round then has as many calls as fill ``--energy-window``: five
        seconds on a GPU.

        Returns:
            What the last call of ``function`` returned.
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
            target: The function to call.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            setup: Called before each round, outside the window. It needs ``iterations=1``. It may
                return ``(args, kwargs)``, but only if this call passes neither.
            rounds: Windows.
            iterations: Calls per window.
            warmup_rounds: Rounds before the first measured one.

        Returns:
            What the last call of ``target`` returned.

        Raises:
            UsageError: A number is too small, or two arguments exclude each other.
        """
        checked = check_pedantic(args, kwargs, setup, rounds, iterations, warmup_rounds)
        arguments, keywords = checked()
        return target(*arguments, **keywords)

    @contextmanager
    def window(self, name: str) -> Iterator[None]:
        """Measure the body of a ``with`` statement as a benchmark called ``name``.

        Each further use of the same name adds a round. After ``--energy-max-time`` the body runs
        without being measured.

        Raises:
            UsageError: Another measurement is running, a benchmark other than a window was
                measured before, or ``name`` cannot be part of a benchmark's id.
        """
        check_name(name)
        yield

    def record(self, **metrics: float) -> None:
        """Add your own metrics, such as ``accuracy=0.87``, to the benchmark of this test.

        A test that records metrics but measures nothing fails at its end.

        Raises:
            UsageError: A value is not a finite number, or a name is that of a measured metric.
        """


def check_counts(method: str, least: int = 1, **counts: object) -> None:
    """Check arguments that are counts; ``None`` means that the caller did not pass one.

    Raises:
        UsageError: A value is not a whole number of at least ``least``.
    """
    for name, value in counts.items():
        if value is None or (isinstance(value, SupportsIndex) and index(value) >= least):
            continue
        raise UsageError(
            f"energy.{method}({name}={value!r}): expected a whole number of at least {least}"
        )


def check_name(name: str) -> None:
    """Check the name of a window, which becomes the end of its benchmark's id.

    Raises:
        UsageError: It is empty, has several lines, or has ``::``, which separates an id's parts.
    """
    if not name.strip() or name.splitlines() != [name] or "::" in name:
        raise UsageError(f"energy.window({name!r}): expected a name of one line without '::'")


Arguments = Callable[[], tuple[Sequence[Any], Mapping[str, Any]]]
"""Returns the positional and keyword arguments of one round."""


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
        A function that returns the arguments of a round, after calling ``setup`` if there is one.

    Raises:
        UsageError: A number is too small, or two arguments exclude each other.
    """
    check_counts("pedantic", rounds=rounds, iterations=iterations)
    check_counts("pedantic", 0, warmup_rounds=warmup_rounds)
    if setup is not None and iterations > 1:
        raise UsageError("energy.pedantic: setup needs iterations=1")

    def arguments() -> tuple[Sequence[Any], Mapping[str, Any]]:
        from_setup = setup() if setup is not None else None
        if from_setup is None:
            return args, kwargs or {}
        if args or kwargs:
            raise UsageError(
                "energy.pedantic: pass args and kwargs, or return them from setup, but not both"
            )
        return from_setup

    return arguments
