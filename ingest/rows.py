"""A chunk of the in-order pass's rows, with their patches, as columns of the events table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from replay.ingest.canonical import OP_CODE, Column, looked_up
from replay.ingest.identity import SOURCES, Graded, device_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay._ext.touched import Settling

# Orders of the enums in _ext/rows.pxd.
PATCHED = (
    "dur",
    "open",
    "result",
    "addr",
    "owner",
    "kind",
    "block",
    "nblocks",
    "block_device",
    "rdma_device",
    "op",
    "file",
    "index",
    "npages",
)
FLAGS = ("write", "longterm", "dirty", "sync", "odp", "busy", "open", "weak")
# Codes of PATCH_KIND: see the KIND_ constants of _ext/identity.pyx.
KINDS = (
    *("zero", "collapse", "insert", "shared", "private", "anonymous"),
    *(f"{kind}:{mode}" for kind in ("lease", "delegation", "layout") for mode in ("read", "write", "unlock")),
)
# The column that `value` of a row means.
_VALUE = {
    "cache_add": "pfn",
    "cache_del": "pfn",
    **dict.fromkeys(("remote_write", "remote_read", "mr_reg", "mmap", "munmap"), "bytes"),
    **dict.fromkeys(("pin", "fork", "migrate"), "result"),
}
_NOTHING = 255


class Rows:
    """Rows by column. Those that turned out to be no event, or of which there is a better record, are left out.

    `superseded` says of each operation whether the trace has a better source of it than the weak one.
    """

    def __init__(
        self, rows: dict[str, NDArray[Any]], patches: NDArray[Any], superseded: NDArray[np.bool_], found: Graded, settling: Settling
    ) -> None:
        for name in ("op", "file", "index", "npages"):
            changed = patches[patches["column"] == PATCHED.index(name)]
            rows[name][changed["row"]] = changed["value"]
        keep = rows["op"] != _NOTHING
        if superseded.any():
            keep &= ~(looked_up(superseded, rows["op"]) & ((rows["flags"] & _bits("weak")[1]) != 0))
        self.rows, self.patches = rows, patches
        if not keep.all():
            kept = np.flatnonzero(keep)
            self.rows = {name: values.take(kept) for name, values in rows.items()}
            place = np.searchsorted(kept, patches["row"])
            known = np.append(kept, -1)[place] == patches["row"]
            self.patches = patches[known]
            self.patches["row"] = place[known]
        self.size = len(self.rows["op"])
        self.found = found
        self.file = found.file[self.rows["file"]]
        if found.wander.any():
            settling.settle(self.rows["file"], self.rows["op"], self.rows["index"], self.file)

    def told(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows for which patches tell a column's value, and these; of several for the same row the last."""
        patches = self.patches[self.patches["column"] == PATCHED.index(name)][::-1]
        rows, last = np.unique(patches["row"], return_index=True)
        return rows, patches["value"][last]

    def patched(self, name: str, type_: Any = np.int64) -> Column | None:
        """A column that only patches fill; None if none does."""
        rows, told = self.told(name)
        if not len(rows):
            return None
        values, null = np.zeros(self.size, type_), np.ones(self.size, bool)
        values[rows] = told.view(np.uint64) if type_ is np.uint64 else told
        null[rows] = False
        return Column(values, null)

    def valued(self, column: str) -> Column | None:
        """A column that `value` of some operations gives, with patches where it has any."""
        meant = np.zeros(256, bool)
        meant[[OP_CODE[op] for op, name in _VALUE.items() if name == column]] = True
        values = self.rows["value"]
        null = ~looked_up(meant, self.rows["op"]) | (values < 0)
        patched = self.patched(column) if column in PATCHED else None
        if patched is not None and patched.null is not None:
            return Column(np.where(patched.null, values, patched.data), null & patched.null)
        return None if null.all() else Column(values, null)

    def events(self) -> dict[str, Column]:
        rows, file = self.rows, self.file
        index, npages = rows["index"], rows["npages"]
        opened, dur = self.patched("open"), self.patched("dur")
        if opened is not None and dur is not None and opened.null is not None and dur.null is not None:
            dur = Column(dur.data, dur.null | ~opened.null)
        is_open = np.zeros(len(file), bool) if opened is None or opened.null is None else ~opened.null
        columns = {
            **{name: Column(rows[name], rows[name] < 0) for name in ("mr", "pin")},
            **{name: self.flag(name) for name in FLAGS[:6]},
            "index": Column(index, index < 0),
            "npages": Column(npages, npages < 0),
            "open": Column(is_open),
            "dur": dur,
            **{name: self.patched(name, np.uint64) for name in ("addr", "owner")},
            **{name: self.patched(name) for name in ("block", "nblocks")},
            "kind": self.kinds(),
            "device": self.devices(),
            **{name: self.valued(name) for name in ("pfn", "bytes", "result")},
        }
        always = {**{name: Column(rows[name]) for name in ("seq", "ts", "cpu", "tid", "op")}, "file": Column(file)}
        return {**always, **self.grades(), **{name: column for name, column in columns.items() if column is not None}}

    def touching(self) -> NDArray[np.bool_]:
        """Rows that touch the pages of a file that is known."""
        touching: NDArray[np.bool_] = (self.rows["touches"] != 0) & (self.file >= 0)
        return touching

    def wandering(self) -> NDArray[np.intp]:
        """Those of them whose file their key alone does not tell."""
        return np.flatnonzero(self.touching() & self.found.wander[self.rows["file"]])

    def flag(self, name: str) -> Column | None:
        known, value = _bits(name)
        told = (self.rows["flags"] & known) != 0
        return Column((self.rows["flags"] & value) != 0, ~told) if told.any() else None

    def kinds(self) -> Column:
        codes = np.full(self.size, -1, np.int32)
        rows, kinds = self.told("kind")
        codes[rows] = kinds
        return Column(codes, words=KINDS)

    def devices(self) -> Column:
        """Kernel pointers of RDMA devices, and block devices by number."""
        codes = np.full(self.size, -1, np.int32)
        names: list[str] = []
        for column, name in (("rdma_device", pointer_name), ("block_device", device_name)):
            rows, values = self.told(column)
            known = values != -1
            distinct, place = np.unique(values[known], return_inverse=True)
            codes[rows[known]] = len(names) + place
            names += [name(int(value)) for value in distinct]
        return Column(codes, words=names)

    def grades(self) -> dict[str, Column]:
        """Rows that an event's own identity names take that identity's grade; a file that was decided row by row is less sure."""
        found, file = self.found, self.file
        keys, source, confidence = (self.rows[name] for name in ("file", "source", "confidence"))
        by_key = source == 0
        source = np.where(by_key, found.source[keys], source)
        confidence = np.where(by_key, found.confidence[keys], confidence)
        # The file of a region is that of its pins, which mappings told.
        region = by_key & ((self.rows["op"] == OP_CODE["mr_reg"]) | (self.rows["op"] == OP_CODE["mr_dereg"]))
        if region.any():
            source[region] = np.where(file[region] >= 0, SOURCES.index("mapping"), 0)
            confidence[region] = np.where(file[region] >= 0, 90, 0)
        decided = by_key & (file >= 0) & (found.file[keys] < 0)
        if decided.any():
            source[decided], confidence[decided] = SOURCES.index("cooccurrence"), 60
        codes = np.array([-1, *range(1, len(SOURCES))], np.int32)[source]
        sure = (np.arange(256) / 100)[confidence]
        return {"id_source": Column(codes, words=SOURCES), "id_confidence": Column(sure, codes < 0)}


def pointer_name(pointer: int) -> str:
    return f"{pointer & (1 << 64) - 1:#x}"


def _bits(name: str) -> tuple[int, int]:
    """The bits of `flags` that say whether a flag is told, and its value."""
    return 1 << 2 * FLAGS.index(name), 2 << 2 * FLAGS.index(name)
