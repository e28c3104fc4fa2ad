"""Dense page slots: every page that any event touches gets a number, contiguous per file and in index order.

A file's touched pages form runs; run after run is numbered, so that a range of pages is a range of slots and the replay
loop needs no hashing. Only pages are numbered that an event touches: a hole of a terabyte costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

# loff_t ends at 2^63 - 1: no page of a file has a higher number than this (include/linux/fs.h, MAX_LFS_FILESIZE).
INDEX_END = 1 << 51


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
        first = self._rank(file_id, begin)
        count = self._rank(file_id, end) - first
        return np.where(count > 0, first, -1), np.maximum(count, 0)

    def _rank(self, file_id: Ints, index: Ints) -> Ints:
        """How many touched pages lie before (file_id, index)."""
        if not len(self.slot):
            return np.zeros(len(index), np.int64)
        run = _before(self.file_id, self.index, file_id, index)
        inside = np.minimum(index - self.index[run], self.npages[run])
        same = self.file_id[run] == file_id
        rank = self.slot[run] + np.where(same, inside, self.npages[run])
        return np.where(run < 0, 0, rank)


def number_slots(file_id: Ints, begin: Ints, end: Ints) -> SlotMap:
    """Number the pages of the ranges [begin, end) of files; every range must be non-empty and within [0, INDEX_END)."""
    file_id, begin, end = _distinct(file_id, begin, end)
    if not len(file_id):
        empty = np.zeros(0, np.int64)
        return SlotMap(empty, empty, empty, empty)
    new_file = np.diff(file_id, prepend=-1) != 0
    # The farthest end so far within the file; files are kept apart by an offset per file, hence exact Python-free maxima.
    reach = _running_end(new_file, end)
    opens = new_file.copy()
    opens[1:] |= begin[1:] > reach[:-1]
    starts = np.flatnonzero(opens)
    lasts = np.append(starts[1:], len(begin)) - 1
    npages = reach[lasts] - begin[starts]
    return SlotMap(file_id[starts], begin[starts], npages, np.cumsum(npages) - npages)


def _distinct(file_id: Ints, begin: Ints, end: Ints) -> tuple[Ints, Ints, Ints]:
    """The ranges sorted by (file, begin), single pages without duplicates: they are nearly all rows and very repetitive."""
    stride = int(end.max()) + 1 if len(end) else 1
    single = end - begin == 1
    if (int(file_id.max(initial=0)) + 1) * stride < 1 << 62:
        pages = np.unique(file_id[single] * stride + begin[single])
        file_one, begin_one = np.divmod(pages, stride)
    else:
        file_one, begin_one = file_id[single], begin[single]
    file_all = np.concatenate([file_one, file_id[~single]])
    begin_all = np.concatenate([begin_one, begin[~single]])
    end_all = np.concatenate([begin_one + 1, end[~single]])
    order = np.lexsort((begin_all, file_all))
    return file_all[order], begin_all[order], end_all[order]


def _running_end(new_file: NDArray[np.bool_], end: Ints) -> Ints:
    """Running maximum of `end`, starting anew at each file."""
    starts = np.flatnonzero(new_file)
    if len(starts) * INDEX_END < 1 << 62:
        offset = (np.cumsum(new_file) - 1) * INDEX_END
        return np.asarray(np.maximum.accumulate(end + offset) - offset)
    parts = np.split(end, starts[1:])
    return np.concatenate([np.maximum.accumulate(part) for part in parts])


def _before(run_file: Ints, run_index: Ints, file_id: Ints, index: Ints) -> Ints:
    """For each (file_id, index) the last run that begins at or before it; -1 if none does."""
    stride = max(int(run_index[-1]), int(run_index.max()), int(index.max(initial=0))) + 1
    if (max(int(run_file[-1]), int(file_id.max(initial=0))) + 1) * stride < 1 << 62:
        return np.searchsorted(run_file * stride + run_index, file_id * stride + index, side="right") - 1
    first = np.searchsorted(run_file, file_id, side="left")
    last = np.searchsorted(run_file, file_id, side="right")
    found = np.empty(len(index), np.int64)
    for file in np.unique(file_id):
        rows = np.flatnonzero(file_id == file)
        low, high = int(first[rows[0]]), int(last[rows[0]])
        found[rows] = low + np.searchsorted(run_index[low:high], index[rows], side="right") - 1
    return found
