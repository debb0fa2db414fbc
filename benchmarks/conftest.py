"""Markers and options of the suite, and the facts that every benchmark carries."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.data import DataMissingError, name_of
from benchmarks.determinism import one_thread, settle
from benchmarks.options import LEAST_AT_ONCE, Options
from benchmarks.rows import Row
from benchmarks.tables.page import write_page
from benchmarks.target import SMALL_MODEL
from benchmarks.workbench import facts_shape
from benchmarks.zoo.recipe import NotApplicableError
from benchmarks.zoo.weights import name_of_weights, weights_from
from pytest_energy.fixture import Energy
from pytest_energy.model.result import Run
from pytest_energy.plugin.progress import uncaptured
from pytest_energy.plugin.registration import settings_of

MARKERS = (
    *(f"paper_{paper}: a row of paper {paper.upper()} of docs/suite.md" for paper in "abcde"),
    "beyond: a row that no paper has",
    "inference: forward passes",
    "training: epochs of training",
    "sweep: one knob at several settings",
    "quick: a few benchmarks of each kind, which run first and end within a minute on a CPU",
)
QUICK = (
    "test_inference[resnet18-baseline-imagenet]",
    "test_inference[resnet50-baseline-imagenet]",
    "test_inference[resnet152-baseline-imagenet]",
    "test_inference[bisenet_resnet18-baseline-cityscapes]",
    "test_training[resnet18_cifar-baseline-cifar100]",
    "test_encoder[vit_b_16-baseline-batch_1]",
    "test_language_model[gpt2_small-baseline-phase_decode-batch_1-context_1024]",
)
"""The tests with the marker ``quick``."""

LIBRARIES = {
    "peft": "peft",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "timm": "timm",
    "transformers": "transformers",
}
"""The libraries of single rows, by the name of their module. Rows without theirs are skipped."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what only this suite needs."""
    group = parser.getgroup("energy")
    group.addoption(
        "--power-caps",
        action="store_true",
        help="run the power-cap sweep, which changes the card's power limit (needs root) and "
        "restores it",
    )
    group.addoption(
        "--data-workers",
        type=_count(0),
        metavar="N",
        help="processes that load training data at full scale [one a core, at most 8]",
    )
    group.addoption(
        "--epoch-images",
        type=_count(2),
        metavar="N",
        help="cut an epoch at full scale to N images, and scale the joules of the full schedule "
        "by images",
    )
    group.addoption(
        "--micro-batch",
        type=_count(LEAST_AT_ONCE),
        metavar="N",
        help="put at most N images, at least 3, through the model at once; accumulated gradients "
        "keep the paper's batch",
    )
    group.addoption(
        "--score-epochs",
        action="store_true",
        help="score a model after each measured epoch as well, outside the windows",
    )
    group.addoption(
        "--energy-weights",
        type=Path,
        metavar="DIR",
        help="folder of pretrained weights, with torchvision's or timm's file names "
        "(resnet18-f37072fd.pth) [random weights: accuracies are not comparable]",
    )


def _count(least: int) -> Callable[[str], int]:
    """A type for options that are whole numbers of at least ``least``."""

    def count(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return int(text)

    return count


def pytest_configure(config: pytest.Config) -> None:
    """Register the suite's markers, and check its options.

    Raises:
        UsageError: ``--energy-weights`` is no folder.
    """
    folder = config.getoption("energy_weights", None)
    if folder is not None and not folder.is_dir():
        raise pytest.UsageError(
            f"--energy-weights={folder}: no such folder; expected one with files such as "
            "resnet18-f37072fd.pth"
        )
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the quick benchmarks first: the first figures should not take minutes."""
    for item in items:
        if item.name in QUICK:
            item.add_marker("quick")
    items.sort(key=lambda item: item.get_closest_marker("quick") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_energy_workload(item: pytest.Item) -> Mapping[str, object] | None:
    """Return the paper, model, technique and data of a benchmark as facts of its workload."""
    callspec = getattr(item, "callspec", None)
    row = callspec.params.get("row") if callspec else None
    if not isinstance(row, Row):
        return None
    real = item.config.getoption("energy_data") or item.config.getini("energy_data")
    # Paper C measures inference on random images, so real data does not change it.
    ran_on = "random" if row.stage == "inference" else name_of(row.dataset, bool(real))
    facts = {**row.workload, "data": ran_on, "facts_input_shape": list(facts_shape(row))}
    if weights := name_of_weights(row.model, item.config.getoption("energy_weights")):
        facts["weights"] = weights
    return facts | ({"small_model": SMALL_MODEL} if row.knobs.get("sweep") == "target" else {})


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Iterator[None]:
    """Skip a benchmark that cannot run on this machine or lacks its data, and give the reason."""
    try:
        return (yield)
    except (NotApplicableError, DataMissingError) as error:
        pytest.skip(str(error))
    except torch.OutOfMemoryError as error:
        # the workspaces of libraries are in no trace, see memory.py
        pytest.skip(f"does not fit into memory (for a training, try --micro-batch): {error}")
    except ModuleNotFoundError as error:
        if error.name not in LIBRARIES:
            raise
        pytest.skip(f"needs {LIBRARIES[error.name]}: uv sync --group suite")


@pytest.hookimpl(optionalhook=True)
def pytest_energy_outputs(config: pytest.Config, run: Run) -> list[Path]:
    """Write the tables and figures of the papers beside the report."""
    report = settings_of(config).output.get("html")
    if report is None:
        return []
    page = report.with_name("papers.html")
    return [page] if write_page([run], page) else []


@pytest.fixture(autouse=True)
def _settled(energy: Energy, request: pytest.FixtureRequest) -> Iterator[None]:
    """Start every benchmark from the same seeds, so that their order does not matter."""
    settle()
    threads = one_thread() if energy.scale == "small" else nullcontext()
    with threads, weights_from(request.config.getoption("energy_weights")):
        yield


@pytest.fixture
def options(request: pytest.FixtureRequest) -> Options:
    """What the command line says about trainings."""
    config = request.config
    epochs = config.getoption("energy_epochs", None) or None
    return Options(
        epochs=int(epochs) if epochs else None,
        workers=config.getoption("data_workers"),
        epoch_images=config.getoption("epoch_images"),
        micro_batch=config.getoption("micro_batch"),
        score_epochs=config.getoption("score_epochs"),
        announce=partial(announce, config),
    )


def announce(config: pytest.Config, sentence: str) -> None:
    """Print a sentence while a test runs, whose output pytest captures."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None:  # a worker of pytest-xdist has none
        return
    with uncaptured(config):
        terminal.ensure_newline()
        terminal.write_line(sentence)
        terminal.flush()
