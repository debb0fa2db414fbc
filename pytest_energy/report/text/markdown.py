"""A run as GitHub-flavoured Markdown: the summary of a CI job, or a comment.

The text consists of sections. If they do not all fit, whole sections are left out, the least
important first, and the text names them. A table is never cut.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_energy.gate.acceptance import unresolved_estimate
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.outcomes import SEVERITY, Outcome
from pytest_energy.model.result import Result, Run
from pytest_energy.report import numbers
from pytest_energy.report.candidates import TITLE, candidate_rows
from pytest_energy.report.labels import humanized, short_names
from pytest_energy.report.machines import devices
from pytest_energy.report.pairs import block_cells, compared_with, controls, pair_verdict
from pytest_energy.report.sentences import (
    WHAT_TO_MEASURE_WITH,
    allowed,
    estimates,
    in_common,
    is_disturbed,
    remarks,
    rerun_command,
    sentence,
    severity,
    skipped,
)
from pytest_energy.report.summary import (
    counted_outcome,
    counts,
    deciding_metric,
    failed_tests,
    headline,
)
from pytest_energy.report.text.columns import PAIRED, WIDE, Column, filled

STEP_SUMMARY_BYTES = 1_048_576
"""GitHub's limit for the summary of one step."""
BY_IMPORTANCE = tuple(sorted(SEVERITY, key=lambda outcome: outcome.traits.folded))
"""The worst first, and folded tables after all others."""
HOW_MEASURED = "measured against"
"""How a remark begins that says what the table of pairs says, too."""
EXPLANATIONS = 20
"""At most so many benchmarks of an outcome are explained; nobody reads more."""


@dataclass(frozen=True)
class Section:
    """A part of the text that is shown or left out as a whole."""

    name: str
    """Its name in the list of sections that were left out."""
    text: str


def render_markdown(run: Run, limit_bytes: int = STEP_SUMMARY_BYTES) -> str:
    """The summary of ``run``.

    Args:
        run: The run.
        limit_bytes: The largest size of the text in UTF-8. The opening lines always stay.
    """
    head = _head(run)
    compared = (*_pairs(run), *_candidates(run))
    sections = [
        *_failed_tests(run),
        *_uncompared(run),
        *compared,
        *_by_outcome(run),
        *_skipped(run),
        _environment(run),
    ]
    everything = _joined(head, sections)
    if _size(everything) <= limit_bytes:
        return everything
    included: list[Section] = []
    for section in sections:
        # The sentence about what was left out takes room, too.
        without = [other for other in sections if other not in included and other is not section]
        if _size(_joined(head, [*included, section], without)) <= limit_bytes:
            included.append(section)
    return _joined(head, included, [section for section in sections if section not in included])


def _joined(head: str, included: Sequence[Section], left_out: Sequence[Section] = ()) -> str:
    parts = [head, *(section.text for section in included)]
    if left_out:
        names = ", ".join(section.name for section in left_out)
        parts.append(f"Too long for this summary: {names}. The report has everything.\n")
    return "\n".join(parts)


def _size(text: str) -> int:
    return len(text.encode())


def _head(run: Run) -> str:
    verdict = headline(run)
    lines = [f"## {verdict.symbol} {escape(str(verdict))}", ""]
    if banner := estimates(run):
        # GitHub renders a quotation that begins so as a coloured banner.
        lines += ["> [!WARNING]", f"> {escape(banner)}.", f"> {escape(WHAT_TO_MEASURE_WITH)}.", ""]
    if run.benchmarks:
        totals = [
            f"{each.traits.symbol} {counted_outcome(each, total)}"
            for each, total in counts(run).items()
        ]
        lines += [" · ".join(totals), ""]
    facts = [escape(devices(run) or numbers.MISSING)]
    if commit := run.run.commit:
        facts.append(code(commit[:12]) + (" with uncommitted changes" if run.run.dirty else ""))
    if run.run.energy_j is not None:
        facts.append(f"this run used {numbers.watt_hours(run.run.energy_j)}")
    facts.append(f"in {numbers.seconds(run.run.duration_s)}")
    lines.append(" · ".join(facts))
    for remark in in_common(run):
        lines += ["", f"{escape(remark[0].upper() + remark[1:])}."]
    if (sentence := compared_with(run)) and run.run.against:
        lines += ["", escape(sentence), ""]
        lines += [f"- {escape(each)}" for each in (*controls(run), *run.run.against.notes)]
    return "\n".join(lines) + "\n"


def _failed_tests(run: Run) -> Iterator[Section]:
    """The tests that failed for a reason of their own."""
    tests = failed_tests(run)
    if tests:
        names = short_names([test.id for test in tests])
        lines = _capped([f"- {code(names[test.id])}: {escape(test.reason)}" for test in tests])
        title = f"failed tests ({len(tests)})"
        yield Section(title, "\n".join([f"### ✗ {title.capitalize()}\n", *lines, ""]))


def _skipped(run: Run) -> Iterator[Section]:
    """How many tests were skipped, by reason."""
    if reasons := skipped(run):
        title = f"skipped tests ({sum(number for _, number in reasons)})"
        lines = _capped(
            [f"- {number}: {escape(reason)}" for reason, number in reasons],
            "more reasons: see results.json",
        )
        parts = [f"<details><summary>{title.capitalize()}</summary>\n", *lines, "\n</details>\n"]
        yield Section(title, "\n".join(parts))


def _uncompared(run: Run) -> Iterator[Section]:
    """The baselines that got no result, each with the reason."""
    if not run.run.uncompared:
        return
    names = short_names([missing.id for missing in run.run.uncompared])
    missing = [
        f"- {code(names[baseline.id])}: {escape(baseline.reason)}"
        for baseline in run.run.uncompared
    ]
    lines = _capped(missing, "more: see results.json")
    title = f"not compared ({len(run.run.uncompared)})"
    yield Section(title, "\n".join([f"### {title.capitalize()}\n", *lines, ""]))


def _pairs(run: Run) -> Iterator[Section]:
    """What was compared with another revision: one table, the unchanged folded."""
    pairs = [result for result in run.benchmarks if result.comparison]
    pairs.sort(key=lambda each: (SEVERITY.index(each.verdict.outcome), -severity(each)[1]))
    names = short_names([result.id for result in run.benchmarks])
    moved = [result for result in pairs if result.verdict.outcome is not Outcome.UNCHANGED]
    still = pairs[len(moved) :]  # by severity the unchanged are last
    if moved:
        parts = [f"### Pairs ({len(moved)})\n", _table(moved, PAIRED, names)]
        yield Section(f"pairs ({len(moved)})", "\n".join([*parts, _about_pairs(moved, names)]))
    if still:
        title = f"{Outcome.UNCHANGED.traits.symbol} Unchanged pairs ({len(still)})"
        parts = [f"<details><summary>{title}</summary>\n", _table(still, PAIRED, names)]
        yield Section(f"unchanged pairs ({len(still)})", "\n".join([*parts, "</details>\n"]))
    yield from _blocks(moved[:EXPLANATIONS], names)


def _blocks(pairs: Sequence[Result], names: Mapping[str, str]) -> Iterator[Section]:
    """The rounds of both sides and their difference, block by block."""
    rows = [
        [code(names[result.id]), *map(escape, block_cells(block, verdict.metric))]
        for result in pairs
        if result.comparison and (verdict := pair_verdict(result))
        for block in result.comparison.blocks
    ]
    if rows:
        title = f"Blocks ({len(rows)})"
        header = "| benchmark | block | begins | base | head | difference |\n"
        header += "| --- | --: | --- | --- | --- | --: |\n"
        table = header + "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
        text = f"<details><summary>{title}</summary>\n\n{table}\n</details>\n"
        yield Section(title.lower(), text)


def _candidates(run: Run) -> Iterator[Section]:
    """What single tests compared in turn."""
    rows = candidate_rows(run)
    if not rows:
        return
    names = short_names([result.id for result in run.benchmarks])
    table = "| benchmark | result [95 %] | reference → candidate | blocks |\n"
    table += "| --- | --- | --: | --: |\n"
    for row in rows:
        cells = [code(names[row.id]), *map(escape, (row.sentence, row.energy, row.blocks))]
        table += f"| {' | '.join(cells)} |\n"
    title = f"{TITLE} ({len(rows)})"
    yield Section(title, f"### {title.capitalize()}\n\n{table}")


def _about_pairs(results: Sequence[Result], names: Mapping[str, str]) -> str:
    """What the table does not say: reasons, causes, what changed, and how to measure again."""
    lines = _shared(results, names, _about_pair)
    explained = [result for result in results if result.verdict.outcome.traits.explained]
    if explained:
        again = rerun_command(*explained[:EXPLANATIONS])
        lines += ["", f"Measure again: {code(again)}"]
    return "\n".join(lines) + "\n" * bool(lines)


def _shared(
    results: Sequence[Result],
    names: Mapping[str, str],
    texts_of: Callable[[Result], Iterator[str]],
) -> list[str]:
    """One item for each text, with the benchmarks that have it."""
    by_text: dict[str, list[str]] = defaultdict(list)
    for result in results:
        for text in texts_of(result):
            by_text[text].append(code(names[result.id]))
    return _capped([f"- {_capped_ids(ids)}: {escape(text)}" for text, ids in by_text.items()])


def _capped_ids(ids: Sequence[str]) -> str:
    more = len(ids) - EXPLANATIONS
    return ", ".join(ids[:EXPLANATIONS]) + (f" and {more} more" if more > 0 else "")


def _about_pair(result: Result) -> Iterator[str]:
    """The reasons, the notes but for the number of blocks, what would decide it, the cause."""
    yield from (reason.message for reason in result.reasons if reason.fatal)
    yield from (note for note in result.verdict.notes if not note.startswith(HOW_MEASURED))
    yield from remarks(result)


def _by_outcome(run: Run) -> Iterator[Section]:
    columns = filled(WIDE, run.benchmarks)
    names = short_names([result.id for result in run.benchmarks])
    others = [result for result in run.benchmarks if result.comparison is None]
    for outcome in BY_IMPORTANCE:
        results = [result for result in others if result.verdict.outcome is outcome]
        if not results:
            continue
        results.sort(key=severity, reverse=True)
        parts = [_table(results, columns, names)]
        # The section of the failed tests says why each of them failed.
        if outcome.traits.explained and outcome is not Outcome.TEST_FAILED:
            parts.append(_explanations(results, names))
        if outcome is Outcome.NEW:
            short = _shared(results, names, _too_short_to_record)
            parts += ["\n".join([*short, ""])] if short else []
        if outcome.traits.next_step:
            parts.append(outcome.traits.next_step + "\n")
        name = f"{outcome.label} ({len(results)})"
        title = f"{outcome.traits.symbol} {name.capitalize()}"
        if outcome.traits.folded:
            # GitHub renders Markdown inside this element only after an empty line.
            parts = [f"<details><summary>{title}</summary>\n", *parts, "</details>\n"]
        else:
            parts = [f"### {title}\n", *parts]
        yield Section(name, "\n".join(parts))


def _too_short_to_record(result: Result) -> Iterator[str]:
    if why := unresolved_estimate(result):
        yield f"never becomes a baseline: {why}"


def _table(results: Sequence[Result], columns: Sequence[Column], names: Mapping[str, str]) -> str:
    header = ["benchmark", *(column.title for column in columns)]
    rule = ["---", *("--:" if column.numeric else "---" for column in columns)]
    rows = [
        [code(names[result.id]), *(escape(column.cell(result)) for column in columns)]
        for result in results
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *rows])


def _explanations(results: Sequence[Result], names: Mapping[str, str]) -> str:
    lines = _shared(results, names, _beside_the_table)
    again = rerun_command(*results[:EXPLANATIONS])
    return "\n".join([*lines, "", f"Measure again: {code(again)}", ""])


def _beside_the_table(result: Result) -> Iterator[str]:
    """The verdict, as far as the row of the benchmark does not have it, and the remarks."""
    decisive = deciding_metric(result)
    has_joules = result.verdict.outcome.traits.has_joules and not is_disturbed(result)
    energy = decisive if decisive and decisive.metric == ENERGY else None
    if has_joules and energy and None not in (energy.change, energy.tolerance):
        yield allowed(energy)
    else:
        yield sentence(result)
    yield from remarks(result)


def _capped(items: Sequence[str], rest: str = "more: see the report") -> list[str]:
    """The first :data:`EXPLANATIONS` items of a list, and where the others are."""
    more = len(items) - EXPLANATIONS
    return [*items[:EXPLANATIONS], *([f"- and {more} {rest}"] if more > 0 else [])]


def _environment(run: Run) -> Section:
    facts = {**run.environment.identity, **run.environment.context}
    rows = [
        f"| {escape(humanized(name))} | {escape(numbers.machine_fact(value))} |"
        for name, value in facts.items()
    ]
    table = "\n".join(["| fact | value |", "| --- | --- |", *rows])
    text = f"<details><summary>Environment</summary>\n\n{table}\n\n</details>\n"
    return Section("environment", text)


def escape(text: str) -> str:
    """``text`` on one line, which Markdown shows unchanged, also in a table."""
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
