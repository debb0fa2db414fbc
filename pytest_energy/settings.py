"""The options: what each is called, what it may be, and the frozen values of a session.

Every option ``--energy-NAME`` has an ini twin ``energy_NAME``. This module is imported at every
start of pytest, also where the plugin is not used, and therefore imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from pytest_energy.errors import UsageError
from pytest_energy.model.metrics import ENERGY, TOLERANCES

Scale = Literal["small", "full"]
ENOUGH_RUNS = 8
"""A baseline of so many accepted runs knows how much runs scatter."""


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def _at_least_one(text: str) -> float:
    value = float(text)
    if not 1 <= value < float("inf"):
        raise ValueError
    return value


def _fraction(text: str) -> float:
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def _tolerances(text: str) -> dict[str, float]:
    """``0.05`` is the energy's; others by name: ``0.03,latency_s=10%``."""
    found = dict(TOLERANCES)
    for item in _names(text):
        metric, named, fraction = item.rpartition("=")
        if named and not metric.strip():
            raise ValueError
        found[metric.strip() or ENERGY] = _fraction(fraction.strip())
    return found


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ValueError
    return names


ESTIMATED = "estimated"
"""Not an outcome: says that the rise of an estimate fails like that of a measured figure."""
UNDECIDED = ("inconclusive", "new", "incomparable", "invalid", "unmeasured")
FAILING = ("regressed", *UNDECIDED, ESTIMATED)
"""What ``--energy-fail-on`` takes; strict mode is all of it."""


def _outcomes(text: str) -> tuple[str, ...]:
    names = _names(text)
    if not set(names) <= set(FAILING):
        raise ValueError
    return names


A_FILE = "a file"
"""What options expect that name something to be written."""
CHECKS_WITH_LIMITS = (
    "clocks-changed",
    "contended",
    "implausible-power",
    "power-limit-changed",
    "sensor-disagreement",
    "temperature-drift",
    "throttled",
)
"""The reasons that have a limit, by code; the meter keeps the limits where none is given."""


def _validity_limits(text: str) -> dict[str, float]:
    pairs = [pair.partition("=") for pair in _names(text)]
    limits = {code.strip(): _not_negative(value) for code, _, value in pairs}
    if not limits.keys() <= set(CHECKS_WITH_LIMITS):
        raise ValueError
    return limits


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError
        return text

    return parse


def _flag(text: str) -> bool:
    meanings = {"true": True, "1": True, "yes": True, "on": True}
    meanings |= {"false": False, "0": False, "no": False, "off": False}
    if text.lower() not in meanings:
        raise ValueError
    return meanings[text.lower()]


@dataclass(frozen=True)
class Option:
    """One option of the command line and its ini twin."""

    name: str
    """As in ``--energy-NAME`` and ``energy_NAME``, with dashes."""
    parse: Callable[[str], Any]
    """From text; raises ``ValueError`` for what it does not take."""
    expected: str
    """What the text should be, for help and errors."""
    help: str
    metavar: str | None = None
    """``None`` for a flag."""
    const: str | None = None
    """The value of a bare ``--energy-NAME`` that may also be given a value."""
    repeats: bool = False
    """Whether it may be given again and again, which is as good as a list with commas."""

    @property
    def flag(self) -> str:
        """The command-line spelling."""
        return f"--energy-{self.name}"

    @property
    def ini(self) -> str:
        """The ini spelling."""
        return f"energy_{self.attribute}"

    @property
    def attribute(self) -> str:
        """The field of :class:`Settings`."""
        return self.name.replace("-", "_")

    def read(self, text: str, spelling: str) -> Any:
        """Parse ``text``.

        Raises:
            UsageError: It is not what was expected; names ``spelling`` and the text.
        """
        try:
            return self.parse(text)
        except ValueError:
            raise UsageError(f"{spelling}={text}: expected {self.expected}") from None


OPTIONS = (
    Option(
        "meter",
        str,
        "auto or the name of a meter",
        "where joules come from: auto (NVML, else what else measures here, else CodeCarbon's"
        " estimate), nvml, rapl, codecarbon, sums such as nvml+rapl [auto]",
        "NAME",
    ),
    Option(
        "devices",
        _names,
        "device indices or UUIDs separated by commas",
        "GPUs to run on and to measure, by nvidia-smi's index or by UUID [all visible ones]",
        "LIST",
    ),
    Option(
        "passes",
        _positive_int,
        "a whole number of at least 1",
        "passes a round of inference [10000; 20 at small scale]",
        "N",
    ),
    Option(
        "rounds",
        _positive_int,
        "a whole number of at least 1",
        "rounds of inference, each one energy window [3]",
        "N",
    ),
    Option(
        "epochs",
        _positive_int,
        "a whole number of at least 1",
        "measured training epochs after one of warm-up [what the test says; 1 at small scale]",
        "N",
    ),
    Option(
        "max-time",
        _positive_float,
        "a number of seconds above 0",
        "bound on the measuring of each benchmark, in seconds: cuts passes, epochs or rounds"
        " [none; 10 for inference and calls at small scale]",
        "SECONDS",
    ),
    Option(
        "scale",
        _choice("auto", "full", "small"),
        "auto, full or small",
        "full workloads, or small ones that end soon on a CPU [auto: full where a GPU is]",
        "SCALE",
    ),
    Option(
        "tolerance",
        _tolerances,
        "a fraction of at least 0 such as 0.05, or 5%; METRIC=FRACTION, separated by commas, for"
        " other metrics than the energy",
        "relative change that is still accepted: of the energy, and of other metrics by name, such"
        " as 0.05,latency_s=0.1; may be given several times [0.05]",
        "[METRIC=]FRACTION",
        repeats=True,
    ),
    Option(
        "strict",
        _flag,
        "true or false",
        "fail also on results that are inconclusive, incomparable, invalid, unmeasured or new",
    ),
    Option(
        "fail-on",
        _outcomes,
        f"outcomes separated by commas, out of {', '.join(FAILING)}",
        "outcomes that fail a test; with estimated, the rise of an estimate does, too [regressed]",
        "LIST",
    ),
    Option(
        "protocol",
        _choice("adaptive", "fixed"),
        "adaptive or fixed",
        "adaptive: short rounds, and again after the others until the verdict is decided; fixed:"
        " 3 rounds of 10000 passes [adaptive]",
        "NAME",
    ),
    Option(
        "retry-time",
        _positive_float,
        "a number of seconds above 0",
        "how long undecided benchmarks may be measured again, all together [600]",
        "SECONDS",
    ),
    Option(
        "retry-energy",
        _positive_float,
        "a number of joules above 0",
        "how many joules that may take [not bounded]",
        "JOULES",
    ),
    Option(
        "validity-limit",
        _validity_limits,
        f"CODE=NUMBER, separated by commas, with CODE out of {', '.join(CHECKS_WITH_LIMITS)}",
        "limit of a validity check, such as throttled=0.02; may be given several times"
        " [the meter's]",
        "CODE=VALUE",
        repeats=True,
    ),
    Option(
        "wait-idle",
        _not_negative,
        "a number of seconds of at least 0",
        "how long to wait for a GPU that others use before it is refused [60]",
        "SECONDS",
    ),
    Option("baselines", Path, "a folder", "folder of the baselines [baselines]", "DIR"),
    Option(
        "update",
        _choice("new", "improved", "all", "none"),
        "new, improved, all or none; before a path write --energy-update=all",
        "accept results as baselines: all measured ones, or only new or improved ones",
        "WHICH",
        const="all",
    ),
    Option(
        "baseline-runs",
        _positive_int,
        "a whole number above 0",
        "measure what becomes a baseline again after the others, until the baseline has so many"
        f" runs (10 at most; training: once) [{ENOUGH_RUNS}]",
        "N",
    ),
    Option("json", Path, A_FILE, "results [.energy/results.json]", "FILE"),
    Option("html", Path, A_FILE, "report [.energy/report.html]", "FILE"),
    Option("markdown", Path, A_FILE, "summary in Markdown [not written]", "FILE"),
    Option(
        "annotations",
        _choice("auto", "on", "off"),
        "auto, on or off",
        "print GitHub's annotation commands [auto: in GitHub Actions]",
        "WHEN",
    ),
    Option(
        "code-quality",
        Path,
        A_FILE,
        "code quality report for GitLab [.energy/gl-code-quality-report.json in GitLab CI]",
        "FILE",
    ),
    Option(
        "openmetrics",
        Path,
        A_FILE,
        "OpenMetrics text [.energy/metrics.txt in GitLab CI]",
        "FILE",
    ),
    Option(
        "github-benchmark",
        Path,
        A_FILE,
        "JSON for github-action-benchmark, tool customSmallerIsBetter [not written]",
        "FILE",
    ),
    Option(
        "country",
        str,
        "an ISO 3166 code of three letters such as DEU",
        "country whose carbon intensity turns joules into CO2",
        "CODE",
    ),
    Option(
        "carbon-intensity",
        _positive_float,
        "a number of g/kWh above 0",
        "carbon intensity that turns joules into CO2, in g/kWh; wins over the country",
        "G_PER_KWH",
    ),
    Option(
        "pue",
        _at_least_one,
        "a number of at least 1",
        "power usage effectiveness of the data centre, a factor on CO2 and never on joules [1]",
        "FACTOR",
    ),
    # Not in a suite's conftest.py: pytest reads `--energy-data DIR` without a path before it loads
    # that file, takes DIR for the tests' folder and never loads it. `pytest .` fails likewise.
    Option("data", Path, "a folder", "root folder of real data sets", "DIR"),
)


_FRACTION = Option("tolerance", _fraction, "a fraction of at least 0 such as 0.05, or 5%", "")
"""What the marker takes for one metric."""


@dataclass(frozen=True)
class Settings:
    """The options of a session, as they are in force."""

    meter: str = "auto"
    devices: tuple[str, ...] | None = None
    passes: int | None = None
    rounds: int | None = None
    epochs: int | None = None
    max_time: float | None = None
    scale: str = "auto"
    tolerance: Mapping[str, float] = field(default_factory=lambda: TOLERANCES)
    """By metric."""
    strict: bool = False
    fail_on: tuple[str, ...] = ("regressed",)
    protocol: str = "adaptive"
    retry_time: float = 600.0
    """Seconds."""
    retry_energy: float | None = None
    """Joules."""
    validity_limit: Mapping[str, float] = field(default_factory=dict)
    """Limits of the validity checks by reason code, where not the default."""
    wait_idle: float = 60.0
    """Seconds."""
    baselines: Path = Path("baselines")
    update: str = "none"
    baseline_runs: int = ENOUGH_RUNS
    """Runs that a recorded baseline is made of."""
    json: Path = Path(".energy/results.json")
    html: Path = Path(".energy/report.html")
    markdown: Path | None = None
    annotations: str = "auto"
    code_quality: Path | None = None
    openmetrics: Path | None = None
    github_benchmark: Path | None = None
    country: str | None = None
    carbon_intensity: float | None = None
    pue: float = 1.0
    data: Path | None = None

    @property
    def failing(self) -> frozenset[str]:
        """The outcomes that fail a test, ``estimated`` among them where estimates count."""
        return frozenset(FAILING if self.strict else self.fail_on)

    def under(self, root: Path) -> Settings:
        """The same settings with relative paths taken from ``root``.

        Raises:
            UsageError: Two files to be written are one.
        """
        paths: dict[str, Any] = {
            name: root / value for name, value in vars(self).items() if isinstance(value, Path)
        }
        written: dict[Path, Option] = {}
        for option in OPTIONS:
            if option.expected == A_FILE and option.attribute in paths:
                path = paths[option.attribute]
                other = written.setdefault(path.resolve(), option)
                if other is not option:
                    raise UsageError(
                        f"{option.flag} and {other.flag} both write {path}; name two files"
                    )
        return replace(self, **paths)


def load_settings(values: Mapping[Option, tuple[str, str]]) -> Settings:
    """Parse what was given.

    Args:
        values: For each option that was given, its spelling there and its text.

    Raises:
        UsageError: One of them cannot be used.
    """
    parsed = {option.attribute: option.read(text, how) for option, (how, text) in values.items()}
    return Settings(**parsed)


@dataclass(frozen=True)
class MarkerSettings:
    """The keywords of ``@pytest.mark.energy(...)``."""

    tolerance: float | None = None
    """Relative change of the energy that is still accepted."""
    tolerances: Mapping[str, float] = field(default_factory=dict)
    """The same by metric."""
    rounds: int | None = None
    passes: int | None = None
    epochs: int | None = None
    max_time: float | None = None
    """Seconds."""


def read_marker(keywords: Mapping[str, Any], where: str) -> MarkerSettings:
    """Check the keywords of a marker.

    Args:
        keywords: As written in the test.
        where: The test's id, for errors.

    Raises:
        UsageError: A keyword is unknown, or its value cannot be used.
    """
    known = [item.name for item in fields(MarkerSettings)]
    unknown = sorted(set(keywords) - set(known))
    if unknown:
        raise UsageError(
            f"{where}: unknown keyword {unknown[0]!r} in @pytest.mark.energy;"
            f" known are {', '.join(known)}"
        )
    tolerances = keywords.get("tolerances", {})
    if not isinstance(tolerances, Mapping):
        raise UsageError(f"{where}: tolerances={tolerances!r}: expected metric names and fractions")
    options = {option.attribute: option for option in OPTIONS} | {"tolerance": _FRACTION}
    checked = {
        name: options[name].read(str(value), f"{where}: @pytest.mark.energy: {name}")
        for name, value in keywords.items()
        if name != "tolerances"
    }
    by_metric = {
        metric: _FRACTION.read(str(value), f"{where}: tolerances[{metric!r}]")
        for metric, value in tolerances.items()
    }
    return MarkerSettings(**checked, tolerances=by_metric)
