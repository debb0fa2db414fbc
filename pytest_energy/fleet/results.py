"""The end of a fleet's run: one results file, one page, one exit status."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_energy.fleet.engine import FAILED
from pytest_energy.fleet.plan import Plan, State
from pytest_energy.model.json_files import save_run
from pytest_energy.model.merge import merge_runs
from pytest_energy.model.result import Run
from pytest_energy.report.outputs import keep_out_of_git, write_outputs
from pytest_energy.session.collection import NO_TESTS
from pytest_energy.session.suite_shift import with_common_changes
from pytest_energy.settings import Settings

INCOMPLETE = 2
"""As pytest's own status after an interruption: not every shard has a verdict."""


def exit_status(plan: Plan, state: State) -> int:
    """The worst of all shards: 0, 1 if one failed, 2 if one has no verdict."""
    states = [state.of(shard.name) for shard in plan.shards]
    if any(one.state != "finished" for one in states):
        return INCOMPLETE
    statuses = {one.exit_status for one in states}
    return FAILED if FAILED in statuses else NO_TESTS if statuses == {NO_TESTS} else 0


def write_results(runs: Mapping[str, Run], results: Path, page: Path) -> tuple[Run, list[str]]:
    """Merge the results of shards as ``pytest-energy merge`` does, and write the page.

    Args:
        runs: By shard; at least one.
        results: The results file to write.
        page: The page to write.

    Returns:
        The merged run, and an error message for a page that could not be written.

    Raises:
        MergeConflictError: Two shards measured a benchmark on cards of the same identity.
        OSError: The results cannot be written.
    """
    merged = with_common_changes(merge_runs([*runs.values()], [*runs]))
    save_run(merged, results)
    keep_out_of_git(results.parent)
    _, failed = write_outputs(merged, Settings(output={"json": results, "html": page}))
    return merged, failed
