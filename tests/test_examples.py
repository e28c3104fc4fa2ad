"""The worked examples: small scenarios whose outcome was computed by hand (examples/NAME.expected.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replay.columns import load
from replay.ingest.jsonl import read_jsonl
from replay.outcomes import RunName
from replay.params import parse_params
from replay.policies import find_policy
from replay.runs import replay_tables

EXAMPLES = Path(__file__).parent / "examples"
RUNS = [
    pytest.param(path.with_name(path.name.replace(".expected.json", ".jsonl")), run, id=f"{path.stem}-{run['policy']}-{number}")
    for path in sorted(EXAMPLES.glob("*.expected.json"))
    for number, run in enumerate(json.loads(path.read_text())["runs"])
]


@pytest.mark.parametrize(("path", "expected"), RUNS)
def test_example(path: Path, expected: dict[str, Any]) -> None:
    recorded = load(read_jsonl(path)[1].tables)
    policy = find_policy(expected["policy"])
    tables = replay_tables(recorded, policy, parse_params(expected["params"]), RunName("run", policy.name, "trace"))
    conflicts = tables["conflicts"].to_pylist()
    for name, npages in expected.get("conflicts", {}).items():
        assert sum(row["npages"] for row in conflicts if row["class"] == name) == npages, name
    stalls = [[row["op"], row["dur"], row["unbounded"]] for row in tables["stalls"].to_pylist()]
    assert stalls == expected.get("stalls", stalls)
    costs = {row["metric"]: row["value"] for row in tables["costs"].to_pylist()}
    for metric, value in expected.get("costs", {}).items():
        assert costs[metric] == value, metric
