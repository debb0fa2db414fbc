"""The distribution of tests over simulated workers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.model.measurement import Quantity
from pytest_energy.plugin.xdist_scheduling import (
    CardScheduling,
    boards_of_baselines,
    seconds_of_baselines,
)
from tests.gate_data import H200, measurement, store_with
from tests.plugin.conftest import Project

BOARDS = {"gw0": "a", "gw1": "b", "gw2": "c"}


class Worker:
    """Runs a test as soon as it knows the next one, as xdist's workers do."""

    def __init__(self, name, tests):
        self.gateway = SimpleNamespace(id=name)
        self.tests = tests
        self.queue = []
        self.ran = []
        self.shutting_down = False

    def send_runtest_some(self, indices):
        assert not self.shutting_down
        self.queue += [self.tests[index] for index in indices]

    def shutdown(self):
        self.shutting_down = True

    def may_run(self):
        return len(self.queue) > 1 or (self.queue and self.shutting_down)

    def run_one(self, scheduling):
        test = self.queue.pop(0)
        self.ran.append(test)
        scheduling.mark_test_complete(self, self.tests.index(test))


def start(tests, wanted=None, names=("gw0", "gw1", "gw2")):
    """Start a session; return its scheduling and its workers."""
    wanted = {test: frozenset(boards) for test, boards in (wanted or {}).items()}
    scheduling = CardScheduling(len(names), wanted, BOARDS)
    workers = [Worker(name, tests) for name in names]
    for worker in workers:
        scheduling.add_node(worker)
    for worker in workers:
        scheduling.add_node_collection(worker, tests)
    assert scheduling.collection_is_completed
    scheduling.schedule()
    return scheduling, workers


def finish(scheduling, workers):
    """Run to the end, one test per worker in rotation; return what each worker ran."""
    while ready := [worker for worker in workers if worker.may_run()]:
        for worker in ready:
            worker.run_one(scheduling)
        if scheduling.tests_finished:  # then xdist ends all workers
            for worker in workers:
                worker.shutdown()
    assert not scheduling.has_pending
    return {worker.gateway.id: worker.ran for worker in workers}


def everything(ran):
    """Return what all workers ran."""
    return [test for tests in ran.values() for test in tests]


def names(count):
    """Return ``count`` test ids."""
    return [f"t.py::test_{number}" for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 30])
def test_every_test_runs_once_and_workers_have_equal_shares(count):
    """Without baselines the numbers of tests of two workers differ by one at most."""
    ran = finish(*start(names(count)))
    assert sorted(everything(ran)) == sorted(names(count))
    assert max(map(len, ran.values())) - min(map(len, ran.values())) <= 1


def test_tests_come_back_to_the_boards_of_their_baselines():
    """Tests with a baseline run on its board, the others anywhere."""
    wanted = {f"t.py::test_{number}": {"c" if number % 2 else "a"} for number in range(8)}
    ran = finish(*start(names(9), wanted))
    for test, (board,) in wanted.items():
        assert test in ran["gw0" if board == "a" else "gw2"]
    assert "t.py::test_8" in everything(ran)


def test_a_single_test_runs_on_its_board():
    """It does so even if the other workers have nothing to do."""
    assert finish(*start(names(1), {"t.py::test_0": {"c"}}))["gw2"] == names(1)


def test_a_board_without_a_worker_is_ignored():
    """A test whose baseline is from another machine runs on any worker."""
    ran = finish(*start(names(3), {"t.py::test_0": {"z"}, "t.py::test_1": {"z"}}))
    assert [len(tests) for tests in ran.values()] == [1, 1, 1]


@pytest.mark.parametrize("again", [False, True])
def test_the_tests_of_a_crashed_worker_go_to_others(again):
    """The running test is returned and runs again only on request; the waiting tests run."""
    scheduling, (first, second) = start(names(4), names=("gw0", "gw1"))
    assert scheduling.remove_node(first) == "t.py::test_0"
    if again:
        scheduling.mark_test_pending("t.py::test_0")
    replacement = Worker("gw2", names(4))
    scheduling.add_node(replacement)
    scheduling.add_node_collection(replacement, names(4))
    scheduling.schedule()
    ran = finish(scheduling, [second, replacement])
    assert sorted(everything(ran)) == names(4)[0 if again else 1 :]


class Controller:
    """Drives the scheduling as xdist's controller does, with workers that may be killed."""

    def __init__(self, tests, wanted):
        self.tests = tests
        self.scheduling = CardScheduling(2, wanted, dict.fromkeys(BOARDS, "a") | {"gw1": "b"})
        self.starting, self.ready, self.collected = [], [], []
        self.started = 0
        self.shutting_down = False
        self.lost = []
        for _ in range(2):
            self.start()

    def start(self):
        self.starting.append(Worker(f"gw{self.started}", self.tests))
        self.started += 1

    def steps(self, kills):
        """What may happen next: the step of a worker, by its list."""
        found = [(self.get_ready, worker) for worker in self.starting]
        found += [(self.collect, worker) for worker in self.ready]
        found += [(self.run_one, worker) for worker in self.collected if worker.may_run()]
        found += [
            (self.end, worker)
            for worker in self.collected
            if worker.shutting_down and not worker.queue
        ]
        alive = [*self.starting, *self.ready, *self.collected]
        return found, [(self.kill, worker) for worker in alive if kills]

    def get_ready(self, worker):
        self.starting.remove(worker)
        self.ready.append(worker)
        if self.shutting_down:
            worker.shutdown()
        else:
            self.scheduling.add_node(worker)

    def collect(self, worker):
        self.ready.remove(worker)
        self.collected.append(worker)
        if not self.shutting_down:
            self.scheduling.add_node_collection(worker, self.tests)
            if self.scheduling.collection_is_completed:
                self.scheduling.schedule()

    def run_one(self, worker):
        worker.run_one(self.scheduling)

    def end(self, worker):
        self.collected.remove(worker)
        if worker in self.scheduling.nodes:
            assert self.scheduling.remove_node(worker) is None

    def kill(self, worker):
        for workers in (self.starting, self.ready, self.collected):
            if worker in workers:
                workers.remove(worker)
        if worker in self.scheduling.nodes:
            self.lost += filter(None, [self.scheduling.remove_node(worker)])
        self.start()

    def look(self):
        """Ends all workers once the tests are finished, as xdist does after each event."""
        if self.scheduling.tests_finished:
            self.shutting_down = True
            for worker in (*self.ready, *self.collected):
                worker.shutdown()


@given(
    st.data(),
    st.integers(1, 6),
    st.dictionaries(st.integers(0, 5), st.sampled_from(["a", "b"])),
    st.integers(0, 3),
)
def test_a_session_that_loses_workers_at_any_moment_runs_every_other_test(
    data: st.DataObject, count: int, boards: dict[int, str], kills: int
) -> None:
    """It ends, and has run each test once, but for those that ran in a worker that was killed."""
    tests = names(count)
    wanted = {tests[number]: frozenset({boards[number]}) for number in boards if number < count}
    controller = Controller(tests, wanted)
    workers = {}
    while controller.starting or controller.ready or controller.collected:
        steps, killing = controller.steps(kills)
        assert steps, "the session would wait for ever"
        step, worker = data.draw(st.sampled_from([*steps, *killing]))
        kills -= step == controller.kill
        workers[worker.gateway.id] = worker
        step(worker)
        controller.look()
    ran = [test for worker in workers.values() for test in worker.ran]
    assert sorted(ran + controller.lost) == tests


def test_workers_must_agree_on_the_tests():
    """Otherwise the session stops and names the tests that differ."""
    scheduling = CardScheduling(2, {}, {})
    for name, tests in (("gw0", names(1)), ("gw1", names(2))):
        worker = Worker(name, tests)
        scheduling.add_node(worker)
        scheduling.add_node_collection(worker, tests)
    with pytest.raises(pytest.UsageError, match=r"gw0 and gw1 .*test_1"):
        scheduling.schedule()


def test_boards_are_read_from_the_baselines(tmp_path):
    """A test prefers the board of its baseline, or of the baseline of a window in it."""
    store = store_with(tmp_path)
    environment = H200.model_copy(update={"context": {"board": ["a"]}})
    both = H200.model_copy(update={"context": {"board": ["a", "b"]}})
    window = measurement(test_id="t.py::test_w::prefill", kind="window")
    store.save(measurement(test_id="t.py::test_1"), environment, "nvidia-h200", None)
    store.save(measurement(test_id="t.py::test_2"), both, "2x-nvidia-h200", None)
    store.save(window, environment, "nvidia-h200", None)
    assert boards_of_baselines(store) == {
        "t.py::test_1": frozenset({"a"}),
        "t.py::test_w": frozenset({"a"}),
    }


def test_seconds_are_read_from_the_baselines(tmp_path):
    """Those of a test are the sum of its windows; the slowest machine counts."""
    store = store_with(tmp_path)
    for slug, power_w in (("nvidia-h200", 100.0), ("nvidia-l4", 50.0)):
        power = Quantity(value=power_w, unit="W")
        for name in ("prefill", "decode"):
            window = measurement(test_id=f"t.py::test_w::{name}", kind="window")
            window = window.model_copy(update={"metrics": {**window.metrics, "power_w": power}})
            store.save(window, H200, slug, None)
    found = seconds_of_baselines(store)
    per_window = [store.load_all(slug)[0].round_s for slug in store.slugs()]
    assert found == {"t.py::test_w": pytest.approx(2 * max(per_window))}
    assert per_window[1] == pytest.approx(2 * per_window[0])


def test_the_scheduler_of_a_project_is_used(project: Project) -> None:
    """A project may assign its tests to workers itself, as with any other plugin."""
    project.write("def test_it(energy):\n    energy(work, 1)")
    project.pytester.makeconftest(
        """
        from xdist.scheduler import LoadFileScheduling

        class OwnScheduling(LoadFileScheduling):
            def schedule(self):
                print("the project schedules")
                super().schedule()

        def pytest_xdist_make_scheduler(config, log):
            return OwnScheduling(config, log)
        """
    )
    result = project.run("-n1", "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*the project schedules*"])
    assert project.benchmark()["status"] == "measured"
