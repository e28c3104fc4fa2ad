"""Both replayers over one scenario, and what differs."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oracle.replayer import Oracle
from oracle.state import Event
from replay._ext.engine import PARAMS, replay
from replay.columns import Recorded, load
from replay.ingest.jsonl import read_jsonl
from replay.outcomes import CLASSES, INTEGRALS, METRICS, OPS, REFUSED, REVOKED
from replay.params import numbers, parse_params
from replay.policies import Policy

Answer = dict[str, Any]


def recorded(events: Sequence[Event]) -> Recorded:
    """The scenario as the engine takes it."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
        file.flush()
        return load(read_jsonl(Path(file.name))[1].tables)


def engine_answer(trace: Recorded, policy: Policy, params: Mapping[str, str]) -> Answer:
    """From the engine's own arrays: tables of thousands of small replays would take most of the time."""
    values = parse_params({**dict(policy.params), **params})
    outcome = replay(trace.trace, np.array(policy.numbers(), np.int64), np.array(numbers(values, PARAMS), np.int64))
    conflicts, refusals = (outcome[name] for name in ("conflicts", "refusals"))
    return {
        "conflicts": _pages(trace, tuple(CLASSES), conflicts["class"], conflicts),
        "breaks of no page": _empty(trace, conflicts),
        "stalls": sorted(
            (OPS[op], dur, unbounded != 0)
            for op, dur, unbounded in zip(*(outcome["stalls"][name].tolist() for name in ("op", "dur", "unbounded")), strict=True)
        ),
        "refusals": _pages(trace, [reason for reason, _ in REFUSED], refusals["reason"], refusals),
        "revocations": dict(Counter(REVOKED[reason] for reason in outcome["revocations"]["reason"].tolist())),
        "costs": _costs(outcome["bins"].sum(axis=1).tolist()),
    }


def _pages(trace: Recorded, words: Sequence[str], codes: Any, rows: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    pages: Counter[tuple[str, str]] = Counter()
    for code, file, npages in zip(codes.tolist(), rows["file"].tolist(), rows["npages"].tolist(), strict=True):
        pages[words[code], trace.files[file] if file >= 0 else ""] += npages
    return {key: total for key, total in pages.items() if total}


def _empty(trace: Recorded, conflicts: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    classes, files = conflicts["class"].tolist(), conflicts["file"].tolist()
    rows = zip(classes, files, conflicts["npages"].tolist(), strict=True)
    return dict(Counter((tuple(CLASSES)[code], trace.files[file]) for code, file, npages in rows if not npages))


def _costs(totals: Sequence[int]) -> dict[str, float]:
    amounts = dict(zip(METRICS, totals, strict=True))
    return {name: amount / 10**9 if name in INTEGRALS else float(amount) for name, amount in amounts.items() if amount}


def oracle_answer(events: Sequence[Event], policy: Policy, params: Mapping[str, str]) -> Answer:
    world = Oracle(list(events), policy, parse_params({**dict(policy.params), **params})).run()
    return {
        "conflicts": dict(world.conflicts),
        "breaks of no page": dict(world.empty),
        "stalls": sorted(world.stalls),
        "refusals": dict(world.refusals),
        "revocations": dict(world.revocations),
        "costs": _costs([world.costs[name] for name in METRICS]),
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
