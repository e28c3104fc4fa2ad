"""A few events, and traces made of them."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path

import pytest

from builders import tracedat as make
from replay.ingest.tracecmd import TraceCmdReader, open_tracecmd

WAKE = ("sched", make.format_text("wake", 1301, [("int n", 8, 4, 1), ("char comm[8]", 12, 8, 0)]))
PATH = ("gup", make.format_text("open", 1303, [("__data_loc char[] path", 8, 4, 1), ("__rel_loc u16[] ids", 12, 4, 0)]))
STACK = ("ftrace", make.format_text("kernel_stack", 4, [("int size", 8, 4, 1), ("unsigned long caller[]", 16, 0, 0)]))
WIDE = ("sched", make.format_text("wide", 1305, [("u64 long", 8, 8, 0), ("short pair[2]", 16, 4, 1), ("bool on", 20, 1, 0)]))
FORMATS = (WAKE, PATH, STACK)
START = 1 << 40


def wake(n: int, comm: bytes = b"pinload", pid: int = 17, order: str = "<") -> bytes:
    return make.payload(1301, pid, struct.pack(order + "i8s", n, comm), order)


def opened(path: bytes, ids: tuple[int, ...] = (), order: str = "<") -> bytes:
    """The dynamic data follow both words: the path at 16 from the record's start, the ids from their own word's end."""
    path += b"\0"
    path += b"\0" * (len(path) % 2)
    words = struct.pack(order + "II", 16 | len(path) << 16, len(path) | 2 * len(ids) << 16)
    return make.payload(1303, 19, words + path + struct.pack(f"{order}{len(ids)}H", *ids), order)


def trace(*cpus: bytes, **more: object) -> make.Trace:
    return make.Trace(FORMATS, [make.Instance("", cpus)], **more)  # type: ignore[arg-type]


def recording(order: str, long_bytes: int = 8, page_bytes: int = 256) -> make.Trace:
    """All kinds of entries, fields and pages, on two CPUs and in two buffers."""
    entries = (
        make.data(0, wake(-2, order=order), order)
        + make.data(3, opened(b"/mnt/a", (2, 0x1234), order), order)
        + make.discarded(1, 8, order)
        + make.time_extend(5 << 30, order)
        + make.long_data(2, wake(7, order=order), order)
        + make.absolute(START + (9 << 30), order)
        + make.data(0, make.payload(1305, -3, struct.pack(order + "QhhB", 0x0102030405060708, -5, 600, 1), order), order)
    )
    page = partial(make.page, page_bytes=page_bytes, long_bytes=long_bytes, order=order)
    first = page(START, entries, lost=5) + page(START + (10 << 30), make.data(1, wake(8, order=order), order), lost=0)
    second = page(START + 1, make.data(0, wake(3, order=order), order))
    return make.Trace(
        (*FORMATS, WIDE),
        [make.Instance("", (first, second)), make.Instance("other", (second, b""))],
        [(8, struct.pack(order + "I", 2)), (14, struct.pack(order + "IIQ", 3, 1, 0))],
        clock="x86-tsc",
        page_bytes=page_bytes,
        long_bytes=long_bytes,
        order=order,
    )


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
