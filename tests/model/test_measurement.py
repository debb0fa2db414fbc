"""The data model: files are read as they were written, and errors list every fault."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.cli import main
from pytest_energy.errors import FileFormatError
from pytest_energy.model import json_files
from pytest_energy.model.json_files import dump_run, load_run, save_run
from pytest_energy.model.workload import facts_workload, workload_hash
from tests.report.examples import example_run
from tests.texts import CHARACTERS

SHIPPED = Path(json_files.__file__).with_name("results.schema.json")


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Nothing is lost or changed on the way to disk and back."""
    run = example_run()
    save_run(run, tmp_path / "folder" / "results.json")
    assert load_run(tmp_path / "folder" / "results.json") == run
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["results.json"]


def test_the_shipped_schema_fits_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    """After a change, run: pytest-energy schema > pytest_energy/model/results.schema.json."""
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == SHIPPED.read_text("utf-8")


def test_results_fit_the_shipped_schema() -> None:
    """Another implementation of JSON Schema accepts and refuses what the model does."""
    validator = jsonschema.Draft202012Validator(json.loads(SHIPPED.read_text("utf-8")))
    results = json.loads(dump_run(example_run()))
    validator.validate(results)
    results["benchmarks"][0]["status"] = "guessed"
    assert not validator.is_valid(results)


def test_an_error_lists_every_fault_of_a_file(tmp_path: Path) -> None:
    """The error names the file and each place in it."""
    path = tmp_path / "results.json"
    path.write_text('{"schema": "pytest-energy/results/1", "created": 7, "run": {"dirty": "q"}}')
    with pytest.raises(FileFormatError) as caught:
        load_run(path)
    assert caught.value.path == path
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "created",
        "environment",
        "run.dirty",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not JSON: line 1, column 2"),
        ('{"schema": "pytest-energy/results/2"}', "this version reads 'pytest-energy/results/1'"),
        ("[]", "top level"),
    ],
)
def test_a_file_that_is_not_a_results_file_is_refused(
    tmp_path: Path, text: str, fault: str
) -> None:
    """One line says whether it is not JSON, has another schema, or another structure."""
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=str(path)) as caught:
        load_run(path)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


facts = st.dictionaries(
    st.text(CHARACTERS, max_size=5), st.integers() | st.text(CHARACTERS, max_size=5) | st.booleans()
)


@given(facts, st.randoms())
def test_the_hash_of_a_workload_does_not_depend_on_the_order(
    workload: dict[str, object], random: object
) -> None:
    """Equal facts have equal hashes; an additional fact changes the hash."""
    names = list(workload)
    random.shuffle(names)  # type: ignore[attr-defined]
    shuffled = {name: workload[name] for name in names}
    assert workload_hash(workload) == workload_hash(shuffled)  # type: ignore[arg-type]
    assert workload_hash({**workload, "another": 1}) != workload_hash(workload)  # type: ignore[dict-item]


def test_exact_metrics_are_the_same_at_every_scale() -> None:
    """FLOPs counted at full scale gate at small scale; the batch size still matters."""
    full = {"model": "resnet50", "input_shape": [3, 224, 224], "batch_size": 1, "data": "random"}
    small = {**full, "scale": "small", "data": "digits"}
    assert facts_workload(small) == facts_workload({**full, "scale": "full"})
    assert facts_workload({**full, "batch_size": 8}) != facts_workload(full)
    elsewhere = {**full, "facts_input_shape": [3, 32, 32]}
    assert facts_workload({**elsewhere, "batch_size": 8}) == facts_workload(elsewhere)
