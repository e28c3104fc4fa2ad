"""Copies of a recorded trace's ring buffer pages: later, on other files and by other tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from replay.errors import TraceError
from replay.ingest.formats import Field, Format

Words = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]

_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31
_DELTA_BITS, _STAMP_BITS = 27, 59
# Above: block devices, whose inode number is the device number, and files of proc. Both stay what they are.
_INODES = 1 << 24
_PIDS = 1 << 22  # the kernel's limit


@dataclass(frozen=True, slots=True)
class Steps:
    """What one copy adds to the times, inode numbers and task ids of the copy before it."""

    time: int
    inode: int
    pid: int


@dataclass(frozen=True, slots=True)
class Stream:
    """The pages of one CPU as 32-bit words, and the places of those that differ from copy to copy.

    Page times and stamps take two words each; of an inode number only the low word is changed.
    """

    words: Words
    page_times: Places
    stamps: Places
    inodes: Places
    pids: Places
    records: int
    first_time: int
    last_time: int

    def copy(self, number: int, steps: Steps) -> Words:
        words = self.words.copy()
        words[self.inodes] += np.uint32(number * steps.inode)
        words[self.pids] += np.uint32(number * steps.pid)
        times = _long(words, self.page_times) + number * steps.time
        words[self.page_times], words[self.page_times + 1] = times.astype(np.uint32), (times >> 32).astype(np.uint32)
        heads = words[self.stamps]
        stamps = (heads >> 5).astype(np.int64) | words[self.stamps + 1].astype(np.int64) << _DELTA_BITS
        stamps = (stamps + number * steps.time) & ((1 << _STAMP_BITS) - 1)
        words[self.stamps] = (heads & 31) | ((stamps & ((1 << _DELTA_BITS) - 1)) << 5).astype(np.uint32)
        words[self.stamps + 1] = (stamps >> _DELTA_BITS).astype(np.uint32)
        return words


def read_stream(where: str, pages: bytes, page_bytes: int, header_bytes: int, formats: Sequence[Format]) -> Stream:
    """TraceError where an entry does not lie within its page."""
    words = np.frombuffer(pages[: len(pages) // page_bytes * page_bytes], dtype="<u4").astype(np.uint32)
    starts = np.arange(0, len(words), page_bytes // 4, dtype=np.int64)
    records, stamps, last_times = _walk(where, words, starts, page_bytes, header_bytes)
    inodes = _sorted(_places(words, records, formats, _is_inode, _INODES))
    pids = _sorted(_places(words, records, formats, _is_pid, _PIDS))
    first_times = _long(words, starts)
    first, last = int(first_times.min(initial=1 << 62)), int(last_times.max(initial=0))
    return Stream(words, starts, stamps, inodes, pids, len(records), first, last)


def choose_steps(streams: Sequence[Stream], copies: int) -> Steps:
    """The smallest powers of two that keep the copies' files and tasks apart, and their times in order."""
    last = max(stream.last_time for stream in streams)
    inode, pid = (
        1 << max(int(stream.words[at].max(initial=1)) for stream, at in places).bit_length()
        for places in ([(s, s.inodes) for s in streams], [(s, s.pids) for s in streams])
    )
    if copies * inode >> 32 or copies * pid >> 31:
        raise SystemExit(f"{copies} copies do not fit: inode numbers and task ids of 32 bits would repeat")
    return Steps(last - min(stream.first_time for stream in streams) + 1_000_000, inode, pid)


def _walk(where: str, words: Words, starts: Places, page_bytes: int, header_bytes: int) -> tuple[Places, Places, Places]:
    """Where payloads and absolute time stamps begin, and the time at the end of each page.

    All pages are followed at once: each turn takes one entry of every page that has one left.
    """
    times = _long(words, starts)
    commits = (words[starts + 2] & ((1 << _DELTA_BITS) - 1)).astype(np.int64)
    if (commits > page_bytes - header_bytes).any():
        raise TraceError(where, None, "a page says that it holds more than a page")
    at, stop = starts + header_bytes // 4, starts + (header_bytes + commits) // 4
    records, stamps = [starts[:0]], [starts[:0]]
    page = np.arange(len(starts))
    while len(page := page[at[page] < stop[page]]):
        here = at[page]
        kind, delta = (words[here] & 31).astype(np.int64), (words[here] >> 5).astype(np.int64)
        following = words[np.minimum(here + 1, len(words) - 1)].astype(np.int64)
        ends = (kind == _PADDING) & (delta == 0)
        lengths = np.select([kind == 0, kind < _PADDING, kind == _PADDING], [1 + (following + 3) // 4, 1 + kind, 1 + following // 4], 2)
        if (~ends & (here + lengths > stop[page])).any():
            raise TraceError(where, None, "an entry runs over the end of its page")
        extended = delta + (following << _DELTA_BITS)
        stamped = extended | times[page] & ~((1 << _STAMP_BITS) - 1)
        times[page] = np.select([kind == _TIME_STAMP, kind == _TIME_EXTEND], [stamped, times[page] + extended], times[page] + delta)
        records.append((here + np.where(kind == 0, 2, 1))[kind < _PADDING])
        stamps.append(here[kind == _TIME_STAMP])
        at[page] = np.where(ends, stop[page], here + lengths)
    return np.concatenate(records), np.concatenate(stamps), times


def _long(words: Words, at: Places) -> Places:
    return words[at].astype(np.int64) | words[at + 1].astype(np.int64) << 32


def _is_inode(field: Field) -> bool:
    named = field.name == "ino" or field.name.endswith("_ino") or field.type == "ino_t"
    return named and "cgroup" not in field.name and field.scalar and field.bytes >= 4


def _is_pid(field: Field) -> bool:
    return (field.name == "pid" or field.name.endswith("_pid")) and field.scalar and field.bytes == 4


def _places(words: Words, records: Places, formats: Sequence[Format], chosen: Callable[[Field], bool], limit: int) -> Iterator[Places]:
    """Words of the chosen fields from 1 up to the limit."""
    types = words[records] & 0xFFFF
    for form in formats:
        fields = [field for field in form.fields if chosen(field)]
        mine = records[types == form.id] if fields else records[:0]
        for field in fields if len(mine) else ():
            if field.offset % 4:
                raise TraceError(f"{form.system}:{form.name}", None, f"field {field.name} is not aligned to 4 bytes")
            places = mine + field.offset // 4
            yield places[words[places] - np.uint32(1) < limit - 1]


def _sorted(places: Iterator[Places]) -> Places:
    return np.sort(np.concatenate([np.empty(0, np.int64), *places]))
