"""YOLOv5 in five sizes: a one-stage detector.

It comes from the ``ultralytics`` package (AGPL-3.0, the extra ``detection``). Its YOLOv5 has the
anchor-free head of its later models: size n has 2.65 M parameters, the original of 2020 has 1.9 M.
The weights are random. Before the import, its network check, its telemetry and its installing of
packages are turned off, and its settings file is moved out of the home folder.

Shapes: images (B, 3, H, W), H and W multiples of 32; targets a list of B dictionaries of ``boxes``
(N, 4), corners x, y, x, y in pixels, and ``labels`` (N,). In training the output is a dictionary of
raw maps. In evaluation it starts with a tensor (B, 4 + classes, boxes): centre, size, class scores.

Source: https://docs.ultralytics.com/models/yolov5, ``yolov5n.yaml`` and the like, version 8.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo.recipe import Loss, NotApplicableError, Shape
from benchmarks.zoo.registry import Variant


def _variant(size: str) -> Variant:
    return Variant("detection", (3, 640, 640), 80, "D", {"size": size})


VARIANTS = {
    "yolov5n": _variant("n"),
    "yolov5s": _variant("s"),
    "yolov5m": _variant("m"),
    "yolov5l": _variant("l"),
    "yolov5x": _variant("x"),
}


def build(input_shape: Shape, classes: int, *, size: str) -> nn.Module:
    """Build a YOLOv5 with random weights, always on the CPU.

    Raises:
        NotApplicableError: ultralytics is not installed.
    """
    _stay_offline()
    try:
        from ultralytics.cfg import get_cfg
        from ultralytics.nn.tasks import DetectionModel
    except ModuleNotFoundError as error:
        raise NotApplicableError(
            f"YOLOv5 needs {error.name}: pip install 'pytest-energy[detection]' (AGPL-3.0)"
        ) from error

    class Detector(DetectionModel):  # type: ignore[misc] # ships no types
        """Keeps its strides when it moves to torch's meta device, which has no values."""

        def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
            strides = self.model[-1].stride
            moved: nn.Module = super()._apply(fn)
            if self.model[-1].stride.is_meta:
                self.model[-1].stride = strides
            return moved

    with torch.device("cpu"):  # building reads values, which the meta device lacks
        model: nn.Module = Detector(
            f"yolov5{size}.yaml", ch=input_shape[0], nc=classes, verbose=False
        )
    model.args = get_cfg()  # its loss reads its weights from here
    return model


def make_loss(model: nn.Module) -> Loss:
    """Ultralytics' own loss: of boxes, classes and edges, summed over the batch.

    Args:
        model: A model from ``build``, on its device already.
    """
    criterion = model.init_criterion()  # type: ignore[operator] # a method of Detector

    def loss(maps: dict[str, Any], target: list[dict[str, Tensor]]) -> Tensor:
        # The first of the raw maps has 1/8 of the image's sides.
        height, width = (int(8 * side) for side in maps["feats"][0].shape[-2:])
        terms, _ = criterion(maps, _as_ultralytics(target, height, width))
        total: Tensor = terms.sum()
        return total

    return loss


def _as_ultralytics(target: list[dict[str, Tensor]], height: int, width: int) -> dict[str, Tensor]:
    """One flat list of boxes: image number, class, centre and size relative to the image."""
    from torchvision.ops import box_convert

    boxes = torch.cat([image["boxes"] for image in target]).as_subclass(Tensor)
    labels = torch.cat([image["labels"] for image in target])
    scale = boxes.new_tensor([width, height, width, height])
    counts = torch.tensor([len(image["labels"]) for image in target], device=boxes.device)
    return {
        "batch_idx": torch.arange(len(target), device=boxes.device).repeat_interleave(counts),
        "cls": labels[:, None],
        "bboxes": box_convert(boxes, "xyxy", "cxcywh") / scale,
    }


def _stay_offline() -> None:
    """Set the environment variables that ultralytics reads when it is imported."""
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_VERBOSE"] = "false"
    settings = Path(tempfile.gettempdir()) / "pytest-energy-ultralytics"
    os.environ.setdefault("YOLO_CONFIG_DIR", str(settings))
