"""Test ids are selected as ``pytest -k`` selects tests."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.plugin.keyword_expression import matching_ids

TESTS = """
import pytest

@pytest.mark.parametrize("model", ["resnet50", "resnet50-blurpool", "VGG16"])
def test_inference(model): ...

class TestTraining:
    def test_epoch(self): ...
"""


@pytest.mark.parametrize(
    "expression",
    [
        "resnet50",
        "resnet50 and not blurpool",
        "vgg or EPOCH",
        "not (training or vgg16)",
        "[resnet50-blurpool]",
        "benchmarks",
        "test_networks_by_name.py",
        "nosuch",
        "",
        " ",
    ],
)
def test_ids_are_selected_as_pytest_selects_tests(
    pytester: pytest.Pytester, expression: str
) -> None:
    """Folders, files, classes, functions and parameters match, in upper and lower case."""
    # a module name that no other test has: both sessions import into one process
    path = pytester.mkdir("benchmarks") / "test_networks_by_name.py"
    path.write_text(TESTS, "utf-8")
    session = pytester.inline_run("--collect-only", "-k", expression)
    reports = session.getcalls("pytest_collection_finish")
    selected = {item.nodeid for item in reports[0].session.items}
    collected = {call.item.nodeid for call in session.getcalls("pytest_itemcollected")}
    assert len(collected) == 4
    assert {PurePosixPath(test_id).parts[0] for test_id in collected} == {"benchmarks"}
    assert matching_ids(expression, collected) == selected


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("resnet50 and", "resnet50 and: at column 13: expected not"),
        ("(resnet50", r"\(resnet50: at column 10: expected right parenthesis"),
        ("resnet*", r'resnet\*: at column 7: unexpected character "\*"'),
        # Before pytest 8.3, a parenthesis is not expected there.
        ("slow(level=1)", r"slow\(level=1\): (at column 5|Keyword expressions do not support)"),
    ],
)
def test_a_wrong_expression_is_refused(expression: str, fault: str) -> None:
    """The error names the expression and its fault."""
    with pytest.raises(UsageError, match=f"^wrong -k expression: {fault}"):
        matching_ids(expression, ["t.py::test_a"])
