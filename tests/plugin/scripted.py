"""A meter with scripted joules, card and faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

METER = '''
import json, os, time
from pathlib import Path
from pytest_energy.clocks import CLOCK
from pytest_energy.model.measurement import Environment, MeterInfo, Reason, ReasonCode
from pytest_energy.meters.base import Edge, MeterUnavailableError, Reading

SCRIPT = json.loads((Path(__file__).parent / "scripted.json").read_text())
used_j = 0.0
programs = []
"""The program of each window so far."""


def work(seconds):
    """What a benchmark runs: takes no time, and the scripted power for so many seconds."""
    global used_j
    used_j += seconds * SCRIPT["power_w"]


class ScriptedMeter:
    program = None
    channels = (SCRIPT["channel"],)
    shortest_window_s = SCRIPT["shortest_window_s"]
    idle_power_w = {}
    info = MeterInfo(name="scripted", source="counter", estimated=SCRIPT["estimated"])
    environment = Environment(identity={"device": SCRIPT["device"], "meter": "scripted"})

    def spent_j(self):
        return used_j

    def next_program(self, name):
        self.program = name

    def begin(self):
        programs.append(self.program)
        return Edge(start=CLOCK.time(), time_s=CLOCK.perf_counter(), state=used_j)

    def end(self, edge):
        reasons = tuple(
            Reason(code=ReasonCode(code), message=f"scripted {code}") for code in SCRIPT["faults"]
        )
        energy_j = used_j - edge.state
        return Reading(
            duration_s=CLOCK.perf_counter() - edge.time_s,
            channels={} if "device-lost" in SCRIPT["faults"] else {SCRIPT["channel"]: energy_j},
            budget={"resolution": energy_j * SCRIPT["uncertainty"]},
            reasons=reasons,
        )

    def close(self):
        pass


def open_meter(request):
    if SCRIPT["unavailable"]:
        raise MeterUnavailableError(ReasonCode.NO_METER, SCRIPT["unavailable"])
    return ScriptedMeter()


class TimedMeter(ScriptedMeter):
    """A card that always draws the scripted power, whatever runs."""

    info = MeterInfo(name="timed", source="counter")

    def spent_j(self):
        return time.perf_counter() * SCRIPT["power_w"]

    def end(self, edge):
        duration_s = CLOCK.perf_counter() - edge.time_s
        energy_j = duration_s * SCRIPT["power_w"]
        return Reading(
            duration_s=duration_s,
            channels={SCRIPT["channel"]: energy_j},
            budget={"resolution": energy_j * SCRIPT["uncertainty"]},
        )


def open_timed(request):
    return TimedMeter()


class ProcessorMeter(ScriptedMeter):
    channels = ("cpu",)
    info = MeterInfo(name="processor", source="counter")
    environment = Environment(identity={"device": "Scripted Processor", "meter": "processor"})

    def end(self, edge):
        duration_s = CLOCK.perf_counter() - edge.time_s
        energy_j = 0.1 * (used_j - edge.state)
        return Reading(duration_s=duration_s, channels={"cpu": energy_j}, budget={"resolution": 0})


def open_processor(request):
    if SCRIPT["no_processor"]:
        raise MeterUnavailableError(ReasonCode.NO_PERMISSION, SCRIPT["no_processor"])
    return ProcessorMeter()
'''


def install(folder: Path) -> None:
    """Install the meter into a folder, as a distribution."""
    info = folder / "scripted_meter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scripted-meter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[pytest_energy.meters]\nscripted = scripted_meter:open_meter\n"
        "processor = scripted_meter:open_processor\n"
        "timed = scripted_meter:open_timed\n"
    )
    (folder / "scripted_meter.py").write_text(METER)
    script(folder)


def script(folder: Path, **changes: Any) -> None:
    """Change the meter in a folder."""
    default = {
        "power_w": 100.0,
        "channel": "gpu0",
        "device": "Scripted Card",
        "estimated": False,
        "uncertainty": 0.001,
        "faults": [],
        "unavailable": "",
        "shortest_window_s": 0.0,
        "no_processor": "",
    }
    (folder / "scripted.json").write_text(json.dumps({**default, **changes}))
