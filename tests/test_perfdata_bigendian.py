"""perf.data of big-endian machines: what a file holds does not depend on the byte order it is written in.

No recording of such a machine is at hand: the files are made, and perf is the witness that they are what they claim.
"""

from __future__ import annotations

import io
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from builders import perfdata as make
from builders import tracedat
from builders.samples import FORMATS, START, read_bytes

from replay.ingest.pipeline import ingest_file
from replay.store import Store

ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
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


def expect(tmp_path: Path, file: bytes) -> None:
    tables, losses, reader = read_bytes(tmp_path, file)
    (wake,), (clock,), (mapped,) = tables["sched", "wake"], tables["perf", "clock"], tables["perf", "mmap2"]
    assert (wake["ts"], wake["cpu"], wake["n"], wake["comm"], wake["common_pid"]) == (START + 2, 3, -7, "pinload", 17)
    assert (wake["sample_ip"], wake["sample_pid"], wake["sample_misc"]) == (0xFFFF1234, 11, 1)
    assert (clock["ts"], clock["tid"], clock["callchain"], clock["weight"]) == (START + 5, 17, [0xAA, 0xBB, 0xCC], 99)
    assert (mapped["addr"], mapped["pgoff"], mapped["maj"], mapped["min"]) == (0x7F0000000000, 4096, 254, 16)
    assert (mapped["ino"], mapped["ino_generation"], mapped["filename"], mapped["ts"]) == (13, 7, "/data/f", START + 1)
    assert (tables["perf", "fork"][0]["tid"], tables["perf", "lost"][0]["lost"]) == (12, 5)
    assert losses == {"kernel_lost_events": 5, "skipped_records": 1}
    info = reader.info
    assert (info.cpus, info.clock, info.tgids[17], info.cmdlines) == (8, "mono", 11, {7: "saved", 17: "app", 12: "app"})


@ORDERS
@pytest.mark.parametrize("long_bytes", [4, 8])
def test_a_file_means_the_same_in_either_order(tmp_path: Path, order: str, long_bytes: int) -> None:
    machine = Machine(order, long_bytes)
    expect(tmp_path, machine.file(b"".join(machine.records())))


@ORDERS
def test_a_pipe_means_the_same_in_either_order(tmp_path: Path, order: str) -> None:
    machine = Machine(order)
    expect(tmp_path, machine.pipe(b"".join(machine.records())))


@ORDERS
@pytest.mark.parametrize("kind", [make.COMPRESSED, make.COMPRESSED2])
def test_compressed_records_mean_the_same_in_either_order(tmp_path: Path, order: str, kind: int) -> None:
    machine = Machine(order)
    expect(tmp_path, machine.file(machine.compressed(kind)))


def test_ingest_recognises_a_big_endian_file(tmp_path: Path) -> None:
    machine = Machine(">")
    (tmp_path / "perf.data").write_bytes(machine.file(b"".join(machine.records())))
    summary = ingest_file(Store(tmp_path / "store", create=True), str(tmp_path / "perf.data"))
    assert summary.found["operations"] == {"mmap": 1, "fork": 1}


@pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")
@ORDERS
def test_perf_reads_the_same(tmp_path: Path, order: str) -> None:
    machine = Machine(order)
    path = tmp_path / "perf.data"
    # Without the record of no known type: perf can take none from a machine of another byte order.
    path.write_bytes(machine.file(b"".join(machine.records()[:-1])))
    fields = ("--ns", "-F", "comm,pid,tid,time,event,trace", "--show-mmap-events", "--show-task-events", "--show-lost-events")
    shown = subprocess.run(["perf", "script", "-f", "-i", str(path), *fields], capture_output=True, text=True, check=False)
    assert "sched:wake:" in shown.stdout, shown.stderr
    assert re.search(r"app +11/17 +1099\.511627778: +sched:wake: +n=-7 comm=pinload", shown.stdout)
    assert "0x7f0000000000(0x10000) @ 0x1000 fe:10 13 7" in shown.stdout
