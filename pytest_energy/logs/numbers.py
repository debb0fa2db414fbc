"""Numbers in logs: their decimal sign, their separators of thousands, and sentinels.

``1.250`` and ``1,250`` may be one and a quarter or twelve hundred and fifty. The file decides: by
another number of the same column, then of the other columns, then by its separator of cells.
"""

from __future__ import annotations

import math
import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from typing import Final

from pytest_energy.logs.wording import shortened

SPACES: Final = "'’ _\u00a0\u2007\u2009\u202f"
"""Signs between groups of three digits, beside points and commas."""
NUMBER: Final = re.compile(
    r"(?P<sign>[-+−]?)(?P<digits>\.\d+|,\d+|\d(?:[\d.,]|(?<=\d)[" + SPACES + r"](?=\d{3}))*)"
    r"(?P<exponent>e[-+]?\d+)?\s*(?P<unit>[^\d\s.,+-][^\d]*)?",
    re.I,
)
"""A number, and the unit behind it if there is one."""
NO_VALUE: Final = re.compile(
    r"|-+|\[[^\d\]]+\]|[\[(<]?\s*(n[./]?a\.?|nan|none|null|nil|unavailable|unknown|undefined"
    r"|not[ _-]?(supported|available|found|specified|applicable)"
    r"|no[ _-]?(data|value|permission|reading)s?"
    r"|unknown error"
    r"|insufficient permissions?|permission denied|gpu is lost|gpu requires reset|requires reset"
    r"|requested functionality has been deprecated|deprecated|err(or)?!?|#n/?a!?|#value!|offline"
    r"|missing|disconnected|timeout|[-+]?inf(inity)?|—|–|\?+|[-+]?nan\([^)]*\)|[-+]?\d\.#[a-z]+"
    r"|#[a-z]+(/\d)?[!?]|0x(ff)+)\s*[\])>]?",
    re.I,
)
"""A cell that says that it has no value."""
GROUPED: Final = re.compile(r"\d{1,3}(?P<sign>[.," + SPACES + r"])\d{3}(?:(?P=sign)\d{3})*")
LARGEST: Final = (
    *(
        float(2**bits - less) * scale
        for bits in (31, 32, 63, 64)
        for less in (0, 1, 16, 15, 14, 13)
        for scale in (1.0, 1e-3, 1e-6)
    ),
    *(2.0**47 + more for more in range(4)),
)
"""The largest numbers of a type, by which programs say that they have none; DCGM's "blank" values
lie a few below 2³¹ and 2⁶³, and at 2⁴⁷."""
IN_ORDER: Final = sorted(LARGEST)
NEGATIVE_SENTINELS: Final = (-1.0, -99.0, -999.0, -9999.0, -99999.0, -32768.0)
BEYOND_ALL: Final = 1e15
"""No instrument reads more watts, or counts more joules, in any unit."""


def decimal_sign(cells: Sequence[str], others: Iterable[str] = (), separator: str = ",") -> str:
    """The decimal sign of a column: a point or a comma.

    Args:
        cells: The column.
        others: Cells of other columns, which decide if the column does not.
        separator: Between the cells of the file. A program that separates them by commas does not
            write decimal commas.

    Raises:
        ValueError: Nothing decides, or numbers contradict each other.
    """
    signs = _signs(cells)
    if len(signs) > 1:
        raise ValueError(
            "some numbers have a decimal point, others a decimal comma; name the sign with"
            " --decimal"
        )
    if signs:
        return signs.pop()
    doubtful = next((cell for cell in cells if _is_doubtful(cell)), None)
    if doubtful is None:
        return "."
    signs = _signs(others)
    if len(signs) == 1:
        return signs.pop()
    if separator == "," and "." in doubtful:
        return "."
    raise ValueError(
        f"{doubtful.strip()!r} may be a fraction or a number of thousands; name the decimal sign"
        " with --decimal point or --decimal comma"
    )


def parse_number(cell: str, decimal: str = ".") -> tuple[float, str | None] | None:
    """A number and the unit behind it; ``None`` for a cell without a value.

    Raises:
        ValueError: It is not a number.
    """
    text = cell.strip()
    if NO_VALUE.fullmatch(text):
        return None
    number = NUMBER.fullmatch(text)
    digits = _plain_digits(number["digits"], decimal) if number else None
    if number is None or digits is None:
        raise ValueError(f"{shortened(text)} is not a number")
    value = float(digits + (number["exponent"] or ""))
    if not math.isfinite(value):
        raise ValueError(f"{shortened(text)} is not a number")
    return (-value if number["sign"] in ("-", "−") else value), (
        number["unit"] or ""
    ).strip() or None


def is_sentinel(value: float) -> bool:
    """Whether a number, before its unit is applied, says that there is no reading."""
    if value in NEGATIVE_SENTINELS or abs(value) >= BEYOND_ALL:
        return True
    place = bisect(IN_ORDER, abs(value))
    nearest = IN_ORDER[max(0, place - 1) : place + 1]
    return any(math.isclose(abs(value), largest, rel_tol=1e-9) for largest in nearest)


def shape(cell: str) -> tuple[int, bool, int, bool]:
    """Decimals, a unit or none, digits, and a sign of decimals: how a program writes its cells."""
    number = NUMBER.fullmatch(cell.strip())
    if number is None:
        return (0, False, len(cell.strip()), False)
    head, sign, tail = re.fullmatch(r"([^.,]*)([.,]?)(.*)", number["digits"]).groups()  # type: ignore[union-attr]
    return (len(tail), bool(number["unit"]), len(head), bool(sign))


def _plain_digits(digits: str, decimal: str) -> str | None:
    """Digits with a decimal point; ``None`` if they are not grouped as numbers are."""
    head, sign, tail = digits.rpartition(decimal)
    whole, fraction = (head, tail) if sign else (digits, "")
    if not (fraction.isdigit() or not fraction) or decimal in whole:
        return None
    if whole and not whole.isdigit():
        if not GROUPED.fullmatch(whole):
            return None
        whole = re.sub(r"\D", "", whole)
    return f"{whole or '0'}.{fraction or '0'}" if whole or fraction else None


def _signs(cells: Iterable[str]) -> set[str]:
    return {sign for cell in cells for sign in [_sign_of(cell)] if sign}


def _sign_of(cell: str) -> str | None:
    """The decimal sign that this number alone proves."""
    number = NUMBER.fullmatch(cell.strip())
    if number is None:
        return None
    digits = number["digits"]
    marks = re.findall(r"[.,]", digits)
    if not marks:
        return None
    last = str(marks[-1])
    if len(set(marks)) == 2:
        return last if digits.count(last) == 1 else None
    if len(marks) > 1:
        return {".": ",", ",": "."}[marks[0]] if GROUPED.fullmatch(digits) else None
    if number["exponent"] or re.search(f"[{SPACES}]", digits):
        return last
    head, _, tail = digits.partition(marks[0])
    return last if len(tail) != 3 or not 1 <= len(head) <= 3 or head.startswith("0") else None


def _is_doubtful(cell: str) -> bool:
    """Whether a sign stands before exactly three digits."""
    number = NUMBER.fullmatch(cell.strip())
    return number is not None and re.fullmatch(r"\d{1,3}[.,]\d{3}", number["digits"]) is not None
