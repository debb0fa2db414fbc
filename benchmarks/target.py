"""Training until an accuracy is reached."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.schedules import Schedule
from benchmarks.training import Training, record_losses
from benchmarks.workbench import scheduled
from benchmarks.zoo.recipe import NotApplicableError
from pytest_energy.errors import EnergyError
from pytest_energy.fixture import Energy


@dataclass(frozen=True)
class Target:
    """When to stop a training."""

    accuracy: float
    """The accuracy to reach on the held-out part, as a share."""
    most_epochs: int
    """Stop without success after so many epochs."""


TARGETS: Final = {"full": Target(0.70, 120), "small": Target(0.40, 20)}
"""By scale: paper D's 70 % top-1; four times what guessing reaches on ten digits."""
SMALL_MODEL: Final = "resnet18"
"""The model at small scale. ResNet-50 would take three times as long to reach the target."""
SMALL_IMAGES: Final = 128
"""Images of an epoch and of an evaluation at small scale, for every batch size."""


@dataclass(frozen=True)
class Reached:
    """Where a training stopped."""

    accuracy: float
    epochs: int


@dataclass
class TargetMissedError(EnergyError):
    """A training stopped before its target, so its joules are not the cost of reaching it."""

    target: Target
    accuracy: float
    """The last accuracy on the held-out part."""

    def __str__(self) -> str:
        return (
            f"{self.accuracy:.1%} after {self.target.most_epochs} epochs, not the "
            f"{self.target.accuracy:.0%} of the target: these joules are not the cost of reaching "
            "it. Check the data and the learning rate, or allow more epochs in "
            "benchmarks/target.py"
        )


def run_to_target(energy: Energy, row: Row, options: Options) -> Reached:
    """Measure a training from its first step to the target, including the evaluations.

    There is no warm-up, because an epoch before the window would be missing from the joules. An
    epoch is that of the data, neither cut nor repeated: an epoch of digits that are repeated to
    ImageNet's count would reach any target.

    Raises:
        NotApplicableError: ``--energy-data`` was given at small scale.
        TargetMissedError: The target was not reached in the epochs allowed.
    """
    target, schedule = TARGETS[energy.scale], scheduled(row, energy.scale)
    if energy.scale == "small":
        if energy.data_dir is not None:
            raise NotApplicableError(
                "at small scale the target is an accuracy on the digits: leave --energy-data out, "
                "or train on its data with --energy-scale=full"
            )
        row, schedule = replace(row, model=SMALL_MODEL), quick_to_learn(row, schedule)
    options = replace(options, epochs=None, epoch_images=None)
    schedule = replace(schedule, repeated=False)
    training = Training(row, schedule, energy.device, energy.data_dir, options)
    energy.describe(**training.workload)
    reached = energy.pedantic(train_until, (training, target))
    record_losses(energy, training)
    energy.record(accuracy=reached.accuracy, epochs_to_target=reached.epochs)
    if reached.accuracy < target.accuracy:
        raise TargetMissedError(target, reached.accuracy)
    return reached


def quick_to_learn(row: Row, small: Schedule) -> Schedule:
    """Change a small twin so that it reaches the target in seconds.

    On upright digits, Adam at a constant rate needs a few dozen steps. An eighth of the full batch
    is enough images for batch normalisation, whose last maps have one pixel here. Images of 16
    pixels would have such maps before the last strided convolution: for these, torch's kernel for
    bfloat16 on a CPU leaves a part of the weight's gradient uninitialised, which may be NaN.
    """
    batch_size = scheduled(row, "full").batch_size // 8
    batches = SMALL_IMAGES // batch_size
    return replace(
        small,
        batch_size=batch_size,
        batches=batches,
        held_out_batches=batches,
        image_size=32,
        optimiser="adam",
        learning_rate=5e-4,
        weight_decay=0.0,
        decay="constant",
        augmentation=(),
    )


def train_until(training: Training, target: Target) -> Reached:
    """Train epoch by epoch until the target or the largest number of epochs is reached."""
    accuracy = 0.0
    while accuracy < target.accuracy and training.epochs_run < target.most_epochs:
        training.one_epoch()
        accuracy = training.held_out_scores()["accuracy"]
    return Reached(accuracy, training.epochs_run)
