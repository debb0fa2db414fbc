"""Each format is recognized and gives its joules by device."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pytest_energy.logs.formats import FORMATS
from tests.logs.conftest import Imported
from tests.logs.samples import BUILDERS, Sample
from tests.logs.test_fuzz import powers_of


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
@pytest.mark.parametrize("devices", [1, 3])
def test_a_format_is_recognized_and_read(
    read: Callable[..., Imported], builder: Callable[..., Sample], devices: int
) -> None:
    """The joules are those that went into the log, with a channel for each device."""
    sample = builder(powers_of(random.Random(devices), devices, 20))

    got = read(sample.text, *sample.options)

    assert got.status == 0, got.err
    assert got.energy_j == pytest.approx(sample.energy_j, rel=1e-3)
    assert len(got.channels) == (sample.devices if sample.format != "zeus" else devices)
    assert sample.options or f"read as {sample.format}:" in got.out
    assert "gain is not in the interval" in got.out


def test_every_format_has_a_sample() -> None:
    """A new format comes with a log to test it with."""
    powers = powers_of(random.Random(0), 2, 20)
    assert {builder(powers).format for builder in BUILDERS} == FORMATS.keys()


def test_a_log_of_no_known_format_lists_what_can_be_read(read: Callable[..., Imported]) -> None:
    """The error names all formats and the options that read any table."""
    got = read("hello\nworld\n")

    assert got.status == 2
    assert all(name in got.err for name in FORMATS)
    assert "--power-column" in got.err
