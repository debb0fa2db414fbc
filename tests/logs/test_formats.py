"""Each format is recognized and gives its joules by device."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from pytest_energy.logs.formats import FORMATS
from tests.logs.conftest import Imported
from tests.logs.samples import (
    BUILDERS,
    NOON,
    Sample,
    codecarbon,
    dcgm_dmon,
    energibridge,
    mllog,
    powermetrics,
    ptdaemon,
    tegrastats,
    zeus,
)
from tests.logs.test_fuzz import powers_of


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
@pytest.mark.parametrize("devices", [1, 3])
def test_a_format_is_recognized_and_read(
    read: Callable[..., Imported], builder: Callable[..., Sample], devices: int
) -> None:
    """The joules are those that went into the log, with a channel for each device."""
    sample = builder(powers_of(random.Random(devices), devices, 20))

    got = read(sample.text, *sample.options)

    assert got.status == 0, got.err
    assert got.energy_j == pytest.approx(sample.energy_j, rel=1e-3)
    assert len(got.channels) == (sample.devices if sample.format != "zeus" else devices)
    assert sample.options or f"read as {sample.format}:" in got.out
    assert "gain is not in the interval" in got.out


def test_every_format_has_a_sample() -> None:
    """A new format comes with a log to test it with."""
    powers = powers_of(random.Random(0), 2, 20)
    assert {builder(powers).format for builder in BUILDERS} == FORMATS.keys()


def test_a_log_of_no_known_format_lists_what_can_be_read(read: Callable[..., Imported]) -> None:
    """The error names all formats and the options that read any table."""
    got = read("hello\nworld\n")

    assert got.status == 2
    assert all(name in got.err for name in FORMATS)
    assert "--power-column" in got.err


def scrapes(*shares: str, second_w: float = 1.0, marks: bool = True) -> str:
    """Ten scrapes of GPU 0, with a sample for each share of it."""
    lines = []
    for second in range(10):
        lines += [f"{NOON + second:.3f}"] if marks else []
        lines += ["# TYPE DCGM_FI_DEV_POWER_USAGE gauge"] if marks else []
        lines += [
            f'DCGM_FI_DEV_POWER_USAGE{{gpu="0",UUID="GPU-a",device="nvidia0",{share}}} '
            f"{210 + second / 100 + (second_w if place else 0):.3f}"
            for place, share in enumerate(shares)
        ]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("label", ["GPU_I_ID", "pod"])
def test_a_gpu_that_is_shared_counts_once(read: Callable[..., Imported], label: str) -> None:
    """MIG instances and pods have a sample each, and each is the power of the whole GPU."""
    got = read(scrapes(*(f'{label}="{share}"' for share in (3, 4, 5))))
    assert got.status == 0, got.err
    assert got.energy_j == pytest.approx(210 * 9, rel=1e-3)
    assert got.channels.keys() == {"gpu0"}
    assert "gpu0 has several samples a scrape" in got.remarks[0]


@pytest.mark.parametrize("place", [0, 4, 9])
def test_a_scrape_without_a_reading_is_told(read: Callable[..., Imported], place: int) -> None:
    """Its time is in the log, at the start, inside or at the end; its power is missing."""
    lines = scrapes('pod="a"').splitlines()
    del lines[3 * place + 1 : 3 * place + 3]
    got = read("\n".join([*lines, ""]))
    assert got.status == 0, got.err
    line = 3 * place + 1
    assert f"1 scrape has no reading (from line {line}); left out" in got.remarks


def test_of_several_powers_of_a_card_one_is_read(read: Callable[..., Imported]) -> None:
    """The mean of a second comes before the instant, and a remark says so."""
    header = "timestamp, power.draw.instant [W], power.draw.average [W]"
    draw = random.Random(0)
    rows = [
        f"2024/03/05 09:30:{n:02d}.000, {draw.uniform(299, 301):.2f} W,"
        f" {draw.uniform(199, 201):.2f} W"
        for n in range(20)
    ]
    text = "\n".join([header, *rows, ""])
    got = read(text)
    assert got.energy_j == pytest.approx(200 * 19, rel=0.01)
    (remark,) = [each for each in got.remarks if "power.draw" in each]
    assert "read 'power.draw.average [W]', not 'power.draw.instant [W]'" in remark
    got = read(text, "--power-column", "power.draw.instant [W]")
    assert got.energy_j == pytest.approx(300 * 19, rel=0.01)
    assert not any("power.draw.average" in each for each in got.remarks)


def test_samples_of_one_gpu_that_differ_are_refused(read: Callable[..., Imported]) -> None:
    """Two powers of one GPU at one time cannot both be its own."""
    got = read(scrapes('GPU_I_ID="3"', 'GPU_I_ID="4"', second_w=90))
    assert got.status == 2
    assert "of the same GPU in one scrape" in got.err


def test_instances_without_times_are_refused(read: Callable[..., Imported]) -> None:
    """Where one scrape ends is not known, so that samples cannot be told apart."""
    got = read(scrapes('GPU_I_ID="3"', 'GPU_I_ID="4"', marks=False), "--period=1")
    assert got.status == 2


def ptdaemon_lines(total_w: float) -> list[str]:
    """Readings of three channels, as PTDaemon writes them, after messages of its own."""
    channels = "".join(
        f",Ch{channel},Watts,{watts:.6f},Volts,120.9,Amps,0.8,PF,0.94"
        for channel, watts in enumerate((90.5, 91.25, 89.75), start=1)
    )
    return [
        "Time,03-14-2023 09:30:00.010,NOTICE,Analyzer identity response of 32 bytes",
        *(
            f"Time,03-14-2023 09:30:{second:02d}.240,Watts,{total_w:.6f},Volts,-1.000000,"
            f"Amps,-1.000000,PF,-1.000000,Mark,run_1{channels}"
            for second in range(1, 12)
        ),
        "Time,03-14-2023 09:30:13.010,NOTICE,Stopping",
    ]


def test_ptdaemon_with_several_channels(read: Callable[..., Imported]) -> None:
    """The watts of a line are the sum of its channels; messages are counted in a remark."""
    got = read("\n".join([*ptdaemon_lines(271.5), ""]))
    assert got.energy_j == pytest.approx(2715)
    assert "2 messages of PTDaemon" in got.remarks[0]

    got = read("\n".join([*ptdaemon_lines(90.5), ""]))
    assert got.status == 2
    assert "the channels add up to 271.5 W, not to 90.5 W" in got.err


def emissions(header: str, *rows: str) -> str:
    """A file of CodeCarbon."""
    return "\n".join([header, *rows, ""])


def test_codecarbon_is_an_estimate(read: Callable[..., Imported]) -> None:
    """Its joules are estimated; those of GPUs alone are read from the driver."""
    text = emissions(
        "timestamp,project_name,run_id,duration,gpu_energy,energy_consumed,pue",
        "2024-03-05T09:00:00,demo,a,100.0,0.010,0.016,1.4",
        "2024-03-05T10:00:00,demo,b,100.0,0.012,0.018,1.4",
    )
    got = read(text)
    assert got.state == "estimated"
    assert got.energy_j == pytest.approx(0.034 * 3.6e6)
    assert "from models" in got.remarks[0]
    assert "factor (pue) 1.4" in got.remarks[1]

    got = read(text, "--energy-column=gpu_energy")
    assert got.state == "measured"
    assert got.energy_j == pytest.approx(0.022 * 3.6e6)


def test_tasks_of_codecarbon_are_added_up(read: Callable[..., Imported]) -> None:
    """The rows of a file of tasks share their run, and are no earlier states of it."""
    got = read(
        emissions(
            "task_name,timestamp,project_name,run_id,duration,energy_consumed",
            "load,2024-03-05T09:00:00,demo,a,10.0,0.001",
            "train,2024-03-05T09:10:00,demo,a,500.0,0.020",
            "test,2024-03-05T09:12:00,demo,a,100.0,0.004",
        )
    )
    assert got.energy_j == pytest.approx(0.025 * 3.6e6)
    assert not any("earlier state" in remark for remark in got.remarks)


def test_a_sample_of_powermetrics_without_its_start_is_told(read: Callable[..., Imported]) -> None:
    """A second power in one sample is that of another one, whose first line is missing."""
    sample = powermetrics(powers_of(random.Random(1), 1, 20))
    places = [n for n, line in enumerate(sample.lines) if line.startswith("***")]
    lines = [line for n, line in enumerate(sample.lines) if n != places[8]]
    got = read("\n".join([*lines, ""]))
    assert any("a second Combined power in one sample" in remark for remark in got.remarks)


STEADY = [[100.0] * 20]
"""A device that draws 100 W for 19 seconds."""


def without(sample: Sample, pattern: str) -> str:
    """A log without this text in its lines."""
    return sample.text.replace(pattern, "")


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        (
            mllog(STEADY).text.replace("power_reading", "run_start"),
            ["--format=mllog"],
            "not a log of MLPerf: no power_reading",
        ),
        (
            "\n".join(dcgm_dmon(STEADY).lines[:2]) + "\n",
            ["--format=dcgm-dmon"],
            "not a log of dcgmi dmon: no readings",
        ),
        (
            dcgm_dmon(STEADY).text.replace("POWER", "GPUTL"),
            ["--format=dcgm-dmon"],
            "no column of power among time, entity, GPUTL [W]; log field 155 or 156",
        ),
        (
            dcgm_dmon(STEADY).text,
            ["--power-column=PWR"],
            "no column of power among time, entity, POWER [W]; log field 155 or 156",
        ),
        (
            tegrastats(STEADY).text.replace("VDD_IN", "VDD_GPU"),
            [],
            "no rail is known to feed all others. Name those to add up with --power-column, once"
            " for each: VDD_GPU, VDD_CPU_GPU_CV, VDD_SOC",
        ),
        (
            without(powermetrics(STEADY), "Power"),
            [],
            "not a log of powermetrics: no power; log with --samplers cpu_power,gpu_power",
        ),
        (
            powermetrics(STEADY).text,
            ["--power-column=Package"],
            "no power Package among ANE, CPU, Combined, GPU",
        ),
        (
            powermetrics(STEADY).text.replace("Combined", "Other"),
            [],
            "no combined power. Name those to add up with --power-column, once for each: ANE, CPU,"
            " GPU, Other",
        ),
        (
            ptdaemon(STEADY).text.replace("Watts", "Volts"),
            ["--format=ptdaemon"],
            "not a log of PTDaemon: no line Time,…,Watts,…",
        ),
        (
            codecarbon(STEADY).text,
            ["--power-column=energy_consumed"],
            "--power-column: the rows of CodeCarbon are runs; use --energy-column",
        ),
        (
            energibridge(STEADY).text.replace("CPU_USAGE_0", "SYSTEM_POWER (Watts)"),
            [],
            "several columns hold energy or power, and some contain others. Name those to add up,"
            " once for each: with --energy-column PACKAGE_ENERGY (J); or with --power-column"
            " SYSTEM_POWER (Watts)",
        ),
        (
            zeus(STEADY).text.replace("gpu0_energy", "gpu0_time"),
            [],
            "no column of energy among start_time, window_name, elapsed_time, gpu0_time",
        ),
    ],
    ids=lambda value: " ".join(value.split()[:4]) if isinstance(value, str) else "",
)
def test_what_a_log_lacks_is_said_with_the_remedy(
    read: Callable[..., Imported], text: str, options: list[str], told: str
) -> None:
    """The option that chooses, or what to log the next time."""
    got = read(text, *options)
    assert got.status == 2, got
    assert told in got.err


def test_rails_that_are_named_are_added_up(read: Callable[..., Imported]) -> None:
    """Of a board, and of a Mac; the only rail there is needs no name."""
    board = tegrastats(STEADY).text.replace("VDD_IN", "VDD_GPU")
    got = read(board, "--power-column=VDD_CPU_GPU_CV", "--power-column=VDD_SOC")
    assert got.energy_j == pytest.approx(19 * (1.307 + 1.468), rel=1e-3), got.err
    only = without(tegrastats(STEADY), " VDD_CPU_GPU_CV 1307mW/1327mW VDD_SOC 1468mW/1468mW")
    got = read(only.replace("VDD_IN", "VDD_GPU"))
    assert got.energy_j == pytest.approx(1900, rel=1e-3), got.err
    got = read(powermetrics(STEADY).text, "--power-column=CPU", "--power-column=GPU Power")
    assert got.energy_j == pytest.approx(20 * 1.0034 * 40.02, rel=1e-3), got.err


def test_messages_of_ptdaemon_are_remarks(read: Callable[..., Imported]) -> None:
    """Its own log has them between the readings."""
    sample = ptdaemon(STEADY)
    notice = sample.lines[3].partition(",Watts")[0] + ",NOTICE,range changed"
    got = read("\n".join([*sample.lines[:4], notice, *sample.lines[4:], ""]))
    assert got.energy_j == pytest.approx(1900)
    assert any("1 message of PTDaemon, such as" in remark for remark in got.remarks)


@pytest.mark.parametrize("place", ["value", "metadata"])
def test_nodes_of_mlperf_are_devices(read: Callable[..., Imported], place: str) -> None:
    """Readings are numbers or objects; what was not applied and what is no event is a remark."""
    lines = []
    for second in range(20):
        for node, watts in (("a", 100.0), ("b", 50.0)):
            value: object = {"watts": watts, "node": node} if place == "value" else watts
            event = {
                "time_ms": int((NOON + second) * 1000),
                "key": "power_reading",
                "value": value,
                "metadata": {"node": node} if place == "metadata" else {},
            }
            lines.append(f":::MLLOG {json.dumps(event)}")
    efficiency = {"time_ms": 0, "key": "conversion_eff", "value": 0.94}
    got = read("\n".join([f":::MLLOG {json.dumps(efficiency)}", *lines, ""]))
    assert got.channels == pytest.approx({"a": 1900, "b": 950}), got.err
    assert got.remarks[0] == ("conversion_eff is not applied: the joules are those of the readings")


@pytest.mark.parametrize("line", ["a line of the program", ":::MLLOG {not JSON"])
def test_lines_that_are_no_events_are_told(read: Callable[..., Imported], line: str) -> None:
    """They may have been readings."""
    sample = mllog(STEADY)
    got = read("\n".join([*sample.lines[:9], line, *sample.lines[9:], ""]))
    assert got.energy_j == pytest.approx(1900), got.err
    assert f"left out, because it is no reading: line 10 ({line!r})" in got.remarks


def test_a_line_of_dcgmi_that_is_no_reading_is_told(read: Callable[..., Imported]) -> None:
    """The units may come with any header."""
    sample = dcgm_dmon(STEADY)
    got = read("\n".join([*sample.lines[:9], "lost contact", *sample.lines[9:], ""]))
    assert got.energy_j == pytest.approx(1900), got.err
    assert "left out, because it is no reading: line 10 ('lost contact')" in got.remarks
    bare = "\n".join([sample.lines[0], *sample.lines[2:], ""])
    assert read(bare).energy_j == pytest.approx(1900)


def test_a_duration_that_is_no_number_is_no_later_state(read: Callable[..., Imported]) -> None:
    """Of two rows of one run the one with the longer duration is its end."""
    got = read(
        emissions(
            "timestamp,project_name,run_id,duration,energy_consumed",
            "2024-03-05T09:00:00,demo,a,100.0,0.010",
            "2024-03-05T09:00:01,demo,a,,0.002",
        )
    )
    assert got.energy_j == pytest.approx(0.010 * 3.6e6), got.err


@pytest.mark.parametrize("label", ["Hostname", "instance"])
def test_gpus_of_several_hosts_are_added_up(read: Callable[..., Imported], label: str) -> None:
    """Each host has a ``gpu0``; none of them replaces the other."""
    lines = []
    for second in range(10):
        lines += [f"{NOON + second:.3f}", "# TYPE DCGM_FI_DEV_POWER_USAGE gauge"]
        lines += [
            f'DCGM_FI_DEV_POWER_USAGE{{gpu="0",UUID="GPU-{host}",{label}="{host}:9400"}} {watts}'
            for host, watts in (("a", 200 + second % 3), ("b", 90 + second % 2))
        ]
    got = read("\n".join([*lines, ""]))
    assert got.energy_j == pytest.approx(9 * 291.4, rel=0.01)
    assert len(got.channels) == 2
    assert sum(got.channels.values()) == pytest.approx(got.energy_j)


def test_fields_of_dcgm_without_a_unit_do_not_hide_the_others(read: Callable[..., Imported]) -> None:  # fmt: skip  # noqa: E501
    """A utilization has no unit, so that the line of units is shorter than that of names."""
    draw = random.Random(0)
    stamp = "2024-03-05T09:30:{:02d}+0000"
    rows = [
        f"{stamp.format(n)} GPU 0   {draw.uniform(248, 252):.3f}   {9 * 10**9 + 250_000 * n}   97"
        for n in range(12)
    ]
    first = stamp.format(0)
    header = [f"{first} #Entity   POWER       TOTEC       GPUTL", f"{first} ID        W         mJ"]
    got = read("\n".join([*header, *rows[:6], *header, *rows[6:], ""]))
    assert got.energy_j == pytest.approx(250 * 11), got.err


@pytest.mark.parametrize(
    ("rails", "options", "expected"),
    [
        # Jetson AGX Thor: VIN feeds the others, and an idle rail may read below zero
        ("VDD_GPU -392mW/-392mW VDD_CPU_SOC_MSS 4347mW/4347mW VIN {}mW/25000mW", (), 20.0),
        # Jetson AGX Xavier: rails of any name
        ("GPU {}/0 CPU 311/311 CV 0/0 SYS5V 1456/1456", (), "GPU, CPU, CV, SYS5V"),
        ("GPU {}/0 CPU 311/311 CV 0/0", ("--power-column=GPU", "--power-column=CPU"), 20.311),
    ],
)
def test_rails_of_jetsons(
    read: Callable[..., Imported], rails: str, options: tuple[str, ...], expected: float | str
) -> None:
    """The rail that feeds the others is read; else the error lists all rails."""
    lines = [
        f"03-05-2024 09:30:{n:02d} RAM 1903/15692MB (lfb 3251x4MB) SWAP 0/7846MB (cached 0MB)"
        f" IRAM 0/252kB(lfb 252kB) CPU [0%@1190,off] MTS fg 0% GPU@37.5C NC 0mW/0mW"
        f" {rails.format(20_000 + n % 2)}"
        for n in range(11)
    ]
    got = read("\n".join([*lines, ""]), *options)
    if isinstance(expected, str):
        assert got.status == 2
        assert got.err.rstrip().endswith(expected)
    else:
        assert got.energy_j == pytest.approx(expected * 10, rel=1e-3), got.err


def test_an_empty_log_says_so(read: Callable[..., Imported]) -> None:
    """Nothing else is the matter with it."""
    assert "the log is empty" in read(" \n\n").err


@pytest.mark.parametrize("whole", [True, False], ids=["with their GPU", "alone"])
def test_instances_of_a_gpu_are_not_added_to_it(read: Callable[..., Imported], whole: bool) -> None:
    """The rows of a GPU contain its instances; those of instances alone have a remark."""
    draw = random.Random(0)
    stamp = "2024-03-05T09:30:{:02d}+0000"
    lines = [f"{stamp.format(0)} #Entity   POWER", f"{stamp.format(0)} ID        W"]
    for n in range(20):
        watts = draw.uniform(198, 202)
        entities = ["GPU 0"] * whole + ["GPU-I 0", "GPU-I 1"]
        lines += [f"{stamp.format(n)} {entity}     {watts:.3f}" for entity in entities]
    got = read("\n".join([*lines, ""]))
    assert any("GPU instances" in remark for remark in got.remarks)
    assert got.energy_j == pytest.approx(200 * 19 * (1 if whole else 2), rel=0.01)


def test_a_device_whose_name_has_a_comma_can_be_chosen(read: Callable[..., Imported]) -> None:
    """The whole text of ``--devices`` is a name first, then a list of names."""
    draw = random.Random(0)
    rows = [
        f'{1_700_000_000 + n},"{device}",{watts + draw.uniform(-2, 2):.1f}'
        for n in range(20)
        for device, watts in (("rack 1, left", 200), ("rack 1, right", 90))
    ]
    text = "\n".join(["time,outlet,power [W]", *rows, ""])
    got = read(text, "--device-column=outlet", "--devices=rack 1, left")
    assert got.energy_j == pytest.approx(200 * 19, rel=0.01), got.err
