"""The worked examples: small scenarios whose outcome was computed by hand (examples/NAME.expected.json).

Each is replayed in memory, and all of them once more as a user would: ingest, run, sql.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replay.cli import main
from replay.columns import load
from replay.ingest.jsonl import read_jsonl
from replay.outcomes import CLASSES, METRICS, RunName
from replay.params import PARAMS, parse_params
from replay.policies import BUILTIN, find_policy
from replay.runs import replay_tables

EXAMPLES = Path(__file__).parent / "examples"
RUNS = [
    pytest.param(path.with_name(path.name.replace(".expected.json", ".jsonl")), run, id=f"{path.stem}-{run['policy']}-{number}")
    for path in sorted(EXAMPLES.glob("*.expected.json"))
    for number, run in enumerate(json.loads(path.read_text())["runs"])
]

CONFLICTS = "select run, class, sum(npages)::bigint as pages from conflicts group by run, class"
STALLS = "select run, op, dur, unbounded from stalls order by run, ts"
COSTS = "select run, metric, value from costs"


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


def test_everything_has_an_example() -> None:
    """Each policy, class, cost and parameter stands in a run whose numbers were derived by hand; classes and costs with some to show."""
    runs = [case.values[1] for case in RUNS]
    shown = [run for run in runs if isinstance(run, dict)]
    assert {policy.name for policy in BUILTIN} <= {run["policy"] for run in shown}
    for part, names in (("conflicts", CLASSES), ("costs", METRICS)):
        assert set(names) == {name for run in shown for name, value in run.get(part, {}).items() if value}, part
    assert {param.name for param in PARAMS} == {name for run in shown for name in run["params"]}


def test_examples_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def replay(*args: str) -> Any:
        with pytest.raises(SystemExit) as end:
            main([*args, "--store", str(tmp_path / "store")])
        out = capsys.readouterr().out
        assert end.value.code == 0, args
        return json.loads(out) if out.startswith("[") else []

    replay("ingest", *map(str, sorted(EXAMPLES.glob("*.jsonl"))))
    runs = {}
    for case in RUNS:
        path, expected = case.values
        assert isinstance(path, Path)
        assert isinstance(expected, dict)
        params = [text for name, value in expected["params"].items() for text in ("--param", f"{name}={value}")]
        (row,) = replay("run", "--format", "json", "--policy", expected["policy"], "--trace", path.name, *params)
        runs[row["run"]] = expected
    assert len(runs) == len(RUNS)
    conflicts, stalls, costs = (replay("sql", "--format", "json", query) for query in (CONFLICTS, STALLS, COSTS))
    for run, expected in runs.items():
        pages = {row["class"]: row["pages"] for row in conflicts if row["run"] == run}
        assert {name: pages.get(name, 0) for name in expected.get("conflicts", {})} == expected.get("conflicts", {})
        found = [[row["op"], row["dur"], row["unbounded"]] for row in stalls if row["run"] == run]
        assert found == expected.get("stalls", found)
        values = {row["metric"]: row["value"] for row in costs if row["run"] == run}
        assert {name: values[name] for name in expected.get("costs", {})} == expected.get("costs", {})
