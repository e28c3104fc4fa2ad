"""Decompresses the records that `perf record -z` wrote: one zstd stream that goes on from record to record.

perf flushes the stream at the end of each record and never ends it (tools/perf/util/zstd.c); an empty last block ends it here,
as RFC 8878 section 3.1.1.2 has it, so that what is left is told from what is missing.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Literal

import pyarrow as pa

from replay.ingest.sections import most_trace_bytes

Buffer = bytes | memoryview

_LAST_BLOCK = b"\x01\x00\x00"
_STEP = 1 << 16
_SMALL_STEP = 8
_COMPRESSED2 = 83
_MOST_PAYLOAD = (1 << 16) - 1 - 16 - 1


def payloads(records: memoryview, places: Sequence[int], *, big_endian: bool = False) -> Iterator[memoryview]:
    """The compressed bytes of the records at these places."""
    order: Literal["little", "big"] = "big" if big_endian else "little"
    for place in places:
        kind, size = int.from_bytes(records[place : place + 4], order), int.from_bytes(records[place + 6 : place + 8], order)
        if kind != _COMPRESSED2:
            yield records[place + 8 : place + size]
            continue
        length = int.from_bytes(records[place + 8 : place + 16], order)
        yield from _split(records[place + 16 : place + 16 + length], _COMPRESSED2.to_bytes(4, order) + bytes(2))


def _split(data: memoryview, head: bytes) -> Iterator[memoryview]:
    """perf up to 6.17 ran several records together where their sizes add up to more than 16 bits can tell."""
    begin = 0
    while len(data) - begin > _MOST_PAYLOAD:
        end = begin + _MOST_PAYLOAD
        if bytes(data[end : end + 6]) != head:
            break
        yield data[begin:end]
        begin = end + 16
    yield data[begin:]


@dataclass(slots=True)
class _Source:
    """Gives a decompressor one piece at a time, so that an error in one does not take those before it along."""

    pieces: Sequence[Buffer]
    next: int = 0
    closed: bool = False

    def read(self, _: int = -1) -> Buffer:
        if self.next >= len(self.pieces):
            return b""
        self.next += 1
        return self.pieces[self.next - 1]

    def tell(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


def decompress(packed: Sequence[memoryview]) -> tuple[memoryview, int]:
    """The decompressed bytes as far as they can be had, in a temporary file, and how many compressed bytes are left over."""
    packed = [piece for piece in packed if len(piece)]
    with tempfile.TemporaryFile(prefix="replay-") as file:
        used = _copy(packed, file, most_trace_bytes(sum(map(len, packed))))
        left = sum(map(len, packed[used:]))
        size = file.tell()
        if size == 0:
            return memoryview(b""), left
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)), left


def _copy(packed: Sequence[memoryview], file: IO[bytes], most_bytes: int) -> int:
    """How many of the pieces were decompressed whole."""
    step = _STEP
    source, reader = _open(packed, 0)
    while file.tell() < most_bytes:
        try:
            piece = reader.read(step)
        except OSError:
            if step == _SMALL_STEP:
                return min(source.next - 1, len(packed))
            # What was read together with the error is lost: take it again, in the least units a record consists of.
            source, reader = _open(packed, file.tell())
            step = _SMALL_STEP
            continue
        if not piece:
            return len(packed)
        file.write(piece)
    return min(source.next, len(packed))


def _open(packed: Sequence[memoryview], begin: int) -> tuple[_Source, pa.CompressedInputStream]:
    source = _Source([*packed, _LAST_BLOCK])
    reader = pa.CompressedInputStream(pa.PythonFile(source, "r"), "zstd")
    while begin and (piece := reader.read(min(_STEP, begin))):
        begin -= len(piece)
    return source, reader
