"""events.jsonl: lines to rows, and one clear error for each kind of wrong line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders.raw import rows

from replay import schema
from replay.errors import TraceError
from replay.ingest.canonical import Canonical
from replay.ingest.jsonl import read_jsonl

REG = {
    "ts": 10,
    "op": "mr_reg",
    "mr": 7,
    "file": "f",
    "index": 2,
    "npages": 3,
    "write": True,
    "tid": 5,
    "tgid": 4,
    "comm": "app",
    "device": "mlx5_0",
}
DEREG = {"ts": 90, "op": "mr_dereg", "mr": 7, "tid": 5}


def read(folder: Path, *events: dict[str, Any] | str | bytes) -> Canonical:
    lines = [line if isinstance(line, bytes) else line.encode() if isinstance(line, str) else json.dumps(line).encode() for line in events]
    path = folder / "events.jsonl"
    path.write_bytes(b"\n".join(lines))
    info, canonical = read_jsonl(path)
    assert info.format == "events.jsonl"
    return canonical


def test_registration_pins_its_range_and_release_unpins_it(tmp_path: Path) -> None:
    canonical = read(tmp_path, REG, {"ts": 20, "op": "dirty", "file": "f", "index": 4}, DEREG)
    columns = (
        "seq",
        "ts",
        "op",
        "tid",
        "tgid",
        "comm",
        "file",
        "index",
        "npages",
        "mr",
        "pin",
        "write",
        "longterm",
        "dirty",
        "slot",
        "nslots",
    )
    assert rows(canonical, "events", *columns) == [
        (0, 10, "mr_reg", 5, 4, "app", "f", 2, 3, 0, None, True, None, None, 0, 3),
        (0, 10, "pin", 5, 4, "app", "f", 2, 3, 0, 0, True, True, None, 0, 3),
        (1, 20, "dirty", 0, None, None, "f", 4, 1, None, None, None, None, None, 2, 1),
        (2, 90, "unpin", 5, None, None, "f", 2, 3, 0, 0, True, True, True, 0, 3),
        (2, 90, "mr_dereg", 5, None, None, "f", 2, 3, 0, None, None, None, None, 0, 3),
    ]
    columns = ("mr", "label", "device", "tid", "tgid", "comm", "file", "index", "npages", "write", "ts_reg", "ts_dereg", "bytes")
    assert rows(canonical, "mrs", *columns) == [(0, "7", "mlx5_0", 5, 4, "app", "f", 2, 3, True, 10, 90, 12288)]
    assert rows(canonical, "pins", "pin", "mr", "file", "index", "npages", "slot", "write", "longterm", "ts_pin", "ts_unpin") == [
        (0, 0, "f", 2, 3, 0, True, True, 10, 90)
    ]
    assert rows(canonical, "tasks", "tid", "tgid", "comm", "events") == [(0, None, None, 1), (5, 4, "app", 4)]
    for declared in schema.TRACE_TABLES:
        assert canonical.tables[declared.name].schema == declared.arrow_schema()


def test_labels_may_be_used_again_and_may_be_words(tmp_path: Path) -> None:
    canonical = read(
        tmp_path, REG, DEREG, {**REG, "ts": 91}, {**REG, "ts": 92, "mr": "b"}, {**DEREG, "ts": 93}, {**DEREG, "ts": 94, "mr": "b"}
    )
    assert rows(canonical, "mrs", "mr", "label", "ts_reg", "ts_dereg") == [(0, "7", 10, 90), (1, "7", 91, 93), (2, "b", 92, 94)]


def test_region_from_before_the_events_is_counted(tmp_path: Path) -> None:
    canonical = read(tmp_path, {"ts": 1, "op": "remote_write", "mr": 3, "file": "f", "index": 0, "bytes": 512}, {**DEREG, "mr": 4})
    assert rows(canonical, "mrs", "label", "preexisting", "ts_reg", "ts_dereg") == [("3", True, None, None), ("4", True, None, 90)]
    assert rows(canonical, "losses", "counter", "count") == [("mr_release_without_reg", 1)]


def test_refused_and_odp_registrations_pin_nothing(tmp_path: Path) -> None:
    canonical = read(tmp_path, {**REG, "result": -95}, {**REG, "mr": 8, "odp": True})
    assert rows(canonical, "events", "op") == [("mr_reg",), ("mr_reg",)]
    assert rows(canonical, "mrs", "result", "odp", "npages") == [(-95, False, 0), (0, True, 0)]


def test_unpin_by_label_by_range_or_of_nothing(tmp_path: Path) -> None:
    pin = {"op": "pin", "file": "f", "index": 1, "npages": 2, "write": True}
    unpin = {"op": "unpin", "ts": 9}
    canonical = read(
        tmp_path,
        {**pin, "ts": 1, "pin": "a"},
        {**pin, "ts": 2},
        {**unpin, "pin": "a", "dirty": True},
        {**unpin, "file": "f", "index": 1, "npages": 2},
        {**unpin, "file": "f", "index": 8},
    )
    assert rows(canonical, "pins", "pin", "longterm", "ts_pin", "ts_unpin") == [(0, False, 1, 9), (1, False, 2, 9)]
    assert rows(canonical, "events", "pin", "index", "npages", "dirty", op="unpin") == [
        (0, 1, 2, True),
        (1, 1, 2, None),
        (None, 8, 1, None),
    ]
    assert rows(canonical, "losses", "counter", "count") == [("ends_without_begin", 1)]


def test_null_duration_is_open_and_a_missing_one_is_not_told(tmp_path: Path) -> None:
    fsync = {"op": "fsync", "file": "f"}
    canonical = read(
        tmp_path, {**fsync, "ts": 1, "dur": 5}, {**fsync, "ts": 2, "dur": None}, {**fsync, "ts": 3}, {"op": "exec", "ts": 4, "dur": None}
    )
    assert rows(canonical, "events", "dur", "open") == [(5, False), (None, True), (None, False), (None, False)]


def test_dax_on_any_event_marks_the_file(tmp_path: Path) -> None:
    canonical = read(
        tmp_path,
        {**REG, "file": "259:0:7"},
        {"ts": 20, "op": "dirty", "file": "259:0:7", "index": 0, "dax": True},
        {**REG, "ts": 30, "mr": 2},
    )
    assert rows(canonical, "files", "file", "dev", "ino", "dax", "events") == [
        ("259:0:7", "259:0", 7, True, 3),
        ("f", None, None, False, 2),
    ]
    assert rows(canonical, "events", "file", "dax") == [("259:0:7", True)] * 3 + [("f", None)] * 2


def test_truncate_reaches_to_the_end_of_the_file(tmp_path: Path) -> None:
    canonical = read(
        tmp_path, REG, {"ts": 20, "op": "truncate", "file": "f", "index": 4, "dur": 1}, {"ts": 20, "op": "truncate", "file": "f"}
    )
    assert rows(canonical, "events", "index", "npages", "slot", "nslots", op="truncate") == [(4, None, 2, 1), (None, None, -1, 0)]


def test_empty_file_and_blank_lines(tmp_path: Path) -> None:
    assert read(tmp_path).tables["events"].num_rows == 0
    assert rows(read(tmp_path, "", REG, "  ", {**DEREG, "ts": 91}), "events", "seq", "op") == [
        (1, "mr_reg"),
        (1, "pin"),
        (3, "unpin"),
        (3, "mr_dereg"),
    ]


def test_columns_that_only_some_chunks_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.ingest.jsonl._CHUNK_LINES", 1)
    dirty = {"op": "dirty", "file": "f", "index": 0}
    canonical = read(
        tmp_path, {**dirty, "ts": 1}, {**dirty, "ts": 2, "comm": "b", "bytes": 5}, {**dirty, "ts": 3}, {**dirty, "ts": 4, "comm": "a"}
    )
    assert rows(canonical, "events", "comm", "bytes") == [(None, None), ("b", 5), (None, None), ("a", None)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"ts": 20, "op": "dirty"', "expected a JSON object"),
        ("[1]", "expected a JSON object, found a list"),
        ('{"ts": NaN, "op": "exit"}', "NaN is not JSON"),
        ("[" * 100000, "expected a JSON object"),
        ('{"ts": 20, "op": "exit", "comm": "\\ud800"}', "expected a JSON object"),
        (b'{"ts": 20, "op": "\xff"}', "expected a JSON object"),
        ('{"op": "exit"}', "ts: expected a time in nanoseconds, found none"),
        ('{"ts": 9, "op": "exit"}', "expected events in time order, found ts 9 after 10"),
        ('{"ts": -1, "op": "exit"}', "ts: expected a time of 0 to 2^61 - 1 ns, found -1"),
        ('{"ts": 1.5, "op": "exit"}', "ts: expected a time of 0 to 2^61 - 1 ns, found 1.5"),
        ('{"ts": true, "op": "exit"}', "ts: expected a time of 0 to 2^61 - 1 ns, found true"),
        ('{"ts": 2305843009213693952, "op": "exit"}', "ts: expected a time of 0 to 2^61 - 1 ns, found 2305843009213693952"),
        ('{"ts": 20, "op": "fsync", "file": "f", "dur": 2305843009213693952}', "dur: expected a time"),
        ('{"ts": 20, "op": "exit", "cpu": 2147483647}', "cpu: expected a CPU, 0 to 65535, found 2147483647"),
        ('{"ts": 20, "op": "dirty", "file": "f", "index": 2251799813685247}', "index: expected a page of a file"),
        ('{"ts": 20, "op": "dirty", "file": "f", "index": 2251799813685246, "npages": 2}', "expected at most 1 pages from index 225179"),
        ('{"ts": 20, "op": "mr_reg", "mr": 1, "file": "f", "index": 0, "npages": 2147483648}', "npages: expected at most 2147483647 pages"),
        ('{"ts": 20, "op": "fork", "tid": 2147483648}', "tid: expected a non-negative 32-bit integer"),
        ('{"ts": 20, "op": "dirty", "file": "f", "index": 0, "npages": 0}', "npages: expected a positive 64-bit integer, found 0"),
        ('{"ts": 20, "op": "dirty", "file": 3, "index": 0}', "file: expected a string, found 3"),
        ('{"ts": 20, "op": "dirty", "file": "f"}', "dirty: expected 'index', found none"),
        ('{"ts": 20, "op": "mr_reg"}', "mr_reg: expected 'mr', found none"),
        ('{"ts": 20, "op": "dirtied"}', "op: expected a canonical operation, found 'dirtied'; did you mean 'dirty'?"),
        ('{"ts": 20, "op": "dirty", "page": 3}', "unknown key 'page'; did you mean 'npages'?"),
    ],
)
def test_wrong_line_is_named(tmp_path: Path, line: str | bytes, expected: str) -> None:
    with pytest.raises(TraceError) as caught:
        read(tmp_path, REG, line, DEREG)
    assert caught.value.offset == len(json.dumps(REG)) + 1
    assert "line 2: " in str(caught.value)
    assert expected in str(caught.value)


def test_endless_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="at most 1048576 bytes"):
        read(tmp_path, '{"ts": 1, "op": "exit", "comm": "' + "x" * (1 << 20) + '"}')


def test_more_pages_than_memory_could_hold_are_refused(tmp_path: Path) -> None:
    pins = [{**REG, "mr": number, "index": number << 31, "npages": (1 << 31) - 1} for number in range(9)]
    with pytest.raises(TraceError, match=f"touch {9 * ((1 << 31) - 1)} pages"):
        read(tmp_path, *pins)


def test_missing_file_is_an_error_of_the_trace(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="No such file"):
        read_jsonl(tmp_path / "none.jsonl")


def test_empty_names_are_none(tmp_path: Path) -> None:
    nobody = {"ts": 1, "op": "remote_write", "file": "", "index": 0, "comm": "", "tid": 7}
    canonical = read(tmp_path, nobody)
    assert rows(canonical, "events", "file", "comm", "slot", "id_source") == [(None, None, -1, None)]
    assert rows(canonical, "files", "file") == []
    with pytest.raises(TraceError, match="dirty: expected 'file', found none"):
        read(tmp_path, {**nobody, "op": "dirty"})
