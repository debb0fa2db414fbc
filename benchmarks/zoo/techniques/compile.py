"""Compile: torch traces the model and generates fused code for it.

The first pass compiles. This takes seconds to minutes, and belongs to the warm-up.

Source: Ansel et al. 2024, https://doi.org/10.1145/3620665.3640366; ``torch.compile``.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from benchmarks.zoo.recipe import NotApplicableError, Recipe

TASKS = ("classification", "segmentation")
STAGES = ("inference", "training")
COMPILERS = ("c++", "g++", "clang++")


def apply(recipe: Recipe) -> Recipe:
    """Wrap the model.

    Raises:
        NotApplicableError: There is no C++ compiler, or Python's headers are missing.
    """
    require_compiler()
    return replace(recipe, model=cast("nn.Module", torch.compile(recipe.model)))


def require_compiler() -> None:
    """Check that torch can compile: it would fail a benchmark at its first pass instead.

    Raises:
        NotApplicableError: There is no C++ compiler, or Python's headers are missing.
    """
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), *COMPILERS)):
        raise NotApplicableError("torch.compile needs a C++ compiler: install g++ or clang")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        raise NotApplicableError(f"torch.compile needs {header}: install python3-dev")
