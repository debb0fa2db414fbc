"""The end of a run in a terminal: a table, then what needs attention, with the worst last.

People see the last lines of a log first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pytest_energy.gate.acceptance import unresolved_estimate
from pytest_energy.model.metrics import metric
from pytest_energy.model.outcomes import SEVERITY, TRAITS, Outcome
from pytest_energy.model.result import Result, Run
from pytest_energy.report.candidates import TITLE, candidate_rows
from pytest_energy.report.labels import short_names
from pytest_energy.report.numbers import counted
from pytest_energy.report.pairs import compared_with, controls
from pytest_energy.report.sentences import (
    WHAT_TO_MEASURE_WITH,
    changed,
    comparison,
    control,
    cut_short,
    estimates,
    first_visits,
    is_disturbed,
    likely_cause,
    rerun_command,
    retries,
    sentence,
    severity,
    simulated,
    skipped,
    suite_shift,
)
from pytest_energy.report.sentences import undecided as what_would_decide
from pytest_energy.report.summary import counted_outcome, deciding_metric, headline
from pytest_energy.report.text.align import aligned
from pytest_energy.report.text.columns import NARROW, Column, filled
from pytest_energy.report.visible import visible_rows

WORST = 3
"""At most so many regressions are shown in full, so that the section fits into 20 lines."""
NAMED = 5
"""At most so many benchmarks with the same remark are named."""
SENSITIVE = 10
"""At most so many smallest rises are listed, the largest first."""
ROWS = 40
"""At most so many rows of the table, unless all are asked for."""
NARROWEST_NAME = 20
"""The smallest width of the column of names, in characters."""
SHARES = (0.5, 0.3, 0.7, 0.1, 0.9)
"""How much of a cut name its beginning gets; each is tried until all names differ."""
GAP = "  "
WITH_A_FUNCTION = (Outcome.INCONCLUSIVE, Outcome.NEW, Outcome.REGRESSED)
"""Outcomes whose section says more than benchmark and reason."""

Names = Mapping[str, str]
"""The short name of each benchmark, by id."""


class Line(NamedTuple):
    """A line and its style in pytest's terminal writer; empty for none."""

    text: str
    style: str = ""


def summary_lines(run: Run, width: int, *, verbose: bool = False) -> list[Line]:
    """The table and the sections of a run.

    Args:
        run: The run.
        width: The largest number of characters of the table's lines.
        verbose: Whether the table has all benchmarks, also those that nobody has to look at.
    """
    if not (run.benchmarks or run.run.uncompared or run.run.unpassed or run.run.failures):
        return []
    lines: list[Line] = []
    if run.benchmarks:
        names = short_names([result.id for result in run.benchmarks])
        lines += [*_table(run.benchmarks, names, width, verbose), *_about_all(run)]
        lines += [*_compared_in_one_test(run, names), *_against(run), *_visible(run)]
        for section in (_with_reasons, _inconclusive, _new, _regressed):
            lines += section(run.benchmarks, names)
            if section is _inconclusive and (wanted := retries(run)):
                lines.append(Line(f"  → {wanted}"))
    lines += [*_uncompared(run), *_skipped(run), *_suite_shift(run), *_estimates(run)]
    return [*lines, Line(""), _verdict(run)]


def _about_all(run: Run) -> Iterator[Line]:
    if sentence := simulated(run):
        yield Line(f"Attention: {sentence}.", "yellow")
    for sentence in filter(None, (cut_short(run), first_visits(run))):
        yield Line(sentence)


def _table(results: Sequence[Result], names: Names, width: int, verbose: bool) -> Iterator[Line]:
    """The rows that somebody may have to look at, and the number of benchmarks by outcome."""
    shown = list(results) if verbose else rows_to_look_at(results)
    if shown:
        # A column that only hidden rows fill stays: its dashes say that a value is missing.
        yield from _rows(shown, filled(NARROW, results), names, width)
    hidden = len(results) - len(shown)
    numbers = Counter(result.verdict.outcome for result in results)
    totals = ", ".join(
        counted_outcome(outcome, numbers[outcome]) for outcome in SEVERITY if numbers[outcome]
    )
    more = "; -v shows all" if hidden else ""
    yield Line(f"{counted(len(results), 'benchmark')}: {totals}{more}")


def rows_to_look_at(results: Sequence[Result]) -> list[Result]:
    """The benchmarks that are not within their tolerance, at most :data:`ROWS`, the worst kept."""
    moved = [each for each in results if each.verdict.outcome is not Outcome.UNCHANGED]
    worst = sorted(moved, key=lambda each: SEVERITY.index(each.verdict.outcome))[:ROWS]
    chosen = {id(result) for result in worst}
    return [result for result in moved if id(result) in chosen]


def _rows(
    results: Sequence[Result], columns: tuple[Column, ...], names: Names, width: int
) -> Iterator[Line]:
    shown = [names[result.id] for result in results]
    columns = _that_fit(columns, results, max(map(len, shown)), width)
    header = ["benchmark", *(column.title for column in columns)]
    cells = [[column.cell(result) for column in columns] for result in results]
    widths = [max(map(len, column)) for column in zip(header[1:], *cells, strict=True)]
    room = max(NARROWEST_NAME, width - sum(len(GAP) + each for each in widths))
    short = shortened(shown, room)
    widths = [max(map(len, [header[0], *short])), *widths]
    numeric = [False, *(column.numeric for column in columns)]
    yield Line(_row(header, widths, numeric), "bold")
    for result, name, row in zip(results, short, cells, strict=True):
        style = result.verdict.outcome.traits.terminal_style
        yield Line(_row([name, *row], widths, numeric), style)


def _that_fit(
    columns: tuple[Column, ...], results: Sequence[Result], longest: int, width: int
) -> tuple[Column, ...]:
    """The columns beside the whole names; the energy and the outcome always stay."""
    widths = {
        column: len(GAP) + max(map(len, [column.title, *map(column.cell, results)]))
        for column in columns
    }
    while longest + sum(widths[column] for column in columns) > width:
        last = max(columns, key=lambda column: column.rank)
        if last.rank == 0:
            break
        columns = tuple(column for column in columns if column is not last)
    return columns


def _row(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    aligned = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return GAP.join(aligned).rstrip()


def shortened(names: Sequence[str], width: int) -> list[str]:
    """The names in ``width`` characters, or in as few more as keep different names different."""
    different = len(set(names))
    longest = max(map(len, names))
    for room in range(width, longest):
        for share in SHARES:
            cut = [shorten(name, room, share) for name in names]
            if len(set(cut)) == different:
                return cut
    return list(names)


def shorten(text: str, width: int, share: float = 0.5) -> str:
    """``text`` in ``width`` characters, cut in the middle: both ends of a name identify a test.

    Args:
        text: Any text.
        width: At least 1.
        share: How much of the room the beginning gets.
    """
    if len(text) <= width:
        return text
    head = int((width - 1) * share)
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def _estimates(run: Run) -> Iterator[Line]:
    if banner := estimates(run):
        yield Line("")
        yield Line(f"/// {banner} ///", "yellow")
        yield Line(f"  → {WHAT_TO_MEASURE_WITH}")


def _skipped(run: Run) -> Iterator[Line]:
    """How many tests were skipped, by reason."""
    reasons = skipped(run)
    if not reasons:
        return
    yield Line("")
    yield Line(f"skipped tests ({sum(number for _, number in reasons)})")
    for reason, number in reasons[:NAMED]:
        yield Line(f"  {number}: {reason}")
    if (more := len(reasons) - NAMED) > 0:
        yield Line(f"  and {more} more reasons: see results.json")


def _verdict(run: Run) -> Line:
    verdict = headline(run)
    style = {"✗": "red", "✓": "green", "≈": "yellow"}.get(verdict.symbol, "bold")
    return Line(f"{verdict.symbol} {verdict}", style)


def _suite_shift(run: Run) -> Iterator[Line]:
    if shift := suite_shift(run):
        yield Line("")
        yield Line(shift, "yellow")
    if machine := control(run):
        yield Line("")
        yield Line(machine)


def _uncompared(run: Run) -> Iterator[Line]:
    """The baselines that got no result, grouped by the reason."""
    if not run.run.uncompared:
        return
    names = short_names([missing.id for missing in run.run.uncompared])
    by_reason: dict[str, list[str]] = defaultdict(list)
    for missing in run.run.uncompared:
        by_reason[missing.reason].append(names[missing.id])
    yield Line("")
    yield Line(f"not compared: baselines without a result ({len(names)})", "yellow")
    for reason, sharing in by_reason.items():
        more = f" and {len(sharing) - NAMED} more" if len(sharing) > NAMED else ""
        yield Line(f"  {', '.join(sharing[:NAMED])}{more}: {reason}")


def _compared_in_one_test(run: Run, names: Names) -> Iterator[Line]:
    rows = candidate_rows(run)
    if rows:
        yield Line("")
        yield Line(f"{TITLE} ({len(rows)})")
    for row in rows:
        test = names[row.id].rpartition("::")[0]
        yield Line(f"  {test}: {row.sentence}" if test else f"  {row.sentence}")


def _against(run: Run) -> Iterator[Line]:
    if (sentence := compared_with(run)) and run.run.against:
        yield from map(Line, [sentence, *controls(run), *run.run.against.notes])


def _visible(run: Run) -> Iterator[Line]:
    """What this machine can tell apart, if that was the question: a tree against itself."""
    if run.run.against is None or run.run.against.reference != "self":
        return
    rows = visible_rows(run)
    if not rows:
        return
    yield Line("")
    yield Line("smallest rises that are called regressed here, with a probability of 95 %")
    for line in aligned(rows[: SENSITIVE + 1]).splitlines():
        yield Line(f"  {line}")
    if (more := len(rows) - 1 - SENSITIVE) > 0:
        yield Line(f"  and {more} more: pytest-energy sensitivity RESULTS, with this results.json")


def _with_reasons(results: Sequence[Result], names: Names) -> Iterator[Line]:
    """The sections that show only the benchmarks and their reasons."""
    # Several outcomes share a section, which must appear once.
    titles = dict.fromkeys(
        (traits.section, traits.terminal_style)
        for traits in TRAITS
        if traits.section and traits.outcome not in WITH_A_FUNCTION
    )
    for title, style in titles:
        section = [result for result in results if result.verdict.outcome.traits.section == title]
        section = [result for result in section if _is_open(result)]
        yield from _grouped(title, style, section, names)
        differences = [
            difference
            for result in _having(section, Outcome.INCOMPARABLE)
            for difference in result.verdict.differences
        ]
        if any(difference.name.startswith("identity.") for difference in differences):
            yield Line(
                "  → new machine? Record its baselines with --energy-update=new; if this one was"
                " changed, accept that with --energy-update"
            )


def _inconclusive(results: Sequence[Result], names: Names) -> Iterator[Line]:
    traits = Outcome.INCONCLUSIVE.traits
    inconclusive = _having(results, Outcome.INCONCLUSIVE)
    shared = [result for result in inconclusive if is_disturbed(result)]
    title = "inconclusive: others used the device"
    yield from _grouped(title, traits.terminal_style, shared, names)
    undecided = [result for result in inconclusive if not is_disturbed(result)]
    yield from _section(traits.section, traits.terminal_style, undecided)
    wanted = Counter(map(what_would_decide, undecided))
    for result in undecided:
        yield Line(f"  {names[result.id]}: {sentence(result)}")
        if (would := what_would_decide(result)) and wanted[would] == 1:
            yield Line(f"    {would}")
        if result.comparison:
            yield from (Line(f"    {note}") for note in result.verdict.notes)
    together = [result for result in undecided if wanted[what_would_decide(result)] > 1]
    yield from _shared(together, names, what_would_decide)
    if any(result.comparison is None for result in undecided):
        yield Line("  → how many runs would decide? pytest-energy sensitivity")


def _new(results: Sequence[Result], names: Names) -> Iterator[Line]:
    traits = Outcome.NEW.traits
    new = [result for result in _having(results, Outcome.NEW) if _is_open(result)]
    against = [result for result in new if result.comparison]
    yield from _section("new: not measured on the other revision", traits.terminal_style, against)
    yield from _shared(against, names, lambda result: "; ".join(result.verdict.notes))
    new = [result for result in new if result.comparison is None]
    short = [result for result in new if unresolved_estimate(result)]
    title = "new: estimates of too short windows, which never become baselines"
    yield from _section(title, traits.terminal_style, short)
    yield from _shared(short, names, lambda result: unresolved_estimate(result) or "")
    new = [result for result in new if not unresolved_estimate(result)]
    yield from _section(traits.section, traits.terminal_style, new)
    if new:
        yield Line(f"  {_named(new, names)}")
        yield Line("  → accept them as baselines with --energy-update=new, then commit the files")


def _regressed(results: Sequence[Result], names: Names) -> Iterator[Line]:
    traits = Outcome.REGRESSED.traits
    regressed = [result for result in _having(results, Outcome.REGRESSED) if _is_open(result)]
    if not regressed:
        return
    regressed.sort(key=severity, reverse=True)
    yield from _section(traits.section, traits.terminal_style, regressed)
    for result in regressed[:WORST]:
        yield from _regression(result)
    if len(regressed) > WORST:
        yield Line(f"  and {len(regressed) - WORST} more: see the table above and the report")
    # Regressions of a run mostly share what changed, so equal sentences appear once.
    for remark in dict.fromkeys(changed(result) for result in regressed[:WORST]):
        if remark:
            yield Line(f"  {remark}")
    if len(regressed) > NAMED:
        yield Line(f"  → measure the first one again: {rerun_command(regressed[0])}")
    else:
        it = "it" if len(regressed) == 1 else "them"
        yield Line(f"  → measure {it} again: {rerun_command(*regressed)}")
    if regressed[0].comparison is None:
        yield Line("  → intended? Rerun with --energy-update")


def _regression(result: Result) -> Iterator[Line]:
    decisive = deciding_metric(result)
    yield Line(f"  {result.id}", "bold")
    if decisive is not None:
        others = ", ".join(
            metric(verdict.metric).label
            for verdict in result.verdict.gated
            if verdict.outcome is Outcome.REGRESSED and verdict != decisive
        )
        also = f"; also: {others}" if others else ""
        yield Line(f"    {comparison(result, decisive)}{also}", "red")
    if cause := likely_cause(result):
        yield Line(f"    {cause}")


def _grouped(title: str, style: str, results: Sequence[Result], names: Names) -> Iterator[Line]:
    yield from _section(title, style, results)
    yield from _shared(results, names, sentence)


def _shared(
    results: Sequence[Result], names: Names, remark_of: Callable[[Result], str | None]
) -> Iterator[Line]:
    """One line for each remark, with the benchmarks that have it."""
    by_remark: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if remark := remark_of(result):
            by_remark[remark].append(result)
    for remark, sharing in by_remark.items():
        yield Line(f"  {_named(sharing, names)}: {remark}")


def _section(title: str, style: str, results: Sequence[Result]) -> Iterator[Line]:
    if results:
        yield Line("")
        yield Line(f"{title} ({len(results)})", style)


def _named(results: Sequence[Result], names: Names) -> str:
    more = len(results[NAMED:])
    named = ", ".join(names[result.id] for result in results[:NAMED])
    return f"{named} and {more} more" if more else named


def _is_open(result: Result) -> bool:
    """Whether somebody still has to act: an accepted result became the baseline."""
    return not (result.verdict.accepted and result.verdict.outcome.traits.has_joules)


def _having(results: Iterable[Result], outcome: Outcome) -> list[Result]:
    return [result for result in results if result.verdict.outcome is outcome]
