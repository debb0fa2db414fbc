"""The control's benchmarks: a matrix product and a copy, on the device that is measured.

They never change, so a change of their joules is the machine's. The product keeps the arithmetic
units busy, the copy the memory.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

import pytest

from pytest_energy.fixture import Energy

GPU_BYTES: Final = 2**28
"""Size of the copy on a GPU: several times its caches."""
CPU_SIDE: Final = 512
"""Side of the matrices on a CPU: a product takes about a millisecond."""
CPU_BYTES: Final = 2**27
"""Size of the copy on a CPU: more than most caches hold."""

# A slow device gets fewer passes instead of minutes.
pytestmark = pytest.mark.energy(max_time=30)
at_both_ends = pytest.mark.parametrize("when", ["begin", "end"])


@at_both_ends
def test_matmul(energy: Energy, when: str) -> None:
    """Measure a product of two matrices."""
    if not energy.measures_gpu:
        energy(multiply_on_cpu, *matrices_on_cpu())
        return
    from pytest_energy.meters.nvml.sources.own_load import square_matrix

    torch = _torch_with_cuda()
    matrix = square_matrix(torch, energy.device)
    energy(multiply_on_gpu, torch, matrix, torch.empty_like(matrix))


@at_both_ends
def test_copy(energy: Energy, when: str) -> None:
    """Measure a copy in the memory of the device."""
    if not energy.measures_gpu:
        energy(copy_on_cpu, *buffers_on_cpu())
        return
    torch = _torch_with_cuda()
    source = torch.zeros(GPU_BYTES, dtype=torch.uint8, device=energy.device)
    energy(copy_on_gpu, source, torch.empty_like(source))


def multiply_on_gpu(torch: Any, matrix: Any, product: Any) -> None:
    """Multiply a matrix by itself."""
    torch.mm(matrix, matrix, out=product)


def copy_on_gpu(source: Any, target: Any) -> None:
    """Copy bytes within the memory of the GPU."""
    target.copy_(source)


def matrices_on_cpu() -> tuple[Any, Any]:
    """A matrix, and room for its product."""
    import numpy as np

    matrix = np.ones((CPU_SIDE, CPU_SIDE), dtype=np.float32)
    return matrix, np.empty_like(matrix)


def multiply_on_cpu(matrix: Any, product: Any) -> None:
    """Multiply a matrix by itself."""
    import numpy as np

    np.matmul(matrix, matrix, out=product)


def buffers_on_cpu() -> tuple[Any, Any]:
    """Bytes, and room for their copy."""
    import numpy as np

    # Pages that were never written are all one page, which a cache holds.
    source = np.ones(CPU_BYTES, dtype=np.uint8)
    return source, np.ones_like(source)


def copy_on_cpu(source: Any, target: Any) -> None:
    """Copy bytes within the memory of the machine."""
    target[:] = source


def _torch_with_cuda() -> ModuleType:
    """The torch module; the test is skipped if torch cannot load the GPU that is measured."""
    from pytest_energy.errors import UsageError
    from pytest_energy.measuring.forward_passes import import_torch

    try:
        torch = import_torch()
    except UsageError:
        pytest.skip("the control of a GPU needs torch: pip install 'pytest-energy[torch]'")
    if not torch.cuda.is_available():
        pytest.skip("the control of a GPU needs a torch with CUDA; this one sees no GPU")
    return torch
