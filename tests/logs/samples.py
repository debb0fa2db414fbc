"""Logs of each format with a known energy, written as their programs write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

NOON = datetime(2023, 9, 14, 12, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Sample:
    """A log, how to import it, and the joules that went into it."""

    format: str
    lines: Sequence[str]
    energy_j: float
    options: Sequence[str] = ()
    first: int = 1
    """The lines of the header."""
    devices: int = 1
    lines_a_row: int = 1
    """The lines of a sample."""
    tags: Sequence[str] = field(default=())

    @property
    def text(self) -> str:
        """The content of the file."""
        return "".join(line + "\n" for line in self.lines)


def trapezoid(watts: Sequence[float], period_s: float = 1.0) -> float:
    """Joules of evenly spaced readings."""
    return period_s * (sum(watts) - (watts[0] + watts[-1]) / 2)


def day(second: float, form: str) -> str:
    """A time after noon, in a form of strftime."""
    return datetime.fromtimestamp(NOON + second, UTC).strftime(form)


def smi_stamp(second: float) -> str:
    """A time as nvidia-smi writes it."""
    return day(second, "%Y/%m/%d %H:%M:%S.%f")[:-3]


def nvidia_smi(powers: Sequence[Sequence[float]]) -> Sample:
    """A poll a second of each GPU."""
    rows = [
        f"{gpu}, {smi_stamp(second + gpu * 0.003)}, {watts:.2f} W, 43"
        for second, polled in enumerate(zip(*powers, strict=True))
        for gpu, watts in enumerate(polled)
    ]
    header = "index, timestamp, power.draw [W], temperature.gpu"
    return Sample("nvidia-smi", [header, *rows], sum(map(trapezoid, powers)), devices=len(powers))


def nvidia_dmon(powers: Sequence[Sequence[float]]) -> Sample:
    """``nvidia-smi dmon -s p -o DT``."""
    rows = [
        f" {day(second, '%Y%m%d   %H:%M:%S')} {gpu:6d} {round(watts):6d}     41      -"
        for second, polled in enumerate(zip(*powers, strict=True))
        for gpu, watts in enumerate(polled)
    ]
    header = ["#Date       Time        gpu    pwr  gtemp  mtemp", "#YYYYMMDD   HH:MM:SS    Idx      W      C      C"]  # fmt: skip  # noqa: E501
    truth = sum(trapezoid([round(watts) for watts in each]) for each in powers)
    return Sample("nvidia-smi-dmon", [*header, *rows], truth, first=2, devices=len(powers))


def dcgm_dmon(powers: Sequence[Sequence[float]]) -> Sample:
    """``dcgmi dmon -e 155`` behind ``ts``."""
    stamp = "%Y-%m-%dT%H:%M:%S+0000"
    rows = [
        f"{day(second, stamp)} GPU {gpu}     {watts:.3f}        "
        for second, polled in enumerate(zip(*powers, strict=True))
        for gpu, watts in enumerate(polled)
    ]
    header = [f"{day(0, stamp)} #Entity   POWER", f"{day(0, stamp)} ID        W"]
    truth = sum(map(trapezoid, powers))
    return Sample("dcgm-dmon", [*header, *rows], truth, first=2, devices=len(powers))


def dcgm_exporter(powers: Sequence[Sequence[float]]) -> Sample:
    """Scrapes behind a line of epoch seconds each."""
    lines = []
    for second, polled in enumerate(zip(*powers, strict=True)):
        lines += [f"{NOON + second:.3f}", "# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W)."]
        lines += ["# TYPE DCGM_FI_DEV_POWER_USAGE gauge"]
        lines += [
            f'DCGM_FI_DEV_POWER_USAGE{{gpu="{gpu}",UUID="GPU-{gpu}a-{gpu}b",device="nvidia{gpu}",'
            f'modelName="NVIDIA A100",Hostname="n1"}} {watts:.6f}'
            for gpu, watts in enumerate(polled)
        ]
    truth = sum(map(trapezoid, powers))
    return Sample(
        "dcgm-exporter", lines, truth, first=0, devices=len(powers), lines_a_row=3 + len(powers)
    )


def tegrastats(powers: Sequence[Sequence[float]]) -> Sample:
    """One board; the module's input feeds the other rails."""
    lines = [
        f"{day(second, '%m-%d-%Y %H:%M:%S')}"
        f" RAM 3595/7607MB (lfb 1x1MB) SWAP 11/3804MB"
        " (cached 0MB) CPU [1%@729,off]"
        f" GR3D_FREQ 7%@[306] gpu@50.5C VDD_IN {round(watts * 1e3)}mW/5852mW"
        f" VDD_CPU_GPU_CV 1307mW/1327mW VDD_SOC 1468mW/1468mW"
        for second, watts in enumerate(powers[0])
    ]
    truth = trapezoid([round(watts * 1e3) / 1e3 for watts in powers[0]])
    return Sample("tegrastats", lines, truth, first=0)


def powermetrics(powers: Sequence[Sequence[float]]) -> Sample:
    """Samples of 1003.4 ms each."""
    lines = ["Machine supported: 1", "OS version: 23A344", ""]
    for number, watts in enumerate(powers[0]):
        end = day(1.0034 * (number + 1), "%a %b %d %H:%M:%S %Y +0000")
        lines += [f"*** Sampled system activity ({end}) (1003.40ms elapsed) ***", ""]
        lines += [f"CPU Power: {round(watts * 400)} mW", "GPU Power: 20 mW", "ANE Power: 0 mW"]
        lines += [f"Combined Power (CPU + GPU + ANE): {round(watts * 1e3)} mW", ""]
    truth = sum(round(watts * 1e3) / 1e3 * 1.0034 for watts in powers[0])
    return Sample("powermetrics", lines, truth, first=3, lines_a_row=7, tags=("blocks",))


def amd_smi(powers: Sequence[Sequence[float]]) -> Sample:
    """``amd-smi monitor -p -w 1 --csv`` with its first line."""
    rows = [
        f"{NOON + second:.0f},{gpu},N/A,{round(watts)} W"
        for second, polled in enumerate(zip(*powers, strict=True))
        for gpu, watts in enumerate(polled)
    ]
    header = ["'CTRL' + 'C' to stop watching output:", "timestamp,gpu,xcp,power_usage"]
    truth = sum(trapezoid([round(watts) for watts in each]) for each in powers)
    return Sample("amd-smi", [*header, *rows], truth, first=2, devices=len(powers))


def xpu_smi(powers: Sequence[Sequence[float]]) -> Sample:
    """``xpu-smi dump``: times of day."""
    rows = [
        f"{day(second, '%H:%M:%S.000')},    {gpu}, {watts:.2f}"
        for second, polled in enumerate(zip(*powers, strict=True))
        for gpu, watts in enumerate(polled)
    ]
    header = "Timestamp, DeviceId, GPU Power (W)"
    return Sample("xpu-smi", [header, *rows], sum(map(trapezoid, powers)), devices=len(powers))


def ptdaemon(powers: Sequence[Sequence[float]]) -> Sample:
    """Dates with the month first."""
    lines = [
        f"Time,{day(second, '%m-%d-%Y %H:%M:%S.%f')[:-3]},Watts,{watts:.6f},Volts,229.1,Amps,1.1,"
        "PF,0.99,Mark,run_1"
        for second, watts in enumerate(powers[0])
    ]
    return Sample("ptdaemon", lines, trapezoid(powers[0]), first=0)


def mllog(powers: Sequence[Sequence[float]]) -> Sample:
    """Events of MLPerf Training."""
    lines = [
        ":::MLLOG "
        + json.dumps(
            {
                "namespace": "",
                "time_ms": int((NOON + second) * 1000),
                "event_type": "POINT_IN_TIME",
                "key": "power_reading",
                "value": {"value": round(watts, 1)},
                "metadata": {},
            }
        )
        for second, watts in enumerate(powers[0])
    ]
    return Sample("mllog", lines, trapezoid([round(watts, 1) for watts in powers[0]]), first=0)


def energibridge(powers: Sequence[Sequence[float]]) -> Sample:
    """A counter of the package, milliseconds since 1970."""
    counter = 51_234.5
    rows = []
    for second, watts in enumerate(powers[0]):
        rows.append(f"1000,{int((NOON + second) * 1000)},3.25,{counter:.6f}")
        counter += watts
    header = "Delta,Time,CPU_USAGE_0,PACKAGE_ENERGY (J)"
    return Sample("energibridge", [header, *rows], sum(powers[0][:-1]), tags=("counter",))


def joulescope(powers: Sequence[Sequence[float]]) -> Sample:
    """Statistics twice a second, with the counted energy."""
    energy = 0.0
    rows = []
    for number, watts in enumerate(powers[0]):
        rows.append(
            f"{number * 0.5:.1f},{watts / 5:.6f},5.000312,{watts:.5f},{number:.6f},{energy:.6f}"
        )
        energy += watts / 2
    header = "#time,current,voltage,power,charge,energy"
    return Sample("joulescope", [header, *rows], sum(powers[0][:-1]) / 2, tags=("counter",))


def codecarbon(powers: Sequence[Sequence[float]]) -> Sample:
    """Runs of ten minutes, every hour."""
    rows = [
        f"{day(3600 * number, '%Y-%m-%dT%H:%M:%S')},demo,run-{number},600.5,"
        f"{watts * 600.5 / 3.6e6!r},Germany"
        for number, watts in enumerate(powers[0])
    ]
    header = "timestamp,project_name,run_id,duration,energy_consumed,country_name"
    return Sample("codecarbon", [header, *rows], sum(powers[0]) * 600.5, tags=("rows",))


def zeus(powers: Sequence[Sequence[float]]) -> Sample:
    """Windows of eight seconds, every ten."""
    rows = [
        ",".join([f"{NOON + 10 * number:.3f}", f"epoch{number}", "8.25"] + [
            f"{watts * 8.25:.4f}" for watts in windows
        ])
        for number, windows in enumerate(zip(*powers, strict=True))
    ]  # fmt: skip
    gpus = ",".join(f"gpu{gpu}_energy" for gpu in range(len(powers)))
    header = f"start_time,window_name,elapsed_time,{gpus}"
    truth = 8.25 * sum(map(sum, powers))
    return Sample("zeus", [header, *rows], truth, tags=("rows",))


def wattmeter(powers: Sequence[Sequence[float]]) -> Sample:
    """A table of ISO times and watts."""
    rows = [
        f"{day(second, '%Y-%m-%dT%H:%M:%SZ')},{watts:.2f},50.01"
        for second, watts in enumerate(powers[0])
    ]
    return Sample("wattmeter", ["time,power [W],hertz", *rows], trapezoid(powers[0]))


def wall_counter(powers: Sequence[Sequence[float]]) -> Sample:
    """A table of a counter in watt hours, at epoch seconds."""
    counter_j = 7.2e9
    rows = []
    for number, watts in enumerate(powers[0]):
        rows.append(f"{NOON + 10 * number:.0f};{counter_j / 3600:.6f}".replace(".", ","))
        counter_j += watts * 10
    options = ["--format=wattmeter", "--energy-column=total"]
    truth = sum(powers[0][:-1]) * 10
    return Sample("wattmeter", ["time;total [Wh]", *rows], truth, options, tags=("counter",))


def row_energies(powers: Sequence[Sequence[float]]) -> Sample:
    """``perf stat -I 1000 -x,`` of one event."""
    lines = [
        f"     {number + 1}.000{number % 10}21,{watts:.2f},Joules,power/energy-pkg/,1001,100.00,,"
        for number, watts in enumerate(powers[0])
    ]
    options = ["--format=wattmeter", "--columns=time_s,energy,unit,event,run,share,a,b",
               "--time-column=time_s",
        "--energy-column=energy", "--energy-unit=J", "--energy-per-row"]  # fmt: skip
    return Sample("wattmeter", lines, sum(powers[0]), options, first=0, tags=("rows",))


BUILDERS: tuple[Callable[[Sequence[Sequence[float]]], Sample], ...] = (
    nvidia_smi, nvidia_dmon, dcgm_dmon, dcgm_exporter, tegrastats, powermetrics, amd_smi, xpu_smi,
    ptdaemon, mllog, energibridge, joulescope, codecarbon, zeus, wattmeter, wall_counter,
    row_energies,
)  # fmt: skip
