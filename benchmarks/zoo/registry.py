"""Find the models and techniques. Each has a file of its own, so there is no list to maintain.

A file of ``models/`` is a family. It has a docstring with a line ``Source: …``, a table
``VARIANTS`` (name → :class:`Variant`), and ``build(input_shape, classes, **options) -> nn.Module``.
If the model's output is not logits, it also has ``make_loss(model) -> loss``.

A file of ``techniques/`` is a technique. It has a docstring that says what it changes, with a line
``Source: …``; the tuples ``TASKS`` and ``STAGES``, which say what it is for; and
``apply(recipe) -> recipe``. The file's name is the id in tests and baselines.

Optional libraries are imported inside ``build`` and ``apply``. They raise
:class:`~benchmarks.zoo.recipe.NotApplicableError` if a library is missing.
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
    """Files of the zoo that do not have the form above, each with its fault."""


@dataclass(frozen=True)
class Variant:
    """One row of a family's table."""

    task: Task
    input_shape: Shape
    """The shape for which the papers or the library state the model's figures."""
    classes: int
    papers: str = ""
    """The letters of the papers that measure it, such as ``AD``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The arguments of ``build`` besides shape and classes."""


@dataclass(frozen=True)
class Model:
    """A variant with the functions that build it."""

    name: str
    family: str
    variant: Variant
    make: Callable[..., nn.Module]
    make_loss: Callable[[nn.Module], Loss]
    """Makes the loss for a built model's output in training."""

    def build(self, input_shape: Shape | None = None, classes: int | None = None) -> nn.Module:
        """Build it with random weights, on the CPU or on torch's default device.

        Args:
            input_shape: The shape of one image; by default the variant's own.
            classes: The number of classes; by default the variant's own.

        Raises:
            NotApplicableError: It needs a library that is not installed.
        """
        return self.make(
            input_shape or self.variant.input_shape,
            classes or self.variant.classes,
            **self.variant.options,
        )


@dataclass(frozen=True)
class Technique:
    """A file of ``techniques/``."""

    name: str
    description: str
    """The file's docstring."""
    tasks: tuple[Task, ...]
    stages: tuple[Stage, ...]
    """``("training",)`` if the trained model runs as the baseline does."""
    apply: Callable[[Recipe], Recipe]
    """Raises NotApplicableError if the technique cannot run here."""

    def suits(self, task: Task, stage: Stage) -> bool:
        """Whether the technique is for this task and stage."""
        return task in self.tasks and stage in self.stages


def find_models(zoo: Path = ZOO) -> dict[str, Model]:
    """All variants of all families in ``zoo/models``, by name, families in sorted order.

    Raises:
        ZooError: Files do not have the registry's form, or two families share a variant's name.
    """
    modules = _load(zoo / "models", _faults_of_family)
    models = [
        Model(name, family, variant, module.build, getattr(module, "make_loss", _logits_loss))
        for family, module in modules.items()
        for name, variant in module.VARIANTS.items()
    ]
    by_name = {model.name: model for model in models}
    if len(by_name) < len(models):
        names = [model.name for model in models]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ZooError(f"{zoo}: more than one family has the variants {', '.join(twice)}")
    return by_name


def find_techniques(zoo: Path = ZOO) -> dict[str, Technique]:
    """All techniques in ``zoo/techniques``, by name, sorted.

    Raises:
        ZooError: Files do not have the registry's form.
    """
    modules = _load(zoo / "techniques", _faults_of_technique)
    return {
        name: Technique(name, module.__doc__ or "", module.TASKS, module.STAGES, module.apply)
        for name, module in modules.items()
    }


def _logits_loss(_: nn.Module) -> Loss:
    return cross_entropy


def _load(folder: Path, faults_of: Callable[[ModuleType], Iterator[str]]) -> dict[str, ModuleType]:
    """Import every file of ``folder``, and raise one error with all their faults."""
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
    """Import a file: this zoo's as a module of the package, any other by its path."""
    if path.parent.parent == ZOO:
        return import_module(f"benchmarks.zoo.{path.parent.name}.{path.stem}")
    spec = spec_from_file_location(f"zoo_at_{path.with_suffix('')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up the types of their fields there
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
