"""The comment on a pull request, against a local HTTP server that keeps comments."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.model.outcomes import Outcome
from pytest_energy.report.ci.pull_request import PER_PAGE, post_comment


class GitHub(HTTPServer):
    """The part of GitHub's API that has the comments of pull request 7."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.refusal: int | None = None

    def add(self, body: str, kind: str = "Bot") -> None:
        """Add a comment as GitHub keeps it."""
        number = len(self.comments) + 1
        self.comments.append({"id": number, "body": body, "user": {"type": kind}})


class Handler(BaseHTTPRequestHandler):
    """Answers as GitHub does."""

    server: GitHub

    def handle_any(self) -> None:
        """Store, change or list comments."""
        self.server.requests.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        sent = json.loads(self.rfile.read(length)) if length else {}
        authorised = self.headers["Authorization"] == "Bearer secret"
        status = self.server.refusal or (200 if authorised else 401)
        answer: Any = {"message": "Resource not accessible by integration"}
        if status == 200:
            answer = self._answer(sent)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 - the names that the server calls

    def _answer(self, sent: dict[str, str]) -> Any:
        comments = self.server.comments
        if self.command == "POST":
            assert self.path == "/repos/us/net/issues/7/comments"
            self.server.add(sent["body"])
            return comments[-1]
        if self.command == "PATCH":
            number = int(self.path.removeprefix("/repos/us/net/issues/comments/"))
            comments[number - 1]["body"] = sent["body"]
            return comments[number - 1]
        page = int(re.findall(r"&page=(\d+)", self.path)[0])
        return comments[(page - 1) * PER_PAGE : page * PER_PAGE]

    def log_message(self, format: str, *arguments: Any) -> None:
        """Stay silent."""


@pytest.fixture
def github() -> Iterator[GitHub]:
    """A server, and a thread in which it answers."""
    with GitHub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def environ(github: GitHub, tmp_path: Path) -> dict[str, str]:
    """The variables of a job for pull request 7."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}), "utf-8")
    return {
        "GITHUB_API_URL": f"http://127.0.0.1:{github.server_port}",
        "GITHUB_REPOSITORY": "us/net",
        "GITHUB_TOKEN": "secret",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_EVENT_NAME": "pull_request",
    }


def test_a_second_run_updates_the_comment_of_the_first(
    github: GitHub, environ: dict[str, str], make_run, make_result
) -> None:
    """One comment has the last verdict, whatever was written between the runs."""
    assert post_comment(make_run(make_result(Outcome.REGRESSED)), "energy", environ) == []
    github.add("<!-- pytest-energy: energy -->\nquoted", kind="User")
    github.comments[-1]["user"] = None  # of an account that is gone
    assert post_comment(make_run(make_result()), "energy", environ) == []
    first, quoted = github.comments
    assert first["body"].startswith("<!-- pytest-energy: energy -->\n## ✓")
    assert quoted["body"].endswith("quoted")


def test_jobs_of_other_labels_have_comments_of_their_own(
    github: GitHub, environ: dict[str, str], make_run, make_result
) -> None:
    """Two cards of a matrix do not overwrite each other's summary."""
    for label in ("H100", "A100", "H100"):
        assert post_comment(make_run(make_result()), label, environ) == []
    assert [comment["body"].splitlines()[0] for comment in github.comments] == [
        "<!-- pytest-energy: H100 -->",
        "<!-- pytest-energy: A100 -->",
    ]


def test_the_comment_is_found_behind_a_hundred_others(
    github: GitHub, environ: dict[str, str], make_run, make_result
) -> None:
    """Pages are read until it is found."""
    for number in range(PER_PAGE + 5):
        github.add(f"comment {number}")
    post_comment(make_run(make_result()), "energy", environ)
    post_comment(make_run(make_result()), "energy", environ)
    assert len(github.comments) == PER_PAGE + 6


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"GITHUB_TOKEN": ""}, "GITHUB_TOKEN is not set"),
        ({"GITHUB_EVENT_PATH": ""}, "GITHUB_EVENT_PATH is not set"),
        ({"GITHUB_TOKEN": "wrong"}, "status 401: "),
        ({"GITHUB_API_URL": "http://127.0.0.1:9"}, "refused"),
    ],
)
def test_a_comment_that_cannot_be_written_is_one_line(
    environ: dict[str, str], change: dict[str, str], text: str, make_run, make_result
) -> None:
    """It says what is missing; the run goes on."""
    (error,) = post_comment(make_run(make_result()), "energy", environ | change)
    assert error.startswith("--energy-comment: no comment was written: ")
    assert text in error


@pytest.mark.parametrize(
    "event", ["{}", "[]", "null", '{"pull_request": null}', '{"issue": 7}', '{"issue": {}}']
)
def test_an_event_without_a_pull_request_is_named(
    environ: dict[str, str], event: str, make_run, make_result
) -> None:
    """A push has no comment, and other events have any form."""
    Path(environ["GITHUB_EVENT_PATH"]).write_text(event, "utf-8")
    (error,) = post_comment(
        make_run(make_result()), "energy", environ | {"GITHUB_EVENT_NAME": "push"}
    )
    assert "the event 'push' is none of a pull request" in error


def test_github_s_refusal_is_told_in_its_own_words(
    github: GitHub, environ: dict[str, str], make_run, make_result
) -> None:
    """A token of a fork may only read."""
    github.refusal = 403
    (error,) = post_comment(make_run(make_result()), "energy", environ)
    assert "status 403" in error
    assert "Resource not accessible by integration" in error
