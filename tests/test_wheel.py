"""The wheel works without the source tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pytest_energy.model.json_files import save_run
from tests.report.examples import example_run

ROOT = Path(__file__).parents[1]
PACKAGE = "pytest_energy"

SIMULATE = """
import pynvml
from pytest_energy.testing import SimulatedNvml

with SimulatedNvml():
    pynvml.nvmlInit()
    print(pynvml.nvmlDeviceGetCount())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the unpacked wheel, which :func:`run` puts first on Python's path."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *arguments: str) -> str:
    """The output of Python with these arguments and the package of the wheel."""
    interpreter = subprocess.run(
        [sys.executable, *arguments],
        cwd=site.parent,
        env=os.environ | {"PYTHONPATH": str(site), "TMPDIR": str(site.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return interpreter.stdout


@pytest.mark.slow
def test_the_wheels_package_is_the_one_that_runs(site: Path) -> None:
    """Otherwise the other tests would prove nothing."""
    assert str(site) in run(site, "-c", "import pytest_energy; print(pytest_energy.__file__)")


@pytest.mark.slow
def test_the_wheel_renders_the_report(site: Path) -> None:
    """Templates, style and script are inside the package."""
    save_run(example_run(), site.parent / "results.json")
    main = "import sys; from pytest_energy.cli import main; sys.exit(main(sys.argv[1:]))"
    run(site, "-c", main, "report", "results.json", "-o", "report.html")
    page = (site.parent / "report.html").read_text("utf-8")
    assert "Gate failed" in page
    assert "<style" in page
    assert "<script" in page


@pytest.mark.slow
def test_the_wheel_carries_the_simulated_machine(site: Path) -> None:
    """The C sources are inside the package, are found there and compiled."""
    assert run(site, "-c", SIMULATE).split() == ["1"]
    assert (site / "pytest_energy" / "model" / "results.schema.json").exists()
    assert (site / "pytest_energy" / "py.typed").exists()


@pytest.mark.slow
def test_the_wheel_carries_the_plugin_alone(site: Path) -> None:
    """The suite and the papers' figures stay in the repository."""
    assert [path.name for path in site.iterdir() if path.suffix != ".dist-info"] == [PACKAGE]
    assert list(site.rglob("*.csv")) == []


@pytest.mark.slow
def test_the_readme_on_pypi_has_absolute_links(site: Path) -> None:
    """PyPI shows it without the repository."""
    (metadata,) = site.glob("*.dist-info/METADATA")
    targets = re.findall(r"\]\(([^)\s]+)\)", metadata.read_text("utf-8"))
    assert len(targets) > 10
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
