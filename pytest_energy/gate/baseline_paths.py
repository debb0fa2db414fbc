"""The path of a test's baseline: unique, and valid on every file system.

Plain names stay as they are, and a parameter follows two dashes: ``test_decode[small]`` becomes
``test_decode--small``. In all other names, special characters become dashes, and a hash of the
name keeps it unique: ``TestA::test_b`` becomes ``testa-test_b-5f3a0c9d12``. Capitals are
special, since some file systems ignore case.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import Final

LONGEST: Final = 100
"""Characters of a name. With suffixes it stays below eCryptfs' limit of 143 bytes."""
RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
"""Names that Windows reserves for devices."""
_PLAIN: Final = re.compile(r"[a-z0-9_]+(\[[a-z0-9_]+([.-][a-z0-9_]+)*\])?")


def baseline_path(test_id: str) -> PurePosixPath:
    """The module's folder and the test's file, relative to the folder of a machine."""
    module, _, name = test_id.partition("::")
    return PurePosixPath(_module(module), f"{_file(name)}.json")


def _module(module: str) -> str:
    plain = re.fullmatch(r"[a-z0-9_]+(/[a-z0-9_]+)*\.py", module)
    dotted = module.removesuffix(".py").replace("/", ".")
    return dotted if plain and _usable(dotted) else _hashed(module)


def _file(name: str) -> str:
    dashed = name.removesuffix("]").replace("[", "--")
    return dashed if _PLAIN.fullmatch(name) and _usable(dashed) else _hashed(name)


def _usable(name: str) -> bool:
    return len(name) <= LONGEST and not RESERVED.match(name)


def _hashed(name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    words = re.sub(r"[^a-z0-9_]+", "-", name.lower())[: LONGEST - 11].strip("-")
    return f"{words}-{digest}" if words else f"test-{digest}"
