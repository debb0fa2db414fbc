"""Mutated logs of every format: the joules are right, a remark names the fault, or it is refused.

The remark must name the kind of the fault: what is missing if readings are lost, the devices if
several are mixed. Any other remark is no excuse. Where readings are lost, the joules must be within
their stated uncertainty. Otherwise a remark must count the lost readings, and the joules must be
within the energy that these can hold.

``LOG_MUTATIONS=10000 pytest -n 2 tests/logs/test_fuzz.py`` tries 10,000 mutated logs.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.logs.conftest import Imported, import_text
from tests.logs.samples import BUILDERS, Sample, smi_stamp

EXAMPLES = int(os.environ.get("LOG_MUTATIONS", "120"))
"""Mutated logs of a test run."""
PARTS = 10
"""The tests among which they are divided, so that several processes can run them."""

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
    indent = len(lines[-1]) - len(lines[-1].lstrip())
    lines[-1] = lines[-1][: draw.randrange(indent + 1, len(lines[-1]))]
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


def interleave_devices(sample: Sample, draw: random.Random) -> Lines:
    """Rows of several GPUs, in bursts or evenly, alike or not, and no column that tells them apart.

    Only tables of power by GPU are changed.
    """
    if not is_power_table(sample):
        return list(sample.lines)
    gpus, alike = draw.choice([2, 3, 4, 8]), draw.random() < 0.5
    period_s = draw.choice([0.25, 1.0, 5.0])
    apart_s = draw.choice([0.0, 0.002, period_s / gpus])
    lost = draw.choice([0.0, 0.0, 0.05, 0.2])
    levels = [200.0 if alike else draw.uniform(30, 400) for _ in range(gpus)]
    lines = ["timestamp, power.draw [W], utilization.gpu [%]"]
    for poll in range(60):
        for gpu, level in enumerate(levels):
            if draw.random() >= lost:
                stamp = smi_stamp(poll * period_s + gpu * apart_s)
                lines.append(f"{stamp}, {level * draw.uniform(0.98, 1.02):.2f} W, 97 %")
    return lines


def is_power_table(sample: Sample) -> bool:
    """Whether a log may be one of GPUs without a column for them."""
    return sample.format == "nvidia-smi" or (sample.format == "wattmeter" and not sample.tags)


def rename_units(sample: Sample, draw: random.Random) -> Lines:
    """The unit in the header is another one, unknown, or missing.

    A GPU's power may also get another prefix. That of other instruments may be true.
    """
    other = "[W]" if "counter" in sample.tags else "[kWh]"
    prefixes = ["[mW]", "[kW]", "[MW]"] if sample.format in ("xpu-smi", "nvidia-smi") else []
    unit = draw.choice(["[VA]", "(hp)", other, "(%)", "[bananas]", "[A]", *prefixes])
    head = [re.sub(r"[\[(](W|J|Wh)[\])]", unit, line) for line in sample.lines[: sample.first]]
    return [*head, *sample.lines[sample.first :]]


def drop_units(sample: Sample, draw: random.Random) -> Lines:
    """The header has no unit."""
    head = [re.sub(r" ?[\[(](W|J|Wh)[\])]", "", line) for line in sample.lines[: sample.first]]
    return [*head, *sample.lines[sample.first :]]


def rename_columns(sample: Sample, draw: random.Random) -> Lines:
    """The columns have the names of another language."""
    if sample.first != 1:
        return list(sample.lines)
    separator = ";" if ";" in sample.lines[0] else ","
    names = [f"Spalte {place}" for place in range(len(sample.lines[0].split(separator)))]
    return [separator.join(names), *sample.lines[1:]]


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


def swap_midway(sample: Sample, draw: random.Random) -> Lines:
    """A logger that goes on with its columns in another order, under a header of their own."""
    place = draw.randrange(sample.first, len(sample.lines))
    later = replace(sample, lines=[*sample.lines[: sample.first], *sample.lines[place:]])
    return [*sample.lines[:place], *swap_columns(later, draw)]


def zeros(sample: Sample, draw: random.Random) -> Lines:
    """Zeros in place of readings."""
    return [
        _with_number(line, "0.00") if number >= sample.first and draw.random() < 0.05 else line
        for number, line in enumerate(sample.lines)
    ]


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


LOST = r"missing|no reading|no value|no row|log covers|left out|may be cut|clock stepped|do not fit"
MIXED = r"several devices|one device is assumed|samples a scrape|same GPU"
UNITS = r"unit"
ORDER = r"clock stepped back|reverse order|left out"
MUTATIONS: dict[Mutation, str] = {
    unchanged: "",
    lose_lines: LOST,
    lose_block: LOST,
    cut_end: LOST,
    stray_lines: "",
    repeat_header: "",
    no_values: LOST,
    sentinels: LOST,
    merge_devices: MIXED,
    interleave_devices: MIXED,
    rename_units: UNITS,
    drop_units: UNITS,
    rename_columns: "left out",
    swap_columns: "",
    swap_header: UNITS,
    swap_midway: LOST,
    zeros: rf"0 W;|0 J;|{LOST}",
    shuffle_lines: ORDER,
    twice: ORDER,
    thousands: "",
}
"""Each with the remarks that tell its fault; one that does no harm has none."""
LOSSY = {lose_lines, lose_block, cut_end, no_values, sentinels, shuffle_lines}


def _with_number(line: str, word: str) -> str:
    """The line with another word in place of its reading, the last number with a fraction."""
    numbers = [*re.finditer(r"(?<![\w:.-])\d+[.,]\d+(?![\w:])", line)]
    if not numbers:
        return line
    match = numbers[-1]
    return line[: match.start()] + word + line[match.end() :]


LOWEST_W, HIGHEST_W = 12.0, 380.0


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


@pytest.mark.parametrize("part", range(PARTS))
@given(seed=st.integers(0, 2**48))
@settings(
    max_examples=EXAMPLES // PARTS,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a smaller seed makes no simpler log
    suppress_health_check=list(HealthCheck),
)
def test_mutated_logs_are_read_right_or_with_a_remark(part: int, seed: int) -> None:
    """No mutated log gives wrong joules without a remark that names the fault."""
    draw = random.Random(PARTS * seed + part)
    builder = draw.choice(BUILDERS)
    sample = builder(powers_of(draw, draw.randrange(1, 4), draw.randrange(24, 60)))
    mutations = draw.sample([*MUTATIONS], draw.choice([1, 1, 2]))
    lines: Sequence[str] = sample.lines
    for mutate in mutations:
        if len(lines) > 12:
            lines = mutate(replace(sample, lines=lines), draw)
    assert_right_or_told(sample, lines, mutations)


def assert_right_or_told(
    sample: Sample, lines: Sequence[str], mutations: Sequence[Mutation]
) -> None:
    """No wrong joules without a remark that names the fault."""
    text = "\n".join(lines) + ("" if cut_end in mutations else "\n")
    with tempfile.TemporaryDirectory() as folder:
        got = import_text(Path(folder), text, sample.options)
    assert got.status in (0, 1, 2)
    if got.status:
        assert got.energy_j is None
        assert got.err or got.remarks
        return
    assert got.energy_j is not None
    error_j = abs(got.energy_j - sample.energy_j)
    stated_j = ROUNDING * sample.energy_j + COVERAGE * got.uncertainty_j
    mixed = interleave_devices in mutations and is_power_table(sample)
    if not mixed and error_j <= stated_j:
        return
    if "blocks" in sample.tags and error_j <= stated_j + energy_of_lines(sample, 0):
        return  # stamps of whole seconds do not show that one sample of a second is missing
    causes = [mutate for mutate in mutations if tells(got, mutate)]
    assert causes, describe(sample, got, mutations, text)
    if LOSSY.issuperset(mutations):
        lost_j = energy_of_lines(sample, changed_lines(sample.lines, lines))
        assert error_j <= stated_j + lost_j, describe(sample, got, mutations, text)


def changed_lines(before: Sequence[str], after: Sequence[str]) -> int:
    """How many lines are not what they were."""
    return sum((Counter(before) - Counter(after)).values())


def describe(sample: Sample, got: Imported, mutations: Sequence[Mutation], text: str) -> str:
    """What went wrong, first in short."""
    names = ", ".join(mutate.__name__ for mutate in mutations)
    return (
        f"{sample.format}: {names}: {sample.energy_j:.6g} J became {got.energy_j} ±"
        f" {got.uncertainty_j} J, remarks {got.remarks}\n{text}"
    )


ROUNDING = 2e-3
COVERAGE = 2.0
"""The interval is one of 95 %: of ten thousand logs, hundreds are outside of it, few of twice."""


def tells(got: Imported, mutate: Mutation) -> bool:
    """Whether a remark names the kind of fault that a mutation makes."""
    pattern = MUTATIONS[mutate]
    return bool(pattern) and any(re.search(pattern, remark) for remark in got.remarks)


def energy_of_lines(sample: Sample, number: int) -> float:
    """The joules that so many lines, and the one beside them, can hold at most."""
    rows = (len(sample.lines) - sample.first) / sample.lines_a_row
    return (number + 1) * HIGHEST_W / LOWEST_W * sample.energy_j / rows


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_every_mutation_of_every_format(builder: Callable[..., Sample], mutate: Mutation) -> None:
    """Each mutation of each format is read right, told or refused."""
    draw = random.Random(f"{builder.__name__} {mutate.__name__}")
    sample = builder(powers_of(draw, 2, 30))
    assert_right_or_told(sample, mutate(sample, draw), [mutate])
