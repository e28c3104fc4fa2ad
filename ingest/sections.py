"""The sections of a version 7 trace.dat, and its compression."""

from __future__ import annotations

from dataclasses import dataclass

from replay.errors import TraceError
from replay.ingest.bytecursor import ByteCursor

COMPRESSIONS = ("none", "zlib", "zstd")
_COMPRESSED = 1
_MAX_SECTION_BYTES = 128 << 20
_MAX_RATIO = 2048
SECTION_HEADER_BYTES = 16


@dataclass(frozen=True, slots=True)
class Section:
    id: int
    compressed: bool
    cursor: ByteCursor


def open_section(file: ByteCursor, offset: int, compression: str, *, header_only: bool = False) -> Section:
    """The section whose header is at `offset`, its bytes decompressed.

    u16 id | u16 flags (1: compressed) | u32 description | u64 size | compressed: u32 size, u32 decompressed size | bytes
    """
    cursor = ByteCursor(file.path, file.data, big_endian=file.big_endian)
    cursor.go(offset, "a section")
    number = cursor.number(2, "a section header")
    compressed = bool(cursor.number(2, "a section header") & _COMPRESSED)
    cursor.number(4, "a section header")
    size = cursor.number(8, "a section header")
    if header_only:
        return Section(number, compressed, cursor)
    if not compressed:
        return Section(number, False, cursor.part(size, f"section {number}"))
    packed_bytes, plain_bytes = cursor.number(4, "a compressed section"), cursor.number(4, "a compressed section")
    if plain_bytes > min(_MAX_SECTION_BYTES, _MAX_RATIO * packed_bytes + (1 << 16)):
        raise cursor.error(f"section {number} decompresses from {packed_bytes} to {plain_bytes} bytes, which cannot be right")
    packed = cursor.take(packed_bytes, f"section {number}")
    plain = decompress(compression, packed, plain_bytes)
    if plain is None:
        raise TraceError(file.path, offset, f"section {number} cannot be decompressed ({compression})")
    return Section(number, True, ByteCursor(file.path, plain, base=offset, fixed=True, big_endian=file.big_endian))


def section_header(file: ByteCursor, offset: int) -> tuple[int, int, int]:
    """(id, where its description stands in the strings or 0, size) of the section at `offset`."""
    cursor = ByteCursor(file.path, file.data, big_endian=file.big_endian)
    cursor.go(offset, "a section")
    number = cursor.number(2, "a section header")
    cursor.number(2, "a section header")
    return number, cursor.number(4, "a section header"), cursor.number(8, "a section header")


def decompress(compression: str, packed: memoryview, plain_bytes: int) -> memoryview | None:
    """Exactly `plain_bytes` bytes, or None if the data does not decompress to that."""
    if compression == "zlib":
        import zlib

        unpacker = zlib.decompressobj()
        try:
            plain = unpacker.decompress(packed, plain_bytes) if plain_bytes else b""
        except zlib.error:
            return None
        return memoryview(plain) if len(plain) == plain_bytes else None
    if compression == "zstd":
        import pyarrow as pa

        try:
            return memoryview(pa.Codec("zstd").decompress(packed, decompressed_size=plain_bytes)).cast("B")
        except (OSError, ValueError):
            return None
    return None
