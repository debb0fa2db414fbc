"""A run as GitHub-flavoured Markdown: the summary of a CI job, or a comment.

The text is made of sections. Where they do not all fit, whole ones are left out, the least
important first, and the text says which: a table is never cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_energy.model.outcomes import SEVERITY, Outcome
from pytest_energy.model.result import Result, Run
from pytest_energy.report import numbers
from pytest_energy.report.labels import short_names
from pytest_energy.report.sentences import remarks, rerun_command, sentence, severity
from pytest_energy.report.summary import counts, headline
from pytest_energy.report.text.columns import WIDE, Column, filled

STEP_SUMMARY_BYTES = 1_048_576
"""What GitHub takes as the summary of one step."""
BY_IMPORTANCE = tuple(sorted(SEVERITY, key=lambda outcome: outcome.traits.folded))
"""The worst first, and folded tables after all others."""
EXPLANATIONS = 20
"""How many benchmarks of an outcome are explained; beyond that nobody reads on."""


@dataclass(frozen=True)
class Section:
    """A part of the text that stays or goes as a whole."""

    name: str
    """What the text calls it where it had to be left out."""
    text: str


def render_markdown(run: Run, limit_bytes: int = STEP_SUMMARY_BYTES) -> str:
    """The summary of ``run``.

    Args:
        run: What happened.
        limit_bytes: The most that the text may take in UTF-8. The opening lines always stay.
    """
    head = _head(run)
    sections = [*_by_outcome(run), _environment(run)]
    everything = _joined(head, sections)
    if _size(everything) <= limit_bytes:
        return everything
    return _trimmed(head, sections, limit_bytes)


def _trimmed(head: str, sections: Sequence[Section], limit_bytes: int) -> str:
    kept: list[Section] = []
    for section in sections:
        without = [other for other in sections if other not in kept and other is not section]
        if _size(_joined(head, [*kept, section], without)) <= limit_bytes:
            kept.append(section)
    return _joined(head, kept, [section for section in sections if section not in kept])


def _joined(head: str, kept: Sequence[Section], left_out: Sequence[Section] = ()) -> str:
    parts = [head, *(section.text for section in kept)]
    if left_out:
        names = ", ".join(section.name for section in left_out)
        parts.append(f"Left out for want of room: {names}. The report has everything.\n")
    return "\n".join(parts)


def _size(text: str) -> int:
    return len(text.encode())


def _head(run: Run) -> str:
    verdict = headline(run)
    lines = [f"## {verdict.symbol} {escape(str(verdict))}", ""]
    if run.benchmarks:
        lines += [_counts(run), ""]
    lines.append(_where(run))
    if run.run.meter is not None and run.run.meter.estimated:
        name = escape(run.run.meter.name)
        lines += ["", f"Joules are *estimated* by {name} from a model of the hardware."]
    return "\n".join(lines) + "\n"


def _counts(run: Run) -> str:
    return " · ".join(
        f"{outcome.traits.symbol} {number} {outcome}" for outcome, number in counts(run).items()
    )


def _where(run: Run) -> str:
    info = run.run
    parts = [escape(numbers.fact(run.environment.identity.get("device")))]
    if info.commit:
        parts.append(code(info.commit[:12]) + (" with uncommitted changes" if info.dirty else ""))
    if info.energy_j is not None:
        parts.append(f"this run itself spent {numbers.watt_hours(info.energy_j)}")
    parts.append(f"in {numbers.seconds(info.duration_s)}")
    return " · ".join(parts)


def _by_outcome(run: Run) -> Iterator[Section]:
    columns = filled(WIDE, run.benchmarks)
    names = short_names([result.id for result in run.benchmarks])
    for outcome in BY_IMPORTANCE:
        found = [result for result in run.benchmarks if result.verdict.outcome is outcome]
        if found:
            found.sort(key=severity, reverse=True)
            title = f"{outcome} ({len(found)})"
            yield Section(title, _section(outcome, title, found, columns, names))


def _section(
    outcome: Outcome,
    title: str,
    results: Sequence[Result],
    columns: Sequence[Column],
    names: Mapping[str, str],
) -> str:
    parts = [_table(results, columns, names)]
    if outcome.traits.explained:
        parts.append(_explanations(results, names))
    if outcome.traits.next_step:
        parts.append(outcome.traits.next_step + "\n")
    title = f"{outcome.traits.symbol} {title.capitalize()}"
    if outcome.traits.folded:
        return "\n".join([f"<details><summary>{title}</summary>\n", *parts, "</details>\n"])
    return "\n".join([f"### {title}\n", *parts])


def _table(results: Sequence[Result], columns: Sequence[Column], names: Mapping[str, str]) -> str:
    header = ["benchmark", *(column.title for column in columns)]
    rule = ["---", *("--:" if column.numeric else "---" for column in columns)]
    rows = [
        [code(names[result.id]), *(escape(column.cell(result)) for column in columns)]
        for result in results
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *rows])


def _explanations(results: Sequence[Result], names: Mapping[str, str]) -> str:
    lines = []
    for result in results[:EXPLANATIONS]:
        told = [sentence(result), *remarks(result)]
        lines.append(f"- {code(names[result.id])}: {escape('; '.join(told))}")
        lines.append(f"  - measure again: {code(rerun_command(result))}")
    if len(results) > EXPLANATIONS:
        lines.append(f"- and {len(results) - EXPLANATIONS} more: see the report")
    return "\n".join(lines) + "\n"


def _environment(run: Run) -> Section:
    facts = {**run.environment.identity, **run.environment.context}
    rows = [f"| {escape(name)} | {escape(numbers.fact(value))} |" for name, value in facts.items()]
    table = "\n".join(["| fact | value |", "| --- | --- |", *rows])
    text = f"<details><summary>Environment</summary>\n\n{table}\n\n</details>\n"
    return Section("environment", text)


def escape(text: str) -> str:
    """``text`` that Markdown shows as it is, on one line, also in a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", _one_line(text))


def code(text: str) -> str:
    """``text`` as code, on one line, also in a table."""
    text = _one_line(text)
    if set(text).isdisjoint("|\\`"):
        return f"`{text}`"
    # A code span in a table has no way to write these; character references have no meaning.
    return f"<code>{re.sub(r'[^A-Za-z0-9 ]', lambda sign: f'&#{ord(sign[0])};', text)}</code>"


def _one_line(text: str) -> str:
    return " ".join(text.split())
