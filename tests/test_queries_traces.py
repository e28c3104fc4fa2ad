"""Reports on traces: the rows of their tables in, the report's rows out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from builders.stores import TRACE, add_trace, answer

from replay.store import Store

FILE = "8:1:42"
TASKS = [{"tid": tid, "tgid": 10, "comm": comm, "kthread": False, "events": 1} for tid, comm in ((10, "app"), (11, "mate"))]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def event(op: str, ts: int, tid: int = 10, **more: Any) -> dict[str, Any]:
    return {"seq": ts, "ts": ts, "op": op, "tid": tid, "tgid": 10, "open": False, **more}


def test_ownerless_pins_outlive_process_mapping_or_lease(store: Store) -> None:
    pin = {"mr": 0, "tid": 11, "file": FILE, "index": 0, "npages": 2, "addr": 0x10000}
    pins = [
        {**pin, "pin": 0, "ts_pin": 100, "ts_unpin": 450},  # unmapped at 300, its lease gone at 400
        {**pin, "pin": 1, "ts_pin": 100, "ts_unpin": None, "addr": 0x20000, "file": None},  # its process gone at 600
        {**pin, "pin": 2, "ts_pin": 350, "ts_unpin": 390},
    ]
    events = [
        event("munmap", 200, addr=0x12000, bytes=0x1000),  # beside the pinned range
        event("munmap", 300, addr=0x11000, bytes=0x1000),
        event("lease_add", 50, file=FILE),
        event("lease_del", 400, file=FILE),
        event("exit", 600),
        event("exit", 500, 11),
    ]
    add_trace(store, tables={"tasks": TASKS, "pins": pins, "events": events})
    found = answer(store, "ownerless")
    assert [
        (row["lost"], row["owner"], row["file"], row["bytes"], row["longest_ns"], row["longest_open"], row["alive"]) for row in found
    ] == [
        ("lease", "mate/11", FILE, 8192, 50, False, 0),
        ("mapping", "mate/11", FILE, 8192, 150, False, 0),
        ("process", "mate/11", None, 8192, 400, True, 1),
    ]


def test_a_process_whose_leader_lives_is_not_gone(store: Store) -> None:
    pins = [{"pin": 0, "tid": 11, "file": FILE, "npages": 2, "addr": 0, "ts_pin": 1, "ts_unpin": None}]
    add_trace(store, tables={"tasks": TASKS, "pins": pins, "events": [event("exit", 500, 11)]})
    assert answer(store, "ownerless") == []


def test_idle_pins_are_sorted_by_the_length_of_their_lives(store: Store) -> None:
    ms = 1_000_000
    lives = [(0, 5 * ms), (0, 10 * ms - 1), (ms, None), (0, 100), (0, 100)]
    mrs = [{"mr": mr, "bytes": 1000 + mr, "ts_reg": begin, "ts_dereg": end, "result": 0} for mr, (begin, end) in enumerate(lives)]
    mrs[4]["result"] = -95
    events = [event("remote_write", ts * ms, mr=mr) for mr, ts in ((0, 1), (0, 2), (1, 9))] + [event("pin", 4 * ms, mr=1)]
    add_trace(store, tables={"mrs": mrs, "events": events}, ts_last=20 * ms)
    found = answer(store, "idle-pins")
    columns = ("life", "mrs", "alive", "bytes", "unused", "median_idle_ns", "longest_idle_ns")
    assert [tuple(row[name] for name in columns) for row in found] == [
        ("under 1 ms", 1, 0, 1003, 1, None, None),
        ("1 to 10 ms", 2, 0, 2001, 0, ms - 1, 3 * ms),
        ("10 to 100 ms", 1, 1, 1002, 1, None, None),
    ]
    assert found[1]["idle_share"] == (4 * ms - 1) / (15 * ms - 1)


def test_dio_invalidate_blames_the_pin_that_was_alive(store: Store) -> None:
    fields = {"dev": [(8 << 20) | 1] * 3, "ino": [42] * 3, "offset": [8192, 4096, 8192], "length": [4096, 4096, 4096]}
    failures = pa.table({"seq": [0, 1, 2], "ts": [150, 160, 250], **fields})
    pins = [{"pin": 0, "tid": 10, "file": FILE, "index": 2, "npages": 3, "ts_pin": 100, "ts_unpin": 200}]
    add_trace(store, TRACE, tables={"tasks": TASKS, "pins": pins}, raw={("iomap", "iomap_dio_invalidate_fail"): failures})
    (row,) = answer(store, "dio-invalidate")
    assert (row["file"], row["failures"], row["bytes"], row["pinned"], row["holder"], row["first_ts"]) == (FILE, 3, 12288, 1, "app/10", 150)
