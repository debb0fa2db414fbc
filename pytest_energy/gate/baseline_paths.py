"""Where a test's baseline lies: file names that are safe on every file system, and unique.

A plain name stays as it is and a parameter follows two dashes; whatever else there is becomes a
dash, and a hash of the whole keeps it unique: ``test_decode[small]`` is ``test_decode--small``,
``TestA::test_b`` is ``testa-test_b-5f3a0c9d12``. Capitals count as 'whatever else', since some
file systems do not tell them apart.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import Final

LONGEST: Final = 100
"""Characters of a name; with suffixes it stays below the 143 that encrypted file systems allow."""
RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
"""Names that Windows keeps for devices."""
_PLAIN: Final = re.compile(r"[a-z0-9_]+(\[[a-z0-9_]+([.-][a-z0-9_]+)*\])?")


def baseline_path(test_id: str) -> PurePosixPath:
    """Folder of the module and file of the test, below the folder of a machine."""
    module, _, name = test_id.partition("::")
    return PurePosixPath(_module(module), f"{_file(name)}.json")


def _module(module: str) -> str:
    plain = re.fullmatch(r"[a-z0-9_]+(/[a-z0-9_]+)*\.py", module)
    dotted = module.removesuffix(".py").replace("/", ".")
    return dotted if plain and _usable(dotted) else _hashed(module)


def _file(name: str) -> str:
    dashed = name.removesuffix("]").replace("[", "--", 1)
    return dashed if _PLAIN.fullmatch(name) and _usable(dashed) else _hashed(name)


def _usable(name: str) -> bool:
    return len(name) <= LONGEST and not RESERVED.match(name)


def _hashed(name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    words = re.sub(r"[^a-z0-9_]+", "-", name.lower())[: LONGEST - 11].strip("-")
    return f"{words}-{digest}" if words else f"test-{digest}"
