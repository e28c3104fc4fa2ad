"""perf.data: header, records, samples, compressed records, and the lowering of what they hold."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from builders import perfdata as make
from builders import raw, tracedat
from builders.perfmachine import Machine
from builders.samples import CYCLES, START, USUAL, comm, family, mmap2, opened, usual, wake

from fuzz import reading
from fuzz.workloads import FIRST_ID, RECORDS, encoded

MODULES = ("replay.ingest.perfdata", "replay.ingest.lowering")
_KINDS = (*range(1, 21), *range(64, 84))
TOKENS = (
    *(struct.pack("<I", kind) for kind in _KINDS),
    *(make.words(1 << bit) for bit in range(25)),
    *(struct.pack("<HH", misc, size) for misc in (0, 1, 1 << 13) for size in (8, 16, 48, 65528)),
    *(struct.pack(">I", kind) for kind in _KINDS),
    *(b"PERFILE2", b"2ELIFREP", b"\x28\xb5\x2f\xfd", b"\x01\x00\x00", b"__data_loc char[] ", b"offset:", b"size:", b"//anon", b"[vdso]"),
)


def decode(path: str, *, whole: bool = True) -> None:
    from replay.ingest.perfdata import open_perfdata

    reading.read(open_perfdata(path), whole=whole)


def seeds() -> Iterator[tuple[str, bytes]]:
    records = [
        comm(b"app", START),
        mmap2(0x7F0000000000, 1 << 16, 0, 13, START + 1),
        wake(1, START + 2),
        opened(b"/mnt/a", START + 3, chain=(1, 2, 3)),
        family(make.FORK, START + 4, 12, 11, 12, 11),
        make.record(make.LOST, make.words(31, 5)),
        make.record(make.LOST_SAMPLES, make.words(3)),
        family(make.EXIT, START + 9, 12, 11, 12, 11),
    ]
    clock = make.Event(0, CYCLES, (61,), type=1, name="cycles")
    for name, build in (("file", make.file_mode), ("pipe", make.pipe_mode)):
        yield name, build(usual(records))
        yield f"{name}-no-formats", build(make.Recording((clock,), records[:3]))
        for kind in (make.COMPRESSED, make.COMPRESSED2):
            yield f"{name}-{kind}", build(usual(make.compressed(b"".join(records), 3, kind)))
    machine = Machine(">")
    yield "big-endian-file", machine.file(b"".join(machine.records()))
    yield "big-endian-pipe", machine.pipe(b"".join(machine.records()))
    yield "big-endian-83", machine.pipe(machine.compressed(make.COMPRESSED2))
    for name, workload in RECORDS.items():
        yield f"{name}-file", make.file_mode(_recording(workload))
    yield from reading.recorded("*.perf.data")


def _recording(records: Sequence[raw.Record]) -> make.Recording:
    formats, bodies = encoded(records)
    numbers = {system_event: FIRST_ID + place for place, system_event in enumerate(formats)}
    events = [make.Event(number, USUAL, (number,), name=f"{system}:{event}") for (system, event), number in numbers.items()]
    samples = []
    for seq, ((event, tid, _), body) in enumerate(zip(records, bodies, strict=True)):
        number = numbers[raw.system(event), event]
        head = make.words(number, 0xFFFF1234) + make.pair(tid, tid) + make.words(START + seq) + make.pair(0, 0) + make.words(1)
        samples.append(make.record(make.SAMPLE, head + make.raw(tracedat.payload(number, tid, body)), misc=1))
    return make.Recording(events, samples, [(system, text) for (system, _), text in formats.items()])
