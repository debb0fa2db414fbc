"""The training loop: one epoch a call, and the scores afterwards."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.data import open_data
from benchmarks.data.augmentation import Transformed, augmented, plain
from benchmarks.data.loading import Batches
from benchmarks.data.samples import Samples
from benchmarks.determinism import settle
from benchmarks.rows import Row
from benchmarks.schedules import Schedule
from benchmarks.scores import scores_of
from benchmarks.workbench import facts_of, recipe_for, scheduled
from pytest_energy.fixture import Energy


class Training:
    """A recipe with its data: trains one epoch a call, and scores the model.

    Args:
        row: What to train.
        schedule: How to train it.
        device: Where to train it.
        data_dir: Root of the real data; ``None`` for generated data.
        measured_epochs: How many epochs will be measured. If the epochs of a recipe differ in
            cost, the measured ones are spread evenly over its full schedule.
    """

    def __init__(
        self,
        row: Row,
        schedule: Schedule,
        device: str,
        data_dir: Path | None = None,
        measured_epochs: int | None = None,
    ) -> None:
        self.seed = int(row.knobs.get("run") or 0)
        settle(self.seed)
        self.recipe = recipe_for(row, schedule, device)
        self.data = open_data(row.dataset, data_dir, schedule.image_size)
        self.schedule = schedule
        self.measured_epochs = measured_epochs or self._enough_epochs()
        base = schedule.base_size or schedule.image_size
        augment = augmented(schedule.augmentation, schedule.image_size, base)
        self.batches = self._batches(Transformed(self.data.train, augment), train=True)
        unchanged = plain(schedule.image_size)
        self._held_out = self._batches(Transformed(self.data.held_out, unchanged), train=False)
        self._seen = self._batches(Transformed(self.data.train, unchanged), train=False)
        self._seen.limit = len(self._held_out)  # both parts are scored on as many images
        self.optimizer, self.scheduler = self.recipe.start(len(self.batches))
        # A disabled scaler passes everything through, so one loop serves every precision.
        self.scaler = torch.amp.GradScaler(device, enabled=self.recipe.scale_gradients)
        self.epochs_run = 0

    def _batches(self, dataset: Samples, *, train: bool) -> Batches:
        return Batches(
            dataset,
            batch_size=self.schedule.batch_size,
            device=self.recipe.device,
            train=train,
            limit=self.schedule.batches if train else self._held_out_limit,
            workers=self.schedule.workers,
            seed=self.seed,
        )

    @property
    def _held_out_limit(self) -> int | None:
        """Batches of the evaluation; a bounded number grows with the measured epochs."""
        batches = self.schedule.held_out_batches
        return None if batches is None else batches * self.measured_epochs

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
            ``data_wait_share``: the share of the epoch in which this process waited for data.
        """
        begin, waited_before = time.perf_counter(), self.batches.waited_s
        self.recipe.model.train()
        progress = self.progress
        for images, target in self.batches:
            self._step(images, target, progress)
        self.epochs_run += 1
        waited = self.batches.waited_s - waited_before
        return {"data_wait_share": waited / (time.perf_counter() - begin)}

    def _step(self, images: Tensor, target: object, progress: float) -> None:
        recipe = self.recipe
        images, target = recipe.batch(images, target, progress)
        loss = recipe.training_loss(recipe.model(recipe.prepare(images)), target)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()

    def evaluate(self) -> dict[str, float]:
        """Score the held-out part and, as ``train_…``, as many images of the training part."""
        seen = {f"train_{name}": value for name, value in self._score(self._seen).items()}
        return {**self.held_out_scores(), **seen}

    def held_out_scores(self) -> dict[str, float]:
        """Score the held-out part."""
        return self._score(self._held_out)

    def _score(self, batches: Batches) -> dict[str, float]:
        scores = scores_of(self.recipe.task, self.recipe.classes, self.recipe.device)
        self.recipe.model.eval()
        with torch.no_grad():
            for images, target in batches:
                scores.update(self.recipe.model(self.recipe.prepare(images)), target)
        return {name: float(value) for name, value in scores.compute().items()}


def run_training(energy: Energy, row: Row, epochs_option: int | None) -> None:
    """Measure epochs of a row's training, and score the trained model.

    Args:
        energy: The fixture that measures.
        row: What to train.
        epochs_option: The value of ``--energy-epochs``, if it was given.

    Raises:
        NotApplicableError: The model or the technique cannot run on this machine.
        DataMissingError: The folder of real data lacks what the row needs.
    """
    schedule = scheduled(row, energy.scale)
    training = Training(row, schedule, energy.device, energy.data_dir, epochs_option)
    energy.training(
        training.one_epoch,
        epochs=training.measured_epochs,
        scale_to=training.recipe.epochs,
        evaluate=training.evaluate,
        input_shape=training.recipe.input_shape,
        batch_size=schedule.batch_size,
        facts=energy.enabled and facts_of(row),
        workload={"epochs": training.recipe.epochs},
    )
    energy.record(epochs_run=training.epochs_run)
