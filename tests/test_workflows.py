"""The action and the workflows, those in the docs included: valid, pinned and up to date."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import pytest_energy.cli.fleet
from pytest_energy.options import OPTIONS

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "ci.md").read_text("utf-8")
OWN = ("action.yml", ".github/workflows/tests.yml")
PINNED = re.compile(r"@[0-9a-f]{40}$")


def documents():
    """Each YAML block of ci.md by the file name in its first line, README's, and our own files."""
    blocks = re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOCS, re.DOTALL)
    own = {name: (ROOT / name).read_text("utf-8") for name in OWN}
    readme = (ROOT / "README.md").read_text("utf-8")
    steps = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)[1]
    return {**dict(blocks), "README.md": f"steps:\n{steps}", **own}


def every(value, key):
    """All values under ``key``, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from every(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from every(inner, key)


def scripts(document):
    """All shell scripts of a workflow, an action or a GitLab job."""
    values = [value for key in ("run", "script") for value in every(document, key)]
    return ["\n".join(value) if isinstance(value, list) else value for value in values]


@pytest.fixture(params=sorted(documents()))
def document(request):
    """One workflow or action, parsed."""
    return yaml.safe_load(documents()[request.param])


def test_docs_have_every_workflow_they_promise():
    """Every YAML block of the docs has a file name, and is found by these tests."""
    assert len(documents()) == len(OWN) + len(["README.md"]) + DOCS.count("```yaml")


def test_shell_scripts_parse(document):
    """Bash can read each script."""
    for script in scripts(document):
        plain = re.sub(r"\$\{\{.*?\}\}", "value", script)
        subprocess.run(["bash", "-n"], input=plain, text=True, check=True)


def test_scripts_hold_no_expression(document):
    """Values from callers reach a script through its environment, never as code."""
    assert not [script for script in scripts(document) if "${{" in script]


def test_actions_are_pinned(document):
    """Each action is named by a commit's full hash."""
    uses = [action for action in every(document, "uses") if action != "./"]
    assert [action for action in uses if not PINNED.search(action)] == []


def test_options_exist(document):
    """Each ``--energy`` option in a script is one of pytest."""
    options = {"--energy", *(option.flag for option in OPTIONS)}
    used = {name for script in scripts(document) for name in re.findall(r"--energy[a-z-]*", script)}
    assert used <= options


def triggers(document):
    """What starts a workflow, as a list of names."""
    on = document.get("on", document.get(True))  # YAML 1.1 reads `on` as true
    return [on] if isinstance(on, str) else list(on or [])


def own_jobs(document):
    """The jobs of a workflow that run on a self-hosted runner."""
    jobs = document.get("jobs", {}).values()
    return [job for job in jobs if "self-hosted" in str(job["runs-on"])]


def test_own_runners_never_see_unapproved_pull_requests():
    """A self-hosted runner starts by a push, or for a pull request behind an environment."""
    for text in documents().values():
        document = yaml.safe_load(text)
        if own_jobs(document):
            assert "pull_request" not in triggers(document)
            assert list(every(document, "concurrency"))
        if "pull_request_target" in triggers(document):
            assert all("energy-forks" in job["environment"] for job in own_jobs(document))


PULL_REQUEST = ".github/workflows/energy-pull-request.yml"


def test_code_of_a_pull_request_gets_no_rights():
    """The job that runs it reads only, keeps no token, and runs the commit that was reviewed."""
    document = yaml.safe_load(documents()[PULL_REQUEST])
    (job,) = own_jobs(document)
    assert document["permissions"] == {}
    assert job["permissions"] == {"contents": "read"}
    assert "secrets." not in documents()[PULL_REQUEST]
    (checkout,) = [each["with"] for each in job["steps"] if "checkout" in each.get("uses", "")]
    assert checkout["ref"] == "${{ github.event.pull_request.head.sha }}"
    assert checkout["persist-credentials"] is False
    commenting = document["jobs"]["comment"]
    assert "checkout" not in str(commenting)
    assert commenting["runs-on"] == "ubuntu-latest"


@pytest.mark.parametrize("name", ["energy-pull-request", "energy-nightly"])
def test_comparisons_fetch_the_history(name):
    """A merge base and the last tag need more than the newest commit."""
    document = yaml.safe_load(documents()[f".github/workflows/{name}.yml"])
    depths = list(every(document, "fetch-depth"))
    assert depths == [0]
    assert any("--energy-against=" in script for script in scripts(document))


def script_with(name, text):
    """The script of a workflow that contains a text."""
    workflow = yaml.safe_load(documents()[f".github/workflows/{name}.yml"])
    (script,) = [script for script in scripts(workflow) if text in script]
    return script


@pytest.mark.parametrize(("reviewed", "goes_on"), [("yes", True), ("", False), ("no", False)])
def test_a_fork_without_a_protected_environment_stops(reviewed, goes_on):
    """An environment that GitHub made by itself has no variable, so the job stops."""
    script = script_with("energy-pull-request", "REVIEWED")
    environ = {"PATH": os.environ["PATH"], "REVIEWED": reviewed}
    job = subprocess.run(
        ["bash", "-e", "-c", script], env=environ, check=False, capture_output=True, text=True
    )
    assert (job.returncode == 0) is goes_on
    assert goes_on or "required reviewers" in job.stdout


GH = """#!{python}
import json, pathlib, sys
store = pathlib.Path("comments.json")
comments = json.loads(store.read_text())
arguments = sys.argv[1:]
address = next(each for each in arguments if each.startswith("repos/"))
if "--jq" in arguments:
    query = arguments[arguments.index("--jq") + 1]
    assert "github-actions[bot]" in query
    marker = query.split('startswith("')[1].split('"')[0]
    for comment in comments:
        if comment["login"] == "github-actions[bot]" and comment["body"].startswith(marker):
            print(comment["id"])
    sys.exit()
body = pathlib.Path(next(each for each in arguments if "=@" in each).split("@")[1]).read_text()
if "PATCH" in arguments:
    (comment,) = [each for each in comments if address.endswith("/" + str(each["id"]))]
    comment["body"] = body
else:
    comments.append({{"id": len(comments) + 1, "login": "github-actions[bot]", "body": body}})
store.write_text(json.dumps(comments))
"""


@pytest.fixture
def pull_request(tmp_path):
    """Runs the script of the comment with a summary; returns all comments afterwards."""
    gh = tmp_path / "gh"
    gh.write_text(GH.format(python=sys.executable))
    gh.chmod(0o755)
    store = tmp_path / "comments.json"
    stranger = {"id": 1, "login": "somebody", "body": "<!-- pytest-energy -->\nmine"}
    store.write_text(json.dumps([stranger]))
    (tmp_path / "energy").mkdir()
    environ = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "NUMBER": "7",
        "RUN": "https://ci.example/run",
        "GITHUB_REPOSITORY": "owner/project",
    }

    def comment(summary):
        (tmp_path / "energy" / "summary.md").write_text(summary)
        script = script_with("energy-pull-request", "gh api")
        subprocess.run(["bash", "-e", "-c", script], env=environ, cwd=tmp_path, check=True)
        return json.loads(store.read_text())

    return comment


def test_the_comment_is_updated_not_repeated(pull_request):
    """A second run changes the first run's comment, and nobody else's."""
    pull_request("## first\n")
    stranger, comment = pull_request("## second\n")
    assert stranger["body"].endswith("mine")
    assert comment["body"].startswith("<!-- pytest-energy -->\n## second\n")
    assert "https://ci.example/run" in comment["body"]
    assert "first" not in comment["body"]


def test_a_comment_is_never_too_long(pull_request):
    """Of a long summary the comment has the opening lines, and the link to all of it."""
    comment = pull_request("## verdict\n\n" + "### Pairs\n" + "row\n" * 20_000)[-1]
    assert len(comment["body"]) < 65_536
    assert "## verdict" in comment["body"]
    assert "https://ci.example/run" in comment["body"]


def test_workflows_ask_for_the_permissions_they_need():
    """Each workflow names its permissions, and few may write."""
    writing = set()
    for name, text in documents().items():
        document = yaml.safe_load(text)
        if name.startswith(".github"):
            assert "permissions" in document, name
        if "write" in str(list(every(document, "permissions"))):
            writing.add(Path(name).stem)
    assert writing == {
        "energy-baselines",
        "energy-dashboard",
        "energy-history",
        "energy-pull-request",
    }


@pytest.mark.parametrize(("status", "goes_on"), [(0, True), (1, True), (2, False), (4, False)])
def test_a_regression_does_not_hold_back_new_baselines(tmp_path, status, goes_on):
    """The job opens its pull request after a failed test, but not after an aborted session."""
    workflow = yaml.safe_load(documents()[".github/workflows/energy-baselines.yml"])
    (script,) = [text for text in scripts(workflow) if "--energy-update" in text]
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {status}\n")
    python.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    job = subprocess.run(["bash", "-e", "-c", script], env=environ, check=False)
    assert (job.returncode == 0) is goes_on


def test_inputs_of_the_action_are_used():
    """Each input of the action reaches a step."""
    text = (ROOT / "action.yml").read_text("utf-8")
    for name in yaml.safe_load(text)["inputs"]:
        assert f"inputs.{name}" in text


def test_own_workflow_runs_what_ci_runs():
    """The project's workflow starts the one script that lints and tests."""
    workflow = yaml.safe_load(documents()[".github/workflows/tests.yml"])
    assert ".ci/run" in scripts(workflow)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def run_with_programs(folder, uv):
    """Run a copy of the script on a machine whose programs do nothing, but for ``uv``."""
    programs = {
        "bin/pip": "",
        "bin/chromium": "",
        "bin/slurmctld": "",
        "bin/uv": uv,
        ".ci/package": "",
    }
    for name, body in programs.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    for name in (".ci/run", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    environ = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "TMPDIR": str(folder)}
    return subprocess.run(
        [folder / ".ci/run"], env=environ, capture_output=True, text=True, check=False
    )


def test_ci_ends_with_a_table_of_its_steps(tmp_path):
    """Each step has its seconds and its result; the tests are those of the README's command."""
    done = run_with_programs(tmp_path, "")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"^(\S+) +\d+  passed$", done.stdout, re.MULTILINE)
    assert steps == [
        "browser",
        "set-up",
        "lint",
        "types",
        "package",
        "tests",
        "jax",
        "fleet",
        "plugins",
    ]
    assert "tests | + pip install uv && uv run --group test pytest -n 3" in done.stdout


def test_ci_names_the_step_that_failed_and_how_to_repeat_it(tmp_path):
    """Steps on its line end, no later step starts, and each line of output names its step."""
    bad = 'case "$*" in *mypy*) echo wrong type; exit 3;; esac'
    done = run_with_programs(tmp_path, bad)
    assert done.returncode == 1
    assert "types | wrong type\n" in done.stdout
    results = dict(
        re.findall(r"^(\S+) +[\d-]+  (passed|FAILED|not run)$", done.stdout, re.MULTILINE)
    )
    assert [results.pop(name) for name in ("browser", "set-up", "lint")] == ["passed"] * 3
    assert results.pop("types") == "FAILED"
    assert results == {
        "package": "passed",
        "tests": "not run",
        "jax": "not run",
        "fleet": "not run",
        "plugins": "not run",
    }
    assert "types failed first. To repeat it:\nuv run --quiet --group dev mypy\n" in done.stdout


@pytest.mark.parametrize("form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")))
def test_issue_forms_are_complete(form):
    """Each issue form has a name and a description, and asks each question under its own id."""
    parsed = yaml.safe_load(form.read_text("utf-8"))
    assert {"name", "description", "body"} <= parsed.keys()
    ids = [question["id"] for question in parsed["body"]]
    assert len(ids) == len(set(ids))
    assert all(question["attributes"]["label"] for question in parsed["body"])
    assert any("pytest-energy doctor" in label for label in every(parsed, "label")) or (
        form.stem == "feature_request"
    )


def test_the_fleet_of_the_docs_can_be_read():
    """The command of the workflow has options that exist."""
    script = script_with("energy-fleet", "fleet run")
    words = shlex.split(script.partition("pytest-energy ")[2].strip())
    options = pytest_energy.cli.read(words)
    assert options.action == "run"
    tests, after = pytest_energy.cli.fleet._words(options)
    assert tests == ["benchmarks"]
    assert after == ["--energy-control"]
    assert options.accelerator == ["H100", "A100:2"]
