"""Decompresses the records that `perf record -z` wrote: one zstd stream that goes on from record to record.

perf flushes the stream at the end of each record and never ends it (tools/perf/util/zstd.c); an empty last block ends it here,
as RFC 8878 section 3.1.1.2 has it, so that what is left is told from what is missing.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa

MOST_RATIO = 1024
"""The decompressed bytes are at most so many times the compressed ones, and go to a temporary file, not to memory."""

_LAST_BLOCK = b"\x01\x00\x00"
_STEP = 1 << 16
_SMALL_STEP = 8
_COMPRESSED2 = 83
_MOST_PAYLOAD = (1 << 16) - 1 - 16 - 1


def payloads(records: memoryview, places: Sequence[int]) -> Iterator[memoryview]:
    """The compressed bytes of the records at these places."""
    for place in places:
        kind, size = int.from_bytes(records[place : place + 4], "little"), int.from_bytes(records[place + 6 : place + 8], "little")
        if kind != _COMPRESSED2:
            yield records[place + 8 : place + size]
            continue
        length = int.from_bytes(records[place + 8 : place + 16], "little")
        yield from _split(records[place + 16 : place + 16 + length])


def _split(data: memoryview) -> Iterator[memoryview]:
    """perf up to 6.17 ran several records together where their sizes add up to more than 16 bits can tell."""
    begin = 0
    while len(data) - begin > _MOST_PAYLOAD:
        end = begin + _MOST_PAYLOAD
        if bytes(data[end : end + 6]) != b"\x53\0\0\0\0\0":
            break
        yield data[begin:end]
        begin = end + 16
    yield data[begin:]


def decompress(packed: Sequence[memoryview]) -> tuple[memoryview, int]:
    """The decompressed bytes as far as they can be had, and how many compressed bytes are left over."""
    stream = b"".join(packed)
    most_bytes = MOST_RATIO * len(stream) + _STEP
    with tempfile.TemporaryFile(prefix="replay-") as file:
        _, used = _copy(stream + _LAST_BLOCK, file, most_bytes)
        size = file.tell()
        if size == 0:
            return memoryview(b""), len(stream) - min(used, len(stream))
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)), max(0, len(stream) - used)


def _copy(stream: bytes, file: IO[bytes], most_bytes: int) -> tuple[bool, int]:
    """Whether all went well, and how many bytes of the stream were taken."""
    source = pa.BufferReader(stream)
    reader = pa.CompressedInputStream(source, "zstd")
    step = _STEP
    while file.tell() < most_bytes:
        try:
            piece = reader.read(step)
        except OSError:
            if step == _SMALL_STEP:
                return False, source.tell()
            # The piece in which the error lies begins well: take it again, in the least units a record consists of.
            source = pa.BufferReader(stream)
            reader = pa.CompressedInputStream(source, "zstd")
            done = 0
            while done < file.tell():
                done += len(reader.read(min(_STEP, file.tell() - done)))
            step = _SMALL_STEP
            continue
        if not piece:
            return True, len(stream)
        file.write(piece)
    return False, source.tell()
