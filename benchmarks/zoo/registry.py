"""Find the models and techniques: one file each, no list to keep.

A file of ``models/`` is a family: a docstring with a line ``Source: …``, a table ``VARIANTS``
(name → :class:`Variant`), and ``build(input_shape, classes, **options) -> nn.Module``; where the
output is not logits, also ``make_loss(model) -> loss``.

A file of ``techniques/`` is a technique: a docstring that says what it changes and has a line
``Source: …``; ``TASKS`` and ``STAGES``, tuples of what it is for; ``apply(recipe) -> recipe``. Its
name is the id in tests and baselines.

Optional libraries are imported inside ``build`` and ``apply``, which raise
:class:`~benchmarks.zoo.recipe.NotApplicableError` where one is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final, get_args

from torch import nn

from benchmarks.zoo.recipe import Loss, Recipe, Shape, Stage, Task, cross_entropy

ZOO: Final = Path(__file__).parent


class ZooError(Exception):
    """Files of a zoo that are not as the registry needs them, each with what it lacks."""


@dataclass(frozen=True)
class Variant:
    """One row of a family's table."""

    task: Task
    input_shape: Shape
    """The natural one: what the papers or the library state the model's figures for."""
    classes: int
    papers: str = ""
    """Letters of the papers that measure it, such as ``AD``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What ``build`` gets besides shape and classes."""


@dataclass(frozen=True)
class Model:
    """A variant, and how to build it."""

    name: str
    family: str
    variant: Variant
    make: Callable[..., nn.Module]
    make_loss: Callable[[nn.Module], Loss]
    """The loss that fits what a built model puts out while it trains."""

    def build(self, input_shape: Shape | None = None, classes: int | None = None) -> nn.Module:
        """Build it with random weights, on the CPU or on torch's default device.

        Args:
            input_shape: Of one image; the natural one unless told otherwise.
            classes: How many; the natural number unless told otherwise.

        Raises:
            NotApplicableError: It needs what is not installed.
        """
        return self.make(
            input_shape or self.variant.input_shape,
            classes or self.variant.classes,
            **self.variant.options,
        )


@dataclass(frozen=True)
class Technique:
    """What a file of ``techniques/`` says of itself."""

    name: str
    description: str
    """The docstring."""
    tasks: tuple[Task, ...]
    stages: tuple[Stage, ...]
    """``("training",)`` where the trained model runs as the baseline does."""
    apply: Callable[[Recipe], Recipe]
    """Raises NotApplicableError where it cannot be had."""

    def suits(self, task: Task, stage: Stage) -> bool:
        """Whether it is meant for this task and stage."""
        return task in self.tasks and stage in self.stages


def find_models(zoo: Path = ZOO) -> dict[str, Model]:
    """All variants of all families in ``zoo/models``, by name, families in sorted order.

    Raises:
        ZooError: Files are not as they should be, or two families have a variant of one name.
    """
    modules = _load(zoo / "models", _faults_of_family)
    models = [
        Model(name, family, variant, module.build, getattr(module, "make_loss", _logits_loss))
        for family, module in modules.items()
        for name, variant in module.VARIANTS.items()
    ]
    found = {model.name: model for model in models}
    if len(found) < len(models):
        names = [model.name for model in models]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ZooError(f"{zoo}: more than one family has the variants {', '.join(twice)}")
    return found


def find_techniques(zoo: Path = ZOO) -> dict[str, Technique]:
    """All techniques in ``zoo/techniques``, by name, sorted.

    Raises:
        ZooError: Files are not as they should be.
    """
    modules = _load(zoo / "techniques", _faults_of_technique)
    return {
        name: Technique(name, module.__doc__ or "", module.TASKS, module.STAGES, module.apply)
        for name, module in modules.items()
    }


def _logits_loss(_: nn.Module) -> Loss:
    return cross_entropy


def _load(folder: Path, faults_of: Callable[[ModuleType], Iterator[str]]) -> dict[str, ModuleType]:
    """Import every file of ``folder``; raise once for all that is wrong with them."""
    paths = sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
    modules = {path.stem: _import(path) for path in paths}
    faults = [
        f"{folder / name}.py: {fault}"
        for name, module in modules.items()
        for fault in faults_of(module)
    ]
    if faults:
        raise ZooError("; ".join(faults))
    return modules


def _import(path: Path) -> ModuleType:
    """Import a file: our own as the package's module, any other from where it lies."""
    if path.parent.parent == ZOO:
        return import_module(f"benchmarks.zoo.{path.parent.name}.{path.stem}")
    spec = spec_from_file_location(f"zoo_at_{path.with_suffix('')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up the types of their fields
    spec.loader.exec_module(module)
    return module


def _faults_of_family(module: ModuleType) -> Iterator[str]:
    yield from _faults_of_docstring(module)
    if not callable(getattr(module, "build", None)):
        yield "no function `build`"
    table = getattr(module, "VARIANTS", None)
    if not isinstance(table, dict) or not table:
        yield "no table `VARIANTS` of name → Variant"
        return
    for name, variant in table.items():
        if not isinstance(variant, Variant):
            yield f"`VARIANTS[{name!r}]` is no Variant"
        elif variant.task not in get_args(Task):
            yield f"`VARIANTS[{name!r}]` has the task {variant.task!r}, not one of {get_args(Task)}"


def _faults_of_technique(module: ModuleType) -> Iterator[str]:
    yield from _faults_of_docstring(module)
    if not callable(getattr(module, "apply", None)):
        yield "no function `apply`"
    for table, known in (("TASKS", get_args(Task)), ("STAGES", get_args(Stage))):
        declared = getattr(module, table, ())
        if not declared or not set(declared) <= set(known):
            yield f"`{table}` is {declared!r}, not some of {known}"


def _faults_of_docstring(module: ModuleType) -> Iterator[str]:
    if "Source: " not in (module.__doc__ or ""):
        yield "no docstring with a line `Source: …`"
