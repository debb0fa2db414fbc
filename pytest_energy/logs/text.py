"""Text of a log file, whichever program or shell wrote it."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError

BYTE_ORDER_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SAMPLE: Final = 4096
"""Bytes in which the zeros of UTF-16 without a byte order mark are counted."""


def read_lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, UTF-16 or the Windows code page 1252.

    Raises:
        FileFormatError: It is not text.
        OSError: It cannot be read.
    """
    content = path.read_bytes()
    encoding = _encoding(content)
    if encoding.startswith("utf-16"):
        content = content[: len(content) // 2 * 2]  # a program that was killed leaves half of one
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        try:
            text = content.decode("cp1252")  # Windows programs of Europe and America
        except UnicodeDecodeError:
            reason = "neither UTF-8 nor UTF-16 nor cp1252 text"
            raise FileFormatError(path, "a power log", (reason,)) from None
    # A machine that lost power leaves blocks of zeros at the end of a file.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line.strip("\0") for line in lines]


def _encoding(content: bytes) -> str:
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding
    sample = content[:SAMPLE]
    if len(sample) >= 4:  # UTF-16 of a log is mostly ASCII: every other byte is zero
        if sample[1::2].count(0) > 0.4 * len(sample[1::2]) and 0 not in sample[::2]:
            return "utf-16-le"
        if sample[::2].count(0) > 0.4 * len(sample[::2]) and 0 not in sample[1::2]:
            return "utf-16-be"
    return "utf-8"
