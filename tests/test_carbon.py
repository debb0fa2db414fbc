"""Joules to CO₂."""

import importlib.util
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy import carbon
from pytest_energy.carbon import (
    METHOD,
    Intensity,
    carbon_facts,
    co2_g,
    country_intensity,
    given_intensity,
    weekly_co2_kg,
)
from pytest_energy.errors import EnergyError, UsageError

energies = st.floats(0, 1e12)
intensities = st.floats(0, 2000).map(given_intensity)


def test_a_kilowatt_hour_is_its_intensity():
    """3.6 MJ at 380 g/kWh are 380 g."""
    assert co2_g(3.6e6, given_intensity(380)) == 380


@given(energies, intensities, st.floats(0, 100))
def test_co2_grows_in_step_with_energy_and_intensity(energy_j, intensity, factor):
    """Twice the joules, or twice the intensity, is twice the CO₂."""
    expected = factor * co2_g(energy_j, intensity)
    scaled = Intensity(factor * intensity.g_per_kwh, "given")

    assert co2_g(factor * energy_j, intensity) == pytest.approx(expected)
    assert co2_g(energy_j, scaled) == pytest.approx(expected)


@given(energies, energies, intensities)
def test_co2_of_a_sum_is_the_sum(first_j, second_j, intensity):
    """Parts of a run add up to the run."""
    parts = co2_g(first_j, intensity) + co2_g(second_j, intensity)

    assert co2_g(first_j + second_j, intensity) == pytest.approx(parts)


def test_pue_is_a_factor_of_its_own():
    """A data centre's overhead multiplies the CO₂ and is 1 unless given."""
    intensity = given_intensity(400)

    assert co2_g(3.6e6, intensity, pue=1.5) == 600


@pytest.mark.parametrize("pue", [0.9, 0, -1, float("nan")])
def test_a_pue_below_one_is_refused(pue):
    """No data centre uses less than its computers."""
    with pytest.raises(UsageError, match=f"PUE {pue}"):
        co2_g(1, given_intensity(400), pue)


@pytest.mark.parametrize("g_per_kwh", [-1, float("nan"), float("inf")])
def test_an_impossible_intensity_is_refused(g_per_kwh):
    """An intensity is finite and not negative."""
    with pytest.raises(UsageError, match="0 or more"):
        given_intensity(g_per_kwh)


def test_a_week_of_video():
    """1 J a frame at 30 frames a second, day and night: 18.144 MJ, 5.04 kWh a week."""
    co2_kg = weekly_co2_kg(1.0, 30, 24, given_intensity(1000))

    assert co2_kg == pytest.approx(5.04)


@pytest.mark.parametrize(
    ("frames_per_second", "hours_per_day", "fault"),
    [(30, 25, "hours a day"), (30, -1, "hours a day"), (-1, 8, "frames a second")],
)
def test_an_impossible_scenario_is_refused(frames_per_second, hours_per_day, fault):
    """A day has 24 hours, and no camera runs backwards."""
    with pytest.raises(UsageError, match=fault):
        weekly_co2_kg(1.0, frames_per_second, hours_per_day, given_intensity(1000))


def test_a_result_has_the_origin_of_its_co2():
    """Intensity, source, year, PUE and method are kept together, each in its own field."""
    assert carbon_facts(Intensity(380.9, "a table", 2023), pue=1.2) == {
        "intensity_g_per_kwh": 380.9,
        "source": "a table",
        "year": 2023,
        "pue": 1.2,
        "method": METHOD,
    }


@pytest.mark.parametrize("country", ["DEU", "deu", "Germany", "germany"])
def test_a_country_is_looked_up_without_a_network(country, monkeypatch):
    """Code or name, in any case, gives the packaged figure with source and year; no socket."""

    def refuse(*arguments, **keywords):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "socket", refuse)

    intensity = country_intensity(country)

    assert 100 < intensity.g_per_kwh < 1000
    assert "CodeCarbon" in intensity.source
    assert "Germany" in intensity.source
    assert intensity.year is not None
    assert 2020 <= intensity.year <= 2100


@pytest.mark.parametrize(
    ("country", "near"), [("Germny", r"DEU \(Germany\)"), ("UAS", r"USA \(United States\)")]
)
def test_an_unknown_country_lists_near_matches(country, near):
    """The error for a misspelt country lists similar names."""
    with pytest.raises(UsageError, match=f"no country '{country}': did you mean .*{near}"):
        country_intensity(country)


def test_without_a_near_match_the_expected_form_is_named():
    """The error for a text like no country names the expected form."""
    with pytest.raises(UsageError, match="expected an ISO 3166-1 alpha-3 code such as DEU"):
        country_intensity("1234567")


def test_a_country_without_a_figure_is_not_zero(monkeypatch):
    """A zero in the data stands for a missing figure and is refused."""
    mix = {"carbon_intensity": 0.0, "country_name": "Nowhere", "iso_code": "NWH", "year": 2009}
    monkeypatch.setattr(carbon, "_country_mixes", lambda: {"NWH": mix})

    with pytest.raises(UsageError, match="no carbon intensity for Nowhere"):
        country_intensity("NWH")


def test_without_codecarbon_the_remedy_is_named(monkeypatch):
    """If CodeCarbon is not installed, the error names the package, or asks for a figure."""
    monkeypatch.setattr(carbon, "find_spec", lambda name: None)

    with pytest.raises(EnergyError, match=r"pip install 'pytest-energy\[carbon\]', or give"):
        country_intensity("DEU")


@pytest.mark.parametrize("content", [None, "{"])
def test_broken_data_is_an_error(monkeypatch, tmp_path, content):
    """The error for missing or damaged data names the file and a remedy."""
    folder = tmp_path / "data" / "private_infra"
    folder.mkdir(parents=True)
    if content:
        (folder / "global_energy_mix.json").write_text(content)
    spec = importlib.util.spec_from_file_location(
        "codecarbon", tmp_path / "__init__.py", submodule_search_locations=[str(tmp_path)]
    )
    monkeypatch.setattr(carbon, "find_spec", lambda name: spec)

    with pytest.raises(EnergyError, match=r"cannot be read.*give the intensity"):
        country_intensity("DEU")
