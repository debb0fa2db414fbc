"""Run the shards of a plan by an engine, and keep what they find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pytest_energy.clocks import CLOCK
from pytest_energy.fleet.engine import Engine, Outcome, Started
from pytest_energy.fleet.plan import ATTEMPTS, Plan, RunFolder, Shard, State
from pytest_energy.model.files import remove, write_atomically

POLL_S: Final = 1.0
"""Seconds between two updates of the progress, if nothing happens."""


class Coordinator:
    """Runs what a plan leaves to do.

    Args:
        plan: The plan.
        folder: The folder of the run.
        engine: What runs the shards; the caller closes it.
        announce: Called with a line for each event.
        show: Called with the state, about once a second.
    """

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        engine: Engine,
        announce: Callable[[str], object],
        show: Callable[[State], object],
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._engine = engine
        self._announce = announce
        self._show = show
        self._shards = {shard.name: shard for shard in plan.shards}
        self.state = folder.load_state()

    def run(self) -> State:
        """Run all shards that have not finished, and return how all of them ended."""
        missing = [
            shard for shard in self._plan.shards if self.state.of(shard.name).state != "finished"
        ]
        for shard in missing:
            self._change(shard.name, state="waiting", attempts=0)
        self._submit(*missing)
        open_shards = {shard.name for shard in missing}
        while open_shards:
            for event in self._engine.poll(POLL_S):
                if event.shard not in open_shards:
                    continue
                if isinstance(event, Started):
                    self._note_start(event)
                else:
                    self._note_end(event)
                if self.state.of(event.shard).has_ended:
                    open_shards.remove(event.shard)
            self._show(self.state)
        return self.state

    def _submit(self, *shards: Shard) -> None:
        self._engine.submit([self._plan.task(shard) for shard in shards])

    def _note_start(self, event: Started) -> None:
        before = self.state.of(event.shard)
        if before.state == "running":  # the engine itself has run it again
            self._announce(f"{event.shard} died on {before.machine}; it runs again")
        self._change(
            event.shard,
            state="running",
            attempts=before.attempts + 1,
            machine=event.machine,
            began_s=CLOCK.time(),
            ended_s=None,
        )

    def _note_end(self, outcome: Outcome) -> None:
        name = outcome.shard
        write_atomically(self._folder.output(name), outcome.output)
        if outcome.finished:
            self._keep(outcome)
            return
        attempts = max(1, self.state.of(name).attempts)
        where = self.state.of(name).machine or "its machine"
        again = attempts < ATTEMPTS
        remedy = "it runs again" if again else f"see {self._folder.output(name)}"
        self._announce(f"{name} died on {where}: {outcome.reason}; {remedy}")
        if not again and outcome.results is not None:
            write_atomically(self._folder.partial(name), outcome.results)
        self._change(
            name,
            state="waiting" if again else "failed",
            attempts=attempts,
            reason=outcome.reason,
            ended_s=CLOCK.time(),
            exit_status=outcome.exit_status,
        )
        if again:
            self._submit(self._shards[name])

    def _keep(self, outcome: Outcome) -> None:
        """Keep the results first: the state then says nothing that is not there."""
        name = outcome.shard
        root = Path(self._plan.project, self._plan.folder, self._plan.root)
        for path, text in outcome.files.items():
            write_atomically(root / path, text)
        if outcome.results is not None:
            write_atomically(self._folder.results(name), outcome.results)
        remove(self._folder.partial(name))
        changes = {"state": "finished", "exit_status": outcome.exit_status, "reason": ""}
        self._change(name, ended_s=CLOCK.time(), **changes)
        verdict = {0: "passed", 1: "failed"}.get(outcome.exit_status or 0, "ran no test")
        self._announce(f"{name} {verdict}")

    def _change(self, shard: str, **changes: object) -> None:
        self.state = self.state.changed(shard, **changes)
        self._folder.save_state(self.state)
