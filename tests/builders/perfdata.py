"""Makes small perf.data files, in file and in pipe mode, from the fields of samples up.

Written from perf.data-file-format.txt and include/uapi/linux/perf_event.h, without the reader's help.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from builders import tracedat

IP, TID, TIME, ADDR, READ, CALLCHAIN, ID, CPU, PERIOD, STREAM_ID, RAW = (1 << bit for bit in range(11))
BRANCH_STACK, REGS_USER, STACK_USER, WEIGHT, DATA_SRC, IDENTIFIER, TRANSACTION, REGS_INTR = (1 << bit for bit in range(11, 19))
PHYS_ADDR, AUX, CGROUP, DATA_PAGE_SIZE, CODE_PAGE_SIZE, WEIGHT_STRUCT = (1 << bit for bit in range(19, 25))
MMAP, LOST, COMM, EXIT, FORK, SAMPLE, MMAP2, LOST_SAMPLES = 1, 2, 3, 4, 7, 9, 10, 13
ATTR, TRACING_DATA, FINISHED_ROUND, UPDATE, FEATURE, COMPRESSED, COMPRESSED2 = 64, 66, 68, 78, 80, 81, 83
COMM_EXEC = 1 << 13


@dataclass(frozen=True, slots=True)
class Event:
    """struct perf_event_attr, and the ids of its instances."""

    config: int
    sample_type: int
    ids: Sequence[int]
    type: int = 2
    name: str = ""
    read_format: int = 0
    branch_type: int = 0
    user_registers: int = 0
    interrupt_registers: int = 0
    clockid: int | None = None
    bytes: int = 136

    def attr(self) -> bytes:
        flags = 1 << 18 | (0 if self.clockid is None else 1 << 25)
        head = struct.pack("<IIQQQQQ", self.type, self.bytes, self.config, 1, self.sample_type, self.read_format, flags)
        tail = struct.pack("<IIQQQQIiQ", 0, 0, 0, 0, self.branch_type, self.user_registers, 0, self.clockid or 0, self.interrupt_registers)
        return (head + tail).ljust(self.bytes, b"\xaa")[: self.bytes]


def record(kind: int, body: bytes, misc: int = 0) -> bytes:
    body += b"\0" * (-len(body) % 8)
    return struct.pack("<IHH", kind, misc, 8 + len(body)) + body


def words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *(number & (1 << 64) - 1 for number in numbers))


def pair(first: int, second: int) -> bytes:
    return struct.pack("<ii", first, second)


def raw(payload: bytes) -> bytes:
    """The raw part of a sample; its size counts the padding that makes size and payload a multiple of 8."""
    size = len(payload) + -(len(payload) + 4) % 8
    return struct.pack("<I", size) + payload.ljust(size, b"\0")


def text(value: bytes) -> bytes:
    return (value + b"\0").ljust(-(-(len(value) + 1) // 8) * 8, b"\0")


@dataclass(frozen=True, slots=True)
class Recording:
    """What goes into a file. `formats` are (system, text); `records` are bytes."""

    events: Sequence[Event]
    records: Sequence[bytes]
    formats: Sequence[tuple[str, str]] = ()
    features: dict[int, bytes] = field(default_factory=dict)

    def tracing_data(self) -> bytes:
        trace = tracedat.Trace(self.formats, ())
        head = b"\x17\x08\x44tracing0.6\0" + bytes([0, 8]) + struct.pack("<I", 4096)
        sections = trace.header_info() + trace.ftrace_formats() + trace.event_formats()
        return head + sections + struct.pack("<II", 0, 0) + struct.pack("<Q", 10) + b"7 saved\0\0\0"

    def all_features(self) -> dict[int, bytes]:
        names = [(event, event.name.encode() + b"\0") for event in self.events if event.name]
        described = b"".join(
            event.attr() + struct.pack("<II", len(event.ids), len(name)) + name + words(*event.ids) for event, name in names
        )
        found = dict(self.features)
        if self.formats:
            found[1] = self.tracing_data()
        if names:
            found[12] = struct.pack("<II", len(names), names[0][0].bytes) + described
        return dict(sorted(found.items()))


def file_mode(recording: Recording, *, magic: bytes = b"PERFILE2", data_bytes: int | None = None) -> bytes:
    """`data_bytes` is what the header says of the records' size, if not the truth."""
    events, body = recording.events, b"".join(recording.records)
    entry = events[0].bytes + 16
    ids_at = 104
    ids = b"".join(words(*event.ids) for event in events)
    attrs_at = ids_at + len(ids)
    attrs, at = b"", ids_at
    for event in events:
        attrs += event.attr() + words(at, 8 * len(event.ids))
        at += 8 * len(event.ids)
    data_at = attrs_at + len(attrs)
    features = recording.all_features()
    table, contents, at = b"", b"", data_at + len(body) + 16 * len(features)
    for content in features.values():
        table += words(at, len(content))
        contents += content
        at += len(content)
    bits = sum(1 << bit for bit in features)
    size = len(body) if data_bytes is None else data_bytes
    head = magic + words(104, entry, attrs_at, len(attrs), data_at, size, 0, 0) + bits.to_bytes(32, "little")
    return head + ids + attrs + body + table + contents


def pipe_mode(recording: Recording) -> bytes:
    body = b""
    for event in recording.events:
        body += record(ATTR, event.attr() + words(*event.ids))
    for bit, content in recording.all_features().items():
        if bit == 1:
            padded = content + b"\0" * (-len(content) % 8)
            body += record(TRACING_DATA, struct.pack("<I", len(padded))) + padded
        else:
            body += record(FEATURE, words(bit) + content)
    return b"PERFILE2" + words(16) + body + b"".join(recording.records)


def compressed(plain: bytes, pieces: int, kind: int = COMPRESSED, *, end: bool = False) -> list[bytes]:
    """Records of one zstd stream that is flushed after each piece, and ended or not."""
    sink = io.BytesIO()
    stream = pa.CompressedOutputStream(pa.PythonFile(sink, "w"), "zstd")
    step, before, records = -(-len(plain) // pieces), 0, []
    for begin in range(0, len(plain), step):
        stream.write(plain[begin : begin + step])
        stream.flush()
        packed = sink.getvalue()
        if end and begin + step >= len(plain):
            packed += b"\x01\x00\x00"
        body, before = packed[before:], len(packed)
        if kind == COMPRESSED2:
            records.append(record(kind, words(len(body)) + body))
        else:
            records.append(struct.pack("<IHH", kind, 0, 8 + len(body)) + body)
    return records
