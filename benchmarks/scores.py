"""The scores of the papers: accuracy, mean intersection over union, mean average precision."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from benchmarks.data.real import IGNORED
from pytest_energy.errors import EnergyError

if TYPE_CHECKING:
    from torchmetrics import Metric, MetricCollection


class UndefinedScoreError(EnergyError):
    """No score can be computed of what was scored."""


class Scores(Protocol):
    """Collects outputs of a model in evaluation mode, batch by batch, and scores them."""

    def update(self, output: Any, target: Any) -> None:
        """Take in one batch."""
        ...

    def compute(self) -> Mapping[str, Any]:
        """The scores of all batches, by the name that they have in a result."""
        ...

    def reset(self) -> None:
        """Forget all batches."""
        ...


def scores_of(task: str, classes: int, device: str) -> Scores:
    """The scores of a task.

    For segmentation ``accuracy`` counts pixels, and ``miou`` is the mean over the classes that
    occur in the masks or the predictions.
    """
    if task == "detection":
        return Precision() if find_spec("pycocotools") else Unscored()
    # torchmetrics imports plotting and language models, which inference does not need
    from torchmetrics import MetricCollection
    from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

    if task == "classification":
        metrics: dict[str, Metric | MetricCollection] = {
            "accuracy": MulticlassAccuracy(classes, average="micro")
        }
    else:
        metrics = {
            "miou": MulticlassJaccardIndex(classes, ignore_index=IGNORED),
            "accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=IGNORED),
        }
    scores: Scores = MetricCollection(metrics).to(device)
    return scores


class Precision:
    """Mean average precision of boxes, as COCO defines it (``map``, ``map50``)."""

    def __init__(self) -> None:
        from torchmetrics.detection import MeanAveragePrecision

        self._metric = MeanAveragePrecision()

    def update(self, output: Any, target: list[dict[str, Tensor]]) -> None:
        """Take in raw predictions (B, 4 + classes, boxes) and the true boxes."""
        raw = output if isinstance(output, Tensor) else output[0]
        predicted = [suppressed(boxes.float().cpu()) for boxes in raw]
        true = [
            # torchmetrics takes plain tensors, not torchvision's boxes
            {name: value.as_subclass(Tensor).cpu() for name, value in image.items()}
            for image in target
        ]
        self._metric.update(predicted, true)

    def compute(self) -> Mapping[str, Any]:
        """The two figures that papers usually print.

        Raises:
            UndefinedScoreError: No image has a true box, for which torchmetrics returns -1.
        """
        scores = self._metric.compute()
        if scores["map"] < 0:
            raise UndefinedScoreError(
                "mean average precision is undefined: none of the scored images has a true box. "
                "Check the label files of the data set"
            )
        return {"map": scores["map"], "map50": scores["map_50"]}

    def reset(self) -> None:
        """Forget all images."""
        self._metric.reset()


class Unscored:
    """No scores, for tasks whose scores need a library that is not installed."""

    def update(self, output: Any, target: Any) -> None:
        """Ignore the batch."""

    def compute(self) -> Mapping[str, Any]:
        """No scores."""
        return {}

    def reset(self) -> None:
        """Nothing is kept."""


def suppressed(
    raw: Tensor, confidence: float = 0.001, overlap: float = 0.7, most: int = 300
) -> dict[str, Tensor]:
    """Keep the best boxes of one image, and drop those of the same class that overlap them.

    Args:
        raw: (4 + classes, boxes): centre, size, then a score a class.
        confidence: Lowest score that counts.
        overlap: Two boxes count as one above this intersection over union.
        most: Largest number of boxes kept.
    """
    from torchvision.ops import batched_nms, box_convert

    scores, labels = raw[4:].max(0)
    likely = scores > confidence
    boxes = box_convert(raw[:4, likely].T, "cxcywh", "xyxy")
    scores, labels = scores[likely], labels[likely]
    best = batched_nms(boxes, scores, labels, overlap)[:most]
    return {"boxes": boxes[best], "scores": scores[best], "labels": labels[best]}
