"""Both replayers over one scenario, and what differs."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oracle.replayer import Oracle
from oracle.state import Event
from replay.columns import Recorded, load
from replay.ingest.jsonl import read_jsonl
from replay.outcomes import INTEGRALS, RunName
from replay.params import parse_params
from replay.policies import Policy
from replay.runs import replay_tables

Answer = dict[str, Any]


def recorded(events: Sequence[Event]) -> Recorded:
    """The scenario as the engine takes it."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
        file.flush()
        return load(read_jsonl(Path(file.name))[1].tables)


def engine_answer(trace: Recorded, policy: Policy, params: Mapping[str, str]) -> Answer:
    tables = replay_tables(trace, policy, parse_params({**dict(policy.params), **params}), RunName("r", policy.name, "t"))
    rows = {name: table.to_pylist() for name, table in tables.items() if name != "series"}
    conflicts: Counter[tuple[str, str]] = Counter()
    for row in rows["conflicts"]:
        conflicts[row["class"], row["file"] or ""] += row["npages"]
    refusals: Counter[tuple[str, str]] = Counter()
    for row in rows["refusals"]:
        refusals[row["reason"], row["file"] or ""] += row["npages"]
    return {
        "conflicts": dict(conflicts),
        "stalls": sorted((row["op"], row["dur"], row["unbounded"]) for row in rows["stalls"]),
        "refusals": dict(refusals),
        "revocations": dict(Counter(row["reason"] for row in rows["revocations"])),
        "costs": {row["metric"]: row["value"] for row in rows["costs"] if row["value"]},
    }


def oracle_answer(events: Sequence[Event], policy: Policy, params: Mapping[str, str]) -> Answer:
    world = Oracle(list(events), policy, parse_params({**dict(policy.params), **params})).run()
    return {
        "conflicts": dict(world.conflicts),
        "stalls": sorted(world.stalls),
        "refusals": dict(world.refusals),
        "revocations": dict(world.revocations),
        "costs": {name: value / 10**9 if name in INTEGRALS else float(value) for name, value in world.costs.items() if value},
    }


def difference(engine: Answer, oracle: Answer) -> dict[str, tuple[Any, Any]]:
    """Per part of the answer: what the engine says and what the oracle says, where they differ."""
    found = {}
    for part in engine:
        if engine[part] == oracle[part]:
            continue
        if isinstance(engine[part], dict):
            keys = sorted(set(engine[part]) | set(oracle[part]), key=str)
            for key in keys:
                if engine[part].get(key) != oracle[part].get(key):
                    found[f"{part} {key}"] = (engine[part].get(key), oracle[part].get(key))
        else:
            found[part] = (engine[part], oracle[part])
    return found


def shrink(events: Sequence[Event], differs: Callable[[list[Event]], bool]) -> list[Event]:
    """A shorter scenario that still differs: events are left out, in halves first, then one by one."""
    best, step = list(events), max(len(events) // 2, 1)
    while True:
        start, smaller = 0, False
        while start < len(best):
            tried = best[:start] + best[start + step :]
            if differs(tried):
                best, smaller = tried, True
            else:
                start += step
        if step == 1 and not smaller:
            return best
        step = max(step // 2, 1)
