"""How the modules of the package depend on one another: read from their source."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "pytest_energy"

PYTEST_SIDE = {
    "collecting",
    "hookspec",
    "latency",
    "plugin",
    "progress",
    "reporting",
    "revisits",
    "running",
    "scheduling",
    "testing",
    "workers",
}
"""The rooms that speak with pytest; the core knows nothing of it."""
TORCH_SIDE = {"facts", "inference"}
"""The rooms that speak with torch, and import it only inside their functions."""


def name_of(path: Path) -> str:
    """The module's dotted name within the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}


def imported(tree: ast.AST) -> set[str]:
    """The full names of all that a module imports, also inside its functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not followed here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules_behind(name: str) -> set[str]:
    """The modules of this package that the import of ``name`` needs."""
    inside = name.removeprefix("pytest_energy.")
    if inside == name:
        return set()
    return {inside if inside in SOURCES else inside.rpartition(".")[0]}


NEEDS = {
    module: {found for name in imported(tree) for found in modules_behind(name)}
    for module, tree in SOURCES.items()
}


def importers_of(library: str) -> set[str]:
    """The modules that import ``library`` or a part of it."""
    return {
        module
        for module, tree in SOURCES.items()
        if any(name.partition(".")[0] == library for name in imported(tree))
    }


def test_the_graph_is_that_of_the_package() -> None:
    """Imports at the top and inside functions are seen, of modules and of names in them."""
    assert {"errors", "fixture", "running"} <= NEEDS["plugin"]
    assert "meters.nvml.library" in NEEDS["devices"]
    assert len(NEEDS) > 80


def test_no_module_needs_itself() -> None:
    """Imports go down only: there is an order of the modules without a circle."""
    order = list(TopologicalSorter(NEEDS).static_order())
    assert set(order) == set(SOURCES)


def test_pytest_is_known_on_its_side_only() -> None:
    """The rooms named above import pytest, all others work without it."""
    assert importers_of("pytest") | importers_of("_pytest") == PYTEST_SIDE


def test_the_core_does_not_reach_pytest_through_others() -> None:
    """What imports a room of pytest's side belongs to that side."""
    assert {module for module, needs in NEEDS.items() if needs & PYTEST_SIDE} <= PYTEST_SIDE


def test_torch_is_known_in_two_rooms_only() -> None:
    """Whoever else asks about models asks these."""
    assert importers_of("torch") == TORCH_SIDE


def test_torch_is_imported_only_when_it_is_needed() -> None:
    """Importing a module imports no torch, which takes seconds."""
    for module in TORCH_SIDE:
        imports = (ast.Import, ast.ImportFrom)
        at_once = [node for node in SOURCES[module].body if isinstance(node, imports)]
        assert "torch" not in imported(ast.Module(at_once, type_ignores=[]))
