"""trace.dat: container, ring buffer pages, columns, and the lowering of what they hold."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from builders import tracedat as make
from builders.events import FORMATS, START, opened, recording, trace, wake

from fuzz import reading
from fuzz.workloads import RECORDS, excerpt, recorded

MODULES = ("replay.ingest.tracecmd", "replay.ingest.merging", "replay.ingest.lowering")
TOKENS = (
    *(b"__data_loc char[] ", b"__rel_loc ", b"unsigned long ", b"char comm[16]", b"common_pid", b"offset:", b"size:", b"signed:1;"),
    *(b"header_page\0", b"flyrecord\0", b"options  \0", b"latency  \0", b"format:\n", b"name: ", b"ID: ", b"field:"),
    *(bytes([number, 0]) for number in range(24)),
    *(struct.pack("<I", kind | 1 << 5) for kind in (0, 1, 28, 29, 30, 31)),
)


def decode(path: str, *, whole: bool = True) -> None:
    from replay.ingest.tracecmd import open_tracecmd

    reading.read(open_tracecmd(path), whole=whole)


def seeds() -> Iterator[tuple[str, bytes]]:
    entries = make.data(0, wake(1)) + make.data(3, opened(b"/mnt/a", (2, 3))) + make.discarded(1, 8)
    entries += make.time_extend(1 << 30) + make.data(0, wake(2)) + make.absolute(START + (1 << 31)) + make.long_data(0, wake(3))
    small = trace(
        make.page(START, entries, lost=5, page_bytes=256) + make.page(START + 7, make.data(0, wake(2)), page_bytes=256),
        make.page(START + 1, make.data(0, wake(3)), page_bytes=256, lost=0),
        page_bytes=256,
    )
    shift = struct.pack("<QIII", 1, 1, 2, 2) + struct.pack("<6Q", START, START + 9, 5, 7, 1, 1) + struct.pack("<I", 1)
    shift += struct.pack("<3Q", START, 5, 1) + struct.pack("<3Q", 0, 0, 0)
    options = ((1, b"0x1f\0"), (2, b"CPU: 0\noverrun: 3\n"), (5, b"Linux x 6.1.0\0"), (7, b"-12\0"), (8, struct.pack("<I", 2)), (12, shift))
    rich = make.Trace(
        FORMATS,
        [make.Instance("", small.instances[0].cpus), make.Instance("other", (small.instances[0].cpus[1],))],
        (*options, (14, struct.pack("<IIQ", 1 << 30, 30, 0))),
        clock="x86-tsc",
        page_bytes=256,
    )
    for name, what in (("small", small), ("rich", rich), ("long4", trace(make.page(START, entries, long_bytes=4), long_bytes=4))):
        yield f"{name}-v6", make.version_6(what)
        yield f"{name}-v7", make.version_7(what)
    yield "big-endian-v6", make.version_6(recording(">", 4))
    yield "big-endian-v7", make.version_7(recording(">"))
    yield "big-endian-zlib", make.version_7(recording(">"), "zlib")
    yield "small-zlib", make.version_7(small, "zlib")
    yield "small-zstd", make.version_7(rich, "zstd")
    for name, records in RECORDS.items():
        yield f"{name}-v6", make.version_6(recorded(records))
        yield f"{name}-v7", make.version_7(recorded(records))
    samples = Path(__file__).parents[2] / "sample_traces"
    for path in sorted(samples.glob("*.dat")):
        yield path.stem, make.version_6(excerpt(path))
