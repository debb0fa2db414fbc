"""Rows come from the zoo: a new file there becomes benchmarks."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.rows import inference_rows, training_rows
from benchmarks.zoo.registry import ZOO

MADE_UP = '''"""Change nothing, under a name of its own.

Source: made up.
"""

TASKS = ("classification", "segmentation")
STAGES = ("training",)


def apply(recipe):
    return recipe
'''


def with_made_up(folder: Path) -> Path:
    """A copy of the zoo with one more technique."""
    zoo = shutil.copytree(ZOO, folder / "zoo", ignore=shutil.ignore_patterns("__pycache__"))
    (zoo / "techniques/made_up.py").write_text(MADE_UP)
    return zoo


def test_a_new_technique_becomes_benchmarks(tmp_path: Path) -> None:
    """One new file adds a row for every model and data set on which techniques are tried."""
    zoo = with_made_up(tmp_path)
    added = [row.id for row in training_rows(zoo) if row not in training_rows()]
    assert sorted(added) == [
        "bisenet_resnet18-made_up-cityscapes",
        "bisenet_resnet18-made_up-coco_stuff",
        "resnet50_cifar-made_up-cifar100",
        "resnet50_cifar-made_up-tiny_imagenet",
    ]


@pytest.mark.slow
def test_a_new_technique_is_collected(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pytest finds the benchmarks of a technique that is added to a copy of the suite."""
    suite = shutil.copytree(
        ZOO.parent, pytester.path / "benchmarks", ignore=shutil.ignore_patterns("__pycache__")
    )
    (suite / "zoo/techniques/made_up.py").write_text(MADE_UP)
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)  # the copy is imported in its place
    pytester.syspathinsert()
    result = pytester.runpytest_inprocess("benchmarks", "--collect-only", "-q", "-k", "made_up")
    result.stdout.fnmatch_lines(
        ["benchmarks/test_training.py::test_training[[]resnet50_cifar-made_up-cifar100[]]", "4/*"]
    )


def test_a_training_technique_adds_no_inference(tmp_path: Path) -> None:
    """A model that was only trained otherwise runs as the baseline does, so it has no row."""
    assert inference_rows(with_made_up(tmp_path)) == inference_rows()
