"""Texts for laws."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

CHARACTERS: Final = st.characters(exclude_categories=["Cs"])
"""What UTF-8 encodes: all but surrogates.

This is what Hypothesis takes itself, once it has encoded each of a million characters: two seconds.
"""
