"""What a perf.data file tells about itself: events, formats, names, and where the records are.

    file mode   u64 magic | u64 header size | u64 attr size | section attrs | section data | section event types | 256 feature bits
                a section is u64 offset, u64 size; those of the features stand behind the data, in order of their bits
    pipe mode   u64 magic | u64 16 | records; attributes, formats and features are records among them
    directory   a file as in file mode, and files of further records (ingest/perfdirectory.py)

A big-endian machine writes every number the other way around, the magic too.

tools/perf/Documentation/perf.data-file-format.txt; what it leaves open is as in tools/perf/util/header.c.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from replay._ext.perfrecords import outline
from replay.errors import TraceError
from replay.ingest.bytecursor import ByteCursor
from replay.ingest.formats import Format
from replay.ingest.perfattrs import LEAST_ATTR_BYTES, Attr, parse_attr
from replay.ingest.tracedat import MAGIC as TRACING_MAGIC
from replay.ingest.tracedat import Container
from replay.ingest.tracemeta import read_cmdlines, read_formats

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"PERFILE2"
_PIPE_HEADER_BYTES = 16
_OLD_HEADER_BYTES = 72  # without feature bits
_MOST_ATTRS = 1 << 16
# Bits of the features, and numbers of the records (tools/perf/util/header.h, tools/lib/perf/include/perf/event.h).
_TRACING_DATA, _HOSTNAME, _OSRELEASE, _NRCPUS, _EVENT_DESC, _DIR_FORMAT, _CLOCK_DATA = 1, 3, 4, 7, 12, 24, 29
_RECORD_ATTR, _RECORD_TRACING_DATA, _RECORD_UPDATE, _RECORD_FEATURE = 64, 66, 78, 80
COMPRESSED, COMPRESSED2 = 81, 83
_UPDATE_NAME = 2
_CLOCKS = {0: "realtime", 1: "mono", 4: "mono_raw", 7: "boot", 11: "tai"}


@dataclass(slots=True)
class Records:
    """Bytes of records, from offset `begin` of the file on: how many of them are whole records, and where the compressed ones are."""

    path: str
    data: memoryview
    begin: int = 0
    whole_bytes: int = 0
    compressed: list[int] = field(default_factory=list)


@dataclass(slots=True)
class PerfFile:
    """`records` are those of the file with the header, and those of a directory's other files.

    `missing_bytes` is how much shorter the file is than it says; `parts` says that its samples are in other files.
    """

    path: str
    pipe: bool
    big_endian: bool
    records: list[Records] = field(default_factory=list)
    missing_bytes: int = 0
    parts: bool = False
    attrs: list[Attr] = field(default_factory=list)
    event_names: dict[int, str] = field(default_factory=dict)
    names_in_order: list[str] = field(default_factory=list)
    formats: dict[int, Format] = field(default_factory=dict)
    cmdlines: dict[int, str] = field(default_factory=dict)
    uname: str | None = None
    cpus: int = 0
    clock: str = "perf"

    def cursor(self, data: memoryview, at: int = 0, base: int = 0) -> ByteCursor:
        return ByteCursor(self.path, data, at, base=base, big_endian=self.big_endian)

    def name(self, number: int) -> str:
        """Of the event at this place in `attrs`."""
        attr = self.attrs[number]
        told = next((self.event_names[id_] for id_ in attr.ids if id_ in self.event_names), None)
        if told is None and not attr.ids and number < len(self.names_in_order):
            told = self.names_in_order[number]
        return told or attr.default_name


def read_perf(path: str | os.PathLike[str], data: memoryview) -> PerfFile:
    """TraceError if it is no perf.data file that we read, or its header or attributes are cut or damaged."""
    path = os.fspath(path)
    magic = bytes(data[:8])
    if magic == b"PERFFILE":
        raise TraceError(path, 0, "perf.data of version 1 is not supported", hint="record with perf of Linux 3.2 or later")
    if magic not in (MAGIC, MAGIC[::-1]):
        raise TraceError(path, 0, "not a perf.data file" if len(data) else "the file is empty")
    cursor = ByteCursor(path, data, 8, big_endian=magic != MAGIC)
    size = cursor.number(8, "the size of the header")
    file = PerfFile(path, size == _PIPE_HEADER_BYTES, cursor.big_endian)
    if file.pipe:
        add_records(file, Records(path, data[_PIPE_HEADER_BYTES:], _PIPE_HEADER_BYTES))
    else:
        _read_file(file, cursor, size)
    if not file.attrs:
        raise TraceError(path, cursor.at, "the file describes no event")
    clockid = next((attr.clockid for attr in file.attrs if attr.clockid is not None), None)
    if clockid is not None:
        file.clock = _CLOCKS.get(clockid, f"clock {clockid}")
    return file


def _read_file(file: PerfFile, cursor: ByteCursor, size: int) -> None:
    data = cursor.data
    if size < _OLD_HEADER_BYTES or size > 1 << 16:
        raise cursor.error(f"a header of {size} bytes cannot be right")
    head = file.cursor(cursor.take(size - 16, "the header"), base=16)
    attr_bytes = head.number(8, "the size of an attribute")
    attrs, records = _section(head), _section(head)
    _section(head)
    bits = _feature_bits(head.take(min(head.left, 32), "the features"), big_endian=file.big_endian)
    begin, length = records
    if begin > len(data):
        raise TraceError(file.path, len(data), f"the records lie at byte {begin}, outside of the file")
    # perf writes the length last: it is 0 where the recording was killed.
    length = length or len(data) - begin
    file.missing_bytes = max(0, length - (len(data) - begin))
    file.parts = bool(bits >> _DIR_FORMAT & 1)
    _read_attrs(file, data, attr_bytes, *attrs)
    add_records(file, Records(file.path, data[begin : begin + min(length, len(data) - begin)], begin))
    if file.missing_bytes == 0:
        _read_features(file, data, begin + length, [bit for bit in range(256) if bits >> bit & 1])


def _feature_bits(data: memoryview, *, big_endian: bool) -> int:
    """The bits stand in longs of the recording perf: perf always tells the host's name, by which its size is found."""
    if not big_endian:
        return int.from_bytes(data, "little")
    for long_bytes in (8, 4):
        longs = [int.from_bytes(data[at : at + long_bytes], "big") for at in range(0, len(data), long_bytes)]
        bits = sum(long << 8 * long_bytes * place for place, long in enumerate(longs))
        if bits >> _HOSTNAME & 1:
            break
    return bits


def _section(cursor: ByteCursor) -> tuple[int, int]:
    return cursor.number(8, "a section's offset"), cursor.number(8, "a section's size")


def _read_attrs(file: PerfFile, data: memoryview, attr_bytes: int, offset: int, size: int) -> None:
    """Entries are a struct perf_event_attr of the recording perf's size, and the section of its ids."""
    if attr_bytes < LEAST_ATTR_BYTES + 16 or attr_bytes > 1 << 12:
        raise TraceError(file.path, 16, f"attributes of {attr_bytes} bytes cannot be right")
    if size // attr_bytes > _MOST_ATTRS:
        raise TraceError(file.path, 24, f"{size // attr_bytes} events cannot be right")
    cursor = file.cursor(data)
    places = 0
    for number in range(size // attr_bytes):
        cursor.go(offset + number * attr_bytes, "an attribute")
        attr = bytes(cursor.take(attr_bytes - 16, "an attribute"))
        begin, length = _section(cursor)
        places += length
        if places > len(data):
            raise cursor.error("more ids of events than the file has room for")
        ids: tuple[int, ...] = ()
        if length >= 8:
            cursor.go(begin, "the ids of an event")
            ids = _words(cursor, length // 8, "the ids of an event")
        file.attrs.append(parse_attr(attr, ids, big_endian=file.big_endian))


def _words(cursor: ByteCursor, count: int, what: str) -> tuple[int, ...]:
    return struct.unpack(f"{'>' if cursor.big_endian else '<'}{count}Q", cursor.take(8 * count, what))


def add_records(file: PerfFile, records: Records) -> None:
    """Take in those of the records that describe others."""
    file.records.append(records)
    places, records.whole_bytes = outline(records.data, big_endian=file.big_endian)
    for place in places.tolist():
        head = file.cursor(records.data[place : place + 8])
        kind, _, size = head.number(4, "a record"), head.number(2, "a record"), head.number(2, "a record")
        record = file.cursor(records.data[place : place + size], 8, base=records.begin + place)
        if kind in (COMPRESSED, COMPRESSED2):
            records.compressed.append(place)
        elif kind == _RECORD_ATTR and file.pipe:
            _read_attr_record(file, record)
        elif kind == _RECORD_TRACING_DATA:
            size = record.number(4, "the size of the tracing data")
            begin = place + len(record.data)
            _read_tracing_data(file, file.cursor(records.data[begin : begin + size], base=records.begin + begin))
        elif kind == _RECORD_FEATURE:
            _read_feature(file, record.number(8, "a feature"), record)
        elif kind == _RECORD_UPDATE and record.number(8, "an update") == _UPDATE_NAME:
            number = record.number(8, "an update")
            file.event_names[number] = record.text(min(record.left, 1024), "a name")


def _read_attr_record(file: PerfFile, record: ByteCursor) -> None:
    size = file.cursor(record.data, 12, base=record.base).number(4, "the size of an attribute") or LEAST_ATTR_BYTES
    if size < LEAST_ATTR_BYTES or size > record.left:
        raise record.error(f"an attribute of {size} bytes cannot be right")
    if len(file.attrs) >= _MOST_ATTRS:
        raise record.error(f"more than {_MOST_ATTRS} events cannot be right")
    attr = bytes(record.take(size, "an attribute"))
    ids = _words(record, record.left // 8, "the ids of an event")
    file.attrs.append(parse_attr(attr, ids, big_endian=file.big_endian))


def _read_features(file: PerfFile, data: memoryview, offset: int, bits: list[int]) -> None:
    """A file that was cut lacks them, wholly or in part: then the formats are missing, and samples stay raw."""
    table = file.cursor(data[offset:], base=offset)
    for bit in bits:
        if table.left < 16:
            file.missing_bytes += 16 - table.left
            return
        begin, size = _section(table)
        held = data[begin : begin + size] if begin < len(data) else data[:0]
        file.missing_bytes += size - len(held) if begin + size < 1 << 48 else 0
        _read_feature(file, bit, file.cursor(held, base=begin))


def _read_feature(file: PerfFile, bit: int, cursor: ByteCursor) -> None:
    """All but the formats are hints: one that is damaged is left out."""
    if bit == _TRACING_DATA:
        _read_tracing_data(file, cursor)
        return
    with suppress(TraceError):
        if bit == _OSRELEASE:
            file.uname = _string(cursor) or None
        elif bit == _NRCPUS:
            cursor.number(4, "the CPUs")
            file.cpus = min(cursor.number(4, "the CPUs"), 1 << 16)
        elif bit == _EVENT_DESC:
            for name, ids in _event_names(cursor):
                file.names_in_order.append(name)
                file.event_names.update(dict.fromkeys(ids, name))
        elif bit == _CLOCK_DATA:
            cursor.number(4, "the version of the clock data")
            clockid = cursor.number(4, "the clock")
            file.clock = _CLOCKS.get(clockid, f"clock {clockid}")


def _string(cursor: ByteCursor) -> str:
    return cursor.text(cursor.number(4, "the length of a string"), "a string")


def _event_names(cursor: ByteCursor) -> Iterator[tuple[str, tuple[int, ...]]]:
    """u32 events, u32 attr size, and for each event: attr, u32 ids, string, u64 ids."""
    count, attr_bytes = cursor.number(4, "the events"), cursor.number(4, "the events")
    for _ in range(count):
        cursor.take(attr_bytes, "an attribute")
        ids = cursor.number(4, "the ids of an event")
        name = _string(cursor)
        yield name, _words(cursor, ids, "the ids of an event")


def _read_tracing_data(file: PerfFile, cursor: ByteCursor) -> None:
    """trace-cmd's format sections behind a head of their own (tools/perf/util/trace-event-read.c)."""
    container = Container(file.path)
    whole = file.missing_bytes == 0
    try:
        if bytes(cursor.take(len(TRACING_MAGIC), "the tracing data")) != TRACING_MAGIC:
            raise cursor.error("expected tracing data")
        version = cursor.string("the version of the tracing data", 16)
        cursor.big_endian = cursor.number(1, "the byte order") == 1
        cursor.number(1, "the size of a long")
        cursor.number(4, "the page size")
        read_formats(container, cursor)
        if version != "0.5":
            read_cmdlines(container, cursor)
    except TraceError:
        if whole:
            raise
    file.formats.update({form.id: form for form in container.formats})
    file.cmdlines.update(container.cmdlines)
