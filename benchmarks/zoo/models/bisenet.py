"""BiSeNet with a ResNet-18 backbone: segmentation on two paths.

The *spatial path* keeps detail at 1/8 of the image's side with three strided convolutions. The
*context path* has a large field of view: a backbone down to 1/32, with attention and the mean of
the whole map on its last two stages. The *feature fusion module* joins both. In training, two
auxiliary heads read the context path.

Letters: B images of height H and width W; K classes; 1/8, 1/16, … are parts of the image's side.

Paper C's own variant is not published. This one follows the paper's text and the design that
BiSeNet's authors released: 64 channels in the main head, 256 in the auxiliary ones, and fusion
attention without a bottleneck. It has paper C's 14.01 M parameters and 25.93 GFLOPs at 512×512. The
parameters include both auxiliary heads and the backbone's classifier, which no pass runs.

Source: Yu et al. 2018, *BiSeNet*, https://arxiv.org/abs/1808.00897; the backbone is torchvision's.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.zoo.recipe import Shape
from benchmarks.zoo.registry import Variant

WIDTH = 128
"""Channels of each path at the fusion."""


def _variant(*, two_paths: bool) -> Variant:
    return Variant("segmentation", (3, 512, 512), 19, "C", {"two_paths": two_paths})


VARIANTS = {
    "bisenet_resnet18": _variant(two_paths=True),
    "bisenet_resnet18_onebranch": _variant(two_paths=False),
}


class ConvBnRelu(nn.Sequential):
    """Convolution (padded, so that only the stride changes the size), batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class SpatialPath(nn.Sequential):
    """Section 3.1: three convolutions of stride 2. (B, 3, H, W) → (B, 128, H/8, W/8)."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            ConvBnRelu(channels, 64, kernel=7, stride=2),
            ConvBnRelu(64, 64, kernel=3, stride=2),
            ConvBnRelu(64, 64, kernel=3, stride=2),
            ConvBnRelu(64, WIDTH, kernel=1),
        )


class AttentionRefinement(nn.Module):
    """Section 3.2, Figure 2(b): weigh each channel by a mean over the whole map."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(inputs, WIDTH, kernel=3)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(WIDTH, WIDTH, kernel_size=1, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.Sigmoid(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, h, w) → (B, 128, h, w)."""
        maps = self.conv(maps)
        weights: Tensor = self.attention(maps)
        return maps * weights


class ContextPath(nn.Module):
    """Section 3.2: backbone, global mean at its end, refinement on the way up.

    (B, 3, H, W) → (B, 128, H/8, W/8) for the fusion, and (B, 128, H/16, W/16) before it.
    """

    def __init__(self, backbone: torchvision.models.ResNet) -> None:
        super().__init__()
        self.backbone = backbone
        self.tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvBnRelu(512, WIDTH, kernel=1))
        self.refine32 = AttentionRefinement(512)
        self.refine16 = AttentionRefinement(256)
        self.up32 = ConvBnRelu(WIDTH, WIDTH, kernel=3)
        self.up16 = ConvBnRelu(WIDTH, WIDTH, kernel=3)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps at 1/8 and at 1/16."""
        maps8, maps16, maps32 = self.stages(images)
        context = self.refine32(maps32) + self.tail(maps32)
        at16 = self.up32(resize(context, maps16))
        at8 = self.up16(resize(at16 + self.refine16(maps16), maps8))
        return at8, at16

    def stages(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the backbone: maps at 1/8, 1/16 and 1/32 with 128, 256 and 512 channels."""
        net = self.backbone
        maps4 = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(images)))))
        maps8 = net.layer2(maps4)
        maps16 = net.layer3(maps8)
        maps32 = net.layer4(maps16)
        return maps8, maps16, maps32


class FeatureFusion(nn.Module):
    """Section 3.3, Figure 2(c): join the paths, then weigh the channels of the joined map."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        width = 2 * WIDTH
        self.join = ConvBnRelu(inputs, width, kernel=1)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width, kernel_size=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, kernel_size=1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, *paths: Tensor) -> Tensor:
        """Maps of one size, 128 channels each → (B, 256, h, w)."""
        maps: Tensor = self.join(torch.cat(paths, dim=1))
        weights: Tensor = self.attention(maps)
        return maps + maps * weights


class Head(nn.Sequential):
    """Maps → logits of their size: (B, inputs, h, w) → (B, K, h, w)."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__(
            ConvBnRelu(inputs, width, kernel=3), nn.Conv2d(width, classes, kernel_size=1)
        )


class BiSeNet(nn.Module):
    """Section 3.4, Figure 2(a): the whole network. Its one-branch form has no spatial path."""

    def __init__(self, channels: int, classes: int, *, two_paths: bool) -> None:
        super().__init__()
        self.spatial = SpatialPath(channels) if two_paths else None
        self.context = ContextPath(torchvision.models.resnet18(weights=None))
        self.fusion = FeatureFusion(2 * WIDTH if two_paths else WIDTH)
        self.head = Head(2 * WIDTH, 64, classes)
        self.auxiliary = nn.ModuleList(Head(WIDTH, 256, classes) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """(B, 3, H, W) → logits (B, K, H, W). In training, also those of both auxiliary heads."""
        at8, at16 = self.context(images)
        fused = self.fusion(at8) if self.spatial is None else self.fusion(self.spatial(images), at8)
        logits = resize(self.head(fused), images)
        if not self.training:
            return logits
        heads = zip(self.auxiliary, (at8, at16), strict=True)
        return [logits, *(resize(head(maps), images) for head, maps in heads)]


def resize(maps: Tensor, like: Tensor) -> Tensor:
    """Resize ``maps`` to the height and width of ``like`` by bilinear interpolation."""
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)


def build(input_shape: Shape, classes: int, *, two_paths: bool) -> nn.Module:
    """Build BiSeNet for images of any size."""
    return BiSeNet(input_shape[0], classes, two_paths=two_paths)
