"""How each paper trains its models, and the small twin of each schedule.

``assumed`` names the fields that a paper does not state. The small twin runs the same code on
smaller images, with fewer images a batch and fewer batches an epoch, so that a CPU finishes in
seconds. Epochs, optimiser and learning rates stay the paper's, except in a training to a target
(see ``target.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Optimiser = Literal["sgd", "adam", "adamw"]
Decay = Literal["constant", "poly", "step"]

GOYAL_WARMUP_EPOCHS = 5
"""Epochs of rising learning rate for a batch larger than the schedule's: Goyal et al. 2017."""
SMALL_BATCHES = 2
"""Batches an epoch of the small twin: long enough for the meters' shortest window."""

SMALL_WHITENED = 64
"""``whitened`` of the small twin, at most."""


@dataclass(frozen=True)
class Schedule:
    """How one model is trained on one data set."""

    epochs: int
    """Epochs of the full schedule. The energy of the measured epochs is scaled to them."""
    batch_size: int
    image_size: int
    """Side of the square images, in pixels."""
    optimiser: Optimiser
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    decay: Decay = "constant"
    """``poly``: times (1 − step / steps) ** 0.9. ``step``: down to a fifth at 30, 60 and
    80 % of the steps. Paper C says that its rate is stepped; no paper states the steps."""
    warmup_epochs: int = 0
    """Epochs in which the learning rate rises from near zero."""
    summed_loss: bool = False
    """Whether the loss is summed over the batch, so that gradients grow with the batch."""
    augmentation: tuple[str, ...] = ()
    """Names of :data:`benchmarks.data.augmentation.STEPS`."""
    whitened: int = 0
    """Images from which the ZCA whitening of all images is computed; 0: none is whitened."""
    base_size: int | None = None
    """Side in pixels from which random scaling starts; ``None``: ``image_size``."""
    techniques: tuple[str, ...] = ()
    """Techniques that are part of the baseline."""
    assumed: tuple[str, ...] = ()
    """Fields that the paper does not state."""
    measured_epochs: int = 10
    batches: int | None = None
    """Batches an epoch; ``None``: the whole training part."""
    held_out_batches: int | None = None
    """Batches of evaluation for each measured epoch; ``None``: the whole held-out part."""
    workers: int | None = None
    """Processes that load data; 0: the training process loads it; ``None``: as many as the cores
    allow (:func:`benchmarks.data.loading.default_workers`)."""
    repeated: bool = True
    """Whether generated data are repeated to the count of images of the paper's."""

    small_size: int | None = None
    """``image_size`` of the small twin; ``None``: the same."""
    small_batch: int = 4
    """``batch_size`` of the small twin."""
    small_batches: int = SMALL_BATCHES
    """``batches`` of the small twin."""

    def small(self) -> Schedule:
        """The small twin, which a CPU finishes in seconds."""
        side = self.small_size or self.image_size
        return replace(
            self,
            batch_size=self.small_batch,
            image_size=side,
            base_size=self.base_size and self.base_size * side // self.image_size,
            whitened=min(self.whitened, SMALL_WHITENED),
            measured_epochs=1,
            batches=self.small_batches,
            held_out_batches=1,
            workers=0,
            repeated=False,
        )

    def with_batch(self, batch_size: int) -> Schedule:
        """Change the batch size, and the learning rate in proportion.

        A rate above the schedule's own needs a warm-up. Where the loss is summed over the batch,
        the gradients grow with it, so the rate itself stays. The small twin's batch is a 32nd.
        Source: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, sections 2.1 and 2.2.
        """
        larger = batch_size > self.batch_size
        growth = 1.0 if self.summed_loss else batch_size / self.batch_size
        return replace(
            self,
            batch_size=batch_size,
            small_batch=max(1, batch_size // 32),
            learning_rate=self.learning_rate * growth,
            warmup_epochs=max(self.warmup_epochs, GOYAL_WARMUP_EPOCHS if larger else 0),
        )

    def with_side(self, image_size: int) -> Schedule:
        """Change the image size. The small twin's is a quarter of it."""
        return replace(self, image_size=image_size, small_size=image_size // 4)


BIRDS = Schedule(
    epochs=10,
    batch_size=32,
    image_size=224,
    optimiser="adam",
    learning_rate=1e-3,
    augmentation=("affine", "crop", "flip", "brightness"),
    whitened=1024,
    assumed=("learning_rate",),
    small_size=32,
)
FROZEN = Schedule(
    epochs=10,
    batch_size=32,
    image_size=32,
    optimiser="adam",
    learning_rate=1e-3,
    assumed=("epochs", "optimiser", "learning_rate"),
)
SEGMENTATION = Schedule(
    epochs=1000,
    batch_size=16,
    image_size=512,
    optimiser="sgd",
    learning_rate=0.025,
    momentum=0.9,
    weight_decay=1e-4,
    decay="poly",
    augmentation=("scale_crop", "flip", "brightness_contrast"),
    base_size=1024,
    # the paper names the steps of the augmentation, and the size of the scaling only
    assumed=("momentum", "weight_decay", "augmentation"),
    small_size=64,
    small_batch=2,
    small_batches=3,
)
CLASSIFICATION = Schedule(
    epochs=200,
    batch_size=128,
    image_size=32,
    optimiser="sgd",
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    decay="step",
    augmentation=("pad_crop", "flip"),
    assumed=("momentum", "weight_decay", "decay", "augmentation"),
    small_size=16,
    small_batches=1,
)
DEPTH = Schedule(
    epochs=40,
    batch_size=256,
    image_size=224,
    optimiser="sgd",
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    decay="step",
    augmentation=("crop", "flip"),
    assumed=(
        "batch_size",
        "image_size",
        "optimiser",
        "learning_rate",
        "momentum",
        "weight_decay",
        "decay",
        "augmentation",
    ),
    small_size=32,
)
DETECTION = Schedule(
    epochs=100,
    batch_size=32,
    image_size=640,
    optimiser="sgd",
    learning_rate=0.01,
    momentum=0.937,
    weight_decay=5e-4,
    warmup_epochs=3,  # ultralytics' default, as are the other settings of the optimiser
    summed_loss=True,
    assumed=(
        "warmup_epochs",
        "batch_size",
        "image_size",
        "optimiser",
        "learning_rate",
        "momentum",
        "weight_decay",
    ),
    small_size=64,
)
TWENTY_EPOCHS = Schedule(
    epochs=20,
    batch_size=128,
    image_size=32,
    optimiser="adam",
    learning_rate=1e-3,
    augmentation=("flip",),
    assumed=("batch_size", "image_size", "optimiser", "learning_rate", "augmentation"),
    small_size=16,
)

SCHEDULES = {
    ("a", "resnet50"): BIRDS,
    ("a", "convnext_tiny"): replace(BIRDS, epochs=6, optimiser="adamw", techniques=("mixup",)),
    ("b", "cifar10"): FROZEN,
    ("b", "mnist"): replace(FROZEN, image_size=48),
    ("c", "cityscapes"): SEGMENTATION,
    ("c", "coco_stuff"): replace(
        SEGMENTATION,
        epochs=60,
        batch_size=12,
        image_size=640,
        learning_rate=0.01,
        base_size=640,
    ),
    ("c", "cifar100"): CLASSIFICATION,
    ("c", "tiny_imagenet"): CLASSIFICATION,
    ("d", "imagenet"): DEPTH,
    ("d", "xview"): DETECTION,
    ("e", "cifar100"): TWENTY_EPOCHS,
}
"""By paper, and by model or data set."""


def schedule_of(paper: str, model: str, dataset: str) -> Schedule:
    """The schedule of a model on a data set. Rows of no paper train as in paper A, D or E."""
    if paper == "beyond":
        paper = {"imagenet": "d", "birds": "a"}.get(dataset, "e")
    schedule = SCHEDULES.get((paper, model)) or SCHEDULES.get((paper, dataset))
    if schedule is None:
        raise KeyError(f"no schedule of paper {paper} for {model} on {dataset}")
    return schedule
