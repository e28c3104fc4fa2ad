"""Which allocations take blocks that pages of another time gave up: block_alloc and block_free rows, joined to pages.

A block belongs to the page that it was allocated for, or that its block_free names. Once freed it belongs to nobody, and
the next block_alloc that covers it reuses it. Blocks count as pages of 4096 bytes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class BlockRow(NamedTuple):
    """A block event: its row, whether it frees, its device, blocks, and the file and page of the first; -1 where not told."""

    row: int
    frees: bool
    device: str
    block: int
    nblocks: int
    file: int
    page: int


class Owner(NamedTuple):
    """Blocks [begin, end) and the pages of a file that they hold."""

    begin: int
    end: int
    file: int
    page: int


@dataclass(slots=True)
class Extents:
    """Disjoint ranges of blocks with their owners, in order."""

    owners: list[Owner] = field(default_factory=list)

    def take(self, begin: int, end: int) -> list[Owner]:
        """Remove what lies in [begin, end), and return it."""
        low = bisect_left(self.owners, begin, key=lambda owner: owner.end - 1)
        high = bisect_right(self.owners, end - 1, key=lambda owner: owner.begin)
        found = self.owners[low:high]
        before = [part(owner, owner.begin, begin) for owner in found if owner.begin < begin]
        after = [part(owner, end, owner.end) for owner in found if end < owner.end]
        self.owners[low:high] = before + after
        return [part(owner, max(owner.begin, begin), min(owner.end, end)) for owner in found]

    def put(self, owner: Owner) -> None:
        self.take(owner.begin, owner.end)
        insort(self.owners, owner)


def part(owner: Owner, begin: int, end: int) -> Owner:
    return Owner(begin, end, owner.file, owner.page + begin - owner.begin)


def reuses(rows: Iterable[BlockRow]) -> NDArray[np.int64]:
    """One line for each run of pages whose freed blocks an allocation takes: row, file, index, pages."""
    used: dict[str, Extents] = {}
    freed: dict[str, Extents] = {}
    found: list[tuple[int, int, int, int]] = []
    for row in rows:
        begin, end = row.block, row.block + row.nblocks
        owned, free = used.setdefault(row.device, Extents()), freed.setdefault(row.device, Extents())
        named = [Owner(begin, end, row.file, row.page)] if row.file >= 0 and row.page >= 0 else []
        if row.frees:
            for owner in owned.take(begin, end) + named:  # what the event itself says counts last
                free.put(owner)
        else:
            found += [(row.row, owner.file, owner.page, owner.end - owner.begin) for owner in free.take(begin, end)]
            owned.take(begin, end)
            for owner in named:
                owned.put(owner)
    return np.array(found, np.int64).reshape(-1, 4)
