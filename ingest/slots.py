"""Dense page slots: every page that any event touches gets a number, contiguous per file and in index order.

A file's touched pages form runs; run after run is numbered, so that a range of pages is a range of slots and the replay
loop needs no hashing. Only pages are numbered that an event touches: a hole of a terabyte costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from replay._ext.slotruns import SlotRuns
from replay._ext.touched import INDEX_END, PageBits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

# struct Run of _ext/touched.pyx.
RUN = np.dtype([(name, "i8") for name in ("file", "begin", "end")])

__all__ = ["INDEX_END", "SlotMap", "number_runs", "number_slots"]


@dataclass(frozen=True, slots=True)
class SlotMap:
    """Runs of touched pages, ordered by (file_id, index); `slot` is the number of the run's first page."""

    file_id: Ints
    index: Ints
    npages: Ints
    slot: Ints

    @property
    def total(self) -> int:
        return int(self.slot[-1] + self.npages[-1]) if len(self.slot) else 0

    def of_files(self, files: int) -> tuple[Ints, Ints]:
        """First slot and number of slots of each file; a file without touched pages has none and the slot of its successor."""
        bounds = np.searchsorted(self.file_id, np.arange(files + 1, dtype=np.int64))
        starts = np.append(self.slot, self.total)[bounds]
        return starts[:-1], np.diff(starts)

    def locate(self, file_id: Ints, begin: Ints, end: Ints) -> tuple[Ints, Ints]:
        """Slot of the first touched page in [begin, end) of each row's file, and how many there are; (-1, 0) for none."""
        first = self.rank(file_id, begin)
        count = self.rank(file_id, end) - first
        return np.where(count > 0, first, -1), np.maximum(count, 0)

    def rank(self, file_id: Ints, index: Ints) -> Ints:
        """How many touched pages lie before (file_id, index): for a touched page its slot."""
        rank = np.empty(len(index), np.int64)
        self.runs(int(file_id.max(initial=-1)) + 1).ranks(np.ascontiguousarray(file_id), np.ascontiguousarray(index), rank)
        return rank

    def runs(self, files: int) -> SlotRuns:
        """To ask for slots in the first so many files."""
        first = np.searchsorted(self.file_id, np.arange(files + 1, dtype=np.int64))
        return SlotRuns(np.ascontiguousarray(self.index), np.ascontiguousarray(self.npages), np.append(self.slot, self.total), first)


def number_slots(file_id: Ints, begin: Ints, npages: Ints) -> SlotMap:
    """Number the pages of ranges of files. Every range must be non-empty and within [0, INDEX_END)."""
    bits = PageBits()
    bits.add(np.ascontiguousarray(file_id), np.ascontiguousarray(begin), np.ascontiguousarray(npages))
    runs = np.frombuffer(bits.runs(), RUN)
    return number_runs(runs["file"], runs["begin"], runs["end"])


def number_runs(file_id: Ints, begin: Ints, end: Ints) -> SlotMap:
    """Number the pages of runs, which may come in any order and overlap."""
    order = np.lexsort((begin, file_id))
    return _merged(file_id[order], begin[order], end[order])


def _merged(file: Ints, begin: Ints, end: Ints) -> SlotMap:
    """Ranges in order, overlapping or touching ones joined."""
    if not len(file):
        return SlotMap(file, begin, end, end)
    new_file = np.diff(file, prepend=-1) != 0
    reach = _running_end(new_file, end)
    opens = new_file.copy()
    opens[1:] |= begin[1:] > reach[:-1]
    starts = np.flatnonzero(opens)
    npages = reach[np.append(starts[1:], len(begin)) - 1] - begin[starts]
    return SlotMap(file[starts], begin[starts], npages, np.cumsum(npages) - npages)


def _running_end(new_file: NDArray[np.bool_], end: Ints) -> Ints:
    """Running maximum of `end`, starting anew at each file."""
    starts = np.flatnonzero(new_file)
    if len(starts) * INDEX_END < 1 << 62:
        offset = (np.cumsum(new_file) - 1) * INDEX_END
        return np.asarray(np.maximum.accumulate(end + offset) - offset)
    parts = np.split(end, starts[1:])
    return np.concatenate([np.maximum.accumulate(part) for part in parts])
