"""What becomes of shards that finish, die, or are left over by an earlier process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.fleet import collection
from pytest_energy.fleet.coordinator import Coordinator
from pytest_energy.fleet.engine import Outcome, Started, Task
from pytest_energy.fleet.plan import Plan, RunFolder, Shard, ShardState, State
from pytest_energy.fleet.results import exit_status
from pytest_energy.fleet.standing import describe, remaining_s, table
from pytest_energy.model.json_files import dump_run
from pytest_energy.session.collection import Collection
from tests.history.runs import history


class ScriptedEngine:
    """Runs nothing: each task ends as ``ending`` says."""

    def __init__(self, ending: Callable[[Task], Sequence[Started | Outcome]]) -> None:
        self.submitted: list[str] = []
        self._ending = ending
        self._events: list[Started | Outcome] = []

    def check(self, accelerators: Sequence[str]) -> None: ...

    def submit(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self.submitted.append(task.shard)
            self._events += self._ending(task)

    def poll(self, timeout_s: float) -> list[Started | Outcome]:
        events, self._events = self._events, []
        return events

    def close(self) -> None: ...


class Fleet:
    """A run of three shards, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self.folder = RunFolder(folder / ".energy/fleet/run")
        shards = [
            Shard(name=name, accelerator=name[:4].upper(), arguments=[name], tests=2)
            for name in ("h100-1", "a100-1", "a100-2")
        ]
        self.plan = Plan(
            created="2026-11-29T09:15:00Z",
            project=str(folder),
            folder=".",
            root=".",
            options=[],
            engine="scripted",
            shards=shards,
        )
        self.folder.save_plan(self.plan)

    def run(self, ending: Callable[[Task], Sequence[Started | Outcome]]) -> list[str]:
        """Run it to its end and return the shards that were submitted."""
        engine = ScriptedEngine(ending)
        self._coordinate(engine)
        return engine.submitted

    def _coordinate(self, engine: ScriptedEngine) -> None:
        Coordinator(self.plan, self.folder, engine, self.lines.append, lambda state: None).run()

    @property
    def state(self) -> State:
        """How far it is, by its files."""
        return self.folder.load_state()


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fleet that has not begun."""
    monkeypatch.chdir(tmp_path)
    return Fleet(tmp_path)


def results(task: Task) -> str:
    """Results of a shard, with ids of its own."""
    (run,) = history(1, 2)
    benchmarks = [
        result.model_copy(update={"id": f"{task.shard}::{result.id}"}) for result in run.benchmarks
    ]
    return dump_run(run.model_copy(update={"benchmarks": benchmarks}))


def passing(task: Task) -> list[Started | Outcome]:
    """A shard that passes, and writes a baseline."""
    files = {f"baselines/{task.shard}.json": "{}"}
    ended = Outcome(task.shard, 0, results(task), "2 passed", files=files)
    return [Started(task.shard, f"node of {task.shard}"), ended]


def test_results_outputs_and_baselines_are_kept(fleet: Fleet) -> None:
    """Each shard has a results file, its output, and the baselines that it wrote."""
    assert fleet.run(passing) == ["h100-1", "a100-1", "a100-2"]
    assert fleet.folder.output("a100-2").read_text() == "2 passed"
    assert set(fleet.folder.load_results(fleet.plan)) == {"h100-1", "a100-1", "a100-2"}
    assert Path("baselines/h100-1.json").read_text() == "{}"
    assert exit_status(fleet.plan, fleet.state) == 0


def test_a_shard_that_dies_is_named_and_runs_once_more(fleet: Fleet) -> None:
    """The second time counts; nothing else runs again."""
    deaths = ["a100-1"]

    def ending(task: Task) -> list[Started | Outcome]:
        if task.shard not in deaths:
            return passing(task)
        deaths.remove(task.shard)
        return [Started(task.shard, "node 7"), Outcome(task.shard, reason="killed by SIGKILL")]

    assert fleet.run(ending).count("a100-1") == 2
    assert "a100-1 died on node 7: killed by SIGKILL; it runs again" in fleet.lines
    assert fleet.state.of("a100-1").attempts == 2
    assert exit_status(fleet.plan, fleet.state) == 0


def test_a_shard_that_dies_twice_has_no_verdict(fleet: Fleet) -> None:
    """What it had found is kept apart, and resuming runs this shard alone."""

    def ending(task: Task) -> list[Started | Outcome]:
        if task.shard != "a100-2":
            return passing(task)
        died = Outcome(task.shard, 3, results(task), reason="pytest ended with exit status 3")
        return [Started(task.shard, "node 7"), died]

    assert fleet.run(ending).count("a100-2") == 2
    assert exit_status(fleet.plan, fleet.state) == 2
    assert not fleet.folder.results("a100-2").exists()
    assert "a100-2" in fleet.folder.load_results(fleet.plan), "the partial results are merged"
    assert fleet.run(passing) == ["a100-2"]
    assert exit_status(fleet.plan, fleet.state) == 0
    assert not fleet.folder.partial("a100-2").exists()


def test_an_engine_that_retries_by_itself_is_counted(fleet: Fleet) -> None:
    """A second start of a shard means that the first one died: there is no third one."""

    def ending(task: Task) -> list[Started | Outcome]:
        if task.shard != "h100-1":
            return passing(task)
        again = [Started(task.shard, machine) for machine in ("node 1", "node 2")]
        return [*again, Outcome(task.shard, reason="its node died")]

    assert fleet.run(ending).count("h100-1") == 1
    assert "h100-1 died on node 1; it runs again" in fleet.lines
    assert fleet.state.of("h100-1").state == "failed"


def test_an_interrupted_run_goes_on_where_it_was(fleet: Fleet) -> None:
    """Shards that had finished are not measured again."""
    engine = ScriptedEngine(lambda task: passing(task) if task.shard == "h100-1" else ())
    polls = iter([engine.poll])

    def poll(timeout_s: float) -> list[Started | Outcome]:
        for first in polls:
            return first(timeout_s)
        raise KeyboardInterrupt

    engine.poll = poll  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        fleet._coordinate(engine)
    assert fleet.run(passing) == ["a100-1", "a100-2"]


@pytest.mark.parametrize(
    ("statuses", "status"),
    [((0, 0, 0), 0), ((0, 1, 0), 1), ((5, 0, 5), 0), ((5, 5, 5), 5)],
)
def test_the_exit_status_is_the_worst_of_all_shards(
    fleet: Fleet, statuses: tuple[int, ...], status: int
) -> None:
    """A shard without tests says nothing beside others."""
    by_shard = dict(zip((shard.name for shard in fleet.plan.shards), statuses, strict=True))
    fleet.run(lambda task: [Outcome(task.shard, by_shard[task.shard])])
    assert exit_status(fleet.plan, fleet.state) == status


def test_the_progress_has_counts_kinds_and_the_time_left(fleet: Fleet) -> None:
    """Two shards of a kind: one took 60 s, the other has run for 20 s."""
    ended = ShardState(state="finished", began_s=0.0, ended_s=60.0, exit_status=1)
    running = ShardState(state="running", began_s=60.0, machine="node 7", attempts=2)
    state = State(shards={"h100-1": ended, "a100-1": ended, "a100-2": running})
    assert describe(fleet.plan, state, 80.0) == (
        "2 of 3 shards done, 1 running · about 40 s left · H100 1/1 · A100 1/2"
    )
    assert [*table(fleet.plan, state, 80.0)][2] == (
        "a100-2  running · 2 tests · 20 s · node 7 · attempt 2"
    )
    assert remaining_s(fleet.plan, State(), 80.0) is None
    done = State(shards=dict.fromkeys(state.shards, ended))
    assert describe(fleet.plan, done, 80.0) == "3 of 3 shards done · H100 1/1 · A100 2/2"


def test_status_says_how_to_go_on(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest run is shown, and that no process runs it: then no shard runs."""
    fleet.folder.save_state(State().changed("h100-1", state="running", began_s=0.0))
    assert main(["fleet", "status"]) == 0
    shown = capsys.readouterr().out
    assert "run: 0 of 3 shards done, 3 waiting" in shown
    assert "Continue: pytest-energy fleet run --resume run" in shown


@pytest.mark.parametrize(("engine", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    engine: str,
    library: str,
) -> None:
    """Before tests are collected, with the command that installs it."""
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"pytest_energy.fleet.engines.{engine}", raising=False)
    assert main(["fleet", "run", "--accelerator=H100", f"--engine={engine}"]) == 2
    assert f'install it: pip install "pytest-energy[{engine}]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "output", "message"),
    [
        (5, ["no tests ran in 0.01s"], "no tests collected from tests -k x; no tests ran"),
        (
            2,
            ["E   ModuleNotFoundError: No module named 'x'", "ERROR test_a.py", "1 error in 0.1s"],
            "failed: ERROR test_a.py; ModuleNotFoundError: No module named 'x'",
        ),
        (4, ["", "unrecognized arguments: --foo"], "failed: unrecognized arguments: --foo"),
    ],
)
def test_tests_that_cannot_be_collected_say_why(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    output: list[str],
    message: str,
) -> None:
    """In pytest's own words; nothing is planned then."""
    ended = Collection((), status, {}, tuple(output))
    monkeypatch.setattr(collection, "run_collection", lambda arguments: ended)
    words = ["fleet", "run", "tests", "--accelerator=H100", "--engine=local", "--", "-k", "x"]
    assert main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tests"], "no --accelerator; name at least one"),
        (["run", "--accelerator", "H100"], "no --engine; choose one of"),
        (["run", "--resume", "never"], "no run 'never' in .energy/fleet; there are run"),
        (["run", "tests", "--resume", "run"], "has its own tests and options"),
        (["run", "--", "--energy-html=x"], "--energy-html=x: the fleet itself writes"),
        (
            ["run", "--accelerator", "H100", "--engine", "local", "--engine-option", "x"],
            "expected NAME=VALUE",
        ),
        (["run", "--accelerator", "H100", "--engine", "x"], "choose one of local"),
        (["status", "never"], "no run 'never'"),
    ],
)
def test_misuse_is_refused(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """The error says what was expected."""
    assert main(["fleet", *arguments]) == 2
    assert message in capsys.readouterr().err
