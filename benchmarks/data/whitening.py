"""ZCA whitening: give all directions of pixel space about the same variance, as paper A does.

With the mean μ of the training images and the eigenvectors U and eigenvalues s of their covariance,
x → (x - μ) W, where W = U diag(1/√(s + ε)) Uᵀ. For images of 224 × 224 × 3, W has 150,528² numbers,
91 GB. So U holds the leading directions only, and all others share the mean r of their variances:
W = U diag(1/√(s + ε) - 1/√(r + ε)) Uᵀ + 1/√(r + ε). With all directions it is the formula above.

Source: Bell, Sejnowski 1997, https://doi.org/10.1016/S0042-6989(97)00121-1 (ZCA); Tipping, Bishop
1999, https://doi.org/10.1111/1467-9868.00196, equation (8) (r); ``sklearn.decomposition.PCA``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from benchmarks.data.samples import Samples, Subset

IMAGES_A_DIRECTION: Final = 4
"""Images for each direction that is computed from them."""
EPSILON: Final = 0.1
"""Added to the variances of normalised pixels, so that noise of empty directions stays small.
Source: Coates, Ng, Lee 2011, https://proceedings.mlr.press/v15/coates11a.html."""


@dataclass(frozen=True)
class Whitening:
    """Whitens batches of images on its device. D is the number of values of an image."""

    mean: Tensor
    """(D,)"""
    directions: Tensor
    """(k, D), orthonormal."""
    gains: Tensor
    """(k,): the factor of each direction."""
    rest: float
    """The factor of all other directions."""

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        centred = images.flatten(1) - self.mean
        leading = centred @ self.directions.T * (self.gains - self.rest)
        return (self.rest * centred + leading @ self.directions).view_as(images)

    def to(self, device: str) -> Whitening:
        """The same on a torch device."""
        mean, directions, gains = (
            part.to(device) for part in (self.mean, self.directions, self.gains)
        )
        return replace(self, mean=mean, directions=directions, gains=gains)


def whitening_of(samples: Samples, count: int, seed: int = 0) -> Whitening:
    """Compute the directions from ``count`` random ``samples``, which give images (C, H, W)."""
    chosen = Subset(samples, count, seed)
    images = torch.stack([chosen[index][0] for index in range(len(chosen))])
    return directions_of(images, max(1, len(chosen) // IMAGES_A_DIRECTION), seed)


def directions_of(images: Tensor, most: int, seed: int = 0) -> Whitening:
    """Compute at most ``most`` directions from images (N, C, H, W), N ≥ 2."""
    from sklearn.decomposition import PCA

    pixels = images.flatten(1).numpy()
    count, size = pixels.shape
    analysis = PCA(min(most, count - 1, size), random_state=seed).fit(pixels)
    variances = torch.from_numpy(analysis.explained_variance_).float()
    others = max(size - len(variances), 1)
    # not PCA's own noise_variance_: its mean is over the images, of which there are fewer
    remaining = float(pixels.var(axis=0, ddof=1).sum() - variances.sum()) / others
    return Whitening(
        torch.from_numpy(analysis.mean_).float(),
        torch.from_numpy(analysis.components_).float(),
        (variances + EPSILON).rsqrt(),
        (max(remaining, 0.0) + EPSILON) ** -0.5,
    )
