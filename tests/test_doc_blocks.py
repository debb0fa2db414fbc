"""Every block of the documentation runs in a test, or is checked as far as one machine can.

Blocks of Python run here or in the test module that :data:`ELSEWHERE` names. Commands are read by
the parser of their program, with every option and value; tests/test_doc_commands.py runs them, or
says why not. Workflows are validated, because only a CI system can run them. Pages that show a file
tree or a picture of the pipeline have blocks without a language.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_energy.cli
from pytest_energy.gate.tolerances import load_tolerances, tolerances_of
from pytest_energy.marker import MarkerSettings
from pytest_energy.model.metrics import ENERGY, TOLERANCES
from tests.forks import VARIABLE
from tests.plugin.conftest import Project, only_scripted, project

__all__ = ["only_scripted", "project"]

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
ELSEWHERE = {
    "README.md": ("plugin/test_readme.py", "test_workflows.py"),
    "ci.md": ("test_workflows.py",),
    "fixture.md": ("plugin/test_fixture_page.py",),
    "history.md": ("history/test_command.py",),
    "logs.md": ("logs/test_logs_page.py",),
    "recipes.md": ("plugin/test_recipes_page.py",),
    "simulate.md": ("cli/test_simulate.py",),
    "testing.md": ("simulation/test_fixture.py",),
}
"""The modules, by page, that run its blocks."""
HERE = ("against.md", "carbon.md", "cpu.md", "gate.md", "options.md")
"""The pages whose blocks of Python and of settings run here; against.md has commands alone."""
COMMANDS, READ = ("console", "sh"), ("text", "")
MADE_BY_SPHINX = "{"
SUITE_OPTIONS = re.findall(r'"(--[a-z-]+)"', (ROOT / "benchmarks/conftest.py").read_text("utf-8"))


@pytest.fixture(autouse=True)
def _started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of the documentation runs as a reader runs it."""
    monkeypatch.setenv(VARIABLE, "no")


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each block."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def block(page: str, language: str, number: int = 0) -> str:
    """One block of a page in ``docs``."""
    texts = [text for found, text in blocks(ROOT / "docs" / page) if found == language]
    return texts[number]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of each page, by words; simulated ones begin with what is simulated."""
    for page in PAGES:
        for language, text in blocks(page):
            if language not in COMMANDS and not text.startswith(("pytest-energy", "python ")):
                continue
            prompted = re.findall(r"^\$ (.*)", text, re.MULTILINE)
            for line in prompted or text.replace("\\\n", " ").splitlines():
                for part in line.split(" && "):
                    yield page.name, shlex.split(part, comments=True)


def test_every_block_of_code_has_a_test() -> None:
    """A page with a new kind of block needs a test that runs it, and each test names its page."""
    for page in PAGES:
        languages = {language for language, _ in blocks(page)}
        code = {
            language
            for language in languages
            if language not in (*COMMANDS, *READ) and not language.startswith(MADE_BY_SPHINX)
        }
        modules = ELSEWHERE.get(page.name, ())
        assert not code or modules or page.name in HERE, f"{page.name}: {code} run in no test"
        for module in modules:
            assert page.name in (ROOT / "tests" / module).read_text("utf-8"), module


def is_pytest(words: list[str]) -> bool:
    """Whether these words start pytest, also through another program."""
    return "pytest" in words and "pip" not in words and "pytest-energy" not in words


def test_pytest_knows_every_option_of_the_pages(pytestconfig: pytest.Config) -> None:
    """The commands are read by pytest's own parser, with the plugin and the suite's options."""
    checked = 0
    for page, words in commands():
        if "--" in words and "pytest-energy" in words:
            words = words[words.index("--") + 1 :]
        if not is_pytest(words):
            continue
        arguments = words[words.index("pytest") + 1 :]
        _, unknown = pytestconfig._parser.parse_known_and_unknown_args(arguments)
        options = {word.partition("=")[0] for word in unknown if word.startswith("-")}
        assert options <= set(SUITE_OPTIONS), f"{page}: {shlex.join(words)}"
        checked += 1
    assert checked > 15


def test_the_command_knows_every_argument_of_the_pages() -> None:
    """``pytest-energy`` reads each command that a page shows, with its values."""
    calls = [
        (page, words[words.index("pytest-energy") + 1 :])
        for page, words in commands()
        if "pytest-energy" in words
    ]
    for page, words in calls:
        try:
            pytest_energy.cli.read(words)
        except SystemExit:
            pytest.fail(f"{page}: pytest-energy {shlex.join(words)}")
    assert len(calls) > 15


def test_modules_know_every_option_of_the_pages() -> None:
    """``python -m tests.…`` and ``python tests/….py`` have the options that a page shows."""
    checked = 0
    for page, words in commands():
        own = [word for word in words if re.match(r"(tests|benchmarks)[./]\w", word)]
        if "python" not in words or "pytest" in words or not own:
            continue
        path = own[0] if own[0].endswith(".py") else own[0].replace(".", "/")
        files = [ROOT / path, ROOT / f"{path}.py", ROOT / path / "__main__.py"]
        source = next(file.read_text("utf-8") for file in files if file.is_file())
        end = words.index("--") if "--" in words else len(words)
        options = [word.partition("=")[0] for word in words[:end] if word.startswith("--")]
        unknown = [option for option in options if f'"{option}"' not in source]
        assert not unknown, f"{page}: {shlex.join(words)}"
        checked += 1
    assert checked > 4


def test_every_command_is_of_a_known_program() -> None:
    """No block has a command that the tests above pass over unseen."""
    known = ("cat", "export", "git", "nvidia-smi", "pip", "pytest", "pytest-energy", "python")
    known = (*known, "sudo", "torchrun", "uv")
    for page, words in commands():
        programs = [word for word in words if not re.match(r"[A-Z_]+=", word)]
        assert not programs or programs[0] in known, f"{page}: {shlex.join(words)}"


def test_the_example_of_carbon_gives_kilograms(capsys: pytest.CaptureFixture[str]) -> None:
    """A week of 0.98 J a frame at 30 frames a second is 4.9 kWh, here with Germany's intensity."""
    pytest.importorskip("codecarbon")
    names: dict[str, object] = {}
    code = block("carbon.md", "python")
    exec(code.replace("weekly_co2_kg(0.98", "kilograms = weekly_co2_kg(0.98"), names)
    intensity = names["country_intensity"]("DEU")  # type: ignore[operator]
    kwh = 0.98 * 30 * 3600 * 24 * 7 / 3.6e6
    assert names["kilograms"] == pytest.approx(kwh * intensity.g_per_kwh / 1000)


def test_the_example_of_a_meter_has_its_place() -> None:
    """The number on the function decides when ``auto`` tries the meter."""
    names: dict[str, object] = {"MeterRequest": object, "Meter": object}
    exec("from __future__ import annotations\n" + block("cpu.md", "python"), names)
    assert names["open_meter"].auto_order == 150  # type: ignore[attr-defined]


def test_the_tolerances_of_the_gates_page(tmp_path: Path) -> None:
    """The marker wins over the table, whose last matching pattern wins."""
    marked: dict[str, Any] = {"pytest": pytest}
    exec(block("gate.md", "python").replace("@", "mark = "), marked)
    (tmp_path / "pyproject.toml").write_text(block("gate.md", "toml"), "utf-8")
    table = load_tolerances(tmp_path / "pyproject.toml")

    def energy(name: str, **marker: Any) -> float | None:
        tolerances = tolerances_of(
            f"test_it.py::{name}", TOLERANCES, table, MarkerSettings(**marker)
        )
        return tolerances[ENERGY]

    assert energy("test_inference[resnet50]") == 0.05
    assert energy("test_inference[vit_small]") == 0.03
    assert energy("test_other", **marked["mark"].kwargs) == 0.03


def test_the_outputs_of_the_options_page(project: Project) -> None:
    """Each line of ``energy_output`` is a file."""
    project.write("def test_it(energy):\n    energy(work, 0.01)\n")
    project.path("pytest.ini").write_text(block("options.md", "ini"), "utf-8")
    project.run().assert_outcomes(passed=1)
    assert project.path(".energy/summary.md").exists()
    assert project.path("out/metrics.txt").exists()
