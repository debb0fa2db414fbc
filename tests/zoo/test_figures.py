"""Parameters and operations are those that the papers and the libraries print."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from benchmarks.counting import quick_counting
from benchmarks.zoo.recipe import NotApplicableError
from benchmarks.zoo.registry import find_models
from pytest_energy.measuring.model_facts import model_facts

MODELS = find_models()


@cache
def facts(name: str, side: int, classes: int | None = None) -> dict[str, float]:
    """Facts of one image, counted on the meta device, without weights or images."""
    with quick_counting(), torch.device("meta"):
        model = MODELS[name].build((3, side, side), classes)
        counted, reasons = model_facts(model, torch.rand(1, 3, side, side))
    assert reasons == ()
    return {metric: quantity.value for metric, quantity in counted.items()}


# Model, side, classes, batch, metric, and the printed figure in millions. ResNet-50 of paper B is
# compared with its value in PyTorch, because Keras counts other things (docs/suite.md).
PRINTED = [
    ("resnet50", 224, 400, 1, "params", 24.33),  # A, without Keras's biases and statistics
    ("convnext_tiny", 224, 400, 1, "params", 28.127728),  # A
    ("vgg16_transfer", 32, 10, 1, "params", 33.6),  # B, Table 2 from here on
    ("vgg16_transfer", 32, 10, 1, "trainable_params", 18.9),
    ("vgg16_transfer", 32, 10, 32, "flops", 21_300),
    ("vgg16_transfer", 48, 10, 32, "flops", 46_300),
    ("vgg19_transfer", 32, 10, 1, "params", 38.9),
    ("vgg19_transfer", 32, 10, 1, "trainable_params", 18.9),
    ("vgg19_transfer", 32, 10, 32, "flops", 26_700),
    ("vgg19_transfer", 48, 10, 32, "flops", 58_600),
    ("resnet50_transfer", 32, 10, 1, "params", 48.8),
    ("resnet50_transfer", 32, 10, 1, "trainable_params", 25.2),
    ("resnet50_transfer", 48, 10, 1, "params", 73.9),
    ("resnet50_transfer", 48, 10, 1, "trainable_params", 50.3),
    ("resnet50_transfer", 32, 10, 32, "flops", 6_980),
    ("resnet50_transfer", 48, 10, 32, "flops", 16_800),
    ("resnet50_cifar", 32, 100, 1, "params", 23.7),  # C, Table 4
    ("resnet50_cifar", 32, 100, 1, "macs", 1_300),
    ("resnet50_cifar", 64, 200, 1, "params", 23.9),
    ("bisenet_resnet18", 512, 19, 1, "params", 14.01),  # C, Table 3
    ("bisenet_resnet18", 512, 19, 1, "flops", 25_930),
    ("bisenet_resnet18_onebranch", 512, 19, 1, "params", 13.88),
    ("bisenet_resnet18_onebranch", 512, 19, 1, "flops", 22_850),
    ("resnet18", 224, 1000, 1, "params", 11.69),  # torchvision's documentation from here on
    ("resnet18", 224, 1000, 1, "macs", 1_810),
    ("resnet34", 224, 1000, 1, "params", 21.80),
    ("resnet34", 224, 1000, 1, "macs", 3_660),
    ("resnet50", 224, 1000, 1, "params", 25.56),
    ("resnet50", 224, 1000, 1, "macs", 4_090),
    ("resnet101", 224, 1000, 1, "params", 44.55),
    ("resnet101", 224, 1000, 1, "macs", 7_800),
    ("resnet152", 224, 1000, 1, "params", 60.19),
    ("resnet152", 224, 1000, 1, "macs", 11_510),
    ("convnext_tiny", 224, 1000, 1, "macs", 4_460),
    ("efficientnet_b0", 224, 1000, 1, "params", 5.29),
    ("efficientnet_b0", 224, 1000, 1, "macs", 390),
    ("vit_b_16", 224, 1000, 1, "params", 86.57),
    ("vit_b_16", 224, 1000, 1, "macs", 17_560),
    ("swin_t", 224, 1000, 1, "params", 28.29),
    ("swin_t", 224, 1000, 1, "macs", 4_490),
]
TOLERANCE = {"params": 0.01, "trainable_params": 0.01, "macs": 0.02, "flops": 0.02}


@pytest.mark.parametrize(("name", "side", "classes", "batch", "metric", "millions"), PRINTED)
def test_a_figure_is_the_printed_one(
    name: str, side: int, classes: int, batch: int, metric: str, millions: float
) -> None:
    """Parameters are within 1 % of the printed figure, operations within 2 %."""
    counted = facts(name, side, classes)[metric] * (batch if metric in ("macs", "flops") else 1)
    assert counted == pytest.approx(millions * 1e6, rel=TOLERANCE[metric])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "millions", "gflops"),
    [
        ("yolov5n", 2.65, 7.7),
        ("yolov5s", 9.15, 24.0),
        ("yolov5m", 25.1, 64.2),
        ("yolov5l", 53.2, 135.0),
        ("yolov5x", 97.2, 246.4),
    ],
)
def test_yolov5_has_the_figures_of_its_documentation(
    name: str, millions: float, gflops: float
) -> None:
    """At 640×640 with 80 classes the figures match ultralytics' documentation and its counter."""
    try:
        model = MODELS[name].build()
    except NotApplicableError as missing:
        pytest.skip(str(missing))
    from ultralytics.utils.torch_utils import get_flops, get_num_params

    counted, _ = model_facts(model, torch.zeros(1, 3, 640, 640))
    assert counted["params"].value == get_num_params(model)
    assert counted["params"].value == pytest.approx(millions * 1e6, rel=0.01)
    assert counted["flops"].value == pytest.approx(gflops * 1e9, rel=0.02)
    assert counted["flops"].value == pytest.approx(get_flops(model, 640) * 1e9, rel=0.02)


def test_yolov5_is_counted_without_memory() -> None:
    """On torch's meta device, where the suite counts all models, the figures are the same."""
    try:
        model = MODELS["yolov5n"].build()
    except NotApplicableError as missing:
        pytest.skip(str(missing))
    real, _ = model_facts(model, torch.zeros(1, 3, 640, 640))
    counted, reasons = model_facts(model.to("meta"), torch.zeros(1, 3, 640, 640, device="meta"))
    assert not reasons
    assert counted == real
