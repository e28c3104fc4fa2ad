"""The file ranges of events and pins, and the page slots of those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from replay.ingest.canonical import TOUCHING_OPS, Column, is_op, values_of
from replay.ingest.slots import INDEX_END, SlotMap, number_slots

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Operations that concern their file from `index` (or its beginning) to its end where no length is given.
_OPEN_ENDED = ("truncate", "collapse", "layout_wait")


@dataclass(frozen=True, slots=True)
class Ranges:
    """Which rows name a range of a file's pages, which of them touch these pages, and the slots of both."""

    file: NDArray[np.int64]
    begin: NDArray[np.int64]
    npages: NDArray[np.int64]
    touching: NDArray[np.bool_]
    ranged: NDArray[np.bool_]

    @classmethod
    def of_events(cls, events: Mapping[str, Column], touching: NDArray[np.bool_] | None = None) -> Ranges:
        """`touching`: rows that touch their pages, where that is known already."""
        op, file = events["op"].data, events["file"].data.astype(np.int64, copy=False)
        begin, npages = values_of(events["index"], -1), values_of(events["npages"], -1)
        known = (file >= 0) & (begin >= 0) & (begin < INDEX_END)
        if "result" in events:
            # A pin call that returned an error holds no page.
            known &= ~(is_op(op, "pin") & (values_of(events["result"], 0) < 0))
        if touching is None:
            touching = known & (npages > 0) & (npages < INDEX_END) & (begin < INDEX_END - npages) & is_op(op, *TOUCHING_OPS)
        ranged = known & ((npages > 0) & ~is_op(op, "mmap") | (npages < 0) & is_op(op, *_OPEN_ENDED))
        return cls(file, begin, npages, touching, ranged)

    @classmethod
    def of_pins(cls, pins: Mapping[str, Column]) -> Ranges:
        file, begin, npages = pins["file"].data.astype(np.int64), values_of(pins["index"], -1), values_of(pins["npages"], -1)
        known = (file >= 0) & (begin >= 0) & (begin < INDEX_END) & (npages > 0)
        return cls(file, begin, npages, np.zeros(len(file), bool), known)

    def slots(self) -> SlotMap:
        rows = np.flatnonzero(self.touching)
        return number_slots(self.file[rows], self.begin[rows], self.npages[rows])

    def locate(self, slots: SlotMap) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Slot and number of slots of each row; a touched range holds all of its pages, another those that something touches."""
        slot, nslots = np.full(len(self.file), -1, np.int64), np.zeros(len(self.file), np.int64)
        rows = np.flatnonzero(self.touching)
        slot[rows], nslots[rows] = slots.rank(self.file[rows], self.begin[rows]), self.npages[rows]
        rows = np.flatnonzero(self.ranged & ~self.touching)
        start = self.begin[rows]
        length = np.where(self.npages[rows] < 0, INDEX_END - 1, self.npages[rows])
        slot[rows], nslots[rows] = slots.locate(self.file[rows], start, start + np.minimum(length, INDEX_END - 1 - start))
        return slot, nslots
