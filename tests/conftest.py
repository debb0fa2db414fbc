"""What all tests share: the simulated machine, loaded as users load it, and pytest in pytest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_energy.model.revision import COMMITS
from pytest_energy.plugin.gpu_locks import LOCK_FOLDER_VARIABLE

pytest_plugins = ["pytester", "pytest_energy.testing"]


SURROUNDINGS = (
    "BUILD_NUMBER",
    "CI",
    "CI_NODE_TOTAL",
    "CUDA_VISIBLE_DEVICES",
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "GITLAB_CI",
    *COMMITS,
)
"""Variables that change what pytest or this plugin prints or measures."""


@pytest.fixture(autouse=True, scope="session")
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Isolate the sessions inside tests from the CI system and from the locks of other sessions."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SURROUNDINGS:
            patch.delenv(name, raising=False)
        patch.setenv(LOCK_FOLDER_VARIABLE, str(tmp_path_factory.mktemp("locks")))
        yield
