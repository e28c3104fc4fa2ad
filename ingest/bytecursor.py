"""Reads numbers and strings from bytes that are not trusted."""

from __future__ import annotations

from dataclasses import dataclass

from replay.errors import TraceError


@dataclass(slots=True)
class ByteCursor:
    """A position in `data`. Running over the end raises TraceError with the offset in the file.

    `base` is the file offset of data[0]; for a section that was compressed it is where the section is, and `fixed` is set. Numbers
    are little-endian unless `big_endian` says otherwise.
    """

    path: str
    data: memoryview
    at: int = 0
    base: int = 0
    fixed: bool = False
    big_endian: bool = False

    @property
    def offset(self) -> int:
        return self.base if self.fixed else self.base + self.at

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def error(self, what: str) -> TraceError:
        return TraceError(self.path, self.offset, what)

    def take(self, size: int, what: str) -> memoryview:
        if size < 0 or self.left < size:
            raise self.error(f"the file ends inside of {what} ({size} bytes wanted, {max(self.left, 0)} left)")
        begin, self.at = self.at, self.at + size
        return self.data[begin : self.at]

    def number(self, size: int, what: str) -> int:
        return int.from_bytes(self.take(size, what), "big" if self.big_endian else "little")

    def part(self, size: int, what: str) -> ByteCursor:
        """A cursor of its own over the next `size` bytes, which this one steps over."""
        base = self.offset
        return ByteCursor(self.path, self.take(size, what), base=base, fixed=self.fixed, big_endian=self.big_endian)

    def string(self, what: str, limit: int = 4096) -> str:
        """A NUL-terminated string."""
        window = bytes(self.data[self.at : self.at + limit])
        end = window.find(b"\0")
        if end < 0:
            raise self.error(f"{what} has no end")
        self.at += end + 1
        return window[:end].decode("utf-8", "replace")

    def text(self, size: int, what: str) -> str:
        """Text of a declared length, up to the first NUL."""
        return bytes(self.take(size, what)).partition(b"\0")[0].decode("utf-8", "replace")

    def go(self, offset: int, what: str) -> None:
        """Continue at an offset of the file."""
        if offset < self.base or offset - self.base >= len(self.data):
            raise TraceError(self.path, self.offset, f"{what} lies at byte {offset}, outside of the file")
        self.at = offset - self.base
