"""The zoo is a registry made of files: it finds its files and reports their faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from benchmarks.zoo.recipe import Recipe
from benchmarks.zoo.registry import ZOO, ZooError, find_models, find_techniques

TECHNIQUE = '''"""Train for twice as long.

Source: made up.
"""
from dataclasses import replace

TASKS = ("classification",)
STAGES = ("training",)

def apply(recipe):
    return replace(recipe, epochs=recipe.epochs * 2)
'''


def drop(folder: Path, name: str, text: str) -> None:
    """Put a file into a zoo."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def test_every_file_of_the_zoo_is_found() -> None:
    """Every file has the registry's form. A file without it would raise an error here."""
    families = {model.family for model in find_models().values()}
    assert families == {path.stem for path in (ZOO / "models").glob("[!_]*.py")}
    assert set(find_techniques()) == {path.stem for path in (ZOO / "techniques").glob("[!_]*.py")}


def test_a_new_technique_is_found_and_applied(tmp_path: Path) -> None:
    """One new file is a technique, without another edit."""
    drop(tmp_path / "techniques", "twice.py", TECHNIQUE)
    (technique,) = find_techniques(tmp_path).values()
    assert technique.name == "twice"
    assert technique.suits("classification", "training")
    assert not technique.suits("classification", "inference")
    recipe = Recipe("classification", nn.Identity(), input_shape=(3, 8, 8), classes=2, epochs=3)
    assert technique.apply(recipe).epochs == 6
    assert recipe.epochs == 3


def test_techniques_come_in_sorted_order(tmp_path: Path) -> None:
    """The order of the tests does not depend on the file system."""
    for name in ("b", "c", "a"):
        drop(tmp_path / "techniques", f"{name}.py", TECHNIQUE)
    assert list(find_techniques(tmp_path)) == ["a", "b", "c"]


def test_all_faults_of_files_are_in_one_error(tmp_path: Path) -> None:
    """Each fault names the file and what is missing or wrong in it."""
    drop(tmp_path / "techniques", "empty.py", "")
    drop(tmp_path / "techniques", "odd.py", TECHNIQUE.replace('"classification"', '"chess"'))
    with pytest.raises(ZooError) as caught:
        find_techniques(tmp_path)
    message = str(caught.value)
    assert "empty.py: no docstring with a line `Source: …`" in message
    assert "empty.py: no function `apply`" in message
    assert "odd.py: `TASKS` is ('chess',)" in message


def test_a_family_without_table_or_build_is_refused(tmp_path: Path) -> None:
    """A model file needs both."""
    drop(tmp_path / "models", "plain.py", '"""Plain.\n\nSource: made up.\n"""\n')
    with pytest.raises(ZooError, match=r"no function `build`.*no table `VARIANTS`"):
        find_models(tmp_path)


def test_two_variants_of_one_name_are_refused(tmp_path: Path) -> None:
    """A name is part of a baseline's name, so it must belong to one model."""
    text = (
        '"""Plain.\n\nSource: made up.\n"""\n'
        "from benchmarks.zoo.registry import Variant\n"
        'VARIANTS = {"same": Variant("classification", (3, 8, 8), 2)}\n'
        "def build(input_shape, classes): ...\n"
    )
    drop(tmp_path / "models", "one.py", text)
    drop(tmp_path / "models", "two.py", text)
    with pytest.raises(ZooError, match="same"):
        find_models(tmp_path)
