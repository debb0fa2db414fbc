"""One comment on a GitHub pull request, which each later run updates.

Source: GitHub's REST API, "Issue comments" (a pull request is an issue, too). The request needs
GITHUB_TOKEN with ``pull-requests: write``. Nothing is sent unless ``--energy-comment`` asks for it.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from pytest_energy.errors import EnergyError
from pytest_energy.model.result import Run

MOST_BYTES: Final = 60_000
"""GitHub accepts 65,536 characters."""
TIMEOUT_S: Final = 20.0
PER_PAGE: Final = 100
MOST_PAGES: Final = 50
ILL_FORMED: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What JSON of any other form than expected raises."""


def post_comment(run: Run, label: str, environ: Mapping[str, str]) -> list[str]:
    """Write the run's summary into the comment that has this label, or into a new one.

    Args:
        run: The run.
        label: Which comment of the pull request: jobs with other labels have their own.
        environ: The environment of the process; ``GITHUB_API_URL``, ``GITHUB_REPOSITORY``,
            ``GITHUB_TOKEN`` and ``GITHUB_EVENT_PATH`` are used.

    Returns:
        An error message if the comment could not be written. That never fails a run.
    """
    from pytest_energy.report.text.markdown import render_markdown

    mark = f"<!-- pytest-energy: {label} -->"
    body = f"{mark}\n{render_markdown(run, MOST_BYTES)}"
    try:
        api, number = Api(environ), _pull_request(environ)
        known = next((one["id"] for one in api.comments(number) if api.is_ours(one, mark)), None)
        if known is None:
            api.send("POST", f"issues/{number}/comments", {"body": body})
        else:
            api.send("PATCH", f"issues/comments/{known}", {"body": body})
    except (EnergyError, OSError, HTTPException, *ILL_FORMED) as error:
        return [f"--energy-comment: no comment was written: {error}"]
    return []


def _pull_request(environ: Mapping[str, str]) -> int:
    """The number of the pull request that started the workflow.

    Raises:
        EnergyError: The event is no pull request's.
    """
    event = json.loads(Path(_needed(environ, "GITHUB_EVENT_PATH")).read_text("utf-8"))
    named = event if isinstance(event, dict) else {}
    subject = named.get("pull_request") or named.get("issue")
    number = subject.get("number") if isinstance(subject, dict) else None
    if not isinstance(number, int):
        raise EnergyError(
            f"the event {environ.get('GITHUB_EVENT_NAME', '')!r} is none of a pull request"
        )
    return number


def _needed(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise EnergyError(
            f"{name} is not set; expected a job of GitHub Actions with"
            " env: GITHUB_TOKEN: ${{ github.token }} and permissions: pull-requests: write"
        )
    return environ[name]


class Api:
    """GitHub's REST API for one repository."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._token = _needed(environ, "GITHUB_TOKEN")
        server = environ.get("GITHUB_API_URL") or "https://api.github.com"
        self._base = f"{server}/repos/{_needed(environ, 'GITHUB_REPOSITORY')}"

    def comments(self, number: int) -> Iterator[dict[str, Any]]:
        """The comments of a pull request, the oldest first, page by page."""
        for page in range(1, MOST_PAGES + 1):
            path = f"issues/{number}/comments?per_page={PER_PAGE}&page={page}"
            comments = self.send("GET", path)
            yield from comments
            if len(comments) < PER_PAGE:
                return

    @staticmethod
    def is_ours(comment: Mapping[str, Any], mark: str) -> bool:
        """Whether a comment is the one to update: a person may have quoted its text."""
        by_bot = (comment.get("user") or {}).get("type") == "Bot"
        return by_bot and str(comment.get("body", "")).startswith(mark)

    def send(self, method: str, path: str, content: object = None) -> Any:
        """Send a request and return the answer's JSON.

        Raises:
            EnergyError: GitHub refuses; the message is its own.
            OSError: It cannot be reached.
        """
        request = urllib.request.Request(
            f"{self._base}/{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/vnd.github+json",
                "Content-Type": "application/json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read(500).decode("utf-8", "replace")
            raise EnergyError(f"{method} {request.full_url}: status {error.code}: {text}") from None
