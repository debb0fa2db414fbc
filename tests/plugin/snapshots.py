"""Texts for people, compared with the wording that was last reviewed."""

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
    """The output of pytest from the section ``first`` on, without what differs in each run.

    Numbers become ``#``, columns are two blanks apart, and rulers have the same length.
    """
    text = BENCHMARK_TABLE.sub("", output)
    begin = re.search(rf"^=+ {first} =+$", text, re.MULTILINE)
    assert begin, output
    text = RULER.sub(r"\1\1 \2 \1\1", text[begin.start() :])
    text = WORKER.sub(lambda match: "gw#]" if match[1] else "gw#", text)
    text = FIGURE.sub(lambda match: match["wording"] or "#", text)
    return re.sub(r"(?<=\S) {2,}", "  ", text).rstrip() + "\n"


def assert_matches_snapshot(text: str, name: str) -> None:
    """Fail if ``text`` differs from the file ``snapshots/<name>.txt``."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get(RENEW):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    agreed = path.read_text("utf-8") if path.exists() else ""
    if text == agreed:
        return
    diff = difflib.unified_diff(
        agreed.splitlines(), text.splitlines(), "agreed", "now", lineterm=""
    )
    changes = "\n".join(diff)
    pytest.fail(
        f"{changes}\n\nIs the new wording intended? {RENEW}=1 pytest, then read git diff {path}"
    )
