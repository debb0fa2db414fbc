"""The scores of the papers: accuracy, mean intersection over union, mean average precision."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Protocol

from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from benchmarks.data.real import IGNORED


class Scores(Protocol):
    """Takes in outputs of a model in evaluation mode, batch by batch, and sums them up."""

    def update(self, output: Any, target: Any) -> None:
        """Take in one batch."""
        ...

    def compute(self) -> Mapping[str, Any]:
        """The scores of all batches, by the name under which a result keeps them."""
        ...


def scores_of(task: str, classes: int, device: str) -> Scores:
    """The scores of a task.

    For segmentation ``accuracy`` is that of the pixels, and ``miou`` is over the classes that occur
    in the masks or the predictions.
    """
    if task == "detection":
        return Precision() if find_spec("pycocotools") else Unscored()
    if task == "classification":
        found: dict[str, Metric | MetricCollection] = {
            "accuracy": MulticlassAccuracy(classes, average="micro")
        }
    else:
        found = {
            "miou": MulticlassJaccardIndex(classes, ignore_index=IGNORED),
            "accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=IGNORED),
        }
    scores: Scores = MetricCollection(found).to(device)
    return scores


class Precision:
    """Mean average precision of boxes, as COCO defines it (``map``, ``map50``)."""

    def __init__(self) -> None:
        from torchmetrics.detection import MeanAveragePrecision

        self._metric = MeanAveragePrecision()

    def update(self, output: Any, target: list[dict[str, Tensor]]) -> None:
        """Take in raw predictions (B, 4 + classes, boxes) and the boxes that are there."""
        raw = output if isinstance(output, Tensor) else output[0]
        found = [suppressed(one.float().cpu()) for one in raw]
        there = [
            {name: value.as_subclass(Tensor).cpu() for name, value in t.items()} for t in target
        ]
        self._metric.update(found, there)

    def compute(self) -> Mapping[str, Any]:
        """The two figures that papers print."""
        scores = self._metric.compute()
        return {"map": scores["map"], "map50": scores["map_50"]}


class Unscored:
    """Stands for scores that need what is not installed: none, rather than a wrong one."""

    def update(self, output: Any, target: Any) -> None:
        """Look away."""

    def compute(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}


def suppressed(
    raw: Tensor, confidence: float = 0.001, overlap: float = 0.7, most: int = 300
) -> dict[str, Tensor]:
    """The best boxes of one image, others of the same class that overlap them removed.

    Args:
        raw: (4 + classes, boxes): centre, size, then a score a class.
        confidence: Lowest score that counts.
        overlap: Intersection over union from which two boxes are one.
        most: Boxes an image.
    """
    from torchvision.ops import batched_nms, box_convert

    scores, labels = raw[4:].max(0)
    likely = scores > confidence
    boxes = box_convert(raw[:4, likely].T, "cxcywh", "xyxy")
    scores, labels = scores[likely], labels[likely]
    kept = batched_nms(boxes, scores, labels, overlap)[:most]
    return {"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]}
