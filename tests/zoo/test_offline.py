"""YOLOv5's package would look for a network and write settings. In the suite it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORK = """
import os
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print(event, arguments, file=sys.stderr, flush=True)
        os._exit(1)  # also from another thread

sys.addaudithook(refuse)

import torch
from benchmarks.zoo.registry import find_models

source = find_models()["yolov5n"]
model = source.build((3, 64, 64), 3).train()
target = [{"boxes": torch.tensor([[8.0, 8.0, 40.0, 48.0]]), "labels": torch.tensor([1])}]
source.make_loss(model)(model(torch.rand(1, 3, 64, 64)), target).backward()
print("learnt")
"""


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("ultralytics") is None,
    reason="needs ultralytics: pip install 'pytest-energy[detection]' (AGPL-3.0)",
)
def test_building_and_training_a_yolov5_opens_no_connection(tmp_path: Path) -> None:
    """The package looks up no address, opens no connection and leaves the home folder alone."""
    others = {k: v for k, v in os.environ.items() if not k.startswith("YOLO_")}
    environment = others | {"HOME": str(tmp_path), "YOLO_CONFIG_DIR": str(tmp_path / "settings")}
    command = [sys.executable, "-c", WORK]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("learnt\n"), done.stderr
    assert not (tmp_path / ".config").exists()
