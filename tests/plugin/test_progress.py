"""Live progress: shown on a terminal, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys

import pyte
import pytest

from pytest_energy.plugin.progress import (
    ProgressLine,
    WorkerProgress,
    WorkersProgress,
    cut,
    forecast_line,
    side_by_side,
)
from tests.terminals import run_in_terminal

ID = "benchmarks/test_inference.py::test_inference[resnet50]"


class Screen:
    """A terminal of 40 columns; its cursor is behind what pytest has written."""

    def __init__(self, before="tests/test_x.py "):
        self.screen = pyte.Screen(40, 3)
        self.stream = pyte.Stream(self.screen)
        self.before = before
        self.time_s = 0.0
        self.written = []
        self.write(before)
        self.written.clear()

    def write(self, text):
        self.written.append(text)
        self.stream.feed(text)

    def progress(self):
        return ProgressLine(self.write, lambda: 40 - len(self.before) - 1, lambda: self.time_s)

    @property
    def line(self):
        return self.screen.display[0].rstrip()

    @property
    def cursor(self):
        return self.screen.cursor.x, self.screen.cursor.y


def test_update_shows_round_and_joules():
    """The line shows round, passes, joules so far and benchmark, as far as they fit."""
    screen = Screen(before="")
    screen.progress().update("t.py::t", 2, 3, 100, 123.4)
    assert screen.line == " round 2/3 of 100 passes · 123 J · t.p…"


def test_update_shows_the_time_left():
    """After the round, since the end of the line may be cut off."""
    screen = Screen(before="")
    screen.progress().update("t.py::t", 2, 3, 8, 123.4, left_s=250)
    assert screen.line == " round 2/3 of 8 passes · 4 min left · …"


def test_a_window_has_a_number_and_the_length_of_the_last_one():
    """Nobody knows how many windows of a name a test will enter."""
    screen = Screen(before="")
    screen.progress().update("t.py::t::decode", 3, None, None, None, left_s=20)
    assert screen.line == " window 3 · 20 s left · t.py::t::decode"


@pytest.mark.parametrize(
    ("duration_s", "joules", "line"),
    [
        (90.0, None, "about 90 s: test_inference[resnet50]"),
        (250.0, 70_123.0, "about 4 min, 70 kJ: test_inference[resnet50]"),
        (60_000.0, 18.2e6, "about 16.7 h, 18 MJ: test_inference[resnet50]"),
    ],
)
def test_a_forecast_is_rough(duration_s, joules, line):
    """It names the test without its file; without a meter it has no joules."""
    assert forecast_line(ID, duration_s, joules) == line


def test_cursor_stays_where_pytest_left_it():
    """Pytest continues on the same line, where it stopped."""
    screen = Screen()
    screen.progress().update(ID, 1, 3, 10_000, None)
    assert screen.cursor == (len(screen.before), 0)
    assert screen.screen.display[1].strip() == ""


def test_clear_leaves_no_trace():
    """Afterwards the line is as before."""
    screen = Screen()
    progress = screen.progress()
    progress.update(ID, 1, 3, 10_000, 12.0)
    progress.clear()
    assert screen.line == screen.before.rstrip()


def test_clear_without_anything_shown_writes_nothing():
    """An empty line is not cleared."""
    screen = Screen()
    screen.progress().clear()
    assert screen.written == []


def test_at_most_four_updates_a_second():
    """A thousand short rounds within a second are drawn four times."""
    screen = Screen()
    progress = screen.progress()
    for round in range(1000):
        screen.time_s = round / 1000
        progress.update(ID, round, None, 1, None)
    assert len(screen.written) == 4


def test_narrow_terminal_is_not_overrun():
    """If no column is left, nothing is shown beyond the edge."""
    screen = Screen(before="x" * 39)
    screen.progress().update(ID, 1, 3, 10_000, 12.0)
    assert screen.line == "x" * 39


def test_control_characters_are_left_out():
    """A name cannot move the cursor."""
    assert cut("a\x1b[2Jb\nc", 20) == "a[2Jbc"


def test_workers_share_the_line():
    """The line shows each worker that measures, and no other."""
    screen = Screen(before="")
    workers = WorkersProgress(screen.progress(), side_by_side)
    workers.set_state("gw1", "test_b warm-up")
    workers.set_state("gw0", "test_a 1/3")
    assert screen.line == " gw0 test_a 1/3 · gw1 test_b warm-up"
    workers.set_state("gw0", None)
    assert screen.line == " gw1 test_b warm-up"
    workers.set_state("gw1", None)
    assert screen.line == ""


def test_others_write_without_the_line():
    """While pytest writes, the line is hidden; then it follows what pytest wrote."""
    screen = Screen(before="")
    workers = WorkersProgress(screen.progress(), side_by_side)
    workers.set_state("gw0", "test_a 1/3")
    with workers.hidden():
        assert screen.line == ""
        screen.write("\n")
    assert [line.strip() for line in screen.screen.display] == ["", "gw0 test_a 1/3", ""]


def test_workers_send_the_name_and_the_round():
    """A worker sends a short state, because other workers share the line."""
    sent = []
    progress = WorkerProgress(sent.append)
    progress.update(ID, 0, 3, 10, None)
    progress.update(ID, 2, 3, 10, 1.0)
    progress.update(ID, 2, None, 10, 1.0)
    progress.clear()
    name = "test_inference[resnet50]"
    assert sent == [f"{name} warm-up", f"{name} 2/3", f"{name} 2", None]


SHOW = """
import pytest
from pytest_energy.plugin.progress import terminal_progress

def test_something(request):
    progress = terminal_progress(request.config)
    print("captured")
    if progress is not None:
        progress.update("id", 1, 3, 10, 2.0)
        progress.clear()
"""


def command(folder, *arguments):
    """Return a pytest command that loads no plugin automatically, which saves time."""
    (folder / "test_show.py").write_text(SHOW)
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]


ALONE = {"TERM": "xterm", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def test_terminal_sees_progress_although_output_is_captured(tmp_path):
    """A captured test shows progress on the terminal, and its own output stays captured."""
    written = run_in_terminal(command(tmp_path), tmp_path, ALONE)
    assert "\0337 round 1/3 of 10 passes · 2.00 J · id\033[K\0338" in written
    assert "captured" not in written


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["-q"], {}),
        (["-p", "xdist", "-n1"], {}),
        ([], {"TERM": "dumb"}),
        (["-p", "no:terminal"], {}),
    ],
    ids=["quiet", "worker", "dumb", "no-reporter"],
)
def test_no_progress_where_it_would_not_be_seen(tmp_path, arguments, environment):
    """With -q, in a worker, on a dumb terminal and without a reporter nothing is drawn."""
    written = run_in_terminal(command(tmp_path, *arguments), tmp_path, {**ALONE, **environment})
    assert "round 1/3" not in written


def test_no_progress_in_a_file(tmp_path):
    """Output into a file or a pipe contains no escape sequence."""
    finished = subprocess.run(
        command(tmp_path),
        cwd=tmp_path,
        env={**os.environ, **ALONE},
        capture_output=True,
        check=True,
    )
    assert b"1 passed" in finished.stdout
    assert b"\033" not in finished.stdout
