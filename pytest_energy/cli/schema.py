"""Print the JSON Schema of results.json."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the schema exactly as the package ships it, in ``results.schema.json``."""
    import json

    from pytest_energy.model.json_files import results_json_schema

    print(json.dumps(results_json_schema(), indent=2, ensure_ascii=False))
    return 0
