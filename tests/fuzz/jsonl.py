"""events.jsonl: the lines, and the tables that are built of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MODULES = ("replay.ingest.jsonl",)
_WORDS = "ts op dur tid tgid cpu comm file device kind index npages bytes pfn addr owner result write longterm dirty sync dax odp mr pin"
_OPERATIONS = "pin unpin mr_reg mr_dereg dirty wb_start wb_end truncate punch fsync fork exit exec mmap munmap lease_break"
TOKENS = (
    *(f'"{word}":'.encode() for word in _WORDS.split()),
    *(f'"op":"{word}"'.encode() for word in _OPERATIONS.split()),
    *(b"null", b"true", b"false", b"9223372036854775807", b"-9223372036854775808", b"18446744073709551615", b"1e400", b"\\ud800", b"\n"),
)


def decode(path: str, *, whole: bool = True) -> None:
    from replay.ingest.jsonl import read_jsonl

    for table in read_jsonl(path)[1].tables.values():
        table.validate(full=True)


def seeds() -> Iterator[tuple[str, bytes]]:
    examples = Path(__file__).parents[1] / "examples"
    for path in sorted(examples.glob("*.jsonl")):
        lines = path.read_bytes().splitlines(keepends=True)
        yield path.stem, b"".join(lines[:12])
        yield path.stem + "-end", b"".join(lines[-4:])
