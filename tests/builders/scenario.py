"""Hand-written canonical events, as the engine's tests tell their scenarios. Times are milliseconds.

Task 10 and its thread 11 own MRs on file 8:1:42 unless said otherwise; task 20 is an administrator, task 2 a kworker.
"""

from __future__ import annotations

from typing import Any

MS = 10**6
FILE, DAX = "8:1:42", "259:0:7"
COMM = {10: "app", 11: "app", 20: "admin", 2: "kworker/u4:1"}
TGID = {11: 10}

Event = dict[str, Any]


def at(ms: float, op: str, tid: int = 10, **fields: Any) -> Event:
    return {
        "ts": int(ms * MS),
        "op": op,
        "tid": tid,
        "tgid": TGID.get(tid, tid),
        "comm": COMM.get(tid, f"task{tid}"),
        "file": FILE,
        **fields,
    }


def mr_reg(ms: float, mr: int, index: int, npages: int, **fields: Any) -> Event:
    return at(ms, "mr_reg", **{"mr": mr, "device": "mlx5_0", "index": index, "npages": npages, "write": True, **fields})


def mr_dereg(ms: float, mr: int, **fields: Any) -> Event:
    return at(ms, "mr_dereg", mr=mr, **fields)


def dirty(ms: float, index: int, npages: int = 1, **fields: Any) -> Event:
    return at(ms, "dirty", index=index, npages=npages, **fields)


def writeback(ms: float, index: int, npages: int = 1, tid: int = 2, **fields: Any) -> Event:
    return at(ms, "wb_start", tid, index=index, npages=npages, **{"sync": False, **fields})


def remote(ms: float, mr: int, index: int, npages: int = 1, op: str = "remote_write") -> Event:
    return at(ms, op, 30, mr=mr, index=index, npages=npages, bytes=npages * 4096)


def fsync(ms: float, dur_ms: float, tid: int = 20, **fields: Any) -> Event:
    return at(ms, "fsync", tid, dur=int(dur_ms * MS), **fields)


def punch(ms: float, index: int, npages: int, tid: int = 20, **fields: Any) -> Event:
    return at(ms, "punch", tid, **{"index": index, "npages": npages, "dur": 0, **fields})


def truncate(ms: float, index: int, tid: int = 20, **fields: Any) -> Event:
    return at(ms, "truncate", tid, **{"index": index, "dur": 0, **fields})


END = at(1000, "dirty", 30, index=999, npages=1)
