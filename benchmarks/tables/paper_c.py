"""Badar, Varma, Staniec et al. 2021: training and inference techniques, Tables 1 to 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.tables.layout import (
    Average,
    Better,
    Column,
    Read,
    Row,
    Table,
    Where,
    fill,
    metric,
    paper_rows,
)
from pytest_energy.carbon import VIDEO_METHOD, frames_a_week
from pytest_energy.model.result import Result

METHODS = {
    "Baseline": "baseline",
    "One-Branch": "one_branch",
    "Random Grad.": "random_gradient",
    "Cyclic LR": "cyclic_lr",
    "Poly LR 1/2 Epochs": "poly_half",
    "Prog. Resize": "progressive_resizing",
    "Mixup": "mixup",
    "RAdam": "radam",
    "LookAhead": "lookahead",
    "Label Relaxation": "label_relaxation",
    "Dice Loss": "dice",
    "Focal Loss": "focal",
    "BlurPool": "blurpool",
    "SwitchNorm": "switchnorm",
    "Sp. Bottleneck": "spatial_bottleneck",
    "GE- θ": "ge_theta",
    "GE- θ^-": "ge_theta_minus",
    "CoordConv": "coordconv",
}
"""From a row's label to its technique."""
MODELS = {"segmentation": "bisenet_resnet18", "classification": "resnet50_cifar"}
DATASETS = {
    "segmentation": {"Cityscapes": "cityscapes", "COCO-Stuff": "coco_stuff"},
    "classification": {"CIFAR-100": "cifar100", "Tiny-ImageNet": "tiny_imagenet"},
}
IMAGES_A_WEEK = frames_a_week(frames_per_second=30, hours_per_day=24)

LARGE_FRAME = 8
"""512 × 512 images in a frame of 2048 × 1024, which the captions of the paper count."""

CO2_NOTE = (
    f"CO₂ is that of a week of video at 30 frames a second, day and night: {VIDEO_METHOD}. "
    "Two scenarios: one image a frame, and eight, a frame of 2048 × 1024 in images of 512 × 512. "
    "The paper's column is that of eight, and in every row 4.39 kg a week per ms: it follows "
    "time × 250 W × 8 at 436 g/kWh, not the paper's joules. "
    "Grams need --energy-country or --energy-carbon-intensity."
)
TRAINING_NOTE = "Training energy is that of the measured epochs, scaled to the full schedule."
SEGMENTATION_NOTE = (
    "The paper's variant of BiSeNet is unpublished; ours follows its text. "
    "Its COCO-Stuff energies imply 475 to 583 W on a card of 250 W."
)
CLASSIFICATION_NOTE = (
    "FLOPs are multiply-adds here, as in the paper. The paper prints a tenth of the parameters "
    "(2.37 M for 23.7 M)."
)


def tables(results: Sequence[Result]) -> tuple[Table, ...]:
    """Tables 1 to 4 in the paper's order."""
    return (
        _table(
            "Table 1: segmentation, training",
            "c_table1_segmentation_training.csv",
            {"kind": "training", "task": "segmentation"},
            _training_columns("segmentation", "miou", "mIoU"),
            results,
            (TRAINING_NOTE, SEGMENTATION_NOTE),
        ),
        _table(
            "Table 2: classification, training",
            "c_table2_classification_training.csv",
            {"kind": "training", "task": "classification"},
            _training_columns("classification", "accuracy", "accuracy"),
            results,
            (TRAINING_NOTE,),
        ),
        _table(
            "Table 3: segmentation, inference",
            "c_table3_segmentation_inference.csv",
            {"kind": "inference", "task": "segmentation"},
            _inference_columns("segmentation", "flops"),
            results,
            ("FLOPs count two a multiply-add.", SEGMENTATION_NOTE, CO2_NOTE),
        ),
        _table(
            "Table 4: classification, inference",
            "c_table4_classification_inference.csv",
            {"kind": "inference", "task": "classification"},
            _inference_columns("classification", "macs"),
            results,
            (CLASSIFICATION_NOTE, CO2_NOTE),
        ),
    )


def _table(
    title: str,
    file: str,
    where: Where,
    columns: Sequence[Column],
    results: Sequence[Result],
    notes: Sequence[str],
) -> Table:
    rows = [_row(line, where) for line in paper_rows(file)]
    return fill(f"Paper C, {title}", "method", rows, columns, results, notes, baseline="Baseline")


def _row(line: Mapping[str, str], where: Where) -> Row:
    model, technique = MODELS[str(where["task"])], METHODS[line["method"]]
    facts = {"paper": "c", **where, "model": model, "technique": technique}
    return Row(line["method"], facts, line, average_of(technique))


def average_of(technique: str) -> Average:
    """What stands for repeated runs."""
    # the paper trains this method three times, and prints the mean
    return "mean" if technique == "poly_half" else "median"


def _training_columns(task: str, score: str, shown: str) -> list[Column]:
    held_out = "test" if task == "classification" else "valid"
    columns = []
    for label, dataset in DATASETS[task].items():
        # Tiny-ImageNet's test labels are secret: the paper scores its validation part
        part = "valid" if dataset == "tiny_imagenet" else held_out
        figures: tuple[tuple[str, Read, str, Better], ...] = (
            (f"{shown} train %", metric(f"train_{score}", 100), f"{score}_train_pct", "higher"),
            (f"{shown} {part} %", metric(score, 100), f"{score}_{part}_pct", "higher"),
            ("energy MJ", metric("total_energy_j", 1e-6), "energy_train_mj", "lower"),
        )
        columns += [_column(label, dataset, *figure) for figure in figures]
    return columns


def _inference_columns(task: str, operations: str) -> list[Column]:
    figures: tuple[tuple[str, Read, str, Better], ...] = (
        ("params M", metric("params", 1e-6), "params_m", "lower"),
        ("FLOPs G", metric(operations, 1e-9), "flops_g", "lower"),
        ("time ms", metric("latency_s", 1e3), "time_ms", "lower"),
        ("energy J", metric("energy_j"), "energy_j", "lower"),
        ("CO₂ kg/week, 1 image a frame", metric("co2_g", IMAGES_A_WEEK / 1e3), "", "lower"),
        (
            "CO₂ kg/week, 8 images a frame",
            metric("co2_g", LARGE_FRAME * IMAGES_A_WEEK / 1e3),
            "co2_kg_per_week",
            "lower",
        ),
    )
    return [
        _column(label, dataset, *figure)
        for label, dataset in DATASETS[task].items()
        for figure in figures
    ]


def _column(
    label: str, dataset: str, heading: str, read: Read, name: str, better: Better
) -> Column:
    heading = f"{label} {heading}"
    paper = {f"{heading} (paper)": f"{dataset}_{name}"} if name else {}
    return Column(heading, read, {"dataset": dataset}, paper, better)
