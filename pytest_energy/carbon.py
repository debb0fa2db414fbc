"""From joules to CO₂, by a carbon intensity that the user gives or CodeCarbon's data has.

Nothing here uses the network. A country's intensity is the yearly mean that CodeCarbon ships in its
package, together with its year. The power usage effectiveness (PUE) of a data centre is a separate
factor; joules never include it.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pytest_energy.errors import EnergyError, UsageError

JOULES_PER_KWH: Final = 3.6e6
REMEDY: Final = "pip install 'pytest-energy[carbon]', or give the intensity in g/kWh"

METHOD: Final = "measured energy × PUE × mean carbon intensity of the grid"
VIDEO_METHOD: Final = (
    "measured energy per frame × frames per second × hours per day × 7 days"
    " × PUE × mean carbon intensity of the grid"
)


@dataclass(frozen=True)
class Intensity:
    """The CO₂ equivalent of a kilowatt hour of electricity."""

    g_per_kwh: float
    source: str
    year: int | None = None
    """The year of the figure; ``None`` if it is unknown."""


def given_intensity(g_per_kwh: float) -> Intensity:
    """An intensity from the user.

    Raises:
        UsageError: It is negative or no number.
    """
    if not math.isfinite(g_per_kwh) or g_per_kwh < 0:
        raise UsageError(f"carbon intensity {g_per_kwh!r} g/kWh: expected 0 or more")
    return Intensity(float(g_per_kwh), "given")


def country_intensity(country: str) -> Intensity:
    """The mean carbon intensity of a country's electricity, from CodeCarbon's data.

    Args:
        country: ISO 3166-1 alpha-3 code (``DEU``) or English name, in any case.

    Raises:
        UsageError: The data has no such country; the message lists similar names.
        EnergyError: CodeCarbon or its data is missing.
    """
    mixes = _country_mixes()
    mix = mixes.get(country.upper()) or _by_name(mixes).get(country.casefold())
    if mix is None:
        raise UsageError(_unknown(country, mixes))
    if not mix["carbon_intensity"]:  # no plant is free of CO₂ over its life, so 0 means missing
        raise UsageError(
            f"CodeCarbon's data has no carbon intensity for {mix['country_name']}; give it in g/kWh"
        )
    source = f"CodeCarbon {version('codecarbon')}, energy mix of {mix['country_name']}"
    return Intensity(float(mix["carbon_intensity"]), source, int(mix["year"]))


def co2_g(energy_j: float, intensity: Intensity, pue: float = 1.0) -> float:
    """Grams of CO₂ equivalent for ``energy_j`` at the device.

    Raises:
        UsageError: ``pue`` is below 1, which is impossible.
    """
    if not pue >= 1:
        raise UsageError(f"PUE {pue!r}: expected 1 or more")
    return energy_j / JOULES_PER_KWH * pue * intensity.g_per_kwh


def weekly_co2_kg(
    energy_per_pass_j: float,
    frames_per_second: float,
    hours_per_day: float,
    intensity: Intensity,
    pue: float = 1.0,
) -> float:
    """Kilograms of CO₂ equivalent of a week of video with one pass a frame.

    It uses the measured joules (:data:`VIDEO_METHOD`), not latency times rated power.

    Raises:
        UsageError: ``pue`` is below 1, the day has more than 24 hours, or the rate is negative.
    """
    if not 0 <= hours_per_day <= 24:
        raise UsageError(f"{hours_per_day!r} hours a day: expected 0 to 24")
    if not (math.isfinite(frames_per_second) and frames_per_second >= 0):
        raise UsageError(f"{frames_per_second!r} frames a second: expected 0 or more")
    frames = frames_a_week(frames_per_second, hours_per_day)
    return co2_g(energy_per_pass_j * frames, intensity, pue) / 1000


def frames_a_week(frames_per_second: float, hours_per_day: float) -> float:
    """The number of frames in a week of :data:`VIDEO_METHOD`."""
    return frames_per_second * 3600 * hours_per_day * 7


def carbon_facts(intensity: Intensity, pue: float = 1.0) -> dict[str, Any]:
    """The facts in a result from which its CO₂ can be understood and recomputed."""
    return {
        "intensity_g_per_kwh": intensity.g_per_kwh,
        "source": intensity.source,
        "year": intensity.year,
        "pue": pue,
        "method": METHOD,
    }


def _country_mixes() -> Mapping[str, Mapping[str, Any]]:
    """The energy mixes by alpha-3 code; CodeCarbon itself is not imported."""
    package = find_spec("codecarbon")
    if package is None or not package.submodule_search_locations:
        raise EnergyError(f"carbon intensity by country needs CodeCarbon's data: {REMEDY}")
    folder = Path(package.submodule_search_locations[0], "data", "private_infra")
    try:
        mixes: dict[str, dict[str, Any]] = json.loads(
            (folder / "global_energy_mix.json").read_text("utf-8")
        )
    except (OSError, json.JSONDecodeError) as error:
        raise EnergyError(f"CodeCarbon's data cannot be read: {error}; {REMEDY}") from None
    return mixes


def _by_name(mixes: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {str(mix["country_name"]).casefold(): mix for mix in mixes.values()}


def _unknown(country: str, mixes: Mapping[str, Mapping[str, Any]]) -> str:
    names = _by_name(mixes)
    near = [
        *(names[name] for name in difflib.get_close_matches(country.casefold(), names)),
        *(mixes[code] for code in difflib.get_close_matches(country.upper(), mixes)),
    ]
    names_near = ", ".join(f"{mix['iso_code']} ({mix['country_name']})" for mix in near)
    expected = "expected an ISO 3166-1 alpha-3 code such as DEU"
    return f"no country {country!r}: {f'did you mean {names_near}?' if near else expected}"
