"""Texts for people, held against the wording that was last read and agreed to."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "snapshots"
RENEW = "RENEW_SNAPSHOTS"
FIGURE = re.compile(
    r"(?P<wording>(?:tolerance|within|more than) \d+ %|95 % sure)"
    r"|(?<![\w.])[+−]?\d+(?:[.,]\d+)*(?!\w)"
)
"""A number that may differ in the next run; tolerances are options and stay."""
BENCHMARK_TABLE = re.compile(r"^-+ benchmark.*?(?=^=)", re.MULTILINE | re.DOTALL)
"""What pytest-benchmark prints."""
WORKER = re.compile(r"gw\d+(\] linux -- .*)?")
RULER = re.compile(r"^([=_])\1+ (.*?)(?: in [\d.]+s(?: \(.*?\))?)? \1+$", re.MULTILINE)


def wording(output: str, first: str) -> str:
    """What pytest wrote from the section ``first`` on, without what is another one each time.

    Numbers become ``#``, columns lie two blanks apart, and rulers have one length.
    """
    text = BENCHMARK_TABLE.sub("", output)
    begin = re.search(rf"^=+ {first} =+$", text, re.MULTILINE)
    assert begin, output
    text = RULER.sub(r"\1\1 \2 \1\1", text[begin.start() :])
    text = WORKER.sub(lambda found: "gw#]" if found[1] else "gw#", text)
    text = FIGURE.sub(lambda found: found["wording"] or "#", text)
    return re.sub(r"(?<=\S) {2,}", "  ", text).rstrip() + "\n"


def assert_as_kept(text: str, name: str) -> None:
    """Fail where ``text`` is not what the file ``snapshots/<name>.txt`` holds."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get(RENEW):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    kept = path.read_text("utf-8") if path.exists() else ""
    if text == kept:
        return
    diff = difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "now", lineterm="")
    told = "\n".join(diff)
    pytest.fail(f"{told}\n\nIs the new wording meant? {RENEW}=1 pytest, then read git diff {path}")
