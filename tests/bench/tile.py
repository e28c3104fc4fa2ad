"""Makes a large trace.dat of a recorded one: copies of it one after another, later in time, on other files and by other tasks.

    PYTHONPATH=tests python -m bench.tile recorded.dat large.dat --events 20M

The result is of the same version and compression (but see --plain), and `trace-cmd report` reads it. User addresses and page frames stay as
they are, as after a reboot. Only little-endian files are tiled, and of version 6 only those with one buffer.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from bench.measure import event_count
from bench.shifting import Steps, Stream, choose_steps, read_stream
from replay.errors import ReplayError
from replay.ingest.bytecursor import ByteCursor
from replay.ingest.options import Option
from replay.ingest.pages import PageSource
from replay.ingest.sections import SECTION_HEADER_BYTES, Allowance, most_metadata_bytes, open_section, section_header
from replay.ingest.tracecmd import TraceCmdReader, open_tracecmd
from replay.ingest.tracedat import MAGIC, Buffer, Container
from replay.ingest.tracemeta import read_formats

_CHUNK_PAGES = 10  # PAGES_IN_CHUNK of trace-cmd's trace-output.c
_STRINGS = 15
_SECTIONS = range(16, 22)
_COMPRESSED = 1


@dataclass(frozen=True, slots=True)
class Tiles:
    """A recorded trace, the streams of each of its buffers, and how often they are to be written."""

    reader: TraceCmdReader
    buffers: Sequence[Sequence[Stream]]
    copies: int
    steps: Steps

    def command_lines(self) -> bytes:
        tasks = sorted(self.reader.container.cmdlines.items())
        lines = [f"{tid + number * self.steps.pid} {comm}\n" for number in range(self.copies) for tid, comm in tasks]
        text = "".join(lines).encode()
        return struct.pack("<Q", len(text)) + text

    def write_pages(self, out: BinaryIO, buffer: Buffer, stream: Stream) -> tuple[int, int]:
        """Where the stream begins in the file, and how long it is."""
        begin = out.tell()
        chunk = _CHUNK_PAGES * buffer.page_bytes
        if buffer.compressed and len(stream.words):
            out.write(struct.pack("<I", self.copies * -(-stream.words.nbytes // chunk)))
        for number in range(self.copies):
            pages = memoryview(stream.copy(number, self.steps).astype("<u4", copy=False)).cast("B")
            if not buffer.compressed:
                out.write(pages)
                continue
            for at in range(0, len(pages), chunk):
                plain = pages[at : at + chunk]
                packed = _compress(self.reader.container.compression, plain)
                out.write(struct.pack("<II", len(packed), len(plain)) + packed)
        return begin, out.tell() - begin


def tile(source: str, target: str, events: int, *, plain: bool = False) -> int:
    """Write at least so many events, not compressed if `plain`; returns how many copies that took."""
    reader = open_tracecmd(source)
    container = reader.container
    if container.big_endian or (container.version == 6 and len(container.buffers) > 1):
        raise ReplayError("big-endian traces, and those of version 6 with several buffers, cannot be tiled", where=source)
    sources = iter(reader.sources())
    buffers = [[_stream(container, next(sources)) for _ in buffer.cpus] for buffer in container.buffers]
    streams = [stream for of_buffer in buffers for stream in of_buffer]
    recorded = sum(stream.records for stream in streams)
    if not recorded:
        raise ReplayError("the trace has no events", where=source)
    if plain:
        container.buffers = [replace(buffer, compressed=False) for buffer in container.buffers]
    copies = -(-events // recorded)
    tiles = Tiles(reader, buffers, copies, choose_steps(streams, copies))
    unfinished = Path(f"{target}.unfinished")
    with unfinished.open("wb") as out:
        if container.version == 6:
            _write_6(tiles, out)
        else:
            _write_7(tiles, out)
    os.replace(unfinished, target)
    return copies


def _stream(container: Container, source: PageSource) -> Stream:
    pages = b"".join(segment.pages for segment in source.segments())
    where = f"{container.path}: CPU {source.cpu}"
    return read_stream(where, pages, source.page_bytes, container.header_bytes, container.formats)


def _compress(compression: str, plain: memoryview) -> bytes:
    if compression == "zlib":
        return zlib.compress(plain)
    return bytes(pa.Codec("zstd", compression_level=3).compress(plain))


def _write_6(tiles: Tiles, out: BinaryIO) -> None:
    """Up to the command lines as in the source, then the new ones; the places of the data stand behind `flyrecord`."""
    reader, buffer = tiles.reader, tiles.reader.container.buffers[0]
    cursor = ByteCursor(reader.container.path, reader.data, at=len(MAGIC))
    cursor.string("the file version")
    cursor.take(6, "the header")
    read_formats(Container(cursor.path), cursor)
    out.write(reader.data[: cursor.at])
    out.write(tiles.command_lines())
    cursor.take(cursor.number(8, "the size of the command lines"), "the command lines")
    table = bytes(reader.data[cursor.at :]).index(b"flyrecord\0") + len(b"flyrecord\0")
    out.write(cursor.take(table, "the options"))
    table_at = out.tell()
    cursor.take(16 * len(buffer.cpus), "the places of the data")
    out.write(bytes(16 * len(buffer.cpus)))
    out.write(cursor.take(min(cpu.offset for cpu in buffer.cpus if cpu.size) - cursor.at, "the clock"))
    places = []
    for stream in tiles.buffers[0]:
        _align(out, buffer.page_bytes)
        places.append(struct.pack("<QQ", *tiles.write_pages(out, buffer, stream)))
    out.seek(table_at)
    out.write(b"".join(places))


def _write_7(tiles: Tiles, out: BinaryIO) -> None:
    """The sections that the options name, then all options in one section, then the strings."""
    reader = tiles.reader
    cursor = ByteCursor(reader.container.path, reader.data, at=len(MAGIC))
    cursor.string("the file version")
    cursor.take(6, "the header")
    cursor.string("the compression")
    cursor.string("the version of the compression")
    out.write(reader.data[: cursor.at])
    first_at = out.tell()
    out.write(bytes(8))
    options, at = _read_options(tiles, cursor.number(8, "the offset of the options"))
    body = b""
    for number, value in options:
        data = _replaced(tiles, out, number, value)
        body += struct.pack("<HI", number, len(data)) + data
    body += struct.pack("<HIQ", Option.DONE, 8, 0)
    options_at = out.tell()
    out.write(struct.pack("<HHIQ", Option.DONE, 0, 0, len(body)) + body)
    while at < len(reader.data):
        number, _, size = section_header(cursor, at)
        if number == _STRINGS:
            _copy_section(tiles, out, at)
        at += SECTION_HEADER_BYTES + size
    out.seek(first_at)
    out.write(struct.pack("<Q", options_at))


def _replaced(tiles: Tiles, out: BinaryIO, number: int, value: bytes) -> bytes:
    """Write what an option points to; returns the option's new value."""
    if number == Option.BUFFER:
        return _write_buffer(tiles, out, value)
    if number in _SECTIONS:
        return _copy_section(tiles, out, struct.unpack("<Q", value)[0])
    return value


def _read_options(tiles: Tiles, at: int) -> tuple[list[tuple[int, bytes]], int]:
    """All options but those that end a section, and where the last of their sections begins."""
    options: list[tuple[int, bytes]] = []
    cursor = ByteCursor(tiles.reader.container.path, tiles.reader.data)
    allowance = Allowance(cursor.path, most_metadata_bytes(len(cursor.data)))
    while True:
        section = open_section(cursor, at, tiles.reader.container.compression, allowance).cursor
        while number := section.number(2, "an option"):
            options.append((number, bytes(section.take(section.number(4, "the size of an option"), "an option"))))
        section.number(4, "the size of an option")
        following = section.number(8, "the offset of the next options")
        if not following:
            return options, at
        at = following


def _copy_section(tiles: Tiles, out: BinaryIO, at: int) -> bytes:
    """Where the section at `at` of the source now is, as the value of an option."""
    cursor = ByteCursor(tiles.reader.container.path, tiles.reader.data)
    number, described, size = section_header(cursor, at)
    here = out.tell()
    if number == Option.CMDLINES:
        lines = tiles.command_lines()
        out.write(struct.pack("<HHIQ", number, 0, described, len(lines)) + lines)
    else:
        out.write(tiles.reader.data[at : at + SECTION_HEADER_BYTES + size])
    return struct.pack("<Q", here)


def _write_buffer(tiles: Tiles, out: BinaryIO, option: bytes) -> bytes:
    """Write the section of the buffer that the option describes; returns the option with the new places."""
    offset = struct.unpack_from("<Q", option)[0]
    name = option[8 : option.index(b"\0", 8)].decode("utf-8", "replace")
    index = [buffer.name for buffer in tiles.reader.container.buffers].index(name)
    buffer, streams = tiles.reader.container.buffers[index], tiles.buffers[index]
    _, described, _ = section_header(ByteCursor(tiles.reader.container.path, tiles.reader.data), offset)
    here = out.tell()
    out.write(bytes(SECTION_HEADER_BYTES))
    places = b""
    for cpu, stream in zip(buffer.cpus, streams, strict=True):
        if not buffer.compressed:
            _align(out, buffer.page_bytes)
        places += struct.pack("<IQQ", cpu.cpu, *tiles.write_pages(out, buffer, stream))
    end = out.tell()
    out.seek(here)
    flags = _COMPRESSED if buffer.compressed else 0
    out.write(struct.pack("<HHIQ", Option.BUFFER, flags, described, end - here - SECTION_HEADER_BYTES))
    out.seek(end)
    return struct.pack("<Q", here) + option[8 : len(option) - len(places)] + places


def _align(out: BinaryIO, size: int) -> None:
    out.write(bytes(-out.tell() % size))


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a large trace.dat of a recorded one.")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--events", type=event_count, required=True, help="at least so many, such as 20M")
    parser.add_argument("--plain", action="store_true", help="do not compress the events")
    arguments = parser.parse_args()
    try:
        copies = tile(arguments.source, arguments.target, arguments.events, plain=arguments.plain)
    except ReplayError as error:
        sys.exit(f"tile: {error}")
    sys.stderr.write(f"{arguments.target}: {copies} copies of {arguments.source}\n")


if __name__ == "__main__":
    main()
