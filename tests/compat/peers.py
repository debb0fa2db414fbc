"""Run the own tests of other plugins of pytest without this plugin and with it, and compare.

Run it by hand: ``python tests/compat/peers.py [NAME …]``; it needs uv and a package index.
``pytest:testing/test_mark.py,testing/test_skipping.py`` runs these files only. The tests come from
the source distributions; that of pytest-randomly has none. Both runs have the same environment, in
which this plugin's dependencies are installed; before the second run the plugin itself is added.
Tests that fail in both runs are no fault of it. The exit status is 1 if a test has another outcome.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Peer:
    """How to run the tests of one plugin."""

    tests: str
    """Files or folders of its source distribution, with commas between them."""
    extra: str = ""
    """The extra of its own that its tests need, in brackets."""
    needs: tuple[str, ...] = ()
    """Further packages that its tests need."""
    arguments: tuple[str, ...] = ()
    """Of pytest, for its tests."""


PEERS = {
    "pytest": Peer("testing", "[dev]", arguments=("-n2",)),
    "pytest-benchmark": Peer(
        "tests", "[aspect,histogram]", ("elasticsearch", "freezegun", "nbmake", "pytest-xdist")
    ),
    "pytest-cov": Peer("tests", "[testing]"),
    "pytest-repeat": Peer("test_repeat.py"),
    "pytest-rerunfailures": Peer("tests", needs=("pytest-xdist",)),
    "pytest-timeout": Peer("test_pytest_timeout.py", needs=("pexpect", "pytest-cov")),
    "pytest-xdist": Peer("testing", "[testing,psutil,setproctitle]"),
    "syrupy": Peer("tests", needs=("invoke", "hypothesis", "pytest-xdist", "attrs")),
}


def source_of(name: str, folder: Path) -> Path:
    """The unpacked source distribution."""
    fetch = ("uvx", "--quiet", "pip", "download", "--quiet", "--no-deps", "--no-binary", name, name)
    subprocess.run(fetch, cwd=folder, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def outcomes(python: Path, source: Path, peer: Peer) -> dict[str, str]:
    """The outcome of each test, by its name."""
    report = source.parent / "report.xml"
    command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}")
    tests = (*peer.arguments, *peer.tests.split(","))
    # Sessions beside this one remove old folders of all sessions of the user.
    own = {**os.environ, "PYTEST_DEBUG_TEMPROOT": str(source.parent)}
    subprocess.run([*command, *tests], cwd=source, env=own, stdout=subprocess.DEVNULL, check=False)
    return {
        f"{case.get('classname')}::{case.get('name')}": next(
            (child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed"
        )
        for case in ElementTree.parse(report).iter("testcase")
    }


def compare(name: str, peer: Peer, folder: Path) -> bool:
    """Run the tests of a plugin twice, and say whether all have the same outcome."""
    source, environment = source_of(name, folder), folder / "environment"
    python = environment / "bin" / "python"
    subprocess.run(("uv", "venv", "--quiet", "--python", sys.executable, environment), check=True)
    install = ("uv", "pip", "install", "--quiet", f"--python={python}")
    ours = ("--requirements", ROOT / "pyproject.toml")
    subprocess.run((*install, f"{source}{peer.extra}", *peer.needs, *ours), check=True)
    before = outcomes(python, source, peer)
    subprocess.run((*install, "--no-deps", ROOT), check=True)
    after = outcomes(python, source, peer)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in Counter(after.values()).items())
    changed = {test for test in before | after if before.get(test) != after.get(test)}
    print(f"{name}: {len(before)} tests, {counts}; {len(changed)} differ", flush=True)
    for test in sorted(changed):
        print(f"  {test}: {before.get(test)} without, {after.get(test)} with")
    return bool(before) and not changed


def main() -> int:
    """Compare the plugins that the command names, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME[:FILES]", help=", ".join(PEERS))
    asked = [name.partition(":") for name in parser.parse_args().names or PEERS]
    if unknown := {name for name, _, _ in asked} - PEERS.keys():
        parser.error(f"{min(unknown)} is not known; choose from {', '.join(PEERS)}")
    os.environ.pop("PYTEST_ADDOPTS", None)
    same = True
    for name, _, part in asked:
        peer = replace(PEERS[name], tests=part) if part else PEERS[name]
        with tempfile.TemporaryDirectory() as folder:
            same &= compare(name, peer, Path(folder))
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
