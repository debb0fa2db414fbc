"""The action and the workflows, those in the docs included: valid, pinned and up to date."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pytest_energy.settings import OPTIONS

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "ci.md").read_text("utf-8")
OWN = ("action.yml", ".github/workflows/tests.yml")
PINNED = re.compile(r"@[0-9a-f]{40}$")


def documents():
    """Each YAML block of the docs by the file name in its first line, and the project's own."""
    blocks = re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOCS, re.DOTALL)
    own = {name: (ROOT / name).read_text("utf-8") for name in OWN}
    return {**dict(blocks), **own}


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
    assert len(documents()) == len(OWN) + DOCS.count("```yaml")


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


def test_own_runners_never_see_pull_requests():
    """Pull requests start no workflow on a self-hosted runner."""
    for text in documents().values():
        document = yaml.safe_load(text)
        on = document.get("on", document.get(True))  # YAML 1.1 reads `on` as true
        if "self-hosted" in text:
            assert "pull_request" not in str(on)
            assert list(every(document, "concurrency"))


def test_workflows_ask_for_the_permissions_they_need():
    """Each workflow names its permissions, and only two may write."""
    writing = set()
    for name, text in documents().items():
        document = yaml.safe_load(text)
        if name.startswith(".github"):
            assert "permissions" in document, name
        if "write" in str(document.get("permissions")):
            writing.add(Path(name).name)
    assert writing == {"energy-baselines.yml", "energy-history.yml"}


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
