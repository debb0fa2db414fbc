"""A load of the meter's own: matrix products by torch, on all measured devices."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from pytest_energy.meters.nvml.devices.selection import Device
from pytest_energy.meters.nvml.sources.probing import OwnLoad

SIDE = 4096
"""Side of the square matrices: a product takes about a millisecond, so that a load ends at once."""


def torch_load(devices: Sequence[Device]) -> OwnLoad | None:
    """The load; ``None`` unless this process uses CUDA through torch, which shows it each device.

    Neither torch nor CUDA is started for this. A program without them should not pay for a context,
    and a process that has started CUDA can no longer fork children that use it.

    Raises:
        RuntimeError: The devices cannot be used, for example because their memory is full.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    places = _places(torch, [device.candidate.uuid for device in devices])
    if places is None:
        return None

    @contextmanager
    def load() -> Iterator[None]:
        stop = threading.Event()
        with ThreadPoolExecutor(len(places)) as threads:
            running = [threads.submit(_multiply, torch, place, stop) for place in places]
            try:
                yield
            finally:
                stop.set()
        for ended in running:
            ended.result()  # raises what went wrong

    _warm_up(torch, places)
    return load


def _places(torch: Any, uuids: Sequence[str]) -> list[int] | None:
    """Torch's numbers of the devices; ``None`` if torch does not know one by its UUID."""
    shown = {
        f"GPU-{getattr(torch.cuda.get_device_properties(place), 'uuid', '')}": place
        for place in range(torch.cuda.device_count())
    }
    places = [shown.get(uuid) for uuid in uuids]
    return None if None in places else [place for place in places if place is not None]


def _warm_up(torch: Any, places: Sequence[int]) -> None:
    """Create contexts and choose algorithms, which takes seconds the first time."""
    for place in places:
        stop = threading.Event()
        stop.set()
        _multiply(torch, place, stop)


def square_matrix(torch: Any, device: str) -> Any:
    """The matrix to multiply by itself; the control measures the same product."""
    return torch.ones(SIDE, SIDE, device=device, dtype=torch.float16)


def _multiply(torch: Any, place: int, stop: threading.Event) -> None:
    """Multiply until ``stop``, at least once, waiting for each product."""
    with torch.cuda.device(place), torch.no_grad():
        matrix = square_matrix(torch, f"cuda:{place}")
        while True:
            torch.mm(matrix, matrix)
            torch.cuda.synchronize(place)
            if stop.is_set():
                return
