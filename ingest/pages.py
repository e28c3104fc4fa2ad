"""Where a CPU's ring buffer pages come from: a stretch of the file, or chunks that are decompressed on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from replay.errors import TraceError
from replay.ingest.sections import Allowance, decompress, told_bytes

SEGMENT_BYTES = 1 << 20
# Groups of chunks that are decompressed before they are asked for. The reader takes the pages of a batch in a third of the time that
# they take to decompress, and then fills columns for as long.
GROUPS_AHEAD = 4
_MAX_CHUNK_PAGES = 256  # trace-cmd writes 10 (PAGES_IN_CHUNK in trace-output.c)
_MAX_CHUNK_BYTES = 64 << 20
# u32 size, u32 decompressed size
_CHUNK_HEADER, _BIG_CHUNK_HEADER = Struct("<II"), Struct(">II")


@dataclass(frozen=True, slots=True)
class Segment:
    """Some pages, and how many bytes of the file they took."""

    pages: memoryview
    file_bytes: int


class _Chunk(NamedTuple):
    packed: memoryview
    plain_bytes: int


_Plain = tuple[memoryview | None, int, int]
"""What chunks decompress to, the bytes that they take without their headers, and how many they are."""


@dataclass(frozen=True, slots=True)
class PageSource:
    """The data of one CPU of one buffer. What of it cannot be had is counted in `lost`, by the name of the loss counter."""

    path: str
    data: memoryview
    cpu: int
    offset: int
    size: int
    page_bytes: int
    compression: str
    allowance: Allowance
    big_endian: bool = False
    lost: dict[str, int] = field(default_factory=dict)

    def segments(self, pool: Executor | None = None, group_bytes: int = 0) -> Iterator[Segment]:
        """The pages in order. The pool decompresses chunks by groups of so many bytes, some groups before they are asked for."""
        return self._stretches() if self.compression == "none" else self._decompressed(pool, group_bytes)

    def _stretches(self) -> Iterator[Segment]:
        stretch = self.data[self.offset : self.offset + self.size]
        if len(stretch) < self.size:
            self._lose("truncated_bytes", self.size - len(stretch))
        step = max(SEGMENT_BYTES // self.page_bytes, 1) * self.page_bytes
        for begin in range(0, len(stretch), step):
            pages = stretch[begin : begin + step]
            yield Segment(pages, len(pages))

    def _decompressed(self, pool: Executor | None, group_bytes: int) -> Iterator[Segment]:
        waiting: deque[tuple[list[_Chunk], Future[list[_Plain]] | None]] = deque()
        for chunks in self._grouped(group_bytes):
            # A chunk that alone is larger was not made by trace-cmd: it takes its memory only when its turn has come.
            early = pool if sum(chunk.plain_bytes for chunk in chunks) <= group_bytes else None
            waiting.append((chunks, early.submit(self._decompress, chunks) if early else None))
            if len(waiting) > GROUPS_AHEAD:
                yield from self._segments(*waiting.popleft())
        while waiting:
            yield from self._segments(*waiting.popleft())

    def _segments(self, chunks: list[_Chunk], future: Future[list[_Plain]] | None) -> Iterator[Segment]:
        for plain, packed_bytes, count in self._decompress(chunks) if future is None else future.result():
            if plain is None:
                self._lose("undecodable_bytes", packed_bytes)
            elif len(plain):
                yield Segment(plain, packed_bytes + count * _CHUNK_HEADER.size)

    def _decompress(self, chunks: list[_Chunk]) -> list[_Plain]:
        """Chunks that say themselves how long they are go together: a decompressor of its own for each takes a quarter of the time,
        and fewer segments save the reader a wait for each."""
        sizes = [chunk.plain_bytes for chunk in chunks]
        if all(told_bytes(self.compression, chunk.packed) == size for chunk, size in zip(chunks, sizes, strict=True)):
            packed = b"".join(chunk.packed for chunk in chunks)
            plain = decompress(self.compression, packed, sum(sizes))
            if plain is not None and not any(size % self.page_bytes for size in sizes):
                return [(plain, len(packed), len(chunks))]
        return [(decompress(self.compression, chunk.packed, chunk.plain_bytes), len(chunk.packed), 1) for chunk in chunks]

    def _grouped(self, most_bytes: int) -> Iterator[list[_Chunk]]:
        """Chunks that decompress to so many bytes together, or a single one."""
        group: list[_Chunk] = []
        held = 0
        for chunk in self._chunks():
            if group and held + chunk.plain_bytes > most_bytes:
                yield group
                group, held = [], 0
            group.append(chunk)
            held += chunk.plain_bytes
        if group:
            yield group

    def _chunks(self) -> Iterator[_Chunk]:
        """u32 count, then per chunk: u32 size | u32 decompressed size | bytes.

        The size that the BUFFER option gives does not always include the count: trace-cmd trusts the count alone.
        """
        if not self.size:
            return
        stretch = self.data[self.offset : self.offset + self.size + 4]
        header = _BIG_CHUNK_HEADER if self.big_endian else _CHUNK_HEADER
        count, at = int.from_bytes(stretch[:4], "big" if self.big_endian else "little"), 4
        most_bytes = min(_MAX_CHUNK_PAGES * self.page_bytes, _MAX_CHUNK_BYTES)
        for _ in range(count):
            if len(stretch) - at < header.size:
                self._count_cut(at + header.size - len(stretch), len(stretch))
                return
            packed_bytes, plain_bytes = header.unpack_from(stretch, at)
            at += header.size
            if plain_bytes > most_bytes:
                where = self.offset + at - header.size
                raise TraceError(self.path, where, f"a chunk of {plain_bytes} bytes of trace data cannot be right")
            if len(stretch) - at < packed_bytes:
                self._count_cut(packed_bytes - (len(stretch) - at), len(stretch))
                return
            self.allowance.spend(plain_bytes, self.offset + at - header.size, "a chunk of trace data")
            yield _Chunk(stretch[at : at + packed_bytes], plain_bytes)
            at += packed_bytes

    def _count_cut(self, missing: int, held: int) -> None:
        """A chunk does not fit: the file is cut, or the chunk's size is wrong and what follows is lost with it."""
        cut = self.offset + self.size + 4 > len(self.data)
        if cut:
            self._lose("truncated_bytes", max(missing, self.size - held))
        else:
            self._lose("undecodable_bytes", missing)

    def _lose(self, counter: str, count: int) -> None:
        self.lost[counter] = self.lost.get(counter, 0) + count
