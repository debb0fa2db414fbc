"""Values that a test provides: its own metrics and facts, checked before use."""

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
        UsageError: A value is not a finite number, or has the name of a measured metric.
    """
    if taken := sorted(name for name in values if not metric(name).recordable):
        raise UsageError(f"{where}: {taken[0]!r} is measured; give the metric another name")
    return {name: _finite(name, value, where) for name, value in values.items()}


def mean_metrics(reported: Sequence[Mapping[str, object]], where: str) -> dict[str, float]:
    """The mean of each metric over the epochs that have it; raises like :func:`own_metrics`."""
    epochs = [own_metrics(metrics, where) for metrics in reported]
    names = sorted({name for epoch in epochs for name in epoch})
    return {name: fmean(epoch[name] for epoch in epochs if name in epoch) for name in names}


def evaluation(evaluate: Callable[[], Evaluation] | None, where: str) -> dict[str, float]:
    """The metrics of an evaluation, by name; raises like :func:`own_metrics`."""
    score = evaluate() if evaluate is not None else {}
    return own_metrics(score if isinstance(score, Mapping) else {"accuracy": score}, where)


def check_facts(method: str, facts: object, workload: object) -> None:
    """Check the arguments that describe the workload.

    Raises:
        UsageError: An argument cannot be written to the results.
    """
    if isinstance(facts, Mapping):
        _check_each(QUANTITIES, facts, f"energy.{method}(facts=…)", "a Quantity")
    if workload is not None:
        plain = "a string, a finite number, a bool, None, or a list of them"
        _check_each(FACTS, workload, f"energy.{method}(workload=…)", plain)


def _check_each(adapter: TypeAdapter[Any], values: object, where: str, expected: str) -> None:
    if not isinstance(values, Mapping):
        raise UsageError(f"{where}: {values!r} is not a mapping of names to values")
    for name, value in values.items():
        try:
            adapter.validate_python({name: value})
        except ValidationError:
            raise UsageError(f"{where}: {name!r} is {value!r}: expected {expected}") from None


def _finite(name: str, value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, SupportsFloat) else None
    except (
        TypeError,
        ValueError,
        RuntimeError,
        OverflowError,
    ):  # arrays and tensors with several elements
        number = None
    if number is None or not isfinite(number):
        raise UsageError(f"{where}: {name!r} is {value!r}: expected a finite number")
    return number
