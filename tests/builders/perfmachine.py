"""perf.data of machines of either byte order; perf is the witness that it is what it claims to be."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import pyarrow as pa

from builders import perfdata as make
from builders import tracedat
from builders.samples import FORMATS, START

WAKES = make.IDENTIFIER | make.IP | make.TID | make.TIME | make.CPU | make.PERIOD | make.RAW
CLOCK = make.IDENTIFIER | make.TID | make.TIME | make.READ | make.CALLCHAIN | make.REGS_USER | make.STACK_USER | make.WEIGHT
SYSTEM, WAKE_TEXT = FORMATS[0]
WAKE = (SYSTEM, f'{WAKE_TEXT.partition("print fmt")[0]}print fmt: "n=%d comm=%s", REC->n, REC->comm\n')
HOSTNAME, NRCPUS, EVENT_DESC = 3, 7, 12


@dataclass(frozen=True, slots=True)
class Machine:
    """Writes what its perf would. `long_bytes` is the size of perf's own longs."""

    order: str
    long_bytes: int = 8

    def words(self, *numbers: int) -> bytes:
        return struct.pack(f"{self.order}{len(numbers)}Q", *numbers)

    def halves(self, *numbers: int) -> bytes:
        return struct.pack(f"{self.order}{len(numbers)}I", *numbers)

    def record(self, kind: int, body: bytes, misc: int = 0) -> bytes:
        body += b"\0" * (-len(body) % 8)
        return struct.pack(f"{self.order}IHH", kind, misc, 8 + len(body)) + body

    def string(self, text: bytes) -> bytes:
        return self.halves(len(text) + 1) + text + b"\0"

    def attr(self, kind: int, config: int, sample_type: int, read_format: int = 0) -> bytes:
        """Bit 18 is sample_id_all, bit 25 use_clockid: counted from the end that a compiler of the machine begins with."""
        flags = 1 << 18 | 1 << 25
        flags = flags if self.order == "<" else int(f"{flags:064b}"[::-1], 2)
        head = struct.pack(f"{self.order}IIQQQQQ", kind, 112, config, 1, sample_type, read_format, flags)
        return head + struct.pack(f"{self.order}IIQQQQIiQQ", 0, 0, 0, 0, 0, 0b101, 16, 1, 0, 0)

    def attrs(self) -> list[tuple[bytes, int]]:
        return [(self.attr(2, 1301, WAKES), 31), (self.attr(1, 0, CLOCK, 4), 41)]

    def trailer(self, ts: int) -> bytes:
        """Both events have TID, TIME and IDENTIFIER in it, the first one CPU too: it is the first one's."""
        return self.halves(11, 17) + self.words(ts) + self.halves(3, 0) + self.words(31)

    def records(self) -> list[bytes]:
        payload = tracedat.payload(1301, 17, struct.pack(f"{self.order}i8s", -7, b"pinload"), self.order)
        raw = self.halves(len(payload)) + payload
        wake = self.words(31, 0xFFFF1234) + self.halves(11, 17) + self.words(START + 2) + self.halves(3, 0) + self.words(1)
        clock = self.words(41) + self.halves(11, 17) + self.words(START + 5, 77, 41, 3, 0xAA, 0xBB, 0xCC)
        clock += self.words(2, 1, 2) + self.words(8, 0xEEEE, 8) + self.words(99)
        mapped = self.halves(11, 17) + self.words(0x7F0000000000, 1 << 16, 4096) + self.halves(254, 16) + self.words(13, 7)
        return [
            self.record(make.COMM, self.halves(11, 17) + make.text(b"app") + self.trailer(START)),
            self.record(make.MMAP2, mapped + self.halves(3, 1) + make.text(b"/data/f") + self.trailer(START + 1), 2),
            self.record(make.SAMPLE, wake + raw, 1),
            self.record(make.FORK, self.halves(12, 11, 12, 17) + self.words(START + 3) + self.trailer(START + 3)),
            self.record(make.LOST, self.words(31, 5) + self.trailer(START + 4)),
            self.record(make.SAMPLE, clock, 2),
            self.record(29, self.words(1) + self.trailer(START + 6)),
        ]

    def features(self) -> dict[int, bytes]:
        trace = tracedat.Trace([WAKE], (), order=self.order)
        tracing = b"\x17\x08\x44tracing0.6\0" + bytes([self.order == ">", 8]) + self.halves(4096)
        tracing += trace.header_info() + trace.ftrace_formats() + trace.event_formats()
        tracing += self.halves(0, 0) + self.words(10) + b"7 saved\0\0\0"
        names = b"".join(
            attr + self.halves(1) + self.string(name) + self.words(number)
            for (attr, number), name in zip(self.attrs(), (b"sched:wake", b"clock"), strict=True)
        )
        return {1: tracing, HOSTNAME: self.string(b"host"), NRCPUS: self.halves(8, 8), EVENT_DESC: self.halves(2, 112) + names}

    def file(self, body: bytes) -> bytes:
        attrs, ids = self.attrs(), 104
        attrs_at, features = ids + 8 * len(attrs), self.features()
        entries = b"".join(attr + self.words(ids + 8 * place, 8) for place, (attr, _) in enumerate(attrs))
        at = attrs_at + len(entries) + len(body) + 16 * len(features)
        table = b""
        for content in features.values():
            table += self.words(at, len(content))
            at += len(content)
        bits = sum(1 << bit for bit in features)
        longs = "QI"[self.long_bytes == 4]
        mask = struct.pack(self.order + longs, bits).ljust(32, b"\0")
        magic = self.words(0x32454C4946524550)
        head = magic + self.words(104, 128, attrs_at, len(entries), attrs_at + len(entries), len(body), 0, 0) + mask
        return head + self.words(*(number for _, number in attrs)) + entries + body + table + b"".join(features.values())

    def pipe(self, body: bytes) -> bytes:
        head = b"".join(self.record(make.ATTR, attr + self.words(number)) for attr, number in self.attrs())
        for bit, content in self.features().items():
            padded = content + b"\0" * (-len(content) % 8)
            head += (
                self.record(make.TRACING_DATA, self.halves(len(padded), 0)) + padded
                if bit == 1
                else self.record(make.FEATURE, self.words(bit) + content)
            )
        return self.words(0x32454C4946524550, 16) + head + body

    def compressed(self, kind: int) -> bytes:
        """All records in two of one stream."""
        sink, records, before = io.BytesIO(), b"", 0
        stream = pa.CompressedOutputStream(pa.PythonFile(sink, "w"), "zstd")
        for piece in (self.records()[:3], self.records()[3:]):
            stream.write(b"".join(piece))
            stream.flush()
            packed, before = sink.getvalue()[before:], len(sink.getvalue())
            size = self.words(len(packed)) if kind == make.COMPRESSED2 else b""
            body = size + packed + b"\0" * (-len(packed) % 8 if size else 0)
            records += struct.pack(f"{self.order}IHH", kind, 0, 8 + len(body)) + body
        return records
