"""Training until an accuracy is reached."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.rows import Row
from benchmarks.training import Training
from benchmarks.workbench import scheduled
from pytest_energy.fixture import Energy


@dataclass(frozen=True)
class Target:
    """When to stop."""

    accuracy: float
    """On the held-out part, as a share."""
    most_epochs: int
    """Give up after so many."""


TARGETS = {"full": Target(0.70, 120), "small": Target(0.15, 2)}
"""By scale: paper D's 70 % top-1, and a little more than guessing gets on ten digits."""


SMALL_IMAGES = 16
"""Images an epoch, and images of each evaluation, at small scale."""


@dataclass(frozen=True)
class Reached:
    """Where a training stopped."""

    accuracy: float
    epochs: int


def run_to_target(energy: Energy, row: Row) -> Reached:
    """Measure a training from its first step to the target, evaluations included.

    There is no warm-up: an epoch trained before the window would be missing from the joules.
    """
    target = TARGETS[energy.scale]
    schedule = scheduled(row, energy.scale)
    if energy.scale == "small":  # the same images an epoch, whatever the batch size
        batches = SMALL_IMAGES // schedule.batch_size
        schedule = replace(schedule, batches=batches, held_out_batches=batches)
    training = Training(row, schedule, energy.device, energy.data_dir)
    reached = energy.pedantic(train_until, (training, target))
    energy.record(accuracy=reached.accuracy, epochs_to_target=reached.epochs)
    return reached


def train_until(training: Training, target: Target) -> Reached:
    """Train epoch by epoch until the accuracy is there, or there have been too many."""
    accuracy = 0.0
    while accuracy < target.accuracy and training.epochs_run < target.most_epochs:
        training.one_epoch()
        accuracy = training.held_out_scores()["accuracy"]
    return Reached(accuracy, training.epochs_run)
