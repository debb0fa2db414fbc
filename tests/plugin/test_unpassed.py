"""Sessions whose tests fail, are skipped or fail as expected: how the run is described."""

from __future__ import annotations

from tests.plugin.conftest import Project

MIXED = """
def test_fine(energy):
    energy(work, 0.01)

def test_broken(energy):
    energy(work, 0.01)
    raise ValueError("no such layer")

@pytest.fixture
def missing():
    raise OSError("no file")

def test_setup(missing): ...

@pytest.mark.skip(reason="no GPU")
def test_skipped(): ...

@pytest.mark.xfail(reason="known")
def test_known(energy):
    energy(work, 0.01)
    assert False
"""


def test_every_test_that_did_not_pass_is_in_the_results(project: Project) -> None:
    """Failures, errors, skips and expected failures are recorded and counted."""
    project.write(MIXED)
    done = project.run()
    assert done.ret == 1
    run = project.results()["run"]
    found = {test["id"].partition("::")[2]: test for test in run["unpassed"]}
    assert {name: (test["outcome"], test["reason"]) for name, test in found.items()} == {
        "test_broken": ("failed", "ValueError: no such layer"),
        "test_setup": ("error", "OSError: no file"),
        "test_skipped": ("skipped", "skipped: no GPU"),
        "test_known": ("xfailed", "failed as expected: known"),
    }
    assert "raise ValueError" in found["test_broken"]["text"]
    assert run["exit_status"] == 1
    benchmarks = project.results()["benchmarks"]
    outcomes = {each["id"][-6:]: each["verdict"]["outcome"] for each in benchmarks}
    assert outcomes["t_fine"] == "new"
    assert outcomes["broken"] == "test failed"
    done.stdout.fnmatch_lines(
        [
            "✗ 1 test failed, 1 error; no joules were compared (1 new). 1 test was skipped. 1 test"
            " failed as expected."
        ]
    )
