"""A recipe: a model, and everything that decides how it runs and how it learns.

A technique takes a recipe and returns a changed copy (it may change the model in place). So
techniques compose, and the code that runs a recipe knows no technique. The training loop is::

    optimizer, scheduler = recipe.start(steps_per_epoch)
    scaler = torch.amp.GradScaler(recipe.device, enabled=recipe.scale_gradients)
    for epoch in range(recipe.epochs):
        for images, target in loader:                       # on recipe.device
            images, target = recipe.batch(images, target, epoch / recipe.epochs)
            loss = recipe.training_loss(recipe.model(recipe.prepare(images)), target)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()                                # once a step, not once an epoch

Shapes: images (B, 3, H, W); logits (B, K) of a classification, (B, K, H, W) of a segmentation;
targets (B,) and (B, H, W) of class indices, :data:`VOID` where a pixel belongs to no class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

Task = Literal["classification", "segmentation", "detection"]
Stage = Literal["inference", "training"]
Shape = tuple[int, int, int]
"""Channels, height, width of one image."""

VOID: Final = 255
"""The class index of pixels that neither the loss nor a metric counts."""


class NotApplicableError(Exception):
    """A model or technique cannot run here. The message says why, and what a user can do."""


@dataclass(frozen=True)
class Horizon:
    """The length of a training, for planning the learning rate."""

    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """All optimiser steps of the training."""
        return self.epochs * self.steps_per_epoch


Loss = Callable[[Any, Any], Tensor]
"""(logits, target) → the mean loss, a scalar."""
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeScheduler = Callable[[Optimizer, Horizon], LRScheduler]
"""The scheduler is stepped after every optimiser step, even if the paper plans by epochs."""
Batch = Callable[[Tensor, Any, float], tuple[Tensor, Any]]
"""(images, target, progress in [0, 1)) → the input of the model and of its loss.

Only the loss of the same recipe understands the returned target."""


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over all targets that are not :data:`VOID`."""
    return F.cross_entropy(logits, target, ignore_index=VOID)


def one_hot(target: Tensor, classes: int) -> Tensor:
    """Mark the class of each pixel: (B, H, W) → bool (B, K, H, W); void pixels have none.

    ``F.one_hot`` makes integers of 64 bits, eight times as large.
    """
    marked = torch.zeros(
        target.shape[0], classes + 1, *target.shape[1:], dtype=torch.bool, device=target.device
    )
    marked.scatter_(1, target.where(target != VOID, classes)[:, None], value=True)
    return marked[:, :classes]


def sgd(parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Stochastic gradient descent with momentum: the default."""
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def constant(optimizer: Optimizer, _: Horizon) -> LRScheduler:
    """Keep the learning rate: the default."""
    return LambdaLR(optimizer, lambda step: 1.0)


def unchanged(images: Tensor, target: Any, _: float) -> tuple[Tensor, Any]:
    """Train on the batch as it is: the default."""
    return images, target


@dataclass(frozen=True)
class Recipe:
    """A model, how it runs, and how it learns. ``dataclasses.replace`` makes a changed recipe."""

    task: Task
    model: nn.Module
    """It is on ``device`` already."""
    input_shape: Shape
    classes: int
    device: str = "cpu"
    data: str = "random"
    """Name of the data set, for techniques whose settings depend on it."""
    stage: Stage = "inference"
    """The use of the recipe. A technique may act differently for each."""
    epochs: int = 1
    """Epochs of the full schedule, not the measured ones."""
    loss: Loss = cross_entropy
    optimizer: MakeOptimizer = sgd
    scheduler: MakeScheduler = constant
    batch: Batch = unchanged
    even_epochs: bool = True
    """Whether every epoch costs the same, so that a few measured epochs stand for all."""
    dtype: torch.dtype = torch.float32
    """The type of the images that the model takes."""
    memory_format: torch.memory_format = torch.contiguous_format
    """The memory format of the images that the model takes."""
    scale_gradients: bool = False
    """Whether gradients would underflow without ``torch.amp.GradScaler``."""

    def start(self, steps_per_epoch: int) -> tuple[Optimizer, LRScheduler]:
        """Make the optimiser of the trainable parameters, and its scheduler."""
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = self.optimizer(trainable)
        return optimizer, self.scheduler(optimizer, Horizon(self.epochs, steps_per_epoch))

    def prepare(self, images: Tensor) -> Tensor:
        """Give ``images`` the type and memory format that the model takes."""
        return images.to(dtype=self.dtype, memory_format=self.memory_format)

    def example(self, batch_size: int = 1) -> Tensor:
        """Make a batch of random images on the device, in the type and format of the model's input.

        Returns:
            Values in [0, 1), (``batch_size``, 3, H, W), from torch's global generator.
        """
        return self.prepare(torch.rand(batch_size, *self.input_shape, device=self.device))

    def training_loss(self, output: Any, target: Any) -> Tensor:
        """Sum the loss over all outputs: in training a model may have auxiliary heads."""
        outputs = output if isinstance(output, list) else [output]
        return torch.stack([self.loss(logits, target) for logits in outputs]).sum()
