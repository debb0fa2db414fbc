"""Counting with remembered forms gives what counting without them does."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.counting import RememberedForms, quick_counting
from benchmarks.memory import LiveBytes

Form = tuple[torch.Size, tuple[int, ...], torch.dtype]


def form(tensor: Tensor) -> Form:
    """All that a tensor without elements is."""
    return tensor.shape, tensor.stride(), tensor.dtype


class Layer(nn.Module):
    """Convolution, both normalisations, interpolation, attention and a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.normalisation = nn.BatchNorm2d(8)
        self.attention = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 8, H, W) → (B, 8, H, W)."""
        maps = functional.relu(self.normalisation(self.convolution(images)), inplace=True)
        words = self.attention(maps.flatten(2).transpose(1, 2))
        maps = words.transpose(1, 2).reshape(maps.shape)
        return images + functional.interpolate(maps, size=images.shape[-2:], mode="bilinear")


def step() -> tuple[int, list[Form]]:
    """FLOPs of a training step of three equal layers, and the forms that it leaves."""
    with torch.device("meta"):
        model, images = nn.Sequential(Layer(), Layer(), Layer()), torch.rand(2, 8, 16, 12)
    optimizer = torch.optim.AdamW(model.parameters())
    with FlopCounterMode(display=False) as counter:
        output = model(images)
        output.square().mean().backward()
        optimizer.step()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(isinstance(gradient, Tensor) for gradient in gradients)
    return counter.get_total_flops(), [form(output), *map(form, gradients)]  # type: ignore[arg-type]


def test_a_step_has_the_operations_and_forms_that_it_has_without() -> None:
    """Forward, backward and the optimiser, in layers that repeat."""
    usual = step()
    with RememberedForms():
        assert step() == usual
    assert usual[0] > 0


def test_quick_counting_has_the_operations_of_a_pass() -> None:
    """Normalisation and interpolation are not run; they have no operations."""

    def counted() -> tuple[int, Form]:
        with torch.device("meta"):
            model, images = nn.Sequential(Layer(), Layer()), torch.rand(2, 8, 16, 12)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            output = model.eval()(images)
        return counter.get_total_flops(), form(output)

    usual = counted()
    with quick_counting():
        assert counted() == usual
    assert usual[0] > 0


def test_equal_numbers_of_other_types_have_forms_of_their_own() -> None:
    """An integer tensor times 1 stays one; times 1.0 it is none any more."""
    whole = torch.ones(3, dtype=torch.int64, device="meta")
    with RememberedForms():
        types = [(whole * number).dtype for number in (1, 1.0, True, 1.0, 1)]
    assert types == [torch.int64, torch.float32, torch.int64, torch.float32, torch.int64]


def test_results_are_new_tensors_and_views_are_views() -> None:
    """So the living memory is the same with and without, and an operation in place is seen."""

    def peak() -> int:
        images = torch.rand(64, 64, device="meta")
        with LiveBytes() as counter:
            total = images * 2
            for _ in range(3):
                # torch does not declare that this is a view
                part = torch.ops.aten._unsafe_view(total, [4096])
                total = (part + 1).view(64, 64).add_(1)
        return counter.peak

    usual = peak()
    with RememberedForms():
        assert peak() == usual == 2 * 64 * 64 * 4
        images = torch.rand(4, 4, device="meta")
        first, second = images * 2, images * 2
        assert first.untyped_storage()._cdata != second.untyped_storage()._cdata
        assert images.mul_(2) is images
        assert [(images.T * 2).stride() for _ in range(2)] == [(1, 4), (1, 4)]


def test_tensors_with_elements_are_computed() -> None:
    """Only tensors on the meta device have a form and nothing else."""
    with RememberedForms():
        assert torch.arange(3).add_(1).mul(2).tolist() == [2, 4, 6]
