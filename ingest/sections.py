"""The sections of a version 7 trace.dat, and its compression."""

from __future__ import annotations

from dataclasses import dataclass

from replay.errors import TraceError
from replay.ingest.bytecursor import ByteCursor

COMPRESSIONS = ("none", "zlib", "zstd")
_COMPRESSED = 1
# Real metadata shrinks to a tenth, and so do pages; perf's records to a hundredth at most.
_METADATA_SLACK_BYTES, _METADATA_RATIO = 1 << 20, 32
TRACE_SLACK_BYTES, TRACE_RATIO = 8 << 20, 128
SECTION_HEADER_BYTES = 16
_MOST_FRAME_HEADER_BYTES = 18


def most_trace_bytes(packed_bytes: int) -> int:
    """What compressed trace data may decompress to."""
    return TRACE_SLACK_BYTES + TRACE_RATIO * packed_bytes


def most_metadata_bytes(file_bytes: int) -> int:
    return _METADATA_SLACK_BYTES + _METADATA_RATIO * file_bytes


@dataclass(slots=True)
class Allowance:
    """How many bytes the compressed parts of a file may still decompress to, all together: a small file must not fill memory."""

    path: str
    left: int

    def spend(self, size: int, offset: int, what: str) -> None:
        self.left -= size
        if self.left < 0:
            raise TraceError(self.path, offset, f"{what} decompresses to {size} bytes, with the others more than can be right")


@dataclass(frozen=True, slots=True)
class Section:
    id: int
    compressed: bool
    cursor: ByteCursor


def open_section(file: ByteCursor, offset: int, compression: str, allowance: Allowance, *, header_only: bool = False) -> Section:
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
    allowance.spend(plain_bytes, offset, f"section {number}")
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


def decompress(compression: str, packed: memoryview | bytes, plain_bytes: int) -> memoryview | None:
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


def told_bytes(compression: str, packed: memoryview) -> int | None:
    """The size that a zstd frame gives in its header (RFC 8878, 3.1.1.1), and which it must have; None if it gives none."""
    if compression != "zstd" or bytes(packed[:4]) != b"\x28\xb5\x2f\xfd" or len(packed) < _MOST_FRAME_HEADER_BYTES:
        return None
    descriptor = packed[4]
    single_segment = descriptor >> 5 & 1
    width = (single_segment, 2, 4, 8)[descriptor >> 6]
    at = 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    size = int.from_bytes(packed[at : at + width], "little")
    return (size + 256 if width == 2 else size) if width else None
