"""How far a fleet is, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pytest_energy.fleet.plan import Plan, Shard, ShardState, State
from pytest_energy.report.numbers import counted, rough


def describe(plan: Plan, state: State, now_s: float) -> str:
    """One line for the terminal, the most important part first: the end may be cut off."""
    counts = _counts(plan.shards, state)
    parts = [f"{_ended(counts)} of {len(plan.shards)} shards done"]
    parts += [f"{counts[name]} {name}" for name in ("running", "waiting", "failed") if counts[name]]
    left_s = remaining_s(plan, state, now_s)
    left = [f"about {rough(left_s)} left"] if left_s else []
    kinds = [
        f"{kind} {_ended(_counts(shards, state))}/{len(shards)}" for kind, shards in _by_kind(plan)
    ]
    return " · ".join([", ".join(parts), *left, *kinds])


def remaining_s(plan: Plan, state: State, now_s: float) -> float | None:
    """Seconds until the last shard ends; ``None`` before the first of a kind has ended.

    Each kind of card has the pace of its shards that have ended: their seconds over what was
    expected of them, be that seconds or tests. Cards that wait for the scheduler are not foreseen.
    """
    kinds = [_remaining_of_kind(shards, state, now_s) for _, shards in _by_kind(plan)]
    known = [left_s for left_s in kinds if left_s is not None]
    return max(known, default=0.0) if len(known) == len(kinds) else None


def _remaining_of_kind(shards: Sequence[Shard], state: State, now_s: float) -> float | None:
    states = {shard.name: state.of(shard.name) for shard in shards}
    open_shards = [shard for shard in shards if not states[shard.name].has_ended]
    if not open_shards:
        return 0.0
    taken = [(shard, states[shard.name].duration_s(now_s)) for shard in shards]
    ended = [(shard, s) for shard, s in taken if s is not None and states[shard.name].has_ended]
    work = sum(_work(shard) for shard, _ in ended)
    if not work:
        return None
    pace = sum(duration_s for _, duration_s in ended) / work
    left_s = [
        max(0.0, pace * _work(shard) - (states[shard.name].duration_s(now_s) or 0.0))
        for shard in open_shards
    ]
    lanes = sum(states[shard.name].state == "running" for shard in open_shards) or 1
    return max(max(left_s), sum(left_s) / lanes)


def _work(shard: Shard) -> float:
    return shard.tests if shard.expected_s is None else shard.expected_s


def _counts(shards: Sequence[Shard], state: State) -> Counter[str]:
    return Counter(str(state.of(shard.name).state) for shard in shards)


def _ended(counts: Counter[str]) -> int:
    return counts["finished"] + counts["failed"]


def _by_kind(plan: Plan) -> list[tuple[str, list[Shard]]]:
    return [
        (kind, [shard for shard in plan.shards if shard.accelerator == kind])
        for kind in plan.accelerators
    ]


def table(plan: Plan, state: State, now_s: float) -> Iterator[str]:
    """A line for each shard, for ``fleet status``."""
    width = max(len(shard.name) for shard in plan.shards)
    for shard in plan.shards:
        one = state.of(shard.name)
        duration_s = one.duration_s(now_s)
        facts = [
            _word(one),
            counted(shard.tests, "test"),
            "" if duration_s is None else rough(duration_s),
            one.machine,
            f"attempt {one.attempts}" if one.attempts > 1 else "",
            one.reason,
        ]
        yield f"{shard.name:{width}}  {' · '.join(filter(None, facts))}"


def _word(state: ShardState) -> str:
    if state.state != "finished":
        return "died" if state.state == "failed" else state.state
    return {0: "passed", 1: "failed"}.get(state.exit_status or 0, "no tests")
