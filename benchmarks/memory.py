"""The memory that a training step needs, traced on torch's meta device before anything runs."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.counting import RememberedForms
from benchmarks.options import Options
from benchmarks.rows import BASELINE, Row
from benchmarks.schedules import Schedule
from benchmarks.workbench import COUNTED_AS_BASELINE, recipe_for
from benchmarks.zoo.recipe import NotApplicableError, Recipe

GIB: Final = 2**30
MEMINFO: Final = Path("/proc/meminfo")
"""Linux's account of its memory, in KiB."""
MEMBERSHIP: Final = Path("/proc/self/cgroup")
"""The control groups of this process on Linux: a line for each hierarchy."""
CGROUPS: Final = Path("/sys/fs/cgroup")
VERSION_1: Final = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
VERSION_2: Final = ("memory.max", "memory.current", "inactive_file")
"""Files of a control group, and the line of ``memory.stat`` with the inactive pages of files."""


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that operators make while the mode is on.

    Meta tensors have sizes and no memory, so a step of any size is traced in seconds.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch annotates it in part
        self.peak = 0
        self._live = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                self.add(leaf)
        return output

    def add(self, tensor: Tensor) -> None:
        """Count a tensor until its storage is freed; views share their storage."""
        storage = tensor.untyped_storage()
        place, size = storage._cdata, storage.nbytes()
        if place in self._known:
            return
        self._known.add(place)
        self._live += size
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._free, place, size)

    def _free(self, place: int, size: int) -> None:
        self._known.discard(place)
        self._live -= size


def step_bytes(row: Row, schedule: Schedule, images: int) -> int:
    """Bytes that tensors hold at the peak of one training step.

    The second step is traced as well: the optimiser's state then exists. A detector's loss depends
    on the values of the boxes, which meta tensors lack; the sum of the outputs stands for it.
    Libraries' workspaces, the CUDA context (about 0.5 GiB) and fragmentation come on top.

    Args:
        row: What is trained. Rows that cannot be traced count as their baseline.
        schedule: How it is trained; its batch size is not read.
        images: Images in memory at once.
    """
    if row.technique in COUNTED_AS_BASELINE:
        row = replace(row, technique=BASELINE)
    counter = LiveBytes()
    with RememberedForms(), counter:
        recipe = recipe_for(row, schedule, "meta")
        for tensor in (*recipe.model.parameters(), *recipe.model.buffers()):
            counter.add(tensor)
        recipe.model.train()
        optimizer, _ = recipe.start(steps_per_epoch=1)
        for _ in range(2):
            _loss_of(recipe, images).backward()
            optimizer.step()
            optimizer.zero_grad()
    return counter.peak


LAST = 1 - 1e-9
"""The end of the training: techniques that grow the images have their largest ones there."""


def _loss_of(recipe: Recipe, images: int) -> Tensor:
    batch = torch.empty(images, *recipe.input_shape, device=recipe.device)
    if recipe.task == "detection":
        output = recipe.model(recipe.prepare(batch))
        leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        return torch.stack([leaf.float().sum() for leaf in leaves]).sum()
    side = recipe.input_shape[-2:] if recipe.task == "segmentation" else ()
    target = torch.empty(images, *side, device=recipe.device, dtype=torch.long)
    inputs, answers = recipe.batch(batch, target, LAST)
    return recipe.training_loss(recipe.model(recipe.prepare(inputs)), answers)


def available_bytes(device: str) -> int | None:
    """Bytes that a process may still allocate on a torch device; ``None`` if nothing tells."""
    if device.startswith("cuda"):
        # Memory that an earlier row left in torch's cache is free for this one.
        gc.collect()
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    # Free pages would leave out the cache of files, which Linux gives back when asked.
    text = MEMINFO.read_text("ascii") if MEMINFO.exists() else ""
    available = re.search(r"^MemAvailable: +(\d+) kB$", text, re.MULTILINE)
    if available is None:
        return None
    return min([int(available.group(1)) * 1024, *_left_by_control_groups()])


def _left_by_control_groups() -> Iterator[int]:
    """Bytes that the limit of each control group of this process leaves.

    Docker, Kubernetes and Slurm set such limits, below the memory of the machine. Linux gives
    inactive pages of files back when asked. Source: the kernel's admin-guide/cgroup-v2 and
    cgroup-v1/memory.
    """
    lines = MEMBERSHIP.read_text("utf-8").splitlines() if MEMBERSHIP.exists() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = CGROUPS, VERSION_2
        elif "memory" in controllers.split(","):
            root, names = CGROUPS / "memory", VERSION_1
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                yield from _left_by_group(folder, *names)


def _left_by_group(folder: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    """Bytes that the limit of one control group leaves, if it has one."""
    most = folder / limit
    if not most.exists() or (text := most.read_text("ascii").strip()) == "max":
        return
    used = int((folder / usage).read_text("ascii"))
    counts = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
    yield int(text) - used + int(counts[cache])


def check_memory(row: Row, schedule: Schedule, device: str, options: Options) -> float:
    """Say how much memory a step needs, before the training starts.

    Returns:
        The need in GiB.

    Raises:
        NotApplicableError: The device has less. The message says which option helps.
    """
    images = min(schedule.batch_size, options.micro_batch or schedule.batch_size)
    with _undisturbed_generators():
        need = step_bytes(row, schedule, images)
    has = available_bytes(device)
    # The trace of mixed precision is in float32, so it is no reason to skip a row.
    is_bound = row.technique == "amp"
    much = f"{'at most' if is_bound else 'about'} {need / GIB:.1f} GiB"
    sentence = f"{row.id}: a step of {images} images needs {much}"
    if has is None:
        options.announce(sentence)
        return need / GIB
    options.announce(f"{sentence}; {device} has {has / GIB:.1f} GiB free")
    if need > has and not is_bound:
        raise NotApplicableError(
            f"{sentence}, and {device} has {has / GIB:.1f} GiB free: choose a smaller "
            f"--micro-batch than {images}, which keeps the batch of {schedule.batch_size} by "
            "accumulating gradients"
        )
    return need / GIB


@contextmanager
def _undisturbed_generators() -> Iterator[None]:
    """Leave torch's random numbers as they were: a training must not depend on the trace."""
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)
