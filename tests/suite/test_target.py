"""Training until an accuracy is reached."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from benchmarks import target as module
from benchmarks.determinism import one_thread
from benchmarks.options import Options
from benchmarks.rows import Row, target_rows
from benchmarks.target import (
    SMALL_MODEL,
    TARGETS,
    TargetMissedError,
    quick_to_learn,
    run_to_target,
    train_until,
)
from benchmarks.workbench import recipe_for, scheduled
from benchmarks.zoo.recipe import NotApplicableError
from pytest_energy.fixture import Energy


class FullScale(Energy):
    """The fixture where a GPU would be measured."""

    scale = "full"


class Scripted:
    """A training whose held-out accuracy after each epoch is known."""

    def __init__(self, *accuracies: float) -> None:
        self.accuracies = accuracies
        self.losses: list[float] = []
        self.workload: dict[str, int] = {}
        self.recipe = SimpleNamespace(epochs=40)

    @property
    def epochs_run(self) -> int:
        return len(self.losses)

    def one_epoch(self) -> None:
        self.losses.append(1.0)

    def held_out_scores(self) -> dict[str, float]:
        return {"accuracy": self.accuracies[min(self.epochs_run, len(self.accuracies)) - 1]}


def trained_rows() -> list[Row]:
    """The smallest and the largest batch, and mixed precision: the hardest to train.

    With the variable EVERY_ROW in the environment, all rows.
    """
    rows = target_rows()
    if "EVERY_ROW" in os.environ:
        return rows
    by_batch = sorted(rows, key=lambda row: scheduled(row, "full").batch_size)
    return [by_batch[0], by_batch[-1], next(row for row in rows if row.technique == "amp")]


@pytest.mark.slow
@pytest.mark.parametrize("row", trained_rows(), ids=lambda row: row.id)
def test_the_small_twin_reaches_its_target_with_room(row: Row) -> None:
    """At every batch size the digits are learnt in at most half of the allowed epochs."""
    with one_thread():
        reached = run_to_target(Energy(), row, Options())
    assert reached.accuracy >= TARGETS["small"].accuracy
    assert reached.epochs <= TARGETS["small"].most_epochs // 2


def test_no_strided_convolution_of_the_small_twin_sees_a_single_pixel() -> None:
    """Its gradient in bfloat16 on a CPU has uninitialised memory, so the twin might learn nothing.

    In torch 2.15, two columns of the 3 × 3 kernel are never written.
    """
    row = replace(next(row for row in target_rows() if row.technique == "amp"), model=SMALL_MODEL)
    recipe = recipe_for(row, quick_to_learn(row, scheduled(row, "small")), "cpu")
    sides: list[int] = []
    for layer in recipe.model.modules():
        if isinstance(layer, nn.Conv2d) and layer.stride != (1, 1):
            layer.register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-1]))
    recipe.model(recipe.example(2))
    assert len(sides) == 7  # the stem, and two a stage from the second on
    assert min(sides) > 1


def test_training_stops_at_the_target() -> None:
    """The epoch that reaches the target is the last one."""
    training = Scripted(0.1, 0.3, 0.5, 0.9)
    reached = train_until(training, TARGETS["small"])  # type: ignore[arg-type] # acts like a Training
    assert (reached.accuracy, reached.epochs) == (0.5, 3)


def test_a_missed_target_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The joules of a training that stopped early are never reported as those of the target."""
    monkeypatch.setattr(module, "Training", lambda *args: Scripted(0.1, 0.25))
    with pytest.raises(TargetMissedError) as missed:
        run_to_target(Energy(), target_rows()[0], Options())
    assert (missed.value.accuracy, missed.value.target) == (0.25, TARGETS["small"])
    assert "25.0% after 20 epochs, not the 40%" in str(missed.value)
    assert "allow more epochs in benchmarks/target.py" in str(missed.value)


def test_full_scale_trains_the_papers_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet-50 with the paper's schedule, until 70 %."""
    trained = []

    def training(row: Row, schedule: object, *_: object) -> Scripted:
        trained.append((row, schedule))
        return Scripted(0.5, 0.71)

    monkeypatch.setattr(module, "Training", training)
    energy = FullScale()
    row = target_rows()[0]
    assert run_to_target(energy, row, Options()).epochs == 2
    assert trained == [(row, replace(scheduled(row, "full"), repeated=False))]


def test_real_data_needs_full_scale(tmp_path: Path) -> None:
    """A hundred small photographs of a thousand classes would never reach the target."""
    energy = Energy()
    energy.data_dir = tmp_path
    with pytest.raises(NotApplicableError, match="--energy-scale=full"):
        run_to_target(energy, target_rows()[0], Options())
