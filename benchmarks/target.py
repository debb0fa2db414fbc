"""Training until an accuracy is reached."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from benchmarks.rows import Row
from benchmarks.schedules import Schedule
from benchmarks.training import Training
from benchmarks.workbench import scheduled
from benchmarks.zoo.recipe import NotApplicableError
from pytest_energy.errors import EnergyError
from pytest_energy.fixture import Energy


@dataclass(frozen=True)
class Target:
    """When to stop."""

    accuracy: float
    """On the held-out part, as a share."""
    most_epochs: int
    """Give up after so many."""


TARGETS: Final = {"full": Target(0.70, 120), "small": Target(0.40, 20)}
"""By scale: paper D's 70 % top-1, and four times what guessing gets on ten digits."""
SMALL_MODEL: Final = "resnet18"
"""Trained in place of ResNet-50 at small scale, which takes three times as long to get there."""
SMALL_IMAGES: Final = 128
"""Images an epoch, and images of each evaluation, at small scale: whatever the batch size."""


@dataclass(frozen=True)
class Reached:
    """Where a training stopped."""

    accuracy: float
    epochs: int


@dataclass
class TargetMissedError(EnergyError):
    """A training gave up before its target, so its joules are not those of reaching it."""

    target: Target
    accuracy: float
    """The last one on the held-out part."""

    def __str__(self) -> str:
        return (
            f"{self.accuracy:.1%} after {self.target.most_epochs} epochs, not the "
            f"{self.target.accuracy:.0%} that was to be reached: these joules are not those of "
            "reaching it. Check the data and the learning rate, or allow more epochs in "
            "benchmarks/target.py"
        )


def run_to_target(energy: Energy, row: Row) -> Reached:
    """Measure a training from its first step to the target, evaluations included.

    There is no warm-up: an epoch trained before the window would be missing from the joules.

    Raises:
        NotApplicableError: Real data is asked for at small scale.
        TargetMissedError: The target was not reached in the epochs allowed.
    """
    target, schedule = TARGETS[energy.scale], scheduled(row, energy.scale)
    if energy.scale == "small":
        if energy.data_dir is not None:
            raise NotApplicableError(
                "the small scale's target is one of the digits: leave --energy-data out, or train "
                "on it with --energy-scale=full"
            )
        row, schedule = replace(row, model=SMALL_MODEL), quick_to_learn(row, schedule)
    training = Training(row, schedule, energy.device, energy.data_dir)
    reached = energy.pedantic(train_until, (training, target))
    energy.record(accuracy=reached.accuracy, epochs_to_target=reached.epochs)
    if reached.accuracy < target.accuracy:
        raise TargetMissedError(target, reached.accuracy)
    return reached


def quick_to_learn(row: Row, small: Schedule) -> Schedule:
    """Change a small twin so that it gets there in seconds rather than in the paper's epochs.

    Adam at a constant rate needs some dozen steps on upright digits. An eighth of the full batch
    leaves batch normalisation enough images on maps of one pixel.
    """
    batch_size = int(str(row.knobs["batch"])) // 8
    batches = SMALL_IMAGES // batch_size
    return replace(
        small,
        batch_size=batch_size,
        batches=batches,
        held_out_batches=batches,
        image_size=16,
        optimiser="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        decay="constant",
        augmentation=(),
    )


def train_until(training: Training, target: Target) -> Reached:
    """Train epoch by epoch until the accuracy is there, or there have been too many."""
    accuracy = 0.0
    while accuracy < target.accuracy and training.epochs_run < target.most_epochs:
        training.one_epoch()
        accuracy = training.held_out_scores()["accuracy"]
    return Reached(accuracy, training.epochs_run)
