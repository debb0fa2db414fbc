"""The dependencies of the modules of the package, read from their source."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pytest_energy"

ORDER = (
    {"errors"},
    {"clocks"},
    {"model", "options"},
    {"marker"},
    {"settings"},
    {"uncertainty"},
    {"carbon", "gate", "meters"},
    {"measuring", "report"},
    {"fixture"},
    {"session"},
    {"against", "logs", "simulation"},
    {"fleet", "history"},
    {"plugin", "testing"},
    {"cli"},
)
"""The floors of the package, lowest first: a module imports its own folder and lower floors."""
PYTEST_SIDE = {"plugin", "testing"}
"""The rooms that import pytest; everything else works without it."""
TORCH_SIDE = {"measuring.model_facts", "measuring.forward_passes", "simulation.torch_load"}
"""The modules that import torch, and only inside their functions."""


def name_of(path: Path) -> str:
    """The module's dotted name within the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, ast.Module]:
    """The syntax trees of all modules; read when a test asks, since workers collect all tests."""
    return {name_of(path): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}


@cache
def imported(tree: ast.AST) -> set[str]:
    """The full names of all that a module imports, also inside its functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not followed here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imports_at_once(tree: ast.Module) -> list[ast.stmt]:
    """The imports at the top of a module, which run when it is imported."""
    return [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]


def modules_behind(name: str) -> set[str]:
    """The modules of this package that the import of ``name`` needs."""
    inside = name.removeprefix("pytest_energy.")
    if inside == name:
        return set()
    return {inside if inside in sources() else inside.rpartition(".")[0]}


@cache
def dependencies() -> dict[str, set[str]]:
    """The modules that each module imports."""
    return {
        module: {needed for name in imported(tree) for needed in modules_behind(name)}
        for module, tree in sources().items()
    }


def importers_of(library: str) -> set[str]:
    """The modules that import ``library`` or a part of it."""
    return {
        module
        for module, tree in sources().items()
        if any(name.partition(".")[0] == library for name in imported(tree))
    }


def room_of(module: str) -> str:
    """The folder or module at the top of the package that ``module`` is in."""
    return module.partition(".")[0]


FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}


def test_the_graph_is_that_of_the_package() -> None:
    """Imports at the top and inside functions are seen, of modules and of names in them."""
    assert {"fixture", "plugin.registration", "measuring.forward_passes"} <= dependencies()[
        "plugin"
    ]
    assert "meters.nvml.driver" in dependencies()["plugin.gpu_locks"]
    assert len(dependencies()) > 80


def test_no_module_needs_itself() -> None:
    """There is an order of the modules without a circle."""
    order = list(TopologicalSorter(dependencies()).static_order())
    assert set(order) == set(sources())


def test_every_folder_has_a_place_in_the_order() -> None:
    """A new folder is placed in the order before it is used."""
    assert {room_of(module) for module in sources()} - {""} == FLOOR.keys()


def test_imports_go_down_only() -> None:
    """A room imports itself and rooms on lower floors, never its own floor or a higher one."""
    upward = {
        (module, needed)
        for module, needs in dependencies().items()
        for needed in needs
        if module
        and needed
        and room_of(module) != room_of(needed)
        and FLOOR[room_of(module)] <= FLOOR[room_of(needed)]
    }
    assert upward == set()


def test_pytest_is_imported_on_its_side_only() -> None:
    """``plugin/`` and ``testing.py`` import pytest, all others work without it."""
    assert {room_of(module) for module in importers_of("pytest") | importers_of("_pytest")} == (
        PYTEST_SIDE
    )


def test_the_core_does_not_reach_pytest_through_others() -> None:
    """Only the command line, which is above, imports a room of pytest's side."""
    reaching = {
        room_of(module)
        for module, needs in dependencies().items()
        if {room_of(needed) for needed in needs} & PYTEST_SIDE
    }
    assert reaching <= {*PYTEST_SIDE, "cli"}


def test_the_command_line_imports_the_plugin_only_when_needed() -> None:
    """Commands that select nothing by ``-k`` start without pytest."""
    for module, tree in sources().items():
        if room_of(module) == "cli":
            needed = imported(ast.Module(imports_at_once(tree), type_ignores=[]))
            rooms = {room_of(other) for name in needed for other in modules_behind(name)}
            assert not rooms & PYTEST_SIDE


def test_only_three_modules_import_torch() -> None:
    """All other modules ask these about models and operations."""
    assert importers_of("torch") == TORCH_SIDE


def test_torch_is_imported_only_when_it_is_needed() -> None:
    """Importing a module imports no torch, which takes seconds."""
    for module in TORCH_SIDE:
        at_once = imports_at_once(sources()[module])
        assert "torch" not in imported(ast.Module(at_once, type_ignores=[]))


ORDINARY_WORDS = {"amp", "baseline", "compile", "transfer"}
"""Names of the suite that are also words of English or of Python: nothing is looked for by them."""


def spellings(name: str) -> str:
    """A pattern of ``name`` in its usual spellings, such as ``resnet18`` and ResNet-18."""
    return "[-_ ]?".join(re.findall("[a-z]+|[0-9]+", name))


def suite_names() -> set[str]:
    """Names of the suite's models, their families, its techniques and its data sets."""
    from benchmarks.data import KINDS
    from benchmarks.zoo.registry import find_models, find_techniques

    models = find_models()
    families = {model.family for model in models.values()}
    return {*models, *families, *find_techniques(), *KINDS}


def suite_authors() -> set[str]:
    """The names before the year in the first line of each ``benchmarks/tables/paper_*.py``."""
    modules = (ROOT / "benchmarks" / "tables").glob("paper_*.py")
    first_lines = [path.read_text("utf-8").partition("\n")[0] for path in modules]
    authors = [re.split(r" (?:et al\. )?\d{4}", line.strip('"'))[0] for line in first_lines]
    return {name for listed in authors for name in listed.split(", ")}


def text_naming(pattern: str, text: str, flags: re.RegexFlag = re.NOFLAG) -> list[str]:
    """The places in ``text`` where ``pattern`` stands for itself, not inside a longer word."""
    return re.findall(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", text, flags)


def package_mentions(
    patterns: Iterable[str], fold: Callable[[str], str] = str
) -> set[tuple[str, str]]:
    """The files of the package whose text matches one of ``patterns``, with what matched.

    ``fold`` changes the texts first; ``str.lower`` finds patterns in any case.
    """
    texts = {path: fold(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    return {
        (str(path.relative_to(ROOT)), mention)
        for pattern in patterns
        for path, text in texts.items()
        if re.search(pattern, text)  # a hundred times as fast as the next line
        for mention in text_naming(pattern, text)
    }


def test_the_package_names_no_model_technique_or_data_set() -> None:
    """The suite is a user of the plugin like any other, so the plugin does not know its contents.

    The text of every module is searched, docstrings and comments included. A name counts in any
    case and with or without dashes. The names in ``ORDINARY_WORDS`` are not searched for, because
    a match would not show that the suite is meant.
    """
    names = suite_names()
    assert names > ORDINARY_WORDS, "an exception that is no longer a name"
    patterns = map(spellings, sorted(names - ORDINARY_WORDS))
    assert package_mentions(patterns, str.lower) == set()


def test_the_package_names_no_paper() -> None:
    """It contains neither the suite's letters (paper A to E) nor the names of the authors."""
    authors = suite_authors()
    assert {"Xu", "McDonald", "Jha"} < authors
    assert package_mentions(authors) == set()
    assert package_mentions(["papers?[-_ ][a-e]"], str.lower) == set()


def imported_with(module: str) -> set[str]:
    """The modules whose import comes with that of a module."""
    seen, waiting = set(), {module}
    while waiting:
        seen.add(name := waiting.pop())
        at_once = ast.Module(imports_at_once(sources()[name]), type_ignores=[])
        needed = {behind for each in imported(at_once) for behind in modules_behind(each)}
        waiting |= ({*needed, name.rpartition(".")[0]} & sources().keys()) - seen
    return seen


def test_the_plain_fixture_is_light() -> None:
    """A session without ``--energy`` imports no settings, which take ten times as long as it."""
    light = imported_with("fixture") | imported_with("marker")
    assert "fixture.energy" in light
    assert light <= {
        name for name in light if room_of(name) in ("", "errors", "fixture", "marker")
    } | {
        "model",
        "model.metrics",
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("such as test_inference[resnet50-blurpool]", True),
        ("ResNet-50 at 224 pixels", True),
        ("resnet50_cifar", True),
        ("aresnet50", False),
        ("a net of 50 layers", False),
    ],
)
def test_names_are_found_in_their_usual_spellings(text: str, named: bool) -> None:
    """A dash, a capital or a suffix hides no name; a longer word is another word."""
    assert bool(text_naming(spellings("resnet50"), text, re.IGNORECASE)) == named


def test_no_folder_is_crowded() -> None:
    """A folder has at most 16 modules, so that a reader can survey it."""
    counts = Counter(path.parent for path in PACKAGE.rglob("*.py"))
    crowded = {str(folder): count for folder, count in counts.items() if count > 16}
    assert crowded == {}


def test_functions_are_short() -> None:
    """Half of all functions have at most eight lines; longer ones are straight recipes."""
    lengths = [
        node.body[-1].end_lineno - node.lineno + 1
        for tree in sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.body[-1].end_lineno
    ]
    assert median(lengths) <= 8


def test_a_conclusion_passes_three_folders() -> None:
    """The session asks the gate, and both use the data of the model; no other folder takes part."""
    rooms = {"session", "gate", "model"}
    for module in ("session.conclude", "gate.decision"):
        folders = {room_of(needed) for needed in dependencies()[module] if "." in needed}
        assert folders <= rooms
