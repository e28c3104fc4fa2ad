"""What a hostile file may cost. Each of these took minutes or gigabytes: something in it is multiplied by something else in it."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from builders import perfdata as perf
from builders import raw
from builders import tracedat as make
from builders.events import START
from builders.perfdata import words
from fuzz import jsonl, tracedat
from fuzz import perf as perf_target
from fuzz.workloads import recorded

from replay.errors import ReplayError

_SECONDS = 8
_MEMORY_SLACK = 128 << 20
_MEMORY_MULTIPLE = 1024
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(what: str) -> int:
    return next(int(line.split()[1]) << 10 for line in _STATUS.read_text("ascii").splitlines() if line.startswith(what))


def cost(decode: Callable[[str], None], path: Path, file: bytes) -> tuple[float, int, str]:
    """Seconds of the processor, bytes of memory, and what the file was refused for, if it was."""
    path.write_bytes(file)
    _CLEAR.write_text("5", "ascii")
    before, begin, refusal = resident("VmRSS"), time.process_time(), ""
    try:
        decode(str(path))
    except ReplayError as error:
        refusal = str(error)
    return time.process_time() - begin, resident("VmHWM") - before, refusal


def attr(config: int, sample_type: int, *ids: int, id_all: bool = False) -> bytes:
    body = struct.pack("<IIQQQQQ", 1, 64, config, 1, sample_type, 0, int(id_all) << 18) + bytes(16)
    return perf.record(perf.ATTR, body + words(*ids))


def pipe(*records: bytes) -> bytes:
    return b"PERFILE2" + words(16) + b"".join(records)


def events_of_one_name() -> bytes:
    name = b"x".ljust(8, b"\0")
    return pipe(*(attr(number, perf.TIME, number) + perf.record(perf.UPDATE, words(2, number) + name) for number in range(1, 8000)))


def events_times_samples() -> bytes:
    """Ids stand at two places in turn, and no sample has one that is known."""
    kinds = (perf.IDENTIFIER | perf.TIME, perf.ID | perf.IP | perf.TIME)
    attrs = (attr(7, kinds[number % 2], id_all=True) for number in range(10000))
    samples = perf.record(perf.SAMPLE, words(1, 2, 3)) + perf.record(14, words(1, 2))
    return pipe(*attrs, samples * 100000)


def _container(options: Callable[[int], bytes], *sections: tuple[int, bytes], compression: str = "zlib") -> bytes:
    """A version 7 file with an empty buffer, whose section `options` may refer to, and further options and sections."""
    trace = make.Trace((), ())
    file = bytearray(make._head(trace, 7) + compression.encode() + b"\0" + b"1.0\0")
    options_at = len(file)
    file += bytes(8)
    all_options = b""
    for number, body in ((16, trace.header_info()), (17, trace.pack("I", 0)), *sections):
        all_options += make._option(trace, number, words(len(file)))
        file += make._section(trace, number, body, compression)
    buffer_at = len(file)
    file += struct.pack("<HHIQ", 3, 0, 0, 0)
    all_options += _buffer(buffer_at, 1) + options(buffer_at) + make._option(trace, 0, words(0))
    struct.pack_into("<Q", file, options_at, len(file))
    return bytes(file + make._section(trace, 0, all_options, compression))


def _buffer(section: int, cpus: int) -> bytes:
    body = words(section) + b"\0local\0" + struct.pack("<II", 4096, cpus) + struct.pack("<IQQ", 0, 0, 0) * cpus
    return struct.pack("<HI", 3, len(body)) + body


def packed_options() -> bytes:
    return _container(lambda buffer: _buffer(buffer, 60000) * 80)


def packed_formats() -> bytes:
    text = b"name: a\nID: 1\nformat:\n\tfield:u8 a;\toffset:0;\tsize:1;\n"
    count = 1 << 20
    return _container(lambda _: b"", (18, struct.pack("<I", 1) + b"s\0" + struct.pack("<I", count) + (words(len(text)) + text) * count))


def clocks_times_cpus() -> bytes:
    samples = 20000
    shift = struct.pack("<QIII", 1, 0, 1, samples) + words(*range(samples)) + bytes(16 * samples)
    return _container(lambda buffer: struct.pack("<HI", 12, len(shift)) + shift + _buffer(buffer, 20000), compression="none")


def fields_of_one_name() -> bytes:
    fields = "".join(f"field:u8 a;offset:{at};size:1;\n" for at in range(1024))
    formats = [("s", f"name: a\nID: {number}\nformat:\n{fields}") for number in range(32)]
    return make.version_6(make.Trace(formats, [make.Instance("", (b"",))]))


def trace_of(records: list[raw.Record]) -> bytes:
    return make.version_6(recorded(records, page_bytes=4096))


def mappings(count: int, step: int = 2) -> list[raw.Record]:
    """Pages of two files in turn: neighbours never join."""
    return [raw.mmap(10, raw.BASE + step * at * 4096, 1, ino=raw.INO + at % 2) for at in range(count)]


def pins_times_mappings() -> bytes:
    return trace_of(mappings(2000) + raw.pinned(10, raw.BASE, 4000) * 3000)


def accesses_times_pins() -> bytes:
    region = raw.registered(10, raw.BASE, 2000, 0xFF200000, pins=False)
    return trace_of([*mappings(2000, 1), *region, *[raw.remote(raw.BASE, 2000 * 4096)] * 5000])


def forks_times_mappings() -> bytes:
    return trace_of([*mappings(4000), *(("task_newtask", 10, {"pid": 1000 + at, "clone_flags": 0}) for at in range(8000))])


def programs_times_mappings() -> bytes:
    return trace_of([*mappings(4000), *[("sched_process_exec", 10, {"pid": 10})] * 8000])


def devices_of_one_inode() -> bytes:
    return trace_of([raw.added(10, 4, dev=(1 << 20) + at) for at in range(40000)])


def generations_of_one_inode() -> bytes:
    head = perf.pair(5, 5) + words(raw.BASE, 4096, 0) + struct.pack("<II", 254, 16) + words(raw.INO)
    tail = struct.pack("<II", 3, 1) + b"/a".ljust(8, b"\0")
    return pipe(attr(7, perf.TIME, 1), *(perf.record(perf.MMAP2, head + words(number) + tail) for number in range(1, 60000)))


def pins_of_one_range() -> bytes:
    count = 50000
    pins = [f'{{"ts":{at},"op":"pin","file":"a","index":0,"npages":1,"mr":1,"pin":{at}}}' for at in range(count)]
    unpins = [f'{{"ts":{count + at},"op":"unpin","pin":{count - 1 - at}}}' for at in range(count)]
    return "\n".join([*pins, *unpins, ""]).encode()


FILES = {
    events_of_one_name: perf_target,
    events_times_samples: perf_target,
    packed_options: tracedat,
    packed_formats: tracedat,
    clocks_times_cpus: tracedat,
    fields_of_one_name: tracedat,
    pins_times_mappings: tracedat,
    accesses_times_pins: tracedat,
    forks_times_mappings: tracedat,
    programs_times_mappings: tracedat,
    devices_of_one_inode: tracedat,
    generations_of_one_inode: perf_target,
    pins_of_one_range: jsonl,
}


@pytest.mark.skipif(not _CLEAR.exists(), reason="Linux tells how much memory was taken")
@pytest.mark.parametrize("build", FILES, ids=lambda build: build.__name__)
def test_a_file_costs_no_more_than_its_size_allows(build: Callable[[], bytes], tmp_path: Path) -> None:
    file = build()
    seconds, memory, refusal = cost(FILES[build].decode, tmp_path / "hostile", file)
    assert memory < _MEMORY_SLACK + _MEMORY_MULTIPLE * len(file)
    assert seconds < _SECONDS
    assert bool(refusal) == build.__name__.startswith("packed"), refusal


def packed_records() -> tuple[bytes, int]:
    plain = perf.record(14, b"") * (1 << 24)
    sink = io.BytesIO()
    with pa.CompressedOutputStream(pa.PythonFile(sink, "w"), "zstd") as stream:
        stream.write(plain)
        stream.flush()
        packed = sink.getvalue()
    pieces = [packed[at : at + 60000] for at in range(0, len(packed), 60000)]
    records = (struct.pack("<IHH", perf.COMPRESSED, 0, 8 + len(piece)) + piece for piece in pieces)
    return pipe(attr(7, perf.TIME | perf.IDENTIFIER, 1), *records), len(packed)


def packed_pages() -> tuple[bytes, int]:
    entries = make.data(0, make.payload(1, 5, struct.pack("<i", 5))) * 200
    page = make.page(START, entries)
    form = ("sched", make.format_text("sched_process_exit", 1, [("pid_t pid", 8, 4, 1)]))
    file = make.version_7(make.Trace((form,), [make.Instance("", (page * 8192,))]), "zlib", chunk_pages=256)
    return file, len(file)


@pytest.mark.skipif(not _CLEAR.exists(), reason="Linux tells how much memory was taken")
@pytest.mark.parametrize(("build", "target"), [(packed_records, perf_target), (packed_pages, tracedat)], ids=["perf", "trace.dat"])
def test_a_small_file_does_not_decompress_to_a_large_trace(build: Callable[[], tuple[bytes, int]], target: object, tmp_path: Path) -> None:
    from replay.ingest.sections import most_trace_bytes

    file, packed = build()
    most = most_trace_bytes(packed)
    assert most < 32 << 20
    _, memory, _ = cost(target.decode, tmp_path / "hostile", file)  # type: ignore[attr-defined]
    assert memory < _MEMORY_SLACK + 16 * most
