"""Short names of the machines of a run, by which files for CI tell their series apart."""

from __future__ import annotations

import json

from pytest_energy.model.environment import slug
from pytest_energy.model.measurement import Facts
from pytest_energy.model.result import Result, Run
from pytest_energy.report.numbers import machine_fact


class Machines:
    """The machines of a run, each with a name of its own: ``nvidia-h200``.

    Machines of the same kind that are not comparable, such as those with other power limits, have
    a number behind it: ``nvidia-h200-2``.
    """

    def __init__(self, run: Run) -> None:
        self._environment = run.environment
        identities = (self._identity(result) for result in run.benchmarks)
        self._names: dict[str, str] = {}
        self.identities: dict[str, Facts] = {}
        """By name, that of the run's first results first."""
        for identity in (*identities, run.environment.identity):
            self._add(identity)

    def of(self, result: Result) -> str:
        """The name of the machine that a result was measured on."""
        return self._names[_key(self._identity(result))]

    def _identity(self, result: Result) -> Facts:
        return result.measured_in(self._environment).identity

    def _add(self, identity: Facts) -> None:
        if _key(identity) in self._names:
            return
        name, number = slug(identity), 1
        while name in self.identities:
            number += 1
            name = f"{slug(identity)}-{number}"
        self._names[_key(identity)] = name
        self.identities[name] = identity


def devices(run: Run) -> str | None:
    """``NVIDIA H200, NVIDIA A100``: the devices that measured; ``None`` if none is known."""
    measured = [result.measured_in(run.environment) for result in run.benchmarks]
    identities = [each.identity for each in measured or [run.environment]]
    # Of GPUs of several kinds the fact is a list.
    named = [machine_fact(identity["device"]) for identity in identities if identity.get("device")]
    return ", ".join(dict.fromkeys(named)) or None


def _key(identity: Facts) -> str:
    return json.dumps(identity, sort_keys=True)
