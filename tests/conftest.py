"""What all tests share: the simulated machine, by the way that users take, and pytest in pytest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_energy.devices import LOCKS

pytest_plugins = ["pytester", "pytest_energy.testing"]


@pytest.fixture(autouse=True, scope="session")
def _own_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sessions inside tests wait for none outside: their machines are not real."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOCKS, str(tmp_path_factory.mktemp("locks")))
        yield
