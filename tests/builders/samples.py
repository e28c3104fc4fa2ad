"""A few samples and records of perf.data, and recordings made of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from builders import perfdata as make
from builders import tracedat
from replay.ingest.perfdata import PerfReader, open_perfdata

WAKE = ("sched", tracedat.format_text("wake", 1301, [("int n", 8, 4, 1), ("char comm[8]", 12, 8, 0)]))
OPEN = ("gup", tracedat.format_text("open", 1303, [("__data_loc char[] path", 8, 4, 1), ("long ip", 16, 8, 1)]))
FORMATS = (WAKE, OPEN)
START = 1 << 40
USUAL = make.IDENTIFIER | make.IP | make.TID | make.TIME | make.CPU | make.PERIOD | make.RAW
OTHER = make.IDENTIFIER | make.TID | make.TIME | make.ADDR | make.CPU | make.CALLCHAIN | make.RAW
CYCLES = make.IDENTIFIER | make.IP | make.TID | make.TIME | make.CALLCHAIN | make.PERIOD
WAKES = make.Event(1301, USUAL, (31, 32), name="sched:wake")
OPENS = make.Event(1303, OTHER, (41, 42), name="gup:open")
Tables = dict[tuple[str, str], list[dict[str, Any]]]
PerfRead = Callable[[bytes], tuple[Tables, dict[str, int], PerfReader]]


def read_bytes(folder: Path, file: bytes) -> tuple[Tables, dict[str, int], PerfReader]:
    path = folder / "perf.data"
    path.write_bytes(file)
    reader = open_perfdata(path)
    tables: Tables = {}
    for batch in reader.batches():
        for key, rows in batch.tables.items():
            rows.validate(full=True)
            tables.setdefault(key, []).extend(rows.to_pylist())
    counts = {name: reader.losses.count(name) for name, _ in reader.losses.counts}
    return tables, {name: count for name, count in counts.items() if count}, reader


def wake(n: int, ts: int, cpu: int = 0, number: int = 31, tid: int = 17, pid: int = 11) -> bytes:
    payload = tracedat.payload(1301, tid, struct.pack("<i8s", n, b"pinload"))
    body = make.words(number, 0xFFFF1234) + make.pair(pid, tid) + make.words(ts) + make.pair(cpu, 0) + make.words(1)
    return make.record(make.SAMPLE, body + make.raw(payload), misc=1)


def opened(path: bytes, ts: int, cpu: int = 0, chain: Sequence[int] = (), number: int = 41) -> bytes:
    payload = tracedat.payload(1303, 19, struct.pack("<IIq", 24 | len(path) + 1 << 16, 0, -5) + path + b"\0")
    body = make.words(number) + make.pair(19, 19) + make.words(ts, 0xADD0) + make.pair(cpu, 0)
    return make.record(make.SAMPLE, body + make.words(len(chain), *chain) + make.raw(payload))


def trailer(ts: int, pid: int = 11, tid: int = 17, cpu: int = 0, number: int = 31) -> bytes:
    """Of an event with TID, TIME, CPU and IDENTIFIER."""
    return make.pair(pid, tid) + make.words(ts) + make.pair(cpu, 0) + make.words(number)


def comm(name: bytes, ts: int, pid: int = 11, tid: int = 17, misc: int = 0) -> bytes:
    return make.record(make.COMM, make.pair(pid, tid) + make.text(name) + trailer(ts, pid, tid), misc)


def family(kind: int, ts: int, pid: int, ppid: int, tid: int, ptid: int) -> bytes:
    return make.record(kind, make.pair(pid, ppid) + make.pair(tid, ptid) + make.words(ts) + trailer(ts, ppid, ptid))


def mmap2(addr: int, length: int, pgoff: int, ino: int, ts: int, flags: int = 1, pid: int = 11, tid: int = 17) -> bytes:
    body = make.pair(pid, tid) + make.words(addr, length, pgoff) + struct.pack("<IIQQII", 254, 16, ino, 7, 3, flags)
    return make.record(make.MMAP2, body + make.text(b"/data/f") + trailer(ts, pid, tid))


def usual(records: Sequence[bytes], *events: make.Event, **features: Any) -> make.Recording:
    return make.Recording(events or (WAKES, OPENS), records, FORMATS, **features)
