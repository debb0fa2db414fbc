"""Each technique that changes a model or its execution does what its docstring says."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch._inductor.config
from torch import Tensor, nn

from benchmarks.zoo.models.bisenet import BiSeNet
from benchmarks.zoo.recipe import NotApplicableError, Recipe
from benchmarks.zoo.registry import find_models, find_techniques
from benchmarks.zoo.techniques.coordconv import coordinates
from benchmarks.zoo.techniques.ge_theta import GatherExcite
from benchmarks.zoo.techniques.pruning import strongest
from benchmarks.zoo.techniques.switchnorm import SwitchNorm2d

pytestmark = pytest.mark.usefixtures("repeated_draws")
MODELS, TECHNIQUES = find_models(), find_techniques()
SHAPE = (3, 32, 32)


def resnet() -> Recipe:
    """A seeded ResNet-18 for small images, in evaluation mode."""
    torch.manual_seed(0)
    return Recipe("classification", MODELS["resnet18_cifar"].build(SHAPE, 10).eval(), SHAPE, 10)


def bisenet() -> Recipe:
    """A seeded BiSeNet, in evaluation mode."""
    torch.manual_seed(0)
    shape = (3, 64, 64)  # smaller maps have no room for a blur of five pixels
    return Recipe("segmentation", MODELS["bisenet_resnet18"].build(shape, 5).eval(), shape, 5)


CHANGES = (
    "blurpool",
    "coordconv",
    "ge_theta",
    "ge_theta_minus",
    "pruning",
    "spatial_bottleneck",
    "switchnorm",
)


@pytest.mark.slow
@pytest.mark.parametrize("technique", CHANGES)
@pytest.mark.parametrize("make", [resnet, bisenet])
def test_a_changed_model_keeps_its_shapes_and_learns(make: object, technique: str) -> None:
    """Output shapes are the baseline's, and every used parameter gets a gradient."""
    recipe = make()  # type: ignore[operator]
    images = recipe.example(2)
    expected = recipe.model(images).shape
    changed = TECHNIQUES[technique].apply(recipe)
    assert changed.model(images).shape == expected
    target = torch.zeros(expected[:1] + expected[2:], dtype=torch.long)
    changed.training_loss(changed.model.train()(images), target).backward()
    idle = [name for name, p in changed.model.named_parameters() if p.grad is None]
    assert all(name.endswith(("fc.weight", "fc.bias")) for name in idle)  # BiSeNet's backbone


def shift_error(model: nn.Module, images: Tensor) -> float:
    """How much the logits change when the image moves by one pixel, relative to their spread."""
    with torch.no_grad():
        logits = model(images)
        moved = model(images.roll((1, 1), (2, 3)))
    return ((logits - moved).norm() / logits.std(0).norm()).item()


def test_blurpool_is_more_shift_consistent_with_the_same_weights() -> None:
    """A shift of the image by one pixel changes the output less than without blur."""
    recipe = resnet()
    images = recipe.example(8)
    plain = copy.deepcopy(recipe.model)
    blurred = TECHNIQUES["blurpool"].apply(recipe).model
    weights = zip(plain.parameters(), blurred.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    assert shift_error(blurred, images) < shift_error(plain, images)


def test_switchnorm_weights_always_sum_to_one() -> None:
    """The weights of the mean are positive and sum to one, and so do those of the variance."""
    layer = SwitchNorm2d(4)
    nn.init.normal_(layer.mean_logits)
    nn.init.normal_(layer.var_logits)
    for shares in layer.shares():
        assert shares.sum().item() == pytest.approx(1)
        assert (shares > 0).all()


@pytest.mark.parametrize(
    ("chosen", "library"),
    [
        (0, nn.InstanceNorm2d(4)),
        (1, nn.GroupNorm(1, 4)),
        (2, nn.BatchNorm2d(4)),
    ],
)
def test_switchnorm_switched_to_one_statistic_is_that_normalisation(
    chosen: int, library: nn.Module
) -> None:
    """With all weight on instance, layer or batch, the output equals that of torch's own layer."""
    layer = SwitchNorm2d(4)
    logits = torch.full((3,), -100.0)
    logits[chosen] = 100.0
    with torch.no_grad():
        layer.mean_logits.copy_(logits)
        layer.var_logits.copy_(logits)
        maps = torch.randn(3, 4, 5, 5) * 2 + 1
        torch.testing.assert_close(layer(maps), library(maps), rtol=1e-4, atol=1e-5)


def test_switchnorm_leaves_a_segmentation_backbone_alone() -> None:
    """The backbone keeps batch normalisation. All other normalisations are replaced."""
    model = TECHNIQUES["switchnorm"].apply(bisenet()).model
    backbone = [name for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert backbone
    assert all(name.startswith("context.backbone.") for name in backbone)
    assert any(isinstance(layer, SwitchNorm2d) for layer in model.modules())


def test_gather_excite_only_weakens_a_channel() -> None:
    """A sigmoid scales each channel by a number between zero and one."""
    recipe = TECHNIQUES["ge_theta_minus"].apply(resnet())
    stage = recipe.model.layer1
    maps = torch.randn(2, 64, 8, 8)
    with torch.no_grad():
        plain, scaled = stage[0](maps), stage(maps)
    expected = plain * plain.mean((2, 3), keepdim=True).sigmoid()
    torch.testing.assert_close(scaled, expected)


def test_gather_excite_on_a_larger_image_scales_each_pixel_by_the_nearest_number() -> None:
    """A map of twice the kernel's height has a number for each place of the kernel."""
    layer = GatherExcite(2, 4, 4).eval()
    maps = torch.randn(1, 2, 8, 4)
    with torch.no_grad():
        scaled = layer(maps)
        first, last = (layer.gather(maps[:, :, rows]).sigmoid() for rows in (slice(4), slice(4, 8)))
    torch.testing.assert_close(scaled[:, :, 0], (maps[:, :, :1] * first)[:, :, 0])
    torch.testing.assert_close(scaled[:, :, 7], (maps[:, :, 7:] * last)[:, :, 0])


def test_gather_excite_stands_behind_each_convolution_of_a_segmentation() -> None:
    """ResNet-18 has two blocks of two convolutions a stage, so BiSeNet has sixteen layers."""
    model = TECHNIQUES["ge_theta"].apply(bisenet()).model
    assert sum(isinstance(layer, GatherExcite) for layer in model.modules()) == 16


def test_coordinates_are_x_y_and_the_distance_from_the_centre() -> None:
    """Corners are at ±1 and at the distance √2. The centre is at zero."""
    x, y, distance = coordinates(3, 5, torch.empty(0))[0]
    assert x[0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert y[:, 0].tolist() == [-1, 0, 1]
    assert distance[1, 2] == 0
    assert distance[0, 0].item() == pytest.approx(2**0.5)


def test_coordconv_keeps_the_weights_of_the_image() -> None:
    """They may be pretrained: only the three channels of coordinates are new."""
    recipe = resnet()
    before = recipe.model.conv1.weight.detach().clone()
    after = TECHNIQUES["coordconv"].apply(recipe).model.conv1.conv.weight
    assert torch.equal(after[:, :3], before)
    assert after.shape[1] == 6


def test_coordconv_depends_on_the_place() -> None:
    """A constant image gives different values at different places, unlike with a convolution."""
    recipe = TECHNIQUES["coordconv"].apply(resnet())
    with torch.no_grad():
        maps = recipe.model.conv1(torch.ones(1, 3, 8, 8))[..., 1:-1, 1:-1]
    assert maps.std((2, 3)).min() > 0


def test_a_spatial_bottleneck_works_at_half_the_size() -> None:
    """Between the two convolutions of a block, maps have half the side."""
    recipe = TECHNIQUES["spatial_bottleneck"].apply(resnet())
    block = recipe.model.layer1[0]
    maps = torch.rand(1, 64, 8, 8)
    assert block.conv1(maps).shape == (1, 64, 4, 4)
    assert block(maps).shape == maps.shape


def test_one_branch_has_no_spatial_path() -> None:
    """Only the context path reaches the head."""
    model = TECHNIQUES["one_branch"].apply(bisenet()).model
    assert isinstance(model, BiSeNet)
    assert model.spatial is None
    assert model(torch.rand(1, *SHAPE)).shape == (1, 5, 32, 32)


def test_pruning_keeps_the_strongest_filters() -> None:
    """The half with the larger L1 norms stays, in the same order."""
    weight = torch.tensor([1.0, -4.0, 2.0, 3.0]).reshape(4, 1, 1, 1)
    assert strongest(weight).tolist() == [1, 3]


def test_pruning_silent_filters_changes_nothing() -> None:
    """Removing filters whose output is always zero does not change the model's output."""
    recipe = resnet()
    with torch.no_grad():
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            for block in recipe.model.get_submodule(stage):
                block.conv1.weight[: len(block.conv1.weight) // 2] = 0
        images = recipe.example(2)
        expected = recipe.model(images)
        pruned = TECHNIQUES["pruning"].apply(recipe).model
        torch.testing.assert_close(pruned(images), expected)


@pytest.mark.parametrize(("technique", "worst"), [("amp", 0.05), ("bf16", 0.05), ("fp16", 0.01)])
def test_sixteen_bits_give_nearly_the_same_answer(technique: str, worst: float) -> None:
    """Logits differ by rounding only."""
    recipe = resnet()
    images = recipe.example(2)
    with torch.no_grad():
        expected = recipe.model(images)
        changed = TECHNIQUES[technique].apply(recipe)
        logits = changed.model(changed.prepare(images)).float()
    assert (logits - expected).norm() < worst * expected.norm()
    assert (logits != expected).any()


def test_channels_last_changes_strides_and_nothing_else() -> None:
    """Images and weights have the other memory order, and the output is the same."""
    recipe = resnet()
    images = recipe.example(2)
    with torch.no_grad():
        expected = recipe.model(images)
        changed = TECHNIQUES["channels_last"].apply(recipe)
        prepared = changed.prepare(images)
        assert prepared.is_contiguous(memory_format=torch.channels_last)
        assert changed.model.conv1.weight.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(changed.model(prepared), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_quantised_weights_are_integers_and_the_answer_is_near() -> None:
    """Weights are int8, and logits are within a tenth of the float logits."""
    recipe = resnet()
    images = recipe.example(4)
    with torch.no_grad():
        expected = copy.deepcopy(recipe.model)(images)
        try:
            model = TECHNIQUES["quantisation"].apply(recipe).model
        except NotApplicableError as missing:
            pytest.skip(str(missing))
        assert model.conv1.weight().dtype == torch.qint8
        assert (model(images) - expected).norm() < 0.1 * expected.norm()


def test_quantisation_says_why_it_is_not_for_a_gpu() -> None:
    """The reason names the device, the way to measure the CPU, and alternatives on the device."""
    recipe = Recipe("classification", nn.Identity(), SHAPE, 10, device="cuda:0")
    with pytest.raises(
        NotApplicableError, match=r"not on cuda:0.*CUDA_VISIBLE_DEVICES= .*rows int8"
    ):
        TECHNIQUES["quantisation"].apply(recipe)


def test_compile_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a C++ compiler the reason names compilers to install."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(NotApplicableError, match="install g"):
        TECHNIQUES["compile"].apply(resnet())


def one_kernel() -> nn.Module:
    """A seeded classifier: normalisation and activation, which are compiled, and a sum."""
    torch.manual_seed(0)
    sums = nn.Linear(3 * 32 * 32, 10)
    return nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), sums).eval()


@pytest.mark.slow
def test_a_compiled_model_answers_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code gives the eager logits, up to the order of sums.

    The model is small, because compiling takes long: it has one kernel, for which compiling the
    headers first does not pay, and no other process is started for it. Torch would compile a
    program for each set of vector instructions, to see which this machine has. What torch keeps of
    earlier runs has such instructions.
    """
    sets = "torch._inductor.cpu_vec_isa.valid_vec_isa_list"
    monkeypatch.setattr(sets, lambda: [], raising=False)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    config = torch._inductor.config
    monkeypatch.setattr(config, "compile_threads", 1)
    monkeypatch.setattr(config, "cpp_cache_precompile_headers", False)
    recipe = Recipe("classification", one_kernel(), SHAPE, 10)
    images = recipe.example(2)
    with torch.no_grad():
        expected = recipe.model(images)
        try:
            compiled = TECHNIQUES["compile"].apply(recipe).model
        except NotApplicableError as missing:
            pytest.skip(str(missing))
        torch.testing.assert_close(compiled(images), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("technique", [*CHANGES, "one_branch"])
def test_a_model_that_a_technique_cannot_change_is_refused(technique: str) -> None:
    """A technique that would change nothing says so instead."""
    recipe = Recipe("segmentation", nn.Sequential(nn.Linear(2, 2)), SHAPE, 10)
    with pytest.raises(NotApplicableError, match="Sequential has no"):
        TECHNIQUES[technique].apply(recipe)
