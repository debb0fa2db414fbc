"""The blocks of docs/fixture.md, run as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.plugin.conftest import MEASURING, QUICK, Project

PAGE = Path(__file__).parents[2] / "docs" / "fixture.md"
NAMES = """
import pytest
import torch
from scripted_meter import work

class Net(torch.nn.Module):
    def forward(self, x, use_cache=True):
        work(0.01)
        return x.flatten()[:2] @ torch.ones(2, 2)

class Batch(dict):
    def to(self, device):
        return self

class AutoModel:
    from_config = staticmethod(lambda config: Net())

def tokenizer(texts, return_tensors):
    return Batch(x=torch.ones(len(texts), 2))

class Model:
    def to(self, device):
        return self

def run(*arguments):
    work(0.01)
    return [0.5]

def rollout():
    work(0.01)
    return 0.5

prefill = decode = generate = tokenize = answer = train = load = run
load_model = Model
resnet50, model = Net, Net()
config = prompt = None
texts = ["a"]
"""
"""What the blocks leave to the reader."""


def blocks() -> list[str]:
    """The Python blocks of the page, with a meter that exists here."""
    text = PAGE.read_text("utf-8").replace('meter="rapl"', 'meter="processor"')
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("torch_forks")
@pytest.mark.parametrize("arguments", [QUICK, MEASURING], ids=["plain", "measured"])
def test_each_block_runs(project: Project, arguments: tuple[str, ...]) -> None:
    """With and without --energy, which skips claims; each block is a file, since names repeat."""
    files = {f"test_block_{number}": NAMES + block for number, block in enumerate(blocks())}
    project.pytester.makepyfile(**files)
    project.pytester.makepyfile(
        test_model="from test_block_model import model\n\ndef test_model(model): assert model\n",
        test_block_model=next(text for text in files.values() if "load_model()." in text),
    )
    window = ("--energy-window=0.01", "--energy-scale=small")
    result = project.pytester.runpytest_subprocess(
        *arguments, *(window if arguments is MEASURING else ())
    )
    tests = 1 + sum(block.count("def test_") for block in blocks())
    assert tests > 10
    claims = 0 if arguments is MEASURING else sum("energy.compare(" in block for block in blocks())
    result.assert_outcomes(passed=tests - claims, skipped=claims)
