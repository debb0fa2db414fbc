"""The training loop: one epoch a call, and the scores afterwards."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.data import KINDS, open_data
from benchmarks.data.augmentation import Transformed, augmented, plain
from benchmarks.data.loading import Batches, default_workers, in_parts
from benchmarks.data.samples import Samples, Subset
from benchmarks.data.whitening import Whitening, whitening_of
from benchmarks.data.whole import WholeImages
from benchmarks.determinism import settle
from benchmarks.memory import check_memory
from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.schedules import Schedule
from benchmarks.scores import scores_of
from benchmarks.workbench import facts_of, recipe_for, scheduled
from pytest_energy.fixture import Energy
from pytest_energy.model.measurement import Scalar


class Training:
    """A recipe with its data: trains one epoch a call, and scores the model.

    Args:
        row: What to train.
        schedule: How to train it.
        device: Where to train it.
        data_dir: Root of the real data; ``None`` for generated data.
        options: The command line. If the epochs of a recipe differ in cost, the measured ones are
            spread evenly over its full schedule.
    """

    def __init__(
        self,
        row: Row,
        schedule: Schedule,
        device: str,
        data_dir: Path | None = None,
        options: Options = Options(),  # noqa: B008 - frozen
    ) -> None:
        self.seed = int(row.knobs.get("run") or 0)
        settle(self.seed)
        # Missing data skips a row at once, so it comes before all that takes time.
        self.data = open_data(row.dataset, data_dir, schedule.image_size)
        self.memory_need_gib = (
            check_memory(row, schedule, device, options) if schedule.batches is None else None
        )
        """GiB of a training step; ``None`` for a small twin, which fits everywhere."""
        self.recipe = recipe_for(row, schedule, device)
        # Made here, since a training to a target is scored while it is measured: the first scores
        # of a process import torchmetrics.
        self._scores = scores_of(self.recipe.task, self.recipe.classes, device)
        self.schedule = schedule
        self.options = options
        self.measured_epochs = options.epochs or self._enough_epochs()
        self.whole_epoch = self._whole_epoch(KINDS[row.dataset].images)
        base = schedule.base_size or schedule.image_size
        unchanged = plain(schedule.image_size)
        self.whitening: Whitening | None = None
        if schedule.whitened:
            every = Transformed(self.data.train, unchanged)
            self.whitening = whitening_of(every, schedule.whitened, self.seed).to(device)
        augment = augmented(schedule.augmentation, schedule.image_size, base)
        self.batches = self._batches(Transformed(self.data.train, augment), train=True)
        held_out = Subset(self.data.held_out, self._held_out_limit, self.seed)
        # Both parts are scored on as many images.
        seen = Subset(self.data.train, len(held_out), self.seed)
        self._held_out = self._batches(Transformed(held_out, unchanged), train=False)
        self._seen = self._batches(Transformed(seen, unchanged), train=False)
        is_segmented = row.task == "segmentation"
        self._whole = WholeImages(held_out, base, device, self._workers) if is_segmented else None
        self.optimizer, self.scheduler = self.recipe.start(len(self.batches))
        # A disabled scaler passes everything through, so one loop serves every precision.
        self.scaler = torch.amp.GradScaler(device, enabled=self.recipe.scale_gradients)
        self.losses: list[float] = []
        """The mean loss of an image, by epoch. A training that diverges has NaN or infinity."""

        self.curve: dict[str, float] = {}
        """Scores by epoch, if the options ask for them."""

    @property
    def epochs_run(self) -> int:
        """Epochs so far."""
        return len(self.losses)

    def _batches(self, dataset: Samples, *, train: bool) -> Batches:
        options, schedule = self.options, self.schedule
        return Batches(
            dataset,
            batch_size=schedule.batch_size if train else self._most_scored,
            device=self.recipe.device,
            train=train,
            images=min(self.whole_epoch, options.epoch_images or self.whole_epoch),
            workers=self._workers,
            seed=self.seed,
            on_device=self.whitening,
        )

    @property
    def _workers(self) -> int:
        """Processes that load data."""
        asked, planned = self.options.workers, self.schedule.workers
        workers = planned if asked is None else asked
        return default_workers() if workers is None else workers

    @property
    def _most_scored(self) -> int:
        """Images that are scored at once."""
        return min(self.schedule.batch_size, self.options.micro_batch or self.schedule.batch_size)

    def _whole_epoch(self, published: int) -> int:
        """Images of an epoch that is not cut: generated ones are repeated to the paper's count."""
        if self.schedule.batches is not None:
            return self.schedule.batches * self.schedule.batch_size
        is_repeated = self.schedule.repeated and not self.data.real
        return published if is_repeated else len(self.data.train)

    @property
    def _held_out_limit(self) -> int | None:
        """Images of the evaluation; a bounded number grows with the measured epochs."""
        batches = self.schedule.held_out_batches
        return batches and batches * self.measured_epochs * self.schedule.batch_size

    def _enough_epochs(self) -> int:
        """Epochs to measure: at full scale all of them, if they differ in cost.

        With the warm-up they are at most those of the full schedule. So no score comes from a
        longer training than the paper's.
        """
        all_differ = not self.recipe.even_epochs and self.schedule.batches is None
        epochs = self.recipe.epochs if all_differ else self.schedule.measured_epochs
        return max(1, min(epochs, self.recipe.epochs - 1))

    @property
    def progress(self) -> float:
        """The place of the next epoch in the full schedule, in [0, 1)."""
        if self.recipe.even_epochs:
            # With the warm-up, --energy-epochs may exceed the schedule; 1 is not in the range.
            return min(self.epochs_run / self.recipe.epochs, 1 - 1e-9)
        # The first epoch is the warm-up. Each measured one stands for an equal part.
        part = min(max(self.epochs_run - 1, 0), self.measured_epochs - 1)
        return (part + 0.5) / self.measured_epochs

    def one_epoch(self) -> dict[str, float]:
        """Train on every batch once.

        Returns:
            ``data_wait_share``: the share of the epoch in which this process waited for data; and
            ``loss``: the mean loss of an image, if it is a finite number.
        """
        begin, waited_before = time.perf_counter(), self.batches.waited_s
        self.recipe.model.train()
        progress = self.progress
        # Read once an epoch: each reading would make the process wait for the GPU.
        loss = sum(self._step(images, target, progress) for images, target in self.batches)
        self.losses.append(float(loss) / self.batches.images)
        waited = self.batches.waited_s - waited_before
        metrics = {"data_wait_share": waited / (time.perf_counter() - begin)}
        return metrics | ({"loss": self.losses[-1]} if math.isfinite(self.losses[-1]) else {})

    def _step(self, images: Tensor, target: object, progress: float) -> Tensor:
        """Take one step of the optimiser, and return the loss, summed over the images."""
        recipe, total = self.recipe, torch.zeros((), device=self.recipe.device)
        self.optimizer.zero_grad()
        for part, part_target in in_parts(images, target, self.options.micro_batch):
            inputs, answers = recipe.batch(part, part_target, progress)
            loss = recipe.training_loss(recipe.model(recipe.prepare(inputs)), answers)
            share = 1.0 if self.schedule.summed_loss else len(part) / len(images)
            self.scaler.scale(loss * share).backward()
            total += loss.detach() * (1 if self.schedule.summed_loss else len(part))
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # A scale that falls means that gradients overflowed and the optimiser took no step.
        if self.scaler.get_scale() >= scale:
            self.scheduler.step()
        return total

    def evaluate(self) -> dict[str, float]:
        """Score the held-out part and, as ``train_…``, as many images of the training part.

        A segmentation is scored on whole images and, as ``square_…``, on their square centre.
        """
        seen = {f"train_{name}": value for name, value in self._score(self._seen).items()}
        return {**self._held_out_and_square(), **seen}

    def score_epoch(self) -> None:
        """Note the scores of the held-out part, as ``accuracy_at_3`` after the third epoch."""
        scores = self._held_out_and_square()
        self.curve |= {f"{name}_at_{self.epochs_run}": value for name, value in scores.items()}

    def _held_out_and_square(self) -> dict[str, float]:
        held_out = self.held_out_scores()
        if self._whole is None:
            return held_out
        square = {f"square_{name}": value for name, value in held_out.items()}
        return {**self._score(self._whole), **square}

    def held_out_scores(self) -> dict[str, float]:
        """Score the held-out part, each image in its square centre."""
        return self._score(self._held_out)

    def _score(self, batches: Batches | WholeImages) -> dict[str, float]:
        self._scores.reset()
        self.recipe.model.eval()
        with torch.no_grad():
            for images, target in batches:
                self._scores.update(self.recipe.model(self.recipe.prepare(images)), target)
        return {name: float(value) for name, value in self._scores.compute().items()}

    @property
    def workload(self) -> dict[str, Scalar]:
        """The facts of an epoch. Results of epochs of other lengths are not compared."""
        parts = self.options.micro_batch
        return {
            "images_per_epoch": self.batches.images,
            "steps_per_epoch": len(self.batches),
            **({"micro_batch": parts} if parts and parts < self.schedule.batch_size else {}),
        }

    @property
    def epochs_to_scale_to(self) -> int:
        """Epochs like the measured ones that cost what the full schedule does."""
        cut = self.options.epoch_images is not None and self.options.epoch_images < self.whole_epoch
        share = self.whole_epoch / self.batches.images if cut else 1
        return round(self.recipe.epochs * share)


def remarks_on_data(training: Training, published: int) -> Iterator[str]:
    """Sentences on an epoch that is not the paper's, and on a split that is ours."""
    images, whole, name = training.batches.images, training.whole_epoch, training.data.name
    if training.options.epoch_images is not None and images < whole:
        yield (
            f"An epoch was cut to {images:,} of {whole:,} images (--epoch-images); the joules of "
            "the full schedule are scaled by images."
        )
    if training.data.real and len(training.data.train) != published:
        yield f"{name} has {len(training.data.train):,} training images here, not {published:,}."
    if training.data.split:
        yield training.data.split
    if training.whitening:
        directions, size = training.whitening.directions.shape
        yield f"The images are whitened (ZCA) along {directions} of {size:,} directions."


def remarks_on_loss(losses: Sequence[float], epochs: int) -> Iterator[str]:
    """Sentences on a training that went wrong.

    Args:
        losses: The mean loss of each epoch that ran.
        epochs: Epochs of the full schedule.
    """
    failed = [number for number, loss in enumerate(losses, 1) if not math.isfinite(loss)]
    if failed:
        yield (
            f"The loss was no finite number from epoch {failed[0]} on: the training diverged, and "
            "its scores mean nothing."
        )
    elif 1 < epochs <= len(losses) and losses[-1] >= losses[0]:
        yield (
            f"The loss did not fall over the full schedule: {losses[0]:.4g} in the first epoch, "
            f"{losses[-1]:.4g} in the last."
        )


def run_training(energy: Energy, row: Row, options: Options) -> None:
    """Measure epochs of a row's training, and score the trained model.

    Args:
        energy: The fixture that measures.
        row: What to train.
        options: The command line.

    Raises:
        NotApplicableError: The model or the technique cannot run on this machine.
        DataMissingError: The folder of real data lacks what the row needs.
    """
    schedule = scheduled(row, energy.scale)
    if energy.scale == "small":  # its epochs are a few batches anyway
        options = replace(options, epoch_images=None)
    training = Training(row, schedule, energy.device, energy.data_dir, options)
    if training.memory_need_gib is not None:
        energy.record(memory_need_gib=training.memory_need_gib)
    energy.training(
        training.one_epoch,
        epochs=training.measured_epochs,
        scale_to=training.epochs_to_scale_to,
        evaluate=training.evaluate,
        after_epoch=training.score_epoch if options.score_epochs else None,
        input_shape=training.recipe.input_shape,
        batch_size=schedule.batch_size,
        facts=energy.enabled and facts_of(row),
        # The epochs of the paper are the fact, however the joules are scaled to them.
        workload={
            "epochs": training.recipe.epochs,
            "scale_to": training.recipe.epochs,
            **training.workload,
        },
    )
    record_losses(energy, training)
    energy.record(**training.curve)
    energy.record(epochs_run=training.epochs_run)
    if training.batches.images < training.whole_epoch - 1:  # one image may be left out
        energy.record(epoch_share=training.batches.images / training.whole_epoch)
    for sentence in remarks_on_data(training, KINDS[row.dataset].images):
        energy.remark(sentence)


def record_losses(energy: Energy, training: Training) -> None:
    """Record the first and the last loss, and remark on a training that went wrong."""
    ends = {"first_loss": training.losses[0], "last_loss": training.losses[-1]}
    energy.record(**{name: loss for name, loss in ends.items() if math.isfinite(loss)})
    for sentence in remarks_on_loss(training.losses, training.recipe.epochs):
        energy.remark(sentence)
