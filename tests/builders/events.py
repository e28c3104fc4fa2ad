"""A few events, and traces made of them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from builders import tracedat as make
from replay.ingest.tracecmd import TraceCmdReader, open_tracecmd

WAKE = ("sched", make.format_text("wake", 1301, [("int n", 8, 4, 1), ("char comm[8]", 12, 8, 0)]))
PATH = ("gup", make.format_text("open", 1303, [("__data_loc char[] path", 8, 4, 1), ("__rel_loc u16[] ids", 12, 4, 0)]))
STACK = ("ftrace", make.format_text("kernel_stack", 4, [("int size", 8, 4, 1), ("unsigned long caller[]", 16, 0, 0)]))
FORMATS = (WAKE, PATH, STACK)
START = 1 << 40


def wake(n: int, comm: bytes = b"pinload", pid: int = 17) -> bytes:
    return make.payload(1301, pid, struct.pack("<i8s", n, comm))


def opened(path: bytes, ids: tuple[int, ...] = ()) -> bytes:
    """The dynamic data follow both words: the path at 16 from the record's start, the ids from their own word's end."""
    path += b"\0"
    path += b"\0" * (len(path) % 2)
    words = struct.pack("<II", 16 | len(path) << 16, len(path) | 2 * len(ids) << 16)
    return make.payload(1303, 19, words + path + struct.pack(f"<{len(ids)}H", *ids))


def trace(*cpus: bytes, **more: object) -> make.Trace:
    return make.Trace(FORMATS, [make.Instance("", cpus)], **more)  # type: ignore[arg-type]


Tables = dict[str, list[dict[str, object]]]


def read_bytes(folder: Path, file: bytes) -> tuple[Tables, dict[str, int], TraceCmdReader]:
    """The rows by event, the losses that are not zero, and the reader."""
    path = folder / "made.dat"
    path.write_bytes(file)
    reader = open_tracecmd(path)
    tables: Tables = {}
    for batch in reader.batches():
        for (_, event), rows in batch.tables.items():
            rows.validate(full=True)
            tables.setdefault(event, []).extend(rows.to_pylist())
    counts = {name: reader.losses.count(name) for name, _ in reader.losses.counts}
    return tables, {name: count for name, count in counts.items() if count}, reader


VERSIONS = pytest.mark.parametrize(
    "build",
    [
        make.version_6,
        make.version_7,
        lambda trace: make.version_7(trace, "zlib"),
        lambda trace: make.version_7(trace, "zstd"),
    ],
    ids=["v6", "v7", "v7-zlib", "v7-zstd"],
)
