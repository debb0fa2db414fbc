"""What all tests share: the simulated machine, by the way that users take, and pytest in pytest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_energy.plugin.gpu_locks import LOCKS

pytest_plugins = ["pytester", "pytest_energy.testing"]


SURROUNDINGS = (
    "BUILD_NUMBER",
    "CI",
    "CUDA_VISIBLE_DEVICES",
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "GITLAB_CI",
)
"""What changes what pytest and we print or measure: pytest itself prints more where ``CI`` is."""


@pytest.fixture(autouse=True, scope="session")
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sessions inside tests know nothing of CI, and wait for none outside them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SURROUNDINGS:
            patch.delenv(name, raising=False)
        patch.setenv(LOCKS, str(tmp_path_factory.mktemp("locks")))
        yield
