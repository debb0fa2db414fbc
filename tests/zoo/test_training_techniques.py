"""Each technique of training does what its docstring says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # torch's idiom

from benchmarks.zoo.recipe import VOID, Recipe, Task, cross_entropy
from benchmarks.zoo.registry import find_techniques
from benchmarks.zoo.techniques.cyclic_lr import cycle_for
from benchmarks.zoo.techniques.focal import focal_loss
from benchmarks.zoo.techniques.label_relaxation import relaxed_cross_entropy

TECHNIQUES = find_techniques()


def recipe_of(task: Task = "classification", **changes: object) -> Recipe:
    """A recipe around one linear layer: 4 features, 3 classes, learning rate 0.1."""
    torch.manual_seed(0)
    recipe = Recipe(
        task,
        nn.Linear(4, 3, bias=False),
        input_shape=(3, 8, 8),
        classes=3,
        stage="training",
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    )
    return replace(recipe, **changes)  # type: ignore[arg-type]


def steps(recipe: Recipe, count: int, steps_per_epoch: int = 1) -> tuple[list[float], list[Tensor]]:
    """Learning rates inside each step, and the weights after it, for a gradient of ones."""
    optimizer, scheduler = recipe.start(steps_per_epoch)
    (weight,) = recipe.model.parameters()
    rates, weights = [], []

    def record(*_: object) -> None:
        rates.append(optimizer.param_groups[0]["lr"])

    optimizer.register_step_pre_hook(record)
    for _ in range(count):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        scheduler.step()
        weights.append(weight.detach().clone())
    return rates, weights


def test_random_gradient_draws_uniform_factors() -> None:
    """The factors of a thousand steps are uniform on (0, 1), and the planned rate comes back."""
    from scipy.stats import kstest

    recipe = TECHNIQUES["random_gradient"].apply(recipe_of())
    rates, weights = steps(recipe, 1000)
    factors = [rate / 0.1 for rate in rates]
    assert kstest(factors, "uniform").pvalue > 0.01
    assert (weights[0] - weights[1]).mean().item() == pytest.approx(rates[1], rel=1e-3)
    optimizer, _ = recipe.start(1)
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_random_gradient_changes_no_other_random_numbers() -> None:
    """Its draws do not touch torch's global generator, and repeat with the seed."""
    recipe = TECHNIQUES["random_gradient"].apply(recipe_of())
    before = torch.get_rng_state()
    first, _ = steps(recipe, 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert steps(recipe, 5)[0] == first


def test_poly_half_ends_at_half_with_a_rate_of_zero() -> None:
    """Half of the epochs remain, and the rate falls to zero over them."""
    recipe = TECHNIQUES["poly_half"].apply(recipe_of(epochs=10))
    assert recipe.epochs == 5
    rates, _ = steps(recipe, 5 * 7 + 1, steps_per_epoch=7)
    assert rates[0] == 0.1
    assert rates[1] == pytest.approx(0.1 * (1 - 1 / 35) ** 0.9)
    assert rates[-2] > 0
    assert rates[-1] == 0


@pytest.mark.parametrize(
    ("task", "data", "base", "highest", "epochs_up"),
    [
        ("segmentation", "cityscapes", 1e-4, 0.01, 50),
        ("segmentation", "coco_stuff", 4e-5, 0.004, 3),
        ("classification", "cifar100", 1e-4, 0.01, 20),
    ],
)
def test_a_cycle_peaks_where_the_paper_says(
    task: Task, data: str, base: float, highest: float, epochs_up: int
) -> None:
    """The rate rises for the given epochs. The second peak is half as high above the base."""
    recipe = TECHNIQUES["cyclic_lr"].apply(recipe_of(task, data=data))
    rates, _ = steps(recipe, 4 * epochs_up * 2 + 1, steps_per_epoch=2)
    assert rates[0] == pytest.approx(base)
    assert rates[2 * epochs_up] == pytest.approx(highest)
    assert rates[3 * 2 * epochs_up] == pytest.approx(base + (highest - base) / 2)
    assert cycle_for(recipe).epochs_up == epochs_up


def test_progressive_resizing_visits_the_sizes() -> None:
    """Sides are an eighth, a quarter, a half and the whole, each for a quarter of the epochs."""
    recipe = TECHNIQUES["progressive_resizing"].apply(recipe_of("segmentation"))
    images, masks = torch.rand(2, 3, 64, 64), torch.full((2, 64, 64), VOID)
    sides = []
    for epoch in range(8):
        small, target = recipe.batch(images, masks, epoch / 8)
        assert small.shape[-2:] == target.shape[-2:]
        assert target.dtype == masks.dtype
        assert (target == VOID).all()
        sides.append(small.shape[-1])
    assert sides == [8, 8, 16, 16, 32, 32, 64, 64]
    assert not recipe.even_epochs


def test_mixup_blends_images_and_losses_by_one_share() -> None:
    """For cross-entropy, the result is the loss against torchvision's blended labels."""
    recipe = TECHNIQUES["mixup"].apply(recipe_of())
    images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    mixed, blend = recipe.batch(images, labels, 0.0)
    assert 0 <= blend.share <= 1
    expected = blend.share * images + (1 - blend.share) * images.roll(1, 0)
    torch.testing.assert_close(mixed, expected)
    logits = torch.randn(4, 3)
    soft = blend.share * F.one_hot(labels, 3) + (1 - blend.share) * F.one_hot(labels.roll(1, 0), 3)
    torch.testing.assert_close(recipe.loss(logits, blend), F.cross_entropy(logits, soft.float()))


def test_mixup_draws_its_share_anew() -> None:
    """Two batches are blended differently."""
    recipe = TECHNIQUES["mixup"].apply(recipe_of("segmentation"))
    batch = torch.rand(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.long)
    assert recipe.batch(*batch, 0.0)[1].share != recipe.batch(*batch, 0.0)[1].share


def test_radam_is_torchs_under_the_recipes_schedule() -> None:
    """The optimiser is replaced, the schedule is not."""
    recipe = recipe_of()
    changed = TECHNIQUES["radam"].apply(recipe)
    optimizer, _ = changed.start(1)
    assert isinstance(optimizer, torch.optim.RAdam)
    assert changed.scheduler is recipe.scheduler


def test_radam_keeps_the_weight_decay_of_the_optimiser_that_it_replaces() -> None:
    """All other settings are the same, so the decay is the baseline's."""
    recipe = recipe_of(optimizer=lambda ps: torch.optim.SGD(ps, lr=0.1, weight_decay=5e-4))
    optimizer, _ = TECHNIQUES["radam"].apply(recipe).start(1)
    assert optimizer.param_groups[0]["weight_decay"] == 5e-4
    assert optimizer.param_groups[0]["lr"] == 0.001


def test_lookahead_moves_its_slow_weights_by_alpha() -> None:
    """Five fast steps of -0.1 from slow weights move the model by half of their sum."""
    recipe = TECHNIQUES["lookahead"].apply(recipe_of())
    _, weights = steps(recipe, 10)
    slow = weights[4]  # where timm's slow weights begin
    torch.testing.assert_close(weights[8], slow - 4 * 0.1)
    torch.testing.assert_close(weights[9], slow - 0.5 * 5 * 0.1)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(2, 5))
def test_label_relaxation_is_cross_entropy_away_from_boundaries(seed: int, classes: int) -> None:
    """On a mask of one class the losses agree. On others the relaxed loss is never higher."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 6, 6, generator=generator)
    flat = torch.full((2, 6, 6), int(torch.randint(classes, (), generator=generator)))
    torch.testing.assert_close(relaxed_cross_entropy(logits, flat), cross_entropy(logits, flat))
    mixed = torch.randint(classes, (2, 6, 6), generator=generator)
    assert relaxed_cross_entropy(logits, mixed) <= cross_entropy(logits, mixed) + 1e-6


def test_label_relaxation_accepts_either_class_at_a_boundary() -> None:
    """The two columns at the boundary may be of either class, and void pixels do not count."""
    target = torch.tensor([[[0, 0, 0, 1, 1, VOID, VOID, VOID]] * 3])
    swapped = torch.tensor([[[0, 0, 1, 0, 1, 0, 0, 0]] * 3])
    logits = (100.0 * F.one_hot(swapped, 2)).movedim(-1, 1).requires_grad_()
    loss = relaxed_cross_entropy(logits, target)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_dice_adds_one_minus_the_overlap() -> None:
    """The term is 0 for a perfect mask and has the value by hand for a guess, without void."""
    pytest.importorskip("segmentation_models_pytorch")
    loss = TECHNIQUES["dice"].apply(recipe_of("segmentation")).loss
    target = torch.tensor([[[0, 0, 0, VOID]] * 4])
    right = (100.0 * F.one_hot(target.where(target != VOID, 1), 2)).movedim(-1, 1)
    assert loss(right, target).item() == pytest.approx(0, abs=1e-6)
    guess = torch.zeros(1, 2, 4, 4)
    overlap = 2 * (12 * 0.5) / (12 * 0.5 + 12)
    # The loss is a mean over both classes, and one of them does not occur.
    expected = cross_entropy(guess, target).item() + (1 - overlap) / 2
    assert loss(guess, target).item() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(6,), (2, 3, 4)])
def test_focal_loss_weighs_what_is_right_already_less(shape: tuple[int, ...]) -> None:
    """It is (1 - p)² times -log p of the right class's softmax p; its mean leaves out void."""
    target = torch.randint(3, shape)
    logits = torch.randn(shape[0], 3, *shape[1:])
    p = logits.softmax(1).gather(1, target[:, None])[:, 0]
    by_hand = (1 - p) ** 2 * -p.log()
    torch.testing.assert_close(focal_loss(logits, target), by_hand.mean())
    target[0] = VOID
    torch.testing.assert_close(focal_loss(logits, target), by_hand[1:].mean())


def test_focal_loss_of_a_certain_answer_has_a_finite_gradient() -> None:
    """A class that is right beyond the precision of float32 costs nothing and trains nothing."""
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]]).requires_grad_()
    loss = focal_loss(logits, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
