"""The study beside other tools."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import run


def test_other_tools_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study says how to run it with them, before it measures anything."""
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == "zeus" else object())
    with pytest.raises(SystemExit, match=r"not installed: zeus; .* uv run --group accuracy"):
        list(run.STUDIES["rivals"](argparse.Namespace()))
