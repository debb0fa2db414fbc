"""A result as JUnit properties, which ``pytest --junitxml`` writes below a test case."""

from __future__ import annotations

from pytest_energy.model.environment import is_simulated, slug
from pytest_energy.model.json_files import encodable_text
from pytest_energy.model.measurement import PARTS, Environment
from pytest_energy.model.result import Result


def properties(result: Result, environment: Environment) -> list[tuple[str, str]]:
    """Names and values for ``item.user_properties``, in the order of the result.

    Each metric is ``energy.NAME``, with its unit in ``energy.NAME.unit`` and its 95 % half-width,
    if known, in ``energy.NAME.uncertainty``. A metric that was not measured has no property. The
    names of the properties of a window or candidate begin with ``energy.NAME.``, its own name.

    Args:
        result: The result.
        environment: The machine of its run. A simulated device has ``energy.simulated``.
    """
    values = [("outcome", result.verdict.outcome.value), ("status", result.status)]
    if result.meter is not None:
        values.append(("meter", result.meter.name))
    identity = result.measured_in(environment).identity
    values.append(("machine", slug(identity)))
    if is_simulated(identity):
        values.append(("simulated", "true"))
    for name, quantity in result.metrics.items():
        # repr is the shortest text that reads back as the same float.
        values.append((name, repr(quantity.value)))
        values.append((f"{name}.unit", quantity.unit))
        if quantity.uncertainty is not None:
            values.append((f"{name}.uncertainty", repr(quantity.uncertainty)))
    for metric in result.verdict.metrics:
        if metric.change is not None:
            values.append((f"{metric.metric}.change", repr(metric.change)))
    values += [(f"reason.{reason.code}", reason.message) for reason in result.reasons]
    part = f"{result.id.rpartition('::')[2]}." if result.kind in PARTS else ""
    # pytest's own writer fails at half of a surrogate pair, and with it the results of all tests.
    return [(_xml_name(f"energy.{part}{name}"), encodable_text(value)) for name, value in values]


def _xml_name(name: str) -> str:
    """A name with escapes for control characters, which XML forbids and pytest leaves in names."""
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)
