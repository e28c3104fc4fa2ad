"""sample_traces: the JSON schema of events.jsonl says what the reader does, and the bpftrace script prints such lines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from replay import schema
from replay.errors import TraceError
from replay.ingest import jsonl

ROOT = Path(__file__).parent.parent
SCHEMA: dict[str, Any] = json.loads((ROOT / "sample_traces/events.schema.json").read_text())
EXAMPLES = sorted((ROOT / "tests/examples").glob("*.jsonl"))
SCRIPT = (ROOT / "sample_traces/replay.bt").read_text()
TYPES = {"integer": int, "string": str, "boolean": bool}
NOT_PRINTED = {
    *("unpin", "reflink", "reclaim", "migrate", "block_alloc", "block_free"),
    *("mmap", "munmap", "fork", "exec", "exit"),
}
VALUES = {"%llu": "7", "%lld": "-7", "%u": "8", "%d": "9", "0x%llx": "0xff"}


def conforms(event: dict[str, Any]) -> bool:
    """As far as the schema goes that this repository uses."""
    if set(event) - set(SCHEMA["properties"]) or not set(SCHEMA["required"]) <= set(event):
        return False
    for key, value in event.items():
        told = SCHEMA["properties"][key]
        kinds = {type(None) if kind == "null" else TYPES[kind] for kind in _listed(told.get("type", []))}
        if "enum" in told and value not in told["enum"]:
            return False
        if kinds and type(value) not in kinds:
            return False
        if type(value) is int and not told["minimum"] <= value <= told["maximum"]:
            return False
    for rule in SCHEMA["allOf"]:
        if event["op"] in rule["if"]["properties"]["op"]["enum"] and any(event.get(key) is None for key in rule["then"]["required"]):
            return False
    return True


def _listed(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


def accepted(folder: Path, event: dict[str, Any]) -> bool:
    path = folder / "events.jsonl"
    path.write_text(json.dumps(event) + "\n")
    try:
        jsonl.read_jsonl(path)
    except TraceError:
        return False
    return True


def script_lines() -> list[str]:
    """Each line that the script can print, with values put in."""
    lines = []
    for form in re.findall(r'printf\("(\{.*?\})\\n"', SCRIPT):
        line = form.replace('\\"', '"')
        for place, value in VALUES.items():
            line = line.replace(place, value)
        line = line.replace('"comm":"%s"', '"comm":"app"')
        ops = ("punch", "collapse", "fallocate") if '"dur"' in line else ("remote_write", "remote_read")
        named = [line.replace('"op":"%s"', f'"op":"{op}"') for op in ops] if '"op":"%s"' in line else [line]
        lines += [line.replace(":%s", ":true") for line in named]
    return lines


def test_operations_and_keys_are_those_of_the_reader() -> None:
    assert SCHEMA["properties"]["op"]["enum"] == list(schema.OPS)
    assert set(SCHEMA["properties"]) == set(jsonl._KEYS)
    assert SCHEMA["additionalProperties"] is False


@pytest.mark.parametrize("key", sorted(SCHEMA["properties"]))
def test_the_reader_takes_of_a_key_what_the_schema_does(tmp_path: Path, key: str) -> None:
    event = {"ts": 5, "op": "fork"}
    low = [-1, -(1 << 63) - 1, -(1 << 63), 0, 1, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64]
    for value in [*low, None, True, False, "x", "fork", 1.5, [], {}]:
        changed = {**event, key: value}
        assert accepted(tmp_path, changed) == conforms(changed), changed


@pytest.mark.parametrize("op", schema.OPS)
def test_the_reader_needs_of_an_operation_what_the_schema_does(tmp_path: Path, op: str) -> None:
    whole = {"ts": 5, "op": op, "file": "8:1:42", "index": 3, "npages": 2, "mr": 1, "dur": 7}
    assert accepted(tmp_path, whole)
    for key in whole:
        lacking = {name: value for name, value in whole.items() if name != key}
        assert accepted(tmp_path, lacking) == conforms(lacking), lacking


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_conform(path: Path) -> None:
    assert [line for line in path.read_text().splitlines() if line and not conforms(json.loads(line))] == []
    assert all(conforms(event) for event in SCHEMA["examples"])


def test_every_line_of_the_script_conforms_and_is_read(tmp_path: Path) -> None:
    lines = script_lines()
    events = [json.loads(line) for line in lines]
    assert [event for event in events if not conforms(event)] == []
    assert set(schema.OPS) - {event["op"] for event in events} == NOT_PRINTED
    (tmp_path / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    _, canonical = jsonl.read_jsonl(tmp_path / "events.jsonl")
    assert canonical.tables["events"].num_rows >= len(lines)


def test_lines_of_the_script_begin_with_what_sort_sorts_by() -> None:
    assert all(line.startswith('{"ts":7,') for line in script_lines())


def test_the_script_clears_every_map() -> None:
    maps = set(re.findall(r"@\w+", SCRIPT.partition("*/")[2]))
    assert maps == set(re.findall(r"clear\((@\w+)\)", SCRIPT))


def test_jsonschema_agrees(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    for line in [*script_lines(), *EXAMPLES[0].read_text().splitlines()]:
        validator.validate(json.loads(line))
    wrong = ({"op": "dirty"}, {"ts": 1, "op": "dirty", "file": "a"}, {"ts": 1, "op": "x"}, {"ts": -1, "op": "fork"})
    assert [event for event in wrong if validator.is_valid(event)] == []
