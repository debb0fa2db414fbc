"""A result as JUnit properties: what ``pytest --junitxml`` writes beneath a test case."""

from __future__ import annotations

from pytest_energy.model.result import Result


def properties(result: Result) -> list[tuple[str, str]]:
    """Names and values for ``item.user_properties``, in the order of the result.

    Every metric is ``energy.NAME`` with its unit in ``energy.NAME.unit`` and, where it is known,
    its 95 % half-width in ``energy.NAME.uncertainty``. What was not measured has no property. A
    test may have several windows: the names of theirs begin with ``energy.WINDOW.``.
    """
    window = f"{result.id.rpartition('::')[2]}." if result.kind == "window" else ""
    return [(f"energy.{window}{name}", value) for name, value in _values(result)]


def _values(result: Result) -> list[tuple[str, str]]:
    found = [("outcome", result.verdict.outcome.value), ("status", result.status)]
    if result.meter is not None:
        found.append(("meter", result.meter.name))
    for name, quantity in result.metrics.items():
        found.append((name, repr(quantity.value)))
        found.append((f"{name}.unit", quantity.unit))
        if quantity.uncertainty is not None:
            found.append((f"{name}.uncertainty", repr(quantity.uncertainty)))
    for metric in result.verdict.metrics:
        if metric.change is not None:
            found.append((f"{metric.metric}.change", repr(metric.change)))
    found += [(f"reason.{reason.code}", reason.message) for reason in result.reasons]
    return found
