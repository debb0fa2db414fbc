"""What a training does beside its steps: it accumulates, scales by images, and remarks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import conftest, memory
from benchmarks.data import KINDS, DataMissingError
from benchmarks.memory import available_bytes, check_memory, step_bytes
from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.training import Training, remarks_on_data, remarks_on_loss
from benchmarks.workbench import scheduled
from benchmarks.zoo.recipe import NotApplicableError

ROW = Row("b", "training", "vgg16_transfer", "cifar10")
FULL = replace(scheduled(ROW, "full"), workers=0)


@pytest.fixture(autouse=True)
def small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A linear model in place of VGG16, and no trace of its memory."""
    recipe = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))

    def tiny(row: Row, schedule: object, device: str):
        torch.manual_seed(0)
        made = made_by(row, replace(scheduled(ROW, "small")), device)
        recipe[1].reset_parameters()
        return replace(made, model=recipe)

    from benchmarks import training
    from benchmarks.zoo.recipe import Recipe

    def made_by(row: Row, schedule: object, device: str) -> Recipe:
        return Recipe("classification", recipe, (3, 32, 32), 10, device, epochs=3)

    monkeypatch.setattr(training, "recipe_for", tiny)
    monkeypatch.setattr(training, "check_memory", lambda *_: 0.5)


def test_generated_data_are_repeated_to_the_papers_count() -> None:
    """An epoch of digits has as many images and steps as one of CIFAR-10."""
    training = Training(ROW, FULL, "cpu")
    assert training.workload == {"images_per_epoch": 50_000, "steps_per_epoch": 1563}
    assert training.epochs_to_scale_to == 3
    assert list(remarks_on_data(training, KINDS["cifar10"].images)) == []


def test_a_cut_epoch_is_scaled_by_images() -> None:
    """The joules of 500 images stand for a hundredth of an epoch, and the result says so."""
    training = Training(ROW, FULL, "cpu", options=Options(epoch_images=500))
    training.one_epoch()
    assert training.workload["images_per_epoch"] == 500
    assert training.epochs_to_scale_to == 300
    (remark,) = remarks_on_data(training, 50_000)
    assert "cut to 500 of 50,000 images (--epoch-images)" in remark


def test_a_small_twin_is_neither_repeated_nor_traced() -> None:
    """It has its few batches."""
    training = Training(ROW, scheduled(ROW, "small"), "cpu")
    assert training.workload["images_per_epoch"] == 8
    assert training.memory_need_gib is None


@pytest.mark.parametrize("most", [1, 3, 7])
def test_accumulated_gradients_are_those_of_the_whole_batch(most: int) -> None:
    """One step in parts ends at the same weights, and reports the same loss."""
    weights, losses = [], []
    for micro_batch in (None, most):
        options = Options(epoch_images=32, micro_batch=micro_batch)
        training = Training(ROW, FULL, "cpu", options=options)
        training.one_epoch()
        weights.append(training.recipe.model[1].weight.detach().clone())
        losses += training.losses
    torch.testing.assert_close(weights[0], weights[1])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_schedule_waits_for_the_optimiser() -> None:
    """A step whose gradients overflowed is none: the learning rate stays where it was."""
    training = Training(ROW, FULL, "cpu", options=Options(epoch_images=64))
    training.scaler = torch.amp.GradScaler("cpu")
    steps = []
    training.scheduler.step = lambda: steps.append(1)
    overflow = training.recipe.model[1].weight.register_hook(lambda gradient: gradient * math.inf)
    training.one_epoch()
    assert steps == []
    overflow.remove()
    training.one_epoch()
    assert len(steps) == 2


def test_a_training_that_diverges_keeps_its_losses_and_reports_none_as_a_metric() -> None:
    """NaN is no metric; the remark says from which epoch on."""
    training = Training(ROW, FULL, "cpu", options=Options(epoch_images=32))
    assert math.isfinite(training.one_epoch()["loss"])
    with torch.no_grad():
        training.recipe.model[1].weight.fill_(math.nan)
    assert set(training.one_epoch()) == {"data_wait_share"}
    (remark,) = remarks_on_loss(training.losses, 3)
    assert "from epoch 2 on: the training diverged" in remark


@pytest.mark.parametrize(
    ("losses", "epochs", "remarks"),
    [
        ([2.0, 1.0, 2.1], 3, 1),  # did not fall
        ([2.0, 1.0, 1.9], 3, 0),
        ([2.0, 2.1], 3, 0),  # not the full schedule
        ([2.0], 1, 0),
        ([2.0, math.inf], 2, 1),
    ],
)
def test_a_loss_that_does_not_fall_is_remarked(
    losses: list[float], epochs: int, remarks: int
) -> None:
    """Only over a full schedule: after a part of it, a loss may still be rising."""
    assert len(list(remarks_on_loss(losses, epochs))) == remarks


def test_a_row_without_its_data_is_skipped_with_what_must_lie_where(tmp_path: Path) -> None:
    """Other rows of the folder run."""
    running = conftest.pytest_pyfunc_call()
    next(running)
    missing = DataMissingError("mnist", tmp_path, ("MNIST/raw",), "Unpack it.")
    with pytest.raises(pytest.skip.Exception, match=r"mnist: missing below .* MNIST/raw. Unpack"):
        running.throw(missing)


def test_a_step_that_fits_by_the_trace_only_is_skipped() -> None:
    """Libraries' workspaces come on top of what is traced."""
    running = conftest.pytest_pyfunc_call()
    next(running)
    with pytest.raises(pytest.skip.Exception, match=r"try --micro-batch\): CUDA out"):
        running.throw(torch.OutOfMemoryError("CUDA out of memory."))


def test_a_row_without_its_library_is_skipped_with_the_command_that_installs_it() -> None:
    """A module that no row brings with it is a fault of the code, and stays an error."""
    running = conftest.pytest_pyfunc_call()
    next(running)
    missing = ModuleNotFoundError("No module named 'transformers'", name="transformers")
    with pytest.raises(pytest.skip.Exception, match="needs transformers: uv sync --group suite"):
        running.throw(missing)
    running = conftest.pytest_pyfunc_call()
    next(running)
    with pytest.raises(ModuleNotFoundError, match="benchmarks"):
        running.throw(ModuleNotFoundError("No module named 'benchmarks.zo'", name="benchmarks.zo"))


@pytest.mark.parametrize(
    ("technique", "most_gib"),
    [("baseline", 14), ("focal", 15), ("dice", 27), ("label_relaxation", 21)],
)
def test_the_need_of_coco_stuff_is_that_of_its_maps(technique: str, most_gib: float) -> None:
    """A one-hot map of 64-bit integers would add 4 GiB to each of three heads."""
    row = Row("c", "training", "bisenet_resnet18", "coco_stuff", technique)
    need = step_bytes(row, scheduled(row, "full"), 12)
    assert 13 < need / memory.GIB < most_gib


def test_the_need_grows_with_the_images_at_once() -> None:
    """Weights, gradients and the optimiser's state are needed once."""
    row = Row("e", "training", "resnet18_cifar", "cifar100")
    few, many = (step_bytes(row, scheduled(row, "full"), images) for images in (8, 128))
    weights = 4 * 11_220_132
    assert few > 4 * weights  # Adam has two states
    assert few < many < 16 * few


def test_the_need_is_printed_while_output_is_not_captured() -> None:
    """A captured sentence would appear after the run, and only if the test fails."""
    events: list[str] = []

    @contextmanager
    def disabled() -> Iterator[None]:
        events.append("shown")
        yield
        events.append("captured")

    plugins = {
        "capturemanager": SimpleNamespace(global_and_fixture_disabled=disabled),
        "terminalreporter": SimpleNamespace(
            ensure_newline=lambda: None, write_line=events.append, flush=lambda: None
        ),
    }
    config = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=plugins.get))
    conftest.announce(config, "a step needs 3 GiB")
    assert events == ["shown", "a step needs 3 GiB", "captured"]
    del plugins["terminalreporter"]  # as in a worker of pytest-xdist
    conftest.announce(config, "a step needs 3 GiB")


def test_memory_in_torchs_cache_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier row leaves its memory there, and must not let a later one be skipped."""
    free = [10]
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: free.append(70))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free[-1], 80))
    assert available_bytes("cuda:0") == 70


def test_linuxs_cache_of_files_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a data set was read, hardly a page is unused. Other systems do not tell."""
    row, lines = Row("e", "training", "resnet18_cifar", "cifar100"), []
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "step_bytes", lambda *_: 3 * memory.GIB)
    options = Options(announce=lines.append)
    assert check_memory(row, scheduled(row, "full"), "cpu", options) == 3
    assert lines == [f"{row.id}: a step of 128 images needs about 3.0 GiB"]
    memory.MEMINFO.write_text("MemFree:          1000 kB\nMemAvailable:    5242880 kB\n")
    check_memory(row, scheduled(row, "full"), "cpu", options)
    assert lines[1].endswith("; cpu has 5.0 GiB free")


@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_limit_counts(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smallest limit of all groups above the process, less what cannot be given back."""
    for name, path in (("MEMINFO", "meminfo"), ("MEMBERSHIP", "cgroup"), ("CGROUPS", "groups")):
        monkeypatch.setattr(memory, name, tmp_path / path)
    memory.MEMINFO.write_text(f"MemAvailable: {64 * 2**20} kB\n")
    memory.MEMBERSHIP.write_text(("3:cpu:/\n2:memory:" if version == 1 else "0::") + "/job/step\n")
    job = memory.CGROUPS / ("memory/job" if version == 1 else "job")
    (job / "step").mkdir(parents=True)
    limit, usage, cache = (
        ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")
        if version == 1
        else ("max", "current", "inactive_file")
    )
    for folder, most in ((job, 8 * memory.GIB), (job / "step", "max" if version == 2 else 2**63)):
        (folder / f"memory.{limit}").write_text(f"{most}\n")
        (folder / f"memory.{usage}").write_text(f"{6 * memory.GIB}\n")
        (folder / "memory.stat").write_text(f"{cache}_of_others 5\n{cache} {memory.GIB}\n")
    assert available_bytes("cpu") == 3 * memory.GIB


def test_too_large_a_step_is_skipped_with_the_option_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The need is said before anything runs, and a trace leaves random numbers as they were."""
    row, lines = Row("e", "training", "resnet18_cifar", "cifar100"), []
    before = torch.get_rng_state()
    options = Options(micro_batch=16, announce=lines.append)
    need = check_memory(row, scheduled(row, "full"), "cpu", options)
    assert torch.equal(torch.get_rng_state(), before)
    assert f"a step of 16 images needs about {need:.1f} GiB" in lines[0]
    assert available_bytes("cpu")
    monkeypatch.setattr(memory, "available_bytes", lambda _: 1000)
    with pytest.raises(NotApplicableError, match="--micro-batch than 16, which keeps the batch of"):
        check_memory(row, scheduled(row, "full"), "cpu", options)
    mixed = replace(row, technique="amp")  # traced in float32: a bound, and no reason to skip
    check_memory(mixed, scheduled(mixed, "full"), "cpu", options)
    assert "needs at most" in lines[-1]
