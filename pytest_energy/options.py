"""The options as pytest declares them: names, help and what they take, as plain data.

pytest imports this module at every start, even without ``--energy``. Therefore it imports nothing
of this package, and its class is written out: a dataclass compiles its methods at each import.
Formats and defaults are in :mod:`pytest_energy.settings`, which waits until an option is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

ENOUGH_RUNS: Final = 8
"""From this number of accepted runs on, a baseline knows how much runs vary."""

OUTPUT_FILES: Final[Mapping[str, str]] = {
    "json": "results.json",
    "html": "report.html",
    "markdown": "summary.md",
    "code-quality": "gl-code-quality-report.json",  # GitLab's own name, which jobs are copied from
    "openmetrics": "metrics.txt",
    "github-benchmark": "benchmark.json",
}
"""The formats of ``--energy-output``, and the names of their files in the default folder."""


class Option:
    """One option of the command line and its ini twin.

    Args:
        attribute: The field of :class:`pytest_energy.settings.Settings`.
        help: Its line of ``--help``.
        metavar: The placeholder of its value; ``None`` for a flag.
        const: The value of a bare ``--energy-NAME``, if the option may stand without a value.
        joined_by: What stands between the texts of an option that may be repeated; else empty.
    """

    __slots__ = ("attribute", "const", "flag", "help", "ini", "joined_by", "metavar", "name")

    def __init__(
        self,
        attribute: str,
        help: str,
        metavar: str | None = None,
        const: str | None = None,
        joined_by: str = "",
    ) -> None:
        self.attribute = attribute
        self.help = help
        self.metavar = metavar
        self.const = const
        self.joined_by = joined_by
        self.name = attribute.replace("_", "-")
        """The name as in ``--energy-NAME``."""
        self.flag = f"--energy-{self.name}"
        """The command-line spelling."""
        self.ini = f"energy_{attribute}"
        """The ini spelling."""

    def arguments(self) -> dict[str, Any]:
        """The keywords of argparse's ``add_argument`` that declare its value."""
        if self.metavar is None:
            return {"action": "store_const", "const": "true"}
        if self.const is not None:
            return {"metavar": self.metavar, "nargs": "?", "const": self.const}
        if self.joined_by:
            return {"metavar": self.metavar, "action": "append"}
        return {"metavar": self.metavar}


MEASURING: Final = (
    Option(
        "meter",
        "energy source: auto tries NVML, then RAPL, then an estimate; or nvml, rapl, codecarbon, or"
        " a sum such as nvml+rapl; none measures time alone [auto]",
        "NAME",
    ),
    Option(
        "devices",
        "GPUs to use and to measure: nvidia-smi indices or UUIDs [all visible GPUs]",
        "LIST",
    ),
    Option(
        "passes",
        "passes per inference round, and most calls per round [10000; 20 at small scale; calls: any"
        " number]",
        "N",
    ),
    Option(
        "rounds",
        "rounds per inference benchmark; each is one energy window [3]",
        "N",
    ),
    Option(
        "epochs",
        "training epochs to measure, after one warm-up epoch [set by the test; 1 at small scale]",
        "N",
    ),
    Option(
        "window",
        "seconds of a round: as many calls as fill it, at most --energy-passes; if it is set,"
        " inference fills it, too [5 for calls, 0.5 at small scale; inference: its passes]",
        "SECONDS",
    ),
    Option(
        "max_time",
        "time limit of the rounds of a benchmark in seconds; passes, rounds or epochs are cut to"
        " meet it [600; 10 for inference and calls at small scale; none for the passes of"
        " --energy-protocol=fixed, and where the number of epochs is set]",
        "SECONDS",
    ),
    Option(
        "scale",
        "full workloads, or small ones that finish soon on a CPU; auto: full if a GPU is measured"
        " [auto]",
        "SCALE",
    ),
    Option(
        "protocol",
        "adaptive: short rounds, repeated after the other tests until the verdict is decided;"
        " fixed: 3 rounds, of inference 10000 passes each [adaptive]",
        "NAME",
    ),
    Option(
        "control",
        "also measure the fixed benchmarks of energy_control, a matrix product and a copy, at the"
        " beginning and at the end: they show whether the machine changed",
    ),
    Option(
        "wait_idle",
        "seconds to wait until no other process uses the GPU, before measuring is refused [60]",
        "SECONDS",
    ),
    Option(
        "wait_lock",
        "seconds to wait for a device that another session of yours measures [no limit]",
        "SECONDS",
    ),
    Option(
        "validity_limit",
        "limit of a validity check, such as throttled=0.02; may be repeated [the meter's limits]",
        "CODE=VALUE",
        joined_by=",",
    ),
    Option(
        "data",
        "root folder of real data sets",
        "DIR",
    ),
)
FAILING: Final = (
    Option(
        "tolerance",
        "accepted relative change of the energy, and of other metrics by name, such as"
        " 0.05,latency_s=0.1; may be repeated [0.05]",
        "[METRIC=]FRACTION",
        joined_by=",",
    ),
    Option(
        "strict",
        "also fail on inconclusive, incomparable, invalid, unmeasured or new results, on"
        " regressed estimates, and on baselines that got no result",
    ),
    Option(
        "fail_on",
        "outcomes that fail a test; estimated adds regressed estimates, uncompared fails the"
        " session on baselines that got no result, and inconclusive>20% on a larger share of"
        " undecided benchmarks [regressed,over budget]",
        "LIST",
    ),
    Option(
        "family",
        "comparisons of the whole suite, which share the chance of a false alarm; set it where this"
        " session is one of several shards [the comparisons of this session]",
        "N",
    ),
    Option(
        "retry_time",
        "total seconds for re-measuring undecided benchmarks [600]",
        "SECONDS",
    ),
    Option(
        "retry_energy",
        "total joules for re-measuring undecided benchmarks [no limit]",
        "JOULES",
    ),
)
BASELINES: Final = (
    Option(
        "baselines",
        "folder of the baselines [baselines]",
        "DIR",
    ),
    Option(
        "update",
        "results to accept as baselines: all measured ones, or only new or improved ones [none;"
        " all without a value]",
        "WHICH",
        const="all",
    ),
    Option(
        "baseline_runs",
        f"runs per new baseline (at most 10; training: one) [{ENOUGH_RUNS}]",
        "N",
    ),
    Option(
        "accept_drift",
        "let --energy-update accept a run although small accepted changes add up to more than the"
        " tolerance since the last tag",
    ),
    Option(
        "fresh",
        "measure each visit of a test in a fresh process, so that recordings and gates see what"
        " differs between processes; it takes longer",
    ),
)
COMPARING: Final = (
    Option(
        "against",
        "measure the working tree in alternation with another revision: a branch, tag or commit,"
        " merge-base:BRANCH, or self to see what this machine can tell apart [baselines are used]",
        "REF",
    ),
    Option(
        "against_all",
        "measure every benchmark against the other revision, also those that the committed"
        " baselines call unchanged",
    ),
    Option(
        "against_setup",
        "shell command that prepares each side, run in its tree; if it makes .venv there, the side"
        " runs in it [nothing is prepared]",
        "COMMAND",
    ),
    Option(
        "against_python",
        "interpreter of the base side [the one that runs pytest]",
        "PATH",
    ),
    Option(
        "against_blocks",
        "blocks after which an undecided comparison is inconclusive [24]",
        "N",
    ),
    Option(
        "against_time",
        "time limit of the whole comparison; what is then undecided is inconclusive [no limit]",
        "SECONDS",
    ),
    Option(
        "against_timeout",
        "seconds that a side may give no answer before it is stopped [600]",
        "SECONDS",
    ),
)
OUTPUT: Final = (
    Option(
        "output",
        "a file to write, such as markdown or markdown:out/summary.md; may be repeated, and the"
        f" last of a format counts; formats: {', '.join(OUTPUT_FILES)}; html:none writes no page"
        " [json and html, in .energy; in GitLab CI code-quality and openmetrics, too]",
        "FORMAT[:FILE]",
        joined_by="\n",
    ),
    Option(
        "annotations",
        "print GitHub annotation commands; auto: in GitHub Actions only [auto]",
        "WHEN",
    ),
    Option(
        "comment",
        "write the summary into one comment on GitHub's pull request, and update it in later runs;"
        " needs GITHUB_TOKEN; jobs with other labels have comments of their own [no comment]",
        "LABEL",
        const="energy",
    ),
    Option(
        "latency_table",
        "also show pytest-benchmark's table of latencies, which --energy hides [off]",
    ),
    Option(
        "country",
        "country whose carbon intensity converts joules to CO2",
        "CODE",
    ),
    Option(
        "carbon_intensity",
        "carbon intensity in g/kWh that converts joules to CO2; overrides the country",
        "G_PER_KWH",
    ),
    Option(
        "pue",
        "power usage effectiveness of the data centre; multiplies the CO2, never the joules [1]",
        "FACTOR",
    ),
)
SECTIONS: Final[Mapping[str, tuple[Option, ...]]] = {
    "energy: what is measured, and how": MEASURING,
    "energy: when a test fails": FAILING,
    "energy: baselines": BASELINES,
    "energy: comparison with another revision": COMPARING,
    "energy: output": OUTPUT,
}
"""By the heading of a section of ``--help``, in its order."""

OPTIONS: Final = tuple(option for section in SECTIONS.values() for option in section)
"""All options but ``--energy``."""

ALIASES: Final = tuple(
    # --energy-json=FILE is --energy-output=json:FILE
    Option(output.replace("-", "_"), f"same as --energy-output={output}:FILE", "FILE")
    for output in OUTPUT_FILES
)
"""Other spellings of ``--energy-output``, one for each format; ``--help`` does not list them."""
