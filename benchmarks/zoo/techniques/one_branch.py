"""One branch: BiSeNet without its spatial path. The fusion takes the context path only.

(B, 3, H, W) → (B, K, H, W) as before. The fusion takes 128 channels instead of 256.

Source: Badar et al. 2021 (paper C), row "One-Branch".
"""

from __future__ import annotations

from benchmarks.zoo.models.bisenet import WIDTH, BiSeNet, FeatureFusion
from benchmarks.zoo.recipe import NotApplicableError, Recipe

TASKS = ("segmentation",)
STAGES = ("inference", "training")


def apply(recipe: Recipe) -> Recipe:
    """Remove the spatial path.

    Raises:
        NotApplicableError: The model is not a BiSeNet.
    """
    model = recipe.model
    if not isinstance(model, BiSeNet):
        raise NotApplicableError(f"{type(model).__name__} has no spatial path; BiSeNet has one")
    model.spatial = None
    model.fusion = FeatureFusion(WIDTH).to(recipe.device)
    return recipe
