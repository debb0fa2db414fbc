"""Options and marker keywords: what they accept, and how they refuse the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.marker import MarkerSettings
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.options import ALIASES, ENOUGH_RUNS, OPTIONS, OUTPUT_FILES
from pytest_energy.settings import CHECKS_WITH_LIMITS, FORMATS, Settings, load_settings, read_marker

BY_NAME = {option.name: option for option in (*OPTIONS, *ALIASES)}


def load(**texts: str) -> Settings:
    """Return the settings for these options of the command line."""
    options = {BY_NAME[name.replace("_", "-")]: text for name, text in texts.items()}
    return load_settings({option: (option.flag, text) for option, text in options.items()})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("passes", "500", 500),
        ("tolerance", "0.03", {"energy_j": 0.03}),
        ("tolerance", "3%", {"energy_j": 0.03}),
        ("tolerance", "latency_s=0.1", {"energy_j": 0.05, "latency_s": 0.1}),
        ("tolerance", "3%, accuracy = 1%", {"energy_j": 0.03, "accuracy": 0.01}),
        ("max_time", "2.5", 2.5),
        ("devices", "0, 2", ("0", "2")),
        ("scale", "full", "full"),
        ("strict", "true", True),
        ("update", "new", "new"),
        ("baselines", "kept", Path("kept")),
        ("carbon_intensity", "380", 380.0),
        ("pue", "1.2", 1.2),
        ("validity_limit", "throttled=0.02, contended=1", {"throttled": 0.02, "contended": 1.0}),
        ("wait_idle", "0", 0.0),
    ],
)
def test_an_option_is_read(name: str, text: str, value: object) -> None:
    """Each kind of option gives a value of its type."""
    assert getattr(load(**{name: text}), name) == value


RESULTS, PAGE = Path(".energy/results.json"), Path(".energy/report.html")


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("markdown", {"markdown": Path(".energy/summary.md")}),
        ("markdown: a, b.md", {"markdown": Path("a, b.md")}),
        ("\nopenmetrics:C:/m.txt\ncode-quality\n", {
            "openmetrics": Path("C:/m.txt"),
            "code-quality": Path(".energy/gl-code-quality-report.json"),
        }),
        ("json:a.json\njson:b.json", {"json": Path("b.json")}),
    ],
)  # fmt: skip
def test_an_output_has_a_format_and_perhaps_a_file(text: str, files: dict[str, Path]) -> None:
    """Results and page are always written; the last file of a format counts."""
    assert load(output=text).output == {"json": RESULTS, "html": PAGE, **files}


def test_the_page_can_be_left_out() -> None:
    """It takes time in a session of many benchmarks, and can be made later."""
    assert load(output="html:none").under(Path("/project")).output.keys() == {"json"}


def test_each_format_has_an_option_of_its_own_as_well() -> None:
    """``--energy-output`` wins over it, and the command line over an ini file."""
    values = {
        BY_NAME["output"]: ("energy_output", "json:ini.json\nmarkdown:ini.md"),
        BY_NAME["json"]: ("--energy-json", "a,b.json"),
        BY_NAME["markdown"]: ("energy_markdown", "other.md"),
    }
    assert load_settings(values).output == {
        "json": Path("a,b.json"),
        "html": PAGE,
        "markdown": Path("ini.md"),
    }
    values[BY_NAME["output"]] = ("--energy-output", "json:last.json")
    assert load_settings(values).json == Path("last.json")


def test_of_a_repeated_option_the_error_names_the_wrong_one() -> None:
    """The others, and those of the ini file, are right."""
    values = {BY_NAME["output"]: ("--energy-output", "html:none\nhtm\nmarkdown")}
    with pytest.raises(UsageError, match=r"^--energy-output=htm: expected FORMAT or FORMAT:FILE, "):
        load_settings(values)


@pytest.mark.parametrize("name", ["html", "markdown", "code-quality", "openmetrics"])
def test_two_outputs_are_two_files(tmp_path: Path, name: str) -> None:
    """One output never overwrites another, however the path is spelled."""
    taken = f"{name}:{tmp_path}/other/../.energy/results.json"
    with pytest.raises(UsageError, match=rf"^--energy-output: json and {name} both write "):
        load(output=taken).under(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tolerance", "abc"),
        ("tolerance", "=0.1"),
        ("output", "htm"),
        ("output", "markdown:"),
        ("output", "json:none"),
        ("output", "markdown,openmetrics"),
        ("output", "markdown:a.md,openmetrics:b.txt"),
        ("json", ""),
        ("tolerance", "latency_s"),
        ("tolerance", "-0.1"),
        ("tolerance", "nan"),
        ("tolerance", "5"),
        ("tolerance", "0.05,latency_s=10"),
        ("fail_on", "inconclusive>20"),
        ("passes", "0"),
        ("passes", "1.5"),
        ("rounds", "-3"),
        ("max_time", "inf"),
        ("scale", "huge"),
        ("devices", ","),
        ("update", "some"),
        ("strict", "perhaps"),
        ("carbon_intensity", "0"),
        ("pue", "0.9"),
        ("pue", "nan"),
        ("validity_limit", "throttled"),
        ("validity_limit", "throttled=much"),
        ("validity_limit", "throttled=-1"),
        ("validity_limit", "throttled=2"),
        ("wait_idle", "-1"),
        ("wait_idle", "inf"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, text: str) -> None:
    """The error is one line with the option, the text and what was expected."""
    option = BY_NAME[name.replace("_", "-")]
    with pytest.raises(UsageError) as caught:
        load(**{name: text})
    assert (
        str(caught.value) == f"{option.flag}={text}: expected {FORMATS[option.attribute].expected}"
    )


@pytest.mark.parametrize("text", ["5%", "5 %", "0.05"])
def test_five_per_cent_have_three_spellings(text: str) -> None:
    """A bare 5 is refused above, since it could also mean five times the baseline."""
    assert load(tolerance=text).tolerance["energy_j"] == pytest.approx(0.05)
    assert read_marker({"tolerance": text}, "t").tolerance == pytest.approx(0.05)
    with pytest.raises(UsageError, match=r"tolerance=5: expected a fraction below 1"):
        read_marker({"tolerance": 5}, "t")


def test_an_unknown_limit_is_refused_with_the_known_ones() -> None:
    """The error for a misspelt code lists the known codes."""
    with pytest.raises(
        UsageError, match=r"^--energy-validity-limit=throtled=1: .*out of .*throttled"
    ):
        load(validity_limit="throtled=1")


def test_all_limits_of_the_checks_can_be_set() -> None:
    """The option accepts the limits of the meter's checks, and the limit of the temperature."""
    from pytest_energy.meters.nvml.validity import DEFAULTS

    checked = {code.value for code in DEFAULTS}
    assert set(CHECKS_WITH_LIMITS) == checked | {ReasonCode.TEMPERATURE_DRIFT.value}


def test_every_option_is_a_setting() -> None:
    """The table of options and the fields of the settings are the same."""
    assert {option.attribute for option in OPTIONS} == set(vars(Settings()))


def test_the_help_says_what_the_code_does() -> None:
    """Numbers and names that the code knows as well are the same in ``options.json``."""
    helps = {option.attribute: option.help for option in OPTIONS}
    assert f"formats: {', '.join(OUTPUT_FILES)};" in helps["output"]
    assert f"[{ENOUGH_RUNS}]" in helps["baseline_runs"]


def test_paths_are_taken_from_the_root_folder() -> None:
    """A relative path does not depend on the working directory; an absolute one stays."""
    settings = load(baselines="kept", output="html:/elsewhere/report.html").under(Path("/project"))
    assert settings.baselines == Path("/project/kept")
    assert settings.output["html"] == Path("/elsewhere/report.html")
    assert settings.json == Path("/project/.energy/results.json")


def test_a_marker_is_read() -> None:
    """Keywords become settings, including tolerances by metric."""
    marker = read_marker({"tolerance": 0.03, "rounds": 5, "tolerances": {"latency_s": 0.2}}, "t")
    assert marker == MarkerSettings(tolerance=0.03, rounds=5, tolerances={"latency_s": 0.2})


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"tolerence": 0.1}, "t.py::t: unknown keyword 'tolerence' in @pytest.mark.energy; known"),
        ({"rounds": 0}, "t.py::t: @pytest.mark.energy: rounds=0: expected a whole number"),
        ({"tolerances": 0.1}, "t.py::t: tolerances=0.1: expected metric names"),
        ({"tolerances": {"x": "y"}}, "t.py::t: tolerances['x']=y: expected a fraction"),
    ],
)
def test_a_bad_marker_is_refused_by_test(keywords: dict[str, object], message: str) -> None:
    """The error names the test, the keyword and what is known."""
    with pytest.raises(UsageError, match=message.replace("[", r"\[").replace("]", r"\]")):
        read_marker(keywords, "t.py::t")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves it in ``--energy-html=~/x.html``; pytest's own options expand it, too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load(baselines="~/kept", output="html:~/page.html").under(Path("/project"))
    assert settings.baselines == tmp_path / "kept"
    assert settings.output["html"] == tmp_path / "page.html"
    with pytest.raises(UsageError, match="no such home folder"):
        load(output="html:~nobody-has-this-name/page.html").under(Path("/project"))
