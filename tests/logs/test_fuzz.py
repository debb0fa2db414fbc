"""Mutated logs of every format: the joules are right, or a remark or a refusal says why not.

``LOG_MUTATIONS=10000 pytest tests/logs/test_fuzz.py`` tries 10,000 mutated logs.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.logs.conftest import import_text
from tests.logs.samples import BUILDERS, Sample

EXAMPLES = int(os.environ.get("LOG_MUTATIONS", "120"))
"""Mutated logs of a test run."""

Lines = list[str]
Mutation = Callable[[Sample, random.Random], Lines]


def lose_lines(sample: Sample, draw: random.Random) -> Lines:
    """A logger that misses a poll now and then."""
    return [
        line
        for number, line in enumerate(sample.lines)
        if not sample.first < number < len(sample.lines) - 6 or draw.random() > 0.08
    ]


def lose_block(sample: Sample, draw: random.Random) -> Lines:
    """A logger that stops for a while, and goes on."""
    body = list(sample.lines[sample.first :])
    start = draw.randrange(1, len(body) - 10)
    return [*sample.lines[: sample.first], *body[:start], *body[start + draw.randrange(1, 9) :]]


def cut_end(sample: Sample, draw: random.Random) -> Lines:
    """A logger that is killed while it writes."""
    lines = [line for line in sample.lines if line]
    lines[-1] = lines[-1][: draw.randrange(len(lines[-1]))]
    return lines


def stray_lines(sample: Sample, draw: random.Random) -> Lines:
    """Lines of other programs."""
    lines = list(sample.lines)
    strays = ["", "   ", "nohup: ignoring input", "Tue Mar  5 09:29:59 UTC 2024", "# comment", "^C"]
    for _ in range(draw.randrange(1, 4)):
        lines.insert(draw.randrange(len(lines) + 1), draw.choice(strays))
    return lines


def repeat_header(sample: Sample, draw: random.Random) -> Lines:
    """A logger that is started again."""
    lines = list(sample.lines)
    place = draw.randrange(sample.first, len(lines) + 1)
    return [*lines[:place], *lines[: sample.first], *lines[place:]]


def no_values(sample: Sample, draw: random.Random) -> Lines:
    """Cells without a value: the last number of some lines."""
    words = ["[N/A]", "[GPU requires reset]", "nan", "None", "-", "unavailable", "n/a", ""]
    word = draw.choice(words)
    return [
        _with_number(line, word) if number >= sample.first and draw.random() < 0.05 else line
        for number, line in enumerate(sample.lines)
    ]


def sentinels(sample: Sample, draw: random.Random) -> Lines:
    """Numbers that say that there is no reading."""
    word = draw.choice(["9223372036854775807", "18446744073709551615", "4294967295", "-1", "1e30"])
    return [
        _with_number(line, word) if number >= sample.first and draw.random() < 0.05 else line
        for number, line in enumerate(sample.lines)
    ]


def merge_devices(sample: Sample, draw: random.Random) -> Lines:
    """All devices get one name, as if no column told them apart."""
    return [
        re.sub(r"^(\d), ", "0, ", re.sub(r"(GPU |,    |gpu=\"|-|nvidia)\d\b", r"\g<1>0", line))
        if sample.format in ("nvidia-smi", "dcgm-dmon", "xpu-smi")
        else line
        for line in sample.lines
    ]


def rename_units(sample: Sample, draw: random.Random) -> Lines:
    """The unit in the header is another one, unknown, or missing."""
    other = "[W]" if "counter" in sample.tags else "[kWh]"
    unit = draw.choice(["[VA]", "(hp)", other, "(%)", "[bananas]", "[A]"])
    head = [re.sub(r"[\[(](W|J|Wh)[\])]", unit, line) for line in sample.lines[: sample.first]]
    return [*head, *sample.lines[sample.first :]]


def drop_units(sample: Sample, draw: random.Random) -> Lines:
    """The header has no unit."""
    head = [re.sub(r" ?[\[(](W|J|Wh)[\])]", "", line) for line in sample.lines[: sample.first]]
    return [*head, *sample.lines[sample.first :]]


def swap_columns(sample: Sample, draw: random.Random) -> Lines:
    """The first two columns change places, in the header, too."""
    separator = ";" if ";" in sample.lines[0] else ","
    lines = []
    for line in sample.lines:
        cells = line.split(separator)
        lines.append(separator.join([*cells[1:2], *cells[:1], *cells[2:]]))
    return lines if "," in sample.lines[-1] and sample.first == 1 else list(sample.lines)


def swap_header(sample: Sample, draw: random.Random) -> Lines:
    """Only the header's first two columns change places."""
    if sample.first != 1:
        return list(sample.lines)
    separator = ";" if ";" in sample.lines[0] else ","
    cells = sample.lines[0].split(separator)
    return [separator.join([*cells[1:2], *cells[:1], *cells[2:]]), *sample.lines[1:]]


def shuffle_lines(sample: Sample, draw: random.Random) -> Lines:
    """A part of the lines out of order."""
    lines = list(sample.lines)
    start = draw.randrange(sample.first, len(lines) - 4)
    part = lines[start : start + 4]
    draw.shuffle(part)
    return [*lines[:start], *part, *lines[start + 4 :]]


def twice(sample: Sample, draw: random.Random) -> Lines:
    """The log written two times, one after the other."""
    return [*sample.lines, *sample.lines]


def thousands(sample: Sample, draw: random.Random) -> Lines:
    """Points become commas and commas semicolons, as a spreadsheet writes them."""
    if sample.format in ("dcgm-exporter", "powermetrics", "mllog"):
        return list(sample.lines)
    return [line.replace(",", ";").replace(".", ",") for line in sample.lines]


def unchanged(sample: Sample, draw: random.Random) -> Lines:
    """The log as it is."""
    return list(sample.lines)


MUTATIONS: tuple[Mutation, ...] = (
    unchanged, lose_lines, lose_block, cut_end, stray_lines, repeat_header, no_values, sentinels,
    merge_devices, rename_units, drop_units, swap_columns, swap_header, shuffle_lines, twice,
    thousands,
)  # fmt: skip


def _with_number(line: str, word: str) -> str:
    """The line with another word in place of its reading, the last number with a fraction."""
    numbers = [*re.finditer(r"(?<![\w:.-])\d+[.,]\d+(?![\w:])", line)]
    if not numbers:
        return line
    match = numbers[-1]
    return line[: match.start()] + word + line[match.end() :]


def powers_of(draw: random.Random, devices: int, count: int) -> list[list[float]]:
    """Loads of devices: noise about a level, with steps."""
    loads = []
    for _ in range(devices):
        level = draw.choice([12.0, 75.0, 240.0, 380.0])
        load = []
        for _ in range(count):
            if draw.random() < 0.05:
                level = draw.choice([12.0, 75.0, 240.0, 380.0])
            load.append(round(level * draw.uniform(0.97, 1.03), 2))
        loads.append(load)
    return loads


@given(st.integers(0, 2**48))
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
def test_mutated_logs_are_read_right_or_with_a_remark(seed: int) -> None:
    """No mutated log gives wrong joules without a remark."""
    draw = random.Random(seed)
    builder = draw.choice(BUILDERS)
    sample = builder(powers_of(draw, draw.randrange(1, 4), draw.randrange(24, 60)))
    names = draw.sample(MUTATIONS, draw.choice([1, 1, 2]))
    lines: Sequence[str] = sample.lines
    for mutate in names:
        lines = mutate(
            Sample(**{**vars(sample), "lines": lines}) if len(lines) > 12 else sample, draw
        )
    end = "" if cut_end in names else "\n"
    assert_right_or_told(sample, "\n".join(lines) + end, [name.__name__ for name in names])


def assert_right_or_told(sample: Sample, text: str, names: Sequence[str]) -> None:
    """No wrong joules without a remark."""
    with tempfile.TemporaryDirectory() as folder:
        got = import_text(Path(folder), text, sample.options)
    assert got.status in (0, 1, 2)
    if got.status:
        assert got.energy_j is None
        assert got.err or got.remarks
        return
    right = got.energy_j == pytest.approx(sample.energy_j, rel=tolerance(names))
    assert right or got.remarks, (names, sample.energy_j, got.energy_j, text)


def tolerance(names: Sequence[str]) -> float:
    """What lost readings may change: power between readings is interpolated."""
    lost = {"lose_lines", "lose_block", "cut_end", "shuffle_lines", "no_values", "sentinels"}
    return 0.25 if lost & set(names) else 2e-3


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_every_mutation_of_every_format(builder: Callable[..., Sample], mutate: Mutation) -> None:
    """Each mutation of each format is read right, told or refused."""
    draw = random.Random(f"{builder.__name__} {mutate.__name__}")
    sample = builder(powers_of(draw, 2, 30))
    end = "" if mutate is cut_end else "\n"
    lines = mutate(sample, draw)
    assert_right_or_told(sample, "\n".join(lines) + end, [mutate.__name__])
