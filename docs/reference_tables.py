"""The directive ``reference``: tables of the site that are made from the code.

``.. reference:: options`` lists the options, and ``.. reference:: outcomes`` what the gate says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Final

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from pytest_energy.model.outcomes import TRAITS
from pytest_energy.options import OPTIONS

FAILS: Final = {"always": "yes", "strict": "with `--energy-strict`", "never": "no"}


def options() -> Iterator[str]:
    """One row an option."""
    yield "| option | ini | what it sets |"
    yield "| --- | --- | --- |"
    for option in OPTIONS:
        value = f"={option.metavar}" if option.metavar else ""
        if option.nargs == "?":
            value = f"[{value}]"
        yield f"| `{option.flag}{value}` | `{option.ini}` | {_cell(option.help)} |"


def outcomes() -> Iterator[str]:
    """One row an outcome, the most severe first."""
    yield "| | outcome | meaning | fails the test |"
    yield "| --- | --- | --- | --- |"
    for traits in TRAITS:
        cells = (traits.symbol, traits.outcome.value, _cell(traits.meaning), FAILS[traits.fails])
        yield f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Plain text as Markdown: options stand in backticks, or their hyphens would become dashes."""
    escaped = text.replace("|", r"\|").replace("*", r"\*")
    return re.sub(r"(?<!`)(--[a-z-]+(?:=\w+)?)", r"`\1`", escaped)


TABLES: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "options": options,
    "outcomes": outcomes,
}


class Reference(SphinxDirective):
    """A table of :data:`TABLES`, read as Markdown."""

    required_arguments = 1
    option_spec: ClassVar = {}

    def run(self) -> list[nodes.Node]:
        """The table's node.

        Raises:
            ExtensionError: There is no such table.
        """
        name = self.arguments[0]
        if name not in TABLES:
            raise self.error(f"no table is named {name}: there are {', '.join(TABLES)}")
        return self.parse_text_to_nodes("\n".join(TABLES[name]()))


def setup(app: Sphinx) -> Mapping[str, bool]:
    """Add the directive."""
    app.add_directive("reference", Reference)
    return {"parallel_read_safe": True}
