"""The path of a test's baseline."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.gate.baseline_paths import baseline_path
from tests.texts import CHARACTERS

names = st.text(CHARACTERS, min_size=1, max_size=200)


plain = st.from_regex(
    r"test_[a-z0-9_]{0,9}(\[[a-zA-Z0-9_.-]{0,12}\])?", fullmatch=True, alphabet=CHARACTERS
)


ids = st.builds(
    "{}::{}".format, st.sampled_from(["a.py", "b/a.py", "b.a.py", "A.py"]), names | plain
)


@given(st.lists(ids, unique=True, max_size=30))
def test_file_names_are_unique_and_safe(test_ids: list[str]) -> None:
    """Different tests have different files, also where capitals are not told apart."""
    paths = [str(baseline_path(test_id)) for test_id in test_ids]
    assert len({path.casefold() for path in paths}) == len(set(test_ids))
    for path in paths:
        assert all(len(part) < 128 for part in path.split("/"))
        assert path.isascii()
        assert path.count("/") == 1
        assert not set(path) & set('<>:"\\|?*[] ')


@pytest.mark.parametrize(
    ("test_id", "pattern"),
    [
        ("a.py::test_b", r"a/test_b\.json"),
        ("x/a.py::test_b[c-1.5]", r"x\.a/test_b--c-1\.5\.json"),
        ("a.py::nul", r"a/nul-[0-9a-f]{10}\.json"),
        ("a.py::TestX::test_b", r"a/testx-test_b-[0-9a-f]{10}\.json"),
        ("a.py::test_b[ä ö]", r"a/test_b-[0-9a-f]{10}\.json"),
    ],
)
def test_plain_names_stay_readable(test_id: str, pattern: str) -> None:
    """What is safe keeps its name; a hash follows what is not, and what Windows reserves."""
    assert re.fullmatch(pattern, str(baseline_path(test_id)))


@pytest.mark.parametrize(
    ("test_id", "path"),
    [
        ("b/a.py::test_b[a-b.c]", "b.a/test_b--a-b.c.json"),
        ("a.py::TestX::test_b", "a/testx-test_b-2de29c4e2c.json"),
        ("a.py::test_b[c]::prefill", "a/test_b-c-prefill-549a553fb2.json"),
        ("a.py::test_b[x][y]", "a/test_b-x-y-199b4ba824.json"),
        ("a.py::test_b[a--b]", "a/test_b-a-b-213edff173.json"),
        ("a.py::test_\ud800", "a/test_-a9be4e04b5.json"),
        ("a.py::ÄÖ", "a/test-de7254df69.json"),
        ("-a-.py::-B-", "a-py-8ad34be3d4/b-6a6e116a44.json"),
        ("b/A.py::test_b", "b-a-py-0c0574b9e8/test_b.json"),
        ("b.a.py::test_b", "b-a-py-00dea62c62/test_b.json"),
        ("b/con.py::test_b", "b.con/test_b.json"),
        ("con/b.py::conx", "con-b-py-0b614676ee/conx.json"),
        (f"a.py::{100 * 'b'}", f"a/{100 * 'b'}.json"),
        (f"a.py::{101 * 'b'}", f"a/{89 * 'b'}-47d26c9059.json"),
        (f"a/{98 * 'b'}.py::t", f"a.{98 * 'b'}/t.json"),
        (f"a/{99 * 'b'}.py::t", f"a-{87 * 'b'}-adb89b413d/t.json"),
    ],
)
def test_a_test_keeps_its_file(test_id: str, path: str) -> None:
    """A version that named the files otherwise would lose every committed baseline."""
    assert str(baseline_path(test_id)) == path
