"""Baselines on disk."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.errors import EnergyError, FileFormatError, UsageError
from pytest_energy.gate.baseline_store import BaselineStore, dump_baseline
from pytest_energy.model.measurement import (
    Environment,
    Measurement,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Round,
)
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Verdict

HERE = Environment(identity={"device": "NVIDIA H200"}, context={"driver": "570"})


TEST = "benchmarks/test_inference.py::test_inference[resnet50]"


def measurement(energy_j: float = 0.98123456, **fields: object) -> Measurement:
    """A measured benchmark; ``fields`` replace what it has."""
    values = {
        "id": TEST,
        "kind": "inference",
        "workload": {"model": "resnet50", "input_shape": [3, 224, 224]},
        "status": "measured",
        "meter": MeterInfo(name="nvml", source="counter", tick_s=0.1),
        "metrics": {
            "energy_j": Quantity(
                value=energy_j, unit="J/pass", uncertainty=0.00412345, degrees_of_freedom=2
            ),
            "flops": Quantity(value=8.18e9, unit="FLOP", exact=True),
        },
        "rounds": [Round(start=1.7e9, duration_s=9.0, passes=10, energy_j=9.8) for _ in range(3)],
        **fields,
    }
    return Measurement.model_validate(values)


@pytest.fixture
def store(tmp_path: Path) -> BaselineStore:
    """An empty folder of baselines."""
    return BaselineStore(tmp_path / "baselines")


def test_what_is_saved_is_loaded(store: BaselineStore) -> None:
    """A saved measurement comes back as the machine's baseline and as facts of any machine."""
    written = store.save(measurement(), HERE, "nvidia-h200", "abc123")

    assert [path.relative_to(store.folder).as_posix() for path in written] == [
        "facts/benchmarks.test_inference/test_inference--resnet50.json",
        "nvidia-h200/benchmarks.test_inference/test_inference--resnet50.json",
    ]
    baseline, facts = store.load(TEST, "nvidia-h200"), store.load_facts(TEST)
    assert baseline is not None
    assert facts is not None
    assert (baseline.id, baseline.identity, set(baseline.metrics)) == (
        TEST,
        HERE.identity,
        {"energy_j"},
    )
    assert [run.value for run in baseline.level("energy_j")] == [0.98123]
    assert (facts.identity, set(facts.metrics)) == ({}, {"flops"})


def test_each_visit_is_an_accepted_run(store: BaselineStore) -> None:
    """The scatter between visits is kept; what no round tells of is known of the last alone."""
    rounds = [
        Round(start=1.7e9, duration_s=9.0, passes=10, energy_j=9.8 + 0.1 * number, visit=number)
        for number in (1, 2, 3)
        for _ in range(2)
    ]
    metrics = {**measurement().metrics, "accuracy": Quantity(value=0.9, unit="1")}
    store.save(measurement(metrics=metrics, rounds=rounds), HERE, "nvidia-h200", "abc123")
    baseline = store.load(TEST, "nvidia-h200")
    assert baseline is not None
    assert [run.value for run in baseline.level("energy_j")] == pytest.approx([0.99, 1.0, 1.01])
    assert [run.value for run in baseline.level("accuracy")] == [0.9]
    assert [run.rounds for run in baseline.accepted] == [2, 2, 2]


def test_visits_that_are_accepted_twice_count_once(store: BaselineStore) -> None:
    """The same results.json, accepted again, adds no run."""
    rounds = [
        Round(start=1.7e9, duration_s=9.0, passes=10, energy_j=9.8 + number, visit=number)
        for number in (1, 2)
    ]
    for _ in range(2):
        store.save(measurement(rounds=rounds), HERE, "nvidia-h200", "abc123")
    baseline = store.load(TEST, "nvidia-h200")
    assert baseline is not None
    assert len(baseline.accepted) == 2


def test_numbers_keep_the_digits_their_uncertainty_supports(store: BaselineStore) -> None:
    """The uncertainty keeps two digits, the value one place more."""
    store.save(measurement(), HERE, "nvidia-h200", None)
    baseline = store.load(TEST, "nvidia-h200")
    assert baseline is not None
    assert (baseline.metrics["energy_j"].value, baseline.metrics["energy_j"].uncertainty) == (
        0.98123,
        0.0041,
    )


def test_a_file_has_no_clock_time_and_one_sorted_key_a_line(store: BaselineStore) -> None:
    """Saving the same run again changes no file; keys are sorted."""
    store.save(measurement(), HERE, "nvidia-h200", "abc123")
    assert store.save(measurement(), HERE, "nvidia-h200", "abc123") == []
    text = store.path(TEST, "nvidia-h200").read_text("utf-8")
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert "1700000000" not in text


def test_an_invalid_measurement_is_no_baseline(store: BaselineStore) -> None:
    """Saving it is refused with its reason, and nothing is written."""
    reason = Reason(code=ReasonCode.CONTENDED, message="process 7 used the GPU")
    with pytest.raises(EnergyError, match="process 7 used the GPU"):
        store.save(measurement(status="invalid", reasons=[reason]), HERE, "x", None)
    assert not store.folder.exists()


def test_an_unmeasured_result_leaves_only_facts(store: BaselineStore) -> None:
    """Where nothing measures joules, what was counted is kept all the same."""
    facts = {"flops": Quantity(value=8.18e9, unit="FLOP", exact=True)}
    result = measurement(status="unmeasured", meter=None, metrics=facts)
    assert [path.parts[-3] for path in store.save(result, HERE, "x", None)] == ["facts"]


def test_the_history_is_bounded(store: BaselineStore) -> None:
    """Of many accepted runs the newest ten are kept."""
    for step in range(13):
        store.save(measurement(1 + step / 100), HERE, "x", f"c{step}")
    baseline = store.load(TEST, "x")
    assert baseline is not None
    assert [run.commit for run in baseline.accepted] == [f"c{step}" for step in range(3, 13)]


def test_an_accepted_change_begins_a_level(store: BaselineStore) -> None:
    """After a regression was accepted, a new run is compared with runs after it alone."""
    store.save(measurement(1.0), HERE, "x", "a")
    store.save(Result.of(measurement(1.2), Verdict(outcome=Outcome.REGRESSED)), HERE, "x", "b")
    baseline = store.load(TEST, "x")
    assert baseline is not None
    assert [[run.value for run in level] for level in baseline.levels("energy_j")] == [[1.0], [1.2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"schema": "pytest-energy/baseline/9"}', "this version reads"),
        ("{}", "workload: field required"),
        ("[]", "not a baseline"),
    ],
)
def test_a_broken_file_is_named(store: BaselineStore, text: str, message: str) -> None:
    """Reading tells the file and what is wrong in it."""
    path = store.path(TEST, "x")
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    with pytest.raises(FileFormatError, match=message) as caught:
        store.check()
    assert str(path) in str(caught.value)


def test_every_broken_file_is_named_at_once(store: BaselineStore) -> None:
    """Two broken files are one error that names both."""
    for name in ("a", "b"):
        path = store.path(f"t.py::test_{name}", "x")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{", "utf-8")
    with pytest.raises(EnergyError) as caught:
        store.check()
    assert "test_a.json" in str(caught.value)
    assert "test_b.json" in str(caught.value)


def test_a_file_of_another_test_is_refused(store: BaselineStore) -> None:
    """A file that was copied by hand does not gate the wrong test."""
    store.save(measurement(), HERE, "x", None)
    other = store.path("t.py::test_b", "x")
    other.parent.mkdir(parents=True)
    other.write_bytes(store.path(TEST, "x").read_bytes())
    with pytest.raises(FileFormatError, match="test_b"):
        store.load("t.py::test_b", "x")


def test_other_machines_are_known(store: BaselineStore) -> None:
    """Without a baseline of this machine another one's is found, so that it can be named."""
    store.save(measurement(), HERE, "nvidia-h200", None)
    assert store.load(TEST, "nvidia-a100") is None
    assert store.slugs_with(TEST) == ("nvidia-h200",)
    found = store.find(TEST, "nvidia-a100")
    assert found is not None
    assert found.identity == HERE.identity


@pytest.mark.parametrize(
    ("where", "name", "number"),
    [
        ("accepted", "rounds", 0),
        ("accepted", "spent_j", -1.0),
        ("accepted", "standard", {"energy_j": -0.1}),
        ("metrics", "uncertainty", -0.1),
        ("metrics", "degrees_of_freedom", 0),
    ],
)
def test_a_number_out_of_range_is_a_fault(
    store: BaselineStore, where: str, name: str, number: object
) -> None:
    """It is told as any other fault of the file, before anything is computed with it."""
    store.save(measurement(), HERE, "nvidia-h200", "abc123")
    path = store.path(TEST, "nvidia-h200")
    baseline = json.loads(path.read_text("utf-8"))
    (baseline["accepted"][0] if where == "accepted" else baseline["metrics"]["energy_j"])[name] = (
        number
    )
    path.write_text(json.dumps(baseline), "utf-8")
    with pytest.raises(FileFormatError, match=rf"{where}\..*{name}.*: input should be greater"):
        BaselineStore(store.folder).check()


@given(st.floats(1e-9, 1e9), st.floats(1e-12, 1e6), st.integers(1, 50))
def test_a_baseline_survives_the_round_trip(value: float, uncertainty: float, rounds: int) -> None:
    """What is written reads back equal, whatever the numbers."""
    quantity = Quantity(
        value=value, unit="J/pass", uncertainty=uncertainty, degrees_of_freedom=rounds
    )
    with TemporaryDirectory() as folder:
        store = BaselineStore(Path(folder))
        store.save(measurement(metrics={"energy_j": quantity}), HERE, "x", "c")
        baseline = store.load(TEST, "x")
        assert baseline is not None
        assert dump_baseline(baseline) == store.path(TEST, "x").read_text("utf-8")
        assert baseline.metrics["energy_j"].value == pytest.approx(
            value, abs=uncertainty / 10, rel=1e-5
        )


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    identity = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "-c",
        "init.defaultBranch=main",
    ]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )


def test_branches_that_update_different_benchmarks_merge(tmp_path: Path) -> None:
    """Two branches that update neighbouring benchmarks merge without conflict."""
    store = BaselineStore(tmp_path / "baselines")
    both = [f"t.py::test_a[{letter}]" for letter in "xy"]
    _git(tmp_path, "init", "-q")
    for test_id in both:
        store.save(measurement(id=test_id), HERE, "card", "0")
    _git(tmp_path, "add", "-A")
    _git(tmp_path, "commit", "-qm", "first")
    for branch, test_id, value in (("left", both[0], 0.5), ("right", both[1], 2.0)):
        _git(tmp_path, "checkout", "-qb", branch, "main")
        store.save(measurement(value, id=test_id), HERE, "card", branch)
        _git(tmp_path, "commit", "-qam", branch)
    _git(tmp_path, "merge", "-q", "--no-edit", "left")
    values = []
    for test_id in both:
        baseline = store.load(test_id, "card")
        assert baseline is not None
        values.append(baseline.metrics["energy_j"].value)
    assert values == [0.5, 2.0]


def test_only_machines_have_slugs(store: BaselineStore) -> None:
    """Not the folder of facts, nor hidden ones; without a folder there is no machine."""
    assert store.slugs() == ()
    assert store.slugs_with(TEST) == ()
    store.save(measurement(), HERE, "b", None)
    store.save(measurement(id="t.py::test_other"), HERE, "a", None)
    (store.folder / ".git").mkdir()
    assert store.slugs() == ("a", "b")
    assert store.slugs_with(TEST) == ("b",)


def test_the_own_baseline_is_found_before_that_of_another_machine(store: BaselineStore) -> None:
    """And nothing where no machine has one."""
    store.save(measurement(1.0), HERE, "a", None)
    store.save(measurement(2.0), HERE, "b", None)
    for slug, value in (("a", 1.0), ("b", 2.0), ("c", 1.0)):
        found = store.find(TEST, slug)
        assert found is not None
        assert found.metrics["energy_j"].value == value
    assert store.find("t.py::test_unknown", "a") is None


def test_all_baselines_of_a_machine_are_read_in_the_order_of_their_tests(
    store: BaselineStore,
) -> None:
    """Of that machine alone, and of no other files that lie there."""
    ids = ["b.py::test_a", "a.py::test_b", "a.py::test_Z"]
    for test_id in ids:
        store.save(measurement(id=test_id), HERE, "x", None)
    store.save(measurement(id="c.py::test"), HERE, "y", None)
    for name in ("notes.txt", ".hidden.json"):
        (store.folder / "x" / "a" / name).write_text("{", "utf-8")
    (store.folder / "README.md").write_text("text", "utf-8")
    assert [each.id for each in store.load_all("x")] == sorted(ids)
    assert [each.id for each in store.load_all("facts")] == sorted([*ids, "c.py::test"])
    assert list(store.paths()) == sorted(store.folder.glob("*/*/[!.]*.json"))
    BaselineStore(store.folder).check()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """With the option that names another; a folder that does not exist has no baselines."""
    path = tmp_path / "baselines"
    BaselineStore(path).check()
    path.write_text("text", "utf-8")
    with pytest.raises(UsageError) as caught:
        BaselineStore(path).check()
    assert str(caught.value) == (
        f"{path}: not a folder; name the folder of the baselines with --energy-baselines"
        " (pytest-energy: --baselines)"
    )


def test_a_file_of_another_test_says_what_was_expected(store: BaselineStore) -> None:
    """By its id where it is loaded, by its place where all are checked."""
    store.save(measurement(), HERE, "x", None)
    right, wrong = store.path(TEST, "x"), store.path("t.py::test_b", "x")
    wrong.parent.mkdir(parents=True)
    right.rename(wrong)
    fresh = BaselineStore(store.folder)
    with pytest.raises(FileFormatError) as caught:
        fresh.load("t.py::test_b", "x")
    assert str(caught.value) == (
        f"{wrong}: not a baseline: id: {TEST!r} found, 't.py::test_b' expected in a file of this"
        " name"
    )
    with pytest.raises(FileFormatError) as caught:
        fresh.check()
    assert str(caught.value) == (
        f"{wrong}: not a baseline: id: {TEST!r} belongs in {right}; move the file there, or remove"
        " it"
    )


def test_what_cannot_be_read_is_named(store: BaselineStore) -> None:
    """Such as a folder in place of a file."""
    path = store.path(TEST, "x")
    path.mkdir(parents=True)
    with pytest.raises(FileFormatError) as caught:
        store.load(TEST, "x")
    assert str(caught.value).startswith(f"{path}: not a baseline: ")
    assert "Is a directory" in str(caught.value)
    path.rmdir()
    path.write_bytes(b"\xff")
    with pytest.raises(FileFormatError) as caught:
        store.load(TEST, "x")
    assert str(caught.value).startswith(f"{path}: not a baseline: ")


def test_every_fault_of_each_broken_file_has_a_line(store: BaselineStore) -> None:
    """In the order of the files; a single one is an error of its own."""
    paths = [store.path(f"t.py::test_{name}", "x") for name in "ab"]
    paths[0].parent.mkdir(parents=True)
    for path in paths:
        path.write_text("{", "utf-8")
    with pytest.raises(EnergyError) as caught:
        store.check()
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == list(map(str, paths))


def test_a_refusal_to_save_names_every_reason(store: BaselineStore) -> None:
    """And says if there is none; a name without UTF-8 could not be written."""
    reasons = [Reason(code=ReasonCode.CONTENDED, message=message) for message in ("one", "two")]
    for known, told in ((reasons, "one; two"), ([], "reason not known")):
        with pytest.raises(EnergyError) as caught:
            store.save(measurement(status="invalid", reasons=known), HERE, "x", None)
        assert str(caught.value) == f"{TEST}: an invalid measurement cannot be a baseline: {told}"
    with pytest.raises(EnergyError) as caught:
        store.save(measurement(id="t.py::test_\ud800"), HERE, "x", None)
    assert str(caught.value).endswith(
        ": cannot be a baseline, since half of a surrogate pair has no UTF-8; give the test or"
        " window another name"
    )
    assert str(caught.value).isascii() or "\ud800" not in str(caught.value)


def test_a_file_is_text_that_people_read(store: BaselineStore) -> None:
    """Indented by one, in UTF-8, without what is as usual; an empty workload is still named."""
    plain = {"energy_j": Quantity(value=1.0, unit="J/pass")}
    name = "t.py::test_ä"
    store.save(measurement(id=name, workload={}, metrics=plain, rounds=[]), HERE, "x", None)
    text = store.path(name, "x").read_text("utf-8")
    document = json.loads(text)
    assert document.keys() == {
        *("accepted", "context", "id", "identity", "kind", "meter", "metrics"),
        *("schema", "workload", "workload_hash"),
    }
    assert (document["schema"], document["workload"]) == ("pytest-energy/baseline/1", {})
    assert document["metrics"] == {"energy_j": {"unit": "J/pass", "value": 1.0}}
    assert '\n "id": "t.py::test_ä",\n' in text


def test_only_files_that_changed_are_written(store: BaselineStore) -> None:
    """The facts stay as they are where only the joules are others."""
    store.save(measurement(), HERE, "x", "a")
    assert store.save(measurement(2.0), HERE, "x", "b") == [store.path(TEST, "x")]
    seen = store.load(TEST, "x")
    assert seen is not None
    assert [run.commit for run in seen.accepted] == ["a", "b"]
    assert BaselineStore(store.folder).load(TEST, "x") == seen
