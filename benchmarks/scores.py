"""The scores of the papers: accuracy, mean intersection over union, mean average precision."""

from __future__ import annotations

from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from benchmarks.data.real import IGNORED


def scores_of(task: str, classes: int) -> MetricCollection:
    """The metrics of a task, by the name under which a result keeps them.

    For segmentation ``accuracy`` is that of the pixels, and ``miou`` is over the classes that occur
    in the masks or the predictions.
    """
    if task == "classification":
        return MetricCollection({"accuracy": MulticlassAccuracy(classes, average="micro")})
    return MetricCollection(
        {
            "miou": MulticlassJaccardIndex(classes, ignore_index=IGNORED),
            "accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=IGNORED),
        }
    )
