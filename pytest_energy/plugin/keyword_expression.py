"""Selection of test ids by pytest's ``-k`` expressions.

pytest has no public function for this, so this module is the only one that uses pytest's own
evaluator. ``tests/plugin/test_keyword_expression.py`` compares it with ``pytest -k``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pytest
from _pytest.mark import KeywordMatcher, _parse_expression

from pytest_energy.errors import UsageError

WRONG: Final = "wrong -k expression"


def matching_ids(expression: str, test_ids: Iterable[str]) -> set[str]:
    """The test ids that ``pytest -k EXPRESSION`` would select.

    A word matches a part of the id, in upper or lower case: a folder, file, class, function or
    parameter. pytest also compares words with the markers of a test, which an id does not contain.
    An empty expression selects every id.

    Raises:
        UsageError: The expression is malformed.
    """
    if not expression.strip():
        return set(test_ids)
    try:
        parsed = _parse_expression(expression, WRONG)
    except pytest.UsageError as error:
        raise UsageError(str(error)) from None
    try:
        return {
            test_id for test_id in test_ids if parsed.evaluate(KeywordMatcher(frozenset([test_id])))
        }
    except pytest.UsageError as error:  # call parameters, as in `slow(level=1)`
        raise UsageError(f"{WRONG}: {expression}: {error}") from None
