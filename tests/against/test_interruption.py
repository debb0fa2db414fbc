"""A session that is stopped keeps what was decided; blocks come from a script, not from sides."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import scipy.optimize  # pytester forgets what a nested session imports, and numpy loads only once
import scipy.special  # noqa: F401

from pytest_energy.against import campaign
from pytest_energy.against.blocks import Pair, Paired
from pytest_energy.model.json_files import load_run
from tests.against.conftest import git
from tests.against.test_comparing import measured, passed

SUITE = """
def test_quick(energy):
    energy(len, "x")

def test_slow(energy):
    energy(len, "x")
"""


def stop_in_block(number: int, signal_number: signal.Signals) -> Callable[..., None]:
    """Return what stands for the walk of a pair: it sends a signal in the given block.

    The quick test is unchanged in every block, the slow one scatters too much to be decided.
    """
    walks: list[Pair] = []

    def walk(
        pair: Pair, tests: Sequence[str], whole_runs: Any, draw: Any, take: Any, watch: Any
    ) -> None:
        if pair.base.name != pair.head.name:
            walks.append(pair)
        if len(walks) == number:
            os.kill(os.getpid(), signal_number)
        for test in tests:
            scatter = 1.5 if "slow" in test and len(walks) % 2 else 1.0
            take(
                test,
                Paired("base", passed(measured([1.0], test)), passed(measured([scatter], test))),
            )

    return walk


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_what_was_decided(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """After Ctrl-C or a cancelled job the results are there, and the worktree is gone."""
    pytester.makepyfile(test_stopped=SUITE)
    git(pytester.path, "init", "--quiet")
    git(pytester.path, "add", "--all")
    git(pytester.path, "commit", "--quiet", "--message", "one")
    monkeypatch.setattr(campaign, "walk", stop_in_block(4, number))
    before = signal.getsignal(signal.SIGTERM)
    done = pytester.runpytest_inprocess(
        *("--energy", "--energy-against=HEAD", "-p", "no:xdist"), no_reraise_ctrlc=True
    )
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert signal.getsignal(signal.SIGTERM) is before
    run = load_run(Path(".energy/results.json"))
    outcomes = {result.id.partition("::")[2]: result.verdict for result in run.benchmarks}
    assert outcomes["test_quick"].outcome == "unchanged"
    assert outcomes["test_slow"].outcome == "inconclusive"
    undecided = outcomes["test_slow"].undecided
    assert undecided is not None
    assert undecided.limit == "interruption"
    assert not run.run.complete
    assert len(git(pytester.path, "worktree", "list").splitlines()) == 1
