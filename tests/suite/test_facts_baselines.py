"""Facts counted on the paper's input hold at every scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.gate.verdict import judge
from pytest_energy.model.measurement import Environment, Measurement, Quantity
from pytest_energy.model.outcomes import Outcome

HERE = Environment(identity={"device": "none"}, context={})


def counted(flops: float, **workload: object) -> Measurement:
    """A benchmark without joules."""
    return Measurement.model_validate(
        {
            "id": "t.py::test_a",
            "kind": "inference",
            "workload": {"model": "resnet50", **workload},
            "status": "unmeasured",
            "metrics": {"flops": Quantity(value=flops, unit="FLOP", exact=True)},
        }
    )


@pytest.mark.parametrize(
    ("stated", "outcome"),
    [([3, 224, 224], Outcome.UNCHANGED), (None, Outcome.INCOMPARABLE)],
)
def test_only_facts_of_a_stated_input_survive_another_scale(
    stated: list[int] | None, outcome: Outcome, tmp_path: Path
) -> None:
    """Facts from full scale gate a small run only if they state their input."""
    shape = {"facts_input_shape": stated} if stated else {}
    full = counted(8e9, **shape, scale="full", input_shape=[3, 224, 224], batch_size=1, data="x")
    small = counted(8e9, **shape, scale="small", input_shape=[3, 32, 32], batch_size=4, data="y")
    store = BaselineStore(tmp_path)
    store.save(full, HERE, "none", None)
    verdict = judge(small, None, store.load_facts(small.id), HERE, {})
    assert [metric.outcome for metric in verdict.metrics if metric.metric == "flops"] == [outcome]


def test_another_model_is_another_workload(tmp_path: Path) -> None:
    """Facts of another technique are not compared, although their input is the same."""
    store = BaselineStore(tmp_path)
    store.save(counted(8e9, facts_input_shape=[3, 8, 8], technique="a"), HERE, "none", None)
    other = counted(8e9, facts_input_shape=[3, 8, 8], technique="b")
    verdict = judge(other, None, store.load_facts(other.id), HERE, {})
    assert Outcome.INCOMPARABLE in {metric.outcome for metric in verdict.metrics}


def test_pretrained_weights_do_not_change_facts(tmp_path: Path) -> None:
    """Committed facts of random weights gate a run with --energy-weights."""
    store = BaselineStore(tmp_path)
    store.save(counted(8e9), HERE, "none", None)
    pretrained = counted(8e9, weights="resnet50-0676ba61.pth")
    verdict = judge(pretrained, None, store.load_facts(pretrained.id), HERE, {})
    flops = [metric.outcome for metric in verdict.metrics if metric.metric == "flops"]
    assert flops == [Outcome.UNCHANGED]


def test_the_length_of_an_epoch_does_not_change_facts(tmp_path: Path) -> None:
    """Facts of 50,000 images in 391 steps gate an epoch of two images."""
    store = BaselineStore(tmp_path)
    epoch = {"images_per_epoch": 50_000, "steps_per_epoch": 391, "micro_batch": 64}
    full = counted(8e9, facts_input_shape=[3, 8, 8], **epoch)
    store.save(full, HERE, "none", None)
    short = counted(8e9, facts_input_shape=[3, 8, 8], images_per_epoch=2, steps_per_epoch=1)
    verdict = judge(short, None, store.load_facts(short.id), HERE, {})
    flops = [metric.outcome for metric in verdict.metrics if metric.metric == "flops"]
    assert flops == [Outcome.UNCHANGED]
