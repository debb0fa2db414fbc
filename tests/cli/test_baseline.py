"""``pytest-energy baseline``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.model.json_files import save_run
from pytest_energy.model.measurement import Quantity
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Budget, MetricVerdict, Result, Verdict
from tests.gate_data import A100, TEST, invalid, measurement, result, run_of, store_with


def risen(change: float) -> Verdict:
    """The verdict on an energy that rose, with a tolerance of 5 %."""
    outcome = Outcome.REGRESSED if change > 0.05 else Outcome.UNCHANGED
    metric = MetricVerdict(metric="energy_j", outcome=outcome, change=change, tolerance=0.05)
    return Verdict(outcome=outcome, metrics=[metric])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: None) -> Path:
    """The working directory.

    The processes that collect tests are forks, and load this plugin only: the command takes away
    the options with which other tests keep the unused ones out.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_energy.plugin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_list_names_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line has the benchmark, the machine, the joules and the number of accepted runs."""
    store_with(here, 1.0, 1.001)
    assert main(["baseline", "list"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == [TEST, "nvidia-h200", "1.001", "±", "0.004", "J/pass", "2"]


def test_show_lists_the_accepted_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each run has its commit; an unknown test is an error that names the folder."""
    store_with(here, 1.0, 1.001)
    assert main(["baseline", "show", "test_a"]) == 0
    assert "run 2 at c1: 1.001 J, 3 rounds" in capsys.readouterr().out
    assert main(["baseline", "show", "test_b"]) == 2
    assert "no baseline in baselines matches 'test_b'" in capsys.readouterr().err


def test_diff_shows_what_would_change(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rise is shown with its interval; nothing is written."""
    store_with(here, 1.0)
    save_run(run_of(result(1.2)), here / "results.json")
    before = sorted(path.read_text("utf-8") for path in here.glob("baselines/**/*.json"))
    assert main(["baseline", "diff", "results.json"]) == 0
    assert "+20 % [+16, +24]" in capsys.readouterr().out
    assert before == sorted(path.read_text("utf-8") for path in here.glob("baselines/**/*.json"))


@pytest.mark.parametrize(
    ("tolerance", "outcome"), [(0.05, Outcome.REGRESSED), (0.5, Outcome.UNCHANGED)]
)
def test_diff_judges_with_the_tolerances_of_the_run(
    here: Path, capsys: pytest.CaptureFixture[str], tolerance: float, outcome: Outcome
) -> None:
    """The tolerance of the option, the table or the marker decides the outcome."""
    store_with(here, 1.0)
    gate = [MetricVerdict(metric="energy_j", outcome=outcome, tolerance=tolerance)]
    judged = result(1.2).model_copy(update={"verdict": Verdict(outcome=outcome, metrics=gate)})
    save_run(run_of(judged), here / "results.json")
    assert main(["baseline", "diff", "results.json"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(outcome.label)


def test_diff_without_a_change_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics that did not change have no row, nor have those that may not have."""
    store_with(here, 1.0)
    save_run(run_of(result(1.01)), here / "results.json")
    assert main(["baseline", "diff", "results.json"]) == 0
    assert capsys.readouterr().out == "nothing would change\n"


def test_accept_takes_results_of_another_machine(here: Path) -> None:
    """Each benchmark goes into its machine's folder; -k and --only select."""
    store_with(here, 1.0)
    measured = [
        result(1.1, TEST, Outcome.REGRESSED).model_copy(update={"verdict": risen(0.1)}),
        result(0.5, "t.py::test_b", Outcome.IMPROVED, identity=A100.identity),
    ]
    save_run(run_of(*measured), here / "results.json")
    assert main(["baseline", "accept", "results.json", "--only", "improved"]) == 0
    store = BaselineStore(here / "baselines")
    assert store.slugs_with("t.py::test_b") == ("nvidia-a100",)
    baseline = store.load(TEST, "nvidia-h200")
    assert baseline is not None
    assert len(baseline.accepted) == 1
    assert main(["baseline", "accept", "results.json", "-k", "test_a"]) == 0
    accepted = BaselineStore(here / "baselines").load(TEST, "nvidia-h200")
    assert accepted is not None
    assert accepted.accepted[-1].step
    assert accepted.accepted[-1].commit == "c0ffee"


def test_accept_refuses_a_name_that_no_result_has(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt name is an error, not a run that changed nothing."""
    save_run(run_of(result()), here / "results.json")
    assert main(["baseline", "accept", "results.json", "-k", "nosuch"]) == 2
    assert "no result in results.json matches 'nosuch'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("resnet50 and not BlurPool", {"t.py::test_a[resnet50]"}),
        ("blurpool or vgg", {"t.py::test_a[resnet50-blurpool]", "t.py::test_a[vgg16]"}),
        ("not resnet50", {"t.py::test_a[vgg16]"}),
    ],
)
def test_accept_selects_as_pytest_does(here: Path, expression: str, accepted: set[str]) -> None:
    """-k takes the expressions of pytest's own -k."""
    names = ("resnet50", "resnet50-blurpool", "vgg16")
    run = run_of(*(result(1.0, f"t.py::test_a[{name}]") for name in names))
    save_run(run, here / "results.json")
    assert main(["baseline", "accept", "results.json", "-k", expression]) == 0
    assert _ids(BaselineStore(here / "baselines")) == accepted


@pytest.mark.parametrize(
    "command",
    [("accept", "results.json", "-k", "test_a and"), ("show", "test_a and"), ("log", "test_a and")],
)
def test_a_wrong_expression_is_refused_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """The line names the expression and what is wrong with it."""
    store_with(here, 1.0)
    save_run(run_of(result()), here / "results.json")
    assert main(["baseline", *command]) == 2
    error = capsys.readouterr().err
    assert "wrong -k expression: test_a and: at column 11: expected not" in error
    assert error.count("\n") == 1


def test_show_and_log_select_as_pytest_does(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both take an expression as -k does."""
    for name in ("resnet50", "resnet50-blurpool"):
        store_with(here, 1.0, test_id=f"t.py::test_a[{name}]")
    _commit(here, "accept")
    for action in ("show", "log"):
        assert main(["baseline", action, "ResNet50 and not blurpool"]) == 0
        output = capsys.readouterr().out
        assert "test_a[resnet50] on nvidia-h200" in output
        assert "blurpool" not in output


@pytest.mark.parametrize("action", ["list", "prune", "log"])
def test_without_baselines_it_names_the_command_to_record_some(
    here: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    """A new project has none, which is fine; a misspelt folder is an error."""
    assert main(["baseline", action]) == 0
    assert "no baselines in baselines yet" in capsys.readouterr().out
    assert main(["baseline", action, "--baselines", "nosuch"]) == 2
    assert "no folder nosuch" in capsys.readouterr().err


def test_accept_refuses_invalid_results(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is named with its reason, the others are accepted, and the exit status is 1."""
    save_run(run_of(invalid(), result(1.0, "t.py::test_b")), here / "results.json")
    assert main(["baseline", "accept", "results.json"]) == 1
    assert "refused t.py::test_a: process 7 used the GPU" in capsys.readouterr().err
    assert BaselineStore(here / "baselines").slugs_with("t.py::test_b") == ("nvidia-h200",)


def test_accept_names_what_is_over_its_budget(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A baseline would not lift the budget, so the result is refused, not passed over."""
    budget = Budget(metric="energy_j", outcome=Outcome.OVER_BUDGET, limit=0.5, value=1.0, unit="J")
    over = Verdict(outcome=Outcome.OVER_BUDGET, budgets=[budget])
    save_run(run_of(Result.of(measurement(1.0), over)), here / "results.json")
    assert main(["baseline", "accept", "results.json"]) == 1
    refused = capsys.readouterr().err
    assert f"refused {TEST}: over budget: energy_j 1 J, at most 0.5 (max_joules" in refused


def test_prune_deletes_orphans_only_with_delete(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A baseline whose test is gone is named, then deleted; a window's baseline stays."""
    (here / "t.py").write_text("def test_b(): ...\n", "utf-8")
    (here / "pytest.ini").write_text("[pytest]\npython_files = t.py\n", "utf-8")
    store = store_with(here, 1.0)
    for test_id in ("t.py::test_b", "t.py::test_b::prefill", "t.py::test_b::cpp::decode"):
        store.save(measurement(test_id=test_id), A100, "nvidia-a100", None)
    orphan = store.path(TEST, "nvidia-h200")
    assert main(["baseline", "prune"]) == 0
    assert orphan.exists()
    assert main(["baseline", "prune", "--delete"]) == 0
    assert not orphan.exists()
    assert len(list(store.paths())) == 3
    out = capsys.readouterr().out
    assert main(["baseline", "prune"]) == 0
    assert "nothing to prune" in capsys.readouterr().out
    assert out.count(f"orphaned baselines/{orphan.relative_to(store.folder)} ({TEST})") == 1


def test_prune_deletes_nothing_if_the_collection_fails(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A syntax error in a test must not orphan its baseline."""
    (here / "test_t.py").write_text("def\n", "utf-8")
    store = store_with(here, 1.0)
    assert main(["baseline", "prune", "--delete"]) == 2
    assert "so nothing was pruned" in capsys.readouterr().err
    assert len(list(store.paths())) == 1


SKIPS_ITSELF = "import pytest\npytest.importorskip('no_such_library')\ndef test_a(): ...\n"
SLOW = "import pytest\n@pytest.mark.slow\ndef test_a(): ...\n"
OTHERS_ONLY = "[pytest]\nmarkers = slow\naddopts = -m 'not slow'\n"


def _store_with_tests(folder: Path, *test_ids: str) -> BaselineStore:
    for test_id in test_ids:
        store_with(folder, 1.0, test_id=test_id)
    return BaselineStore(folder / "baselines")


def _ids(store: BaselineStore) -> set[str]:
    return {baseline.id for slug in store.slugs() for baseline in store.load_all(slug)}


@pytest.mark.parametrize(
    ("source", "ini", "options", "message"),
    [
        pytest.param(SLOW, OTHERS_ONLY, (), "", id="deselected-by-addopts"),
        pytest.param(SLOW, "", ("--", "-k", "nothing"), "", id="deselected-by-hand"),
        pytest.param(
            SKIPS_ITSELF,
            "",
            (),
            "Kept 1: their test files were skipped or not collected: test_t.py",
            id="skips-itself",
        ),
        pytest.param(
            SLOW,
            "",
            ("--", "--ignore=test_t.py"),
            "Kept 1: their test files were skipped or not collected: test_t.py",
            id="ignored",
        ),
    ],
)
def test_prune_keeps_baselines_of_tests_that_do_not_run_here(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    ini: str,
    options: tuple[str, ...],
    message: str,
) -> None:
    """A test still exists if it is deselected, or if its file skips itself or is ignored."""
    (here / "test_t.py").write_text(source, "utf-8")
    (here / "test_u.py").write_text("def test_b(): ...\n", "utf-8")
    (here / "pytest.ini").write_text(ini or "[pytest]\n", "utf-8")
    store = _store_with_tests(here, "test_t.py::test_a", "test_u.py::test_gone")
    assert main(["baseline", "prune", "--delete", *options]) == 0
    assert _ids(store) == {"test_t.py::test_a"}
    assert message in capsys.readouterr().out


def test_prune_keeps_all_if_every_file_skips_itself(here: Path) -> None:
    """A machine without the libraries of the tests orphans nothing."""
    (here / "test_t.py").write_text(SKIPS_ITSELF, "utf-8")
    store = _store_with_tests(here, "test_t.py::test_a")
    assert main(["baseline", "prune", "--delete"]) == 0
    assert _ids(store) == {"test_t.py::test_a"}


@pytest.mark.parametrize(
    ("selection", "pruned"),
    [
        ("test_t.py", {"test_t.py::test_gone"}),
        ("test_t.py::test_a", set()),
        ("d", {"d/test_t.py::test_gone"}),
        (".", {"test_t.py::test_gone", "d/test_t.py::test_gone", "gone.py::test_gone"}),
    ],
)
def test_prune_checks_only_the_paths_it_gets(here: Path, selection: str, pruned: set[str]) -> None:
    """Baselines outside the named files, folders or tests are kept."""
    (here / "d").mkdir()
    for file in ("test_t.py", "d/test_t.py"):
        (here / file).write_text("def test_a(): ...\n", "utf-8")
    gone = {f"{file}::test_gone" for file in ("test_t.py", "d/test_t.py", "gone.py")}
    store = _store_with_tests(here, "test_t.py::test_a", *gone)
    assert main(["baseline", "prune", "--delete", "--", "--import-mode=importlib", selection]) == 0
    assert _ids(store) == {"test_t.py::test_a", *gone} - pruned


def test_prune_repeats_the_error_of_pytest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the command, for a second try, and pytest's own error."""
    store_with(here, 1.0)
    assert main(["baseline", "prune", "nonexist.py"]) == 2
    error = capsys.readouterr().err
    assert f"{sys.executable} -m pytest --collect-only -o addopts= nonexist.py failed" in error
    assert "ERROR: file or directory not found: nonexist.py" in error


def _commit(folder: Path, subject: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", subject]):
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_log_shows_the_drift(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Many small accepted rises add up, commit by commit."""
    for number, energy_j in enumerate((1.0, 1.03, 1.06)):
        store_with(here, energy_j)
        _commit(here, f"accept {number}")
    assert main(["baseline", "log"]) == 0
    lines = capsys.readouterr().out.splitlines()
    beyond = ", beyond the tolerance of 5.0 %"
    assert lines[0] == f"{TEST} on nvidia-h200: +6.0 % in 3 versions{beyond}"
    assert lines[3].endswith("1.060 ± 0.004 J/pass  accept 2")


def test_log_since_a_tag_begins_with_its_version(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was accepted before a release is no drift since then."""
    for number, energy_j in enumerate((1.0, 1.03, 1.06)):
        store_with(here, energy_j)
        _commit(here, f"accept {number}")
        if number == 1:
            subprocess.run(["git", "tag", "v1"], cwd=here, check=True)
    assert main(["baseline", "log", "--since=v1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{TEST} on nvidia-h200: +2.9 % in 2 versions since v1"


def test_log_of_a_shallow_clone_says_that_the_history_is_cut(
    here: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Checkouts of CI systems have one commit, which looks like a baseline that never moved."""
    for energy_j in (1.0, 1.03):
        store_with(here, energy_j)
        _commit(here, f"accept {energy_j}")
    clone = tmp_path_factory.mktemp("clones") / "clone"
    command = ["git", "clone", "-q", "--depth=1", f"file://{here}", str(clone)]
    subprocess.run(command, check=True)
    monkeypatch.chdir(clone)
    assert main(["baseline", "log"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].endswith(" in 1 version")
    assert "this clone is shallow" in shown.err


def test_log_of_a_new_baseline_is_its_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A similar baseline beside it has its own history: git must not follow a copy."""
    for energy_j in (1.0, 1.03):
        store_with(here, energy_j)
        _commit(here, "accept a")
    store_with(here, 1.03, test_id="t.py::test_b")
    _commit(here, "accept b")
    assert main(["baseline", "log", "test_b"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(" in 1 version")


def test_log_of_exact_metrics_only_prints_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parameters and FLOPs have no history of joules, which is fine."""
    flops = {"flops": Quantity(value=8e9, unit="FLOP", exact=True)}
    unmeasured = measurement(status="unmeasured", metrics=flops)
    BaselineStore(here / "baselines").save(unmeasured, A100, "nvidia-a100", None)
    for expression in ("", "test_a"):
        assert main(["baseline", "log", expression]) == 0
        assert capsys.readouterr().out == ""


def test_log_outside_git_is_an_error(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is one line."""
    store_with(here, 1.0)
    assert main(["baseline", "log"]) == 2
    assert "not a git repository" in capsys.readouterr().err


def test_accept_asks_for_a_word_if_small_rises_add_up(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an update does: +2 % is within the tolerance, but +6 % since the first runs is not."""
    store = store_with(here, 1.0, 1.0, 1.02, 1.04)
    crept = result(1.06).model_copy(update={"verdict": risen(0.02)})
    save_run(run_of(crept, result(1.0, "t.py::test_new")), here / "results.json")
    assert main(["baseline", "accept", "results.json"]) == 1
    error = capsys.readouterr().err
    assert f"refused {TEST}: small accepted changes add up to +6.0 %" in error
    assert "accept them with --accept-drift" in error
    assert store.path("t.py::test_new", "nvidia-h200").exists(), "the others are accepted"
    assert main(["baseline", "accept", "results.json", "--accept-drift"]) == 0
    accepted = BaselineStore(here / "baselines").load(TEST, "nvidia-h200")
    assert accepted is not None
    assert accepted.level("energy_j")[-1].value == pytest.approx(1.06)
