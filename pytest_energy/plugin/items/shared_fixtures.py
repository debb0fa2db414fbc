"""Which tests share the fixtures that live longer than one test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import pytest

NODES: Final[Mapping[str, type[pytest.Collector]]] = {
    "class": pytest.Class,
    "module": pytest.Module,
    "package": pytest.Package,
}
"""The node that fixtures of a scope belong to; those of a session belong to all tests."""


def shares_fixtures(item: pytest.Item, other: pytest.Item) -> bool:
    """Whether pytest keeps each fixture of ``item`` that lives longer while it runs ``other``."""
    return all(
        _belongings(item, name, scope) == _belongings(other, name, scope)
        for name, scope in _wider_fixtures(item)
    )


def _wider_fixtures(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """Name and scope of each fixture of a test, in use or not, that lives longer than the test."""
    info = getattr(item, "_fixtureinfo", None)
    for name, definitions in (info.name2fixturedefs if info else {}).items():
        for definition in definitions:
            if definition.scope != "function":
                yield name, definition.scope


def _belongings(item: pytest.Item, name: str, scope: str) -> tuple[object, object]:
    """What a fixture of a test is kept for: its node, and its parameter."""
    callspec = getattr(item, "callspec", None)
    node = NODES.get(scope)
    return node and item.getparent(node), callspec and callspec.indices.get(name)
