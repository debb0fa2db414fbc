"""Start pytest as one side of a comparison; ``python -P -m`` runs this module.

The plugin is imported first, from where it is installed, so that the same one measures on both
sides even where the tree contains another. Then the side's own tree comes first.
"""

from __future__ import annotations

import faulthandler
import os
import sys

import pytest

from pytest_energy.against.messages import SideConfig
from pytest_energy.against.side import STACK_SIGNAL


def main() -> int:
    """Run pytest with the arguments of this process, importing from the side's tree first."""
    config = SideConfig.load()
    if config is None:
        sys.stderr.write("this module is started by pytest --energy-against=REF\n")
        return int(pytest.ExitCode.USAGE_ERROR)
    # A copy of the output's descriptor: pytest's capturing takes the original.
    faulthandler.register(STACK_SIGNAL, os.dup(sys.stderr.fileno()), all_threads=False)
    sys.path[:0] = config.paths
    return int(pytest.main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
