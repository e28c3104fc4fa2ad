"""Canonical uses of perf's own records, which stand beside the samples. They are weak: a tracepoint tells the same better.

Without a time such a record is perf's account of what was there before.
"""

from __future__ import annotations

from replay.ingest.sources import Mapping, clone_flags, constant, device, first_page, has, shared

_ANY_BIT = (1 << 64) - 1
# PERF_RECORD_MISC_COMM_EXEC of include/uapi/linux/perf_event.h: the thread has its name from a new program.
_COMM_EXEC = 1 << 13

PERF_MAPPINGS = (
    Mapping(
        "mmap",
        "mmap",
        ("mmap2",),
        ("perf",),
        words={
            "dev": device("maj", "min"),
            "ino": has("ino"),
            "index": constant(1),
            "npages": has("ino_generation"),
            "a": has("addr"),
            "b": has("len"),
            "c": shared("flags"),
            "d": first_page("pgoff"),
        },
        weak=True,
        actor="tid",
    ),
    Mapping(
        *("fork", "fork", ("fork",), ("perf",)),
        words={"a": has("tid"), "b": clone_flags("pid", "ppid")},
        weak=True,
        only=("time", _ANY_BIT),
        actor="ptid",
    ),
    Mapping("exec", "exec", ("comm",), ("perf",), words={"a": constant(1)}, weak=True, only=("misc", _COMM_EXEC), actor="tid"),
    Mapping("exit", "exit", ("exit",), ("perf",), weak=True, actor="tid"),
)
