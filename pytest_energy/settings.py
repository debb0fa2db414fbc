"""The values that options and markers accept, and the frozen settings of a session.

Every option ``--energy-NAME`` has an ini twin ``energy_NAME``: see :mod:`pytest_energy.options`.
"""

# ruff: noqa: RUF009 - `_option` returns a dataclass field, never a shared default
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar, get_args

from pytest_energy.errors import UsageError
from pytest_energy.marker import MarkerSettings
from pytest_energy.model.metrics import ENERGY, TOLERANCES, Direction, in_catalogue, per_unit_name
from pytest_energy.model.outcomes import FAILING_BY_DEFAULT, FAILING_IN_STRICT_MODE
from pytest_energy.options import ALIASES, ENOUGH_RUNS, OUTPUT_FILES, Option

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Scale = Literal["full", "small"]
"""The size of the workloads in force."""
ScaleChoice = Literal["auto", Scale]
"""The values of ``--energy-scale``."""
MeasuringProtocol = Literal["adaptive", "fixed"]
"""The values of ``--energy-protocol``."""
Update = Literal["new", "improved", "all", "none"]
"""The values of ``--energy-update``."""
Annotations = Literal["auto", "on", "off"]
"""The values of ``--energy-annotations``."""

NO_METER = "none"
"""The value of ``--energy-meter`` for time alone."""


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError
    return value


def _positive_number(text: str) -> float:
    value = _number(text)
    if value == 0:
        raise ValueError
    return value


def _meter_name(text: str) -> str:
    if not text.replace("+", "").replace("_", "").replace("-", "").isalnum():
        raise ValueError
    return text


def _comment_label(text: str) -> str:
    if not text.replace(" ", "").replace("-", "").isalnum() or "--" in text:  # ends HTML's comment
        raise ValueError
    return text


def _at_least_one(text: str) -> float:
    value = _number(text)
    if value < 1:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _at_least_four(text: str) -> int:
    value = int(text)
    if value < 4:
        raise ValueError
    return value


def _fraction(text: str) -> float:
    """Read ``0.05`` or ``5%``: a bare 5 could mean either 5 % or 500 %."""
    if text.endswith("%"):
        return _number(text.removesuffix("%")) / 100
    value = _number(text)
    if value >= 1:
        raise ValueError
    return value


def _fraction_above_0(text: str) -> float:
    value = _fraction(text)
    if value == 0:
        raise ValueError
    return value


def _tolerances(text: str) -> dict[str, float]:
    """Read ``0.03,latency_s=10%``: a fraction without a name is the tolerance of the energy."""
    tolerances = dict(TOLERANCES)
    for item in _names(text):
        metric, equals, fraction = item.rpartition("=")
        if equals and not metric.strip():
            raise ValueError
        tolerances[metric.strip() or ENERGY] = _fraction(fraction.strip())
    return tolerances


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ValueError
    return names


ESTIMATED = "estimated"
"""Not an outcome: with it, a regressed estimate fails a test as a regressed measurement does."""
UNCOMPARED = "uncompared"
"""Not an outcome: with it, a baseline that got no result fails the session."""
FAILING = (*(outcome.value for outcome in FAILING_IN_STRICT_MODE), ESTIMATED, UNCOMPARED)
"""The values of ``--energy-fail-on``; strict mode sets all of them."""


INCONCLUSIVE_ABOVE = "inconclusive>"
"""The beginning of ``inconclusive>20%``: a larger share of undecided benchmarks fails a session."""


def _outcomes(text: str) -> tuple[str, ...]:
    names = _names(text)
    shares = [name for name in names if name.startswith(INCONCLUSIVE_ABOVE)]
    if not set(names) - set(shares) <= set(FAILING) or len(shares) > 1:
        raise ValueError
    for share in shares:
        if _fraction(share.removeprefix(INCONCLUSIVE_ABOVE)) > 1:
            raise ValueError
    return names


OUTPUT_FOLDER: Final = Path(".energy")
"""The default folder of outputs."""
NOT_WRITTEN: Final = Path("none")
"""In the place of a file: ``html:none``."""


OUTPUT_OPTION: Final = "--energy-output="
RESULTS_OPTION: Final = f"{OUTPUT_OPTION}json:"
"""What stands before the file of the results, for errors."""


def default_file(output: str) -> Path:
    """The file of an output for which no other is named.

    Raises:
        ValueError: There is no such output.
    """
    if output not in OUTPUT_FILES:
        raise ValueError
    return OUTPUT_FOLDER / OUTPUT_FILES[output]


ALWAYS_WRITTEN: Final = {output: default_file(output) for output in ("json", "html")}
"""The outputs of every session; only ``html`` can be left out."""


def _files_by_format(text: str) -> dict[str, Path]:
    """Read ``markdown`` or ``openmetrics:out/metrics.txt``, or several of them in lines."""
    items = [item.strip() for item in text.splitlines() if item.strip()]
    if not items:
        raise ValueError
    files: dict[str, Path] = {}
    for item in items:
        output, colon, file = item.partition(":")
        files |= _file_of(output.strip(), file.strip()) if colon else {item: default_file(item)}
    return files


def _file_of(output: str, file: str) -> dict[str, Path]:
    # A file's name may have a comma, but not one that looks like two outputs in one option.
    further = [part.partition(":")[0].strip() for part in file.split(",")[1:]]
    if output not in OUTPUT_FILES or not file or not OUTPUT_FILES.keys().isdisjoint(further):
        raise ValueError
    if (output, Path(file)) == ("json", NOT_WRITTEN):  # pages, merges and the history need it
        raise ValueError
    return {output: Path(file)}


CHECKS_WITH_LIMITS = (
    "clocks-changed",
    "contended",
    "implausible-power",
    "power-limit-changed",
    "sensor-disagreement",
    "temperature-drift",
    "throttled",
)
"""The codes of the validity checks that have a limit; the meters define the default limits."""


CHECKS_OF_SHARES = {"clocks-changed", "power-limit-changed", "sensor-disagreement", "throttled"}
"""The codes of the checks whose limit is a share."""


def _validity_limits(text: str) -> dict[str, float]:
    pairs = [pair.partition("=") for pair in _names(text)]
    limits = {
        code.strip(): (_fraction if code.strip() in CHECKS_OF_SHARES else _number)(value.strip())
        for code, _, value in pairs
    }
    if not limits.keys() <= set(CHECKS_WITH_LIMITS):
        raise ValueError
    return limits


def _flag(text: str) -> bool:
    meanings = {"true": True, "1": True, "yes": True, "on": True}
    meanings |= {"false": False, "0": False, "no": False, "off": False}
    if text.lower() not in meanings:
        raise ValueError
    return meanings[text.lower()]


def as_text(value: object, form: Callable[[object], str] = str) -> str:
    """The text of any value; of one that has none its type, such as a broken or a huge one."""
    try:
        return form(value)
    except Exception:
        return f"<{type(value).__name__}>"


@dataclass(frozen=True)
class Format(Generic[T_co]):
    """What the text of an option may be."""

    parse: Callable[[str], T_co]
    """Reads the text; raises ``ValueError`` if it does not accept it."""
    expected: str
    """The accepted texts in words, for errors."""

    def read(self, text: str, spelling: str) -> T_co:
        """Parse ``text``.

        Args:
            text: What the user wrote.
            spelling: Where the user wrote it, for errors.

        Raises:
            UsageError: The text is not accepted.
        """
        try:
            return self.parse(text)
        except ValueError:
            wrong = next((line for line in text.splitlines() if not self._accepts(line)), text)
            raise UsageError(f"{spelling}={wrong}: expected {self.expected}") from None

    def _accepts(self, text: str) -> bool:
        """Whether it can be read; an option that may be repeated has a line for each time."""
        try:
            self.parse(text)
        except ValueError:
            return False
        return True


def _choice(choices: tuple[T, ...], hint: str = "") -> Format[T]:
    """Accept the texts of a ``Literal``, whose arguments are ``choices``."""
    named = {str(choice): choice for choice in choices}

    def parse(text: str) -> T:
        if text not in named:
            raise ValueError
        return named[text]

    *others, last = named
    return Format(parse, f"{', '.join(others)} or {last}{hint}")


TEXT = Format(str, "a text")
FLAG = Format(_flag, "true or false")
COUNT = Format(_count, "a whole number of at least 1")
SECONDS = Format(_positive_number, "a number of seconds above 0")
FRACTION = Format(_fraction, "a fraction below 1, such as 0.05, or per cent, such as 5%")
FRACTION_ABOVE_0 = Format(
    _fraction_above_0, "a fraction between 0 and 1, such as 0.05, or per cent, such as 5%"
)
FOLDER = Format(Path, "a folder")
INPUT_FILE = Format(Path, "a file")


def _option(default: T, format: Format[T]) -> T:
    """Define a field of :class:`Settings` together with the format of its option.

    The declared result is the type of the field, as for :func:`dataclasses.field`. A type checker
    then proves that the option's format returns what the field declares.
    """
    # A factory, since dataclasses refuse a dict as default.
    return field(default_factory=lambda: default, metadata={"format": format})


@dataclass(frozen=True)
class Settings:
    """The options of a session: their values in force, and the formats of their texts."""

    meter: str = _option("auto", TEXT)
    devices: tuple[str, ...] | None = _option(
        None, Format(_names, "device indices or UUIDs separated by commas")
    )
    passes: int | None = _option(None, COUNT)
    rounds: int | None = _option(None, COUNT)
    epochs: int | None = _option(None, COUNT)
    window: float | None = _option(None, SECONDS)
    """Seconds."""
    max_time: float | None = _option(None, SECONDS)
    scale: ScaleChoice = _option("auto", _choice(get_args(ScaleChoice)))
    tolerance: Mapping[str, float] = _option(
        TOLERANCES,
        Format(
            _tolerances,
            f"{FRACTION.expected}, for the energy; METRIC=FRACTION for other metrics; separated by"
            " commas",
        ),
    )
    """By metric."""
    strict: bool = _option(False, FLAG)
    fail_on: tuple[str, ...] = _option(
        tuple(outcome.value for outcome in FAILING_BY_DEFAULT),
        Format(
            _outcomes,
            f"outcomes separated by commas, out of {', '.join(FAILING)}, and perhaps a share such"
            f" as {INCONCLUSIVE_ABOVE}20%",
        ),
    )
    protocol: MeasuringProtocol = _option("adaptive", _choice(get_args(MeasuringProtocol)))
    retry_time: float = _option(600.0, SECONDS)
    """Seconds."""
    retry_energy: float | None = _option(
        None, Format(_positive_number, "a number of joules above 0")
    )
    """Joules."""
    family: int | None = _option(None, COUNT)
    validity_limit: Mapping[str, float] = _option(
        {},
        Format(
            _validity_limits,
            f"CODE=NUMBER, separated by commas, with CODE out of {', '.join(CHECKS_WITH_LIMITS)};"
            f" of {', '.join(sorted(CHECKS_OF_SHARES))} {FRACTION.expected}",
        ),
    )
    """The limits that replace a default, by the code of the check."""
    wait_idle: float = _option(60.0, Format(_number, "a number of seconds of at least 0"))
    """Seconds."""
    wait_lock: float | None = _option(None, SECONDS)
    """Seconds."""
    against: str | None = _option(None, TEXT)
    against_all: bool = _option(False, FLAG)
    against_setup: str | None = _option(None, TEXT)
    against_python: Path | None = _option(None, INPUT_FILE)
    against_blocks: int = _option(24, Format(_at_least_four, "a whole number of at least 4"))
    against_time: float | None = _option(None, SECONDS)
    """Seconds."""
    against_timeout: float = _option(600.0, SECONDS)
    """Seconds between two answers of a side; one round, or one epoch, must end in it."""
    fresh: bool = _option(False, FLAG)
    control: bool = _option(False, FLAG)
    baselines: Path = _option(Path("baselines"), FOLDER)
    update: Update = _option(
        "none", _choice(get_args(Update), "; before a path write --energy-update=all")
    )
    accept_drift: bool = _option(False, FLAG)
    latency_table: bool = _option(False, FLAG)
    baseline_runs: int = _option(ENOUGH_RUNS, COUNT)
    output: Mapping[str, Path] = _option(
        ALWAYS_WRITTEN,
        Format(
            _files_by_format,
            f"FORMAT or FORMAT:FILE, with FORMAT out of {', '.join(OUTPUT_FILES)}; repeat the"
            " option for another output",
        ),
    )
    """The files by format; a format without a file is not written."""
    annotations: Annotations = _option("auto", _choice(get_args(Annotations)))
    comment: str | None = _option(
        None, Format(_comment_label, "a label of letters, digits, spaces and hyphens")
    )
    country: str | None = _option(
        None, Format(str, "an ISO 3166 code of three letters such as DEU")
    )
    carbon_intensity: float | None = _option(
        None, Format(_positive_number, "a number of g/kWh above 0")
    )
    pue: float = _option(1.0, Format(_at_least_one, "a number of at least 1"))
    # Not in a suite's conftest.py: pytest reads `--energy-data DIR` without a path before it loads
    # that file, takes DIR for the tests' folder and never loads it. `pytest .` fails likewise.
    data: Path | None = _option(None, FOLDER)

    @property
    def failing(self) -> frozenset[str]:
        """What fails: outcomes, and the names :data:`ESTIMATED` and :data:`UNCOMPARED`."""
        return frozenset(FAILING if self.strict else self.fail_on)

    @property
    def inconclusive_limit(self) -> float | None:
        """The largest accepted share of inconclusive benchmarks; ``None`` for any."""
        shares = [name for name in self.fail_on if name.startswith(INCONCLUSIVE_ABOVE)]
        return _fraction(shares[0].removeprefix(INCONCLUSIVE_ABOVE)) if shares else None

    @property
    def json(self) -> Path:
        """The file of the results."""
        return self.output["json"]

    def writing(self, **files: Path) -> Settings:
        """Return the same settings with these files, by format, in the place of others."""
        return replace(self, output={**self.output, **files})

    def under(self, root: Path) -> Settings:
        """Return the same settings with relative paths resolved against ``root``.

        ``~`` is the home folder, as in pytest's own options: a shell leaves it in ``--option=~/x``.

        Raises:
            UsageError: Two outputs have the same file, or there is no home folder.
        """
        paths: dict[str, Any] = {
            name: root / _at_home(value)
            for name, value in vars(self).items()
            if isinstance(value, Path)
        }
        output = {
            name: root / _at_home(file) for name, file in self.output.items() if file != NOT_WRITTEN
        }
        writers: dict[Path, str] = {}
        for name, path in output.items():
            other = writers.setdefault(path.resolve(), name)
            if other != name:
                raise UsageError(
                    f"--energy-output: {other} and {name} both write {path}; name two files"
                )
        return replace(self, **paths, output=output)


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise UsageError(f"{path}: there is no such home folder; name the folder in full") from None


FORMATS: Final[Mapping[str, Format[Any]]] = {
    **{item.name: item.metadata["format"] for item in fields(Settings)},
    **{
        output.replace("-", "_"): Format(partial(_file_of, output), "a file")
        for output in OUTPUT_FILES
    },
}
"""By the attribute of an option of :data:`OPTIONS` or :data:`ALIASES`."""


def load_settings(values: Mapping[Option, tuple[str, str]]) -> Settings:
    """Parse the options that the user set; the others keep their defaults.

    Args:
        values: By option: its spelling where the user set it, and its text.

    Raises:
        UsageError: A text is not accepted.
    """
    # Any: the definition of each field by `_option` has proved that its format fits its type.
    parsed: dict[Option, Any] = {
        option: FORMATS[option.attribute].read(text, spelling)
        for option, (spelling, text) in values.items()
    }
    outputs = [option for option in parsed if option.attribute == "output" or option in ALIASES]
    # The command line takes precedence over the ini file, and the option over its aliases.
    outputs.sort(key=lambda option: (values[option][0] == option.flag, option not in ALIASES))
    output = dict(ALWAYS_WRITTEN)
    for option in outputs:
        output |= parsed.pop(option)
    others = {option.attribute: value for option, value in parsed.items()}
    return Settings(**others, output=output)


METER_NAME = Format(_meter_name, "a meter's name, such as rapl")


def read_marker(keywords: Mapping[str, object], where: str) -> MarkerSettings:
    """Check the keywords of a marker.

    Args:
        keywords: As written in the test.
        where: The test's id, for errors.

    Raises:
        UsageError: A keyword is unknown, or its value is not accepted.
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
        raise UsageError(
            f"{where}: tolerances={as_text(tolerances, repr)}: expected metric names and fractions"
        )

    def read(name: str, format: Format[T]) -> T | None:
        if name not in keywords:
            return None
        return format.read(as_text(keywords[name]), f"{where}: @pytest.mark.energy: {name}")

    return MarkerSettings(
        tolerance=read("tolerance", FRACTION),
        tolerances={
            metric: FRACTION.read(as_text(value), f"{where}: tolerances[{metric!r}]")
            for metric, value in tolerances.items()
        },
        rounds=read("rounds", COUNT),
        passes=read("passes", COUNT),
        epochs=read("epochs", COUNT),
        max_time=read("max_time", SECONDS),
        window_s=read("window_s", SECONDS),
        max_joules=_budgets(keywords.get("max_joules", {}), where),
        better=_directions(keywords.get("better", {}), where),
        meter=read("meter", METER_NAME),
        channels=_channels(keywords.get("channels"), where),
    )


def _channels(value: object, where: str) -> tuple[str, ...]:
    """Read ``channels=["cpu"]``."""
    if value is None:
        return ()
    names = tuple(value) if isinstance(value, list | tuple | set | frozenset) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"{where}: @pytest.mark.energy: channels={as_text(value, repr)}: expected a list of"
            ' channels, such as ["cpu"]'
        )
    return tuple(sorted(set(names)))


def _budgets(value: object, where: str) -> dict[str, float]:
    """Read ``max_joules=10`` of a pass or window, or ``max_joules={"token": 0.02}`` of a unit."""
    joules = Format(_positive_number, "a number of joules above 0")
    where = f"{where}: @pytest.mark.energy: max_joules"
    if not isinstance(value, Mapping):
        return {ENERGY: joules.read(as_text(value), where)}
    return {
        per_unit_name(str(unit)): joules.read(as_text(limit), f"{where}[{unit!r}]")
        for unit, limit in value.items()
    }


def _directions(value: object, where: str) -> dict[str, Direction]:
    """Read ``better={"throughput": "higher"}``."""
    where = f"{where}: @pytest.mark.energy: better"
    if not isinstance(value, Mapping):
        raise UsageError(
            f"{where}={as_text(value, repr)}: expected metric names and 'higher' or 'lower'"
        )
    for name in value:
        if in_catalogue(str(name)):
            raise UsageError(f"{where}[{name!r}]: the direction of this metric is fixed")
    read = _choice(get_args(Direction)).read
    return {
        str(name): read(as_text(direction), f"{where}[{name!r}]")
        for name, direction in value.items()
    }
