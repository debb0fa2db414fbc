"""What a test gives beside what it runs: metrics of its own, and facts, checked before use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from statistics import fmean
from typing import Any, SupportsFloat

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pytest_energy.errors import UsageError
from pytest_energy.fixture import Evaluation
from pytest_energy.model.measurement import Facts, Quantity
from pytest_energy.model.metrics import metric

FACTS = TypeAdapter(Facts, config=ConfigDict(allow_inf_nan=False))
QUANTITIES = TypeAdapter(dict[str, Quantity])


def own_metrics(values: Mapping[str, object], where: str) -> dict[str, float]:
    """A test's own metrics as plain numbers.

    Raises:
        UsageError: One is no finite number, or has the name of a metric that only a measurement
            may give.
    """
    if taken := sorted(name for name in values if not metric(name).recordable):
        raise UsageError(f"{where}: {taken[0]!r} is measured; give the metric another name")
    return {name: _finite(name, value, where) for name, value in values.items()}


def mean_metrics(told: Sequence[Mapping[str, object]], where: str) -> dict[str, float]:
    """The mean of each metric over the epochs that told it; raises as :func:`own_metrics`."""
    epochs = [own_metrics(epoch, where) for epoch in told]
    names = sorted({name for epoch in epochs for name in epoch})
    return {name: fmean(epoch[name] for epoch in epochs if name in epoch) for name in names}


def evaluation(evaluate: Callable[[], Evaluation] | None, where: str) -> dict[str, float]:
    """What an evaluation gave, by name; raises as :func:`own_metrics`."""
    found = evaluate() if evaluate is not None else {}
    return own_metrics(found if isinstance(found, Mapping) else {"accuracy": found}, where)


def check_facts(method: str, facts: object, workload: object) -> None:
    """Check the arguments that describe what is run.

    Raises:
        UsageError: One cannot be written to the results.
    """
    if isinstance(facts, Mapping):
        _check_each(QUANTITIES, facts, f"energy.{method}(facts=…)", "a Quantity")
    if workload is not None:
        plain = "a string, a finite number, a bool, None, or a list of them"
        _check_each(FACTS, workload, f"energy.{method}(workload=…)", plain)


def _check_each(adapter: TypeAdapter[Any], given: object, where: str, expected: str) -> None:
    if not isinstance(given, Mapping):
        raise UsageError(f"{where}: {given!r} is not a mapping of names to values")
    for name, value in given.items():
        try:
            adapter.validate_python({name: value})
        except ValidationError:
            raise UsageError(f"{where}: {name!r} is {value!r}: expected {expected}") from None


def _finite(name: str, value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, SupportsFloat) else None
    except (TypeError, ValueError, RuntimeError, OverflowError):  # arrays and tensors of many
        number = None
    if number is None or not isfinite(number):
        raise UsageError(f"{where}: {name!r} is {value!r}: expected a finite number")
    return number
