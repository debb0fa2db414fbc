"""What keeps the page inert: its content-security policy and how its data is written.

Test ids, model names and messages may come from anybody. The template escapes them. The policy
allows only the script and the style whose hashes it names, and forbids every request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Final


def content_security_policy(scripts: Iterable[str], style: str) -> str:
    """The policy of a page with inline ``scripts`` and one inline ``style``."""
    hashes = " ".join(f"'{_digest(script)}'" for script in scripts)
    # Forms and base addresses do not fall back to default-src, so they are forbidden by name.
    return (
        f"default-src 'none'; script-src {hashes}; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


JSON_OPTIONS: Final = {"allow_nan": False, "ensure_ascii": True, "separators": (",", ":")}
"""For Jinja2's ``tojson``, which escapes <, >, & and ': its text ends no element.

JavaScript's ``JSON.parse`` refuses NaN, and ASCII keeps U+2028 out of scripts.
"""
