"""What keeps the page inert: its content-security policy and its data block.

Test ids, model names and messages come from anyone. The template escapes them; the policy lets no
script and no style run but the two whose hashes it names, and forbids every request.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from markupsafe import Markup


def content_security_policy(script: str, style: str) -> str:
    """The policy of a page with one inline ``script`` and one inline ``style``."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def inert_json(value: Any) -> Markup:
    """``value`` as JSON that can end no element and start no comment.

    Raises:
        ValueError: A number in it is not finite.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # nosec: no markup is left in it
