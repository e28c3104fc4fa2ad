"""Rows of the in-order pass, with their patches, as columns of the events table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from replay.ingest.canonical import OP_CODE, Column
from replay.ingest.identity import SOURCES, Identities, device_name, settle, succeed

if TYPE_CHECKING:
    from numpy.typing import NDArray

# struct Patch of _ext/rows.pxd, and the orders of its enums.
PATCH = np.dtype([("row", "i8"), ("value", "i8"), ("column", "i8")])
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
FIELDS = {
    **dict.fromkeys(("seq", "ts", "index", "npages", "value"), np.int64),
    **dict.fromkeys(("tid", "file", "mr", "pin", "cpu"), np.int32),
    "flags": np.uint16,
    "op": np.uint8,
    "source": np.uint8,
    "confidence": np.uint8,
}
# The column that `value` of a row means.
_VALUE = {
    "cache_add": "pfn",
    "cache_del": "pfn",
    **dict.fromkeys(("remote_write", "remote_read", "mr_reg", "mmap", "munmap"), "bytes"),
    **dict.fromkeys(("pin", "fork", "migrate"), "result"),
}
_NOTHING = 255


class Rows:
    """All rows of a trace by column. Rows that turned out to be no event, or of which there is a better record, are left out."""

    def __init__(self, chunks: list[dict[str, NDArray[Any]]], patches: NDArray[Any]) -> None:
        self.patches = {name: patches[patches["column"] == number] for number, name in enumerate(PATCHED)}
        rows = {name: np.concatenate([chunk[name] for chunk in chunks]) if chunks else np.zeros(0, type_) for name, type_ in FIELDS.items()}
        self.size = len(rows["op"])
        for name in ("op", "file", "index", "npages"):
            rows[name][self.patches[name]["row"]] = self.patches[name]["value"]
        keep = rows["op"] != _NOTHING
        weak = (rows["flags"] & _bits("weak")[1]) != 0
        if weak.any():
            strong = np.zeros(256, bool)
            strong[rows["op"][keep & ~weak]] = True
            keep &= ~(weak & strong[rows["op"]])
        self.kept = None if keep.all() else np.flatnonzero(keep)
        self.rows = {name: self.keep(values) for name, values in rows.items()}

    def keep(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.kept is None else values[self.kept]

    def patched(self, name: str, type_: Any = np.int64) -> Column | None:
        """A column that only patches fill; None if none does."""
        patches = self.patches[name]
        if not len(patches):
            return None
        values, null = np.zeros(self.size, type_), np.ones(self.size, bool)
        values[patches["row"]] = patches["value"].view(np.uint64) if type_ is np.uint64 else patches["value"]
        null[patches["row"]] = False
        return Column(self.keep(values), self.keep(null))

    def valued(self, column: str) -> Column | None:
        """A column that `value` of some operations gives, with patches where it has any."""
        meant = np.zeros(256, bool)
        meant[[OP_CODE[op] for op, name in _VALUE.items() if name == column]] = True
        values = self.rows["value"]
        null = ~meant[self.rows["op"]] | (values < 0)
        patched = self.patched(column) if column in PATCHED else None
        if patched is not None and patched.null is not None:
            return Column(np.where(patched.null, values, patched.data), null & patched.null)
        return None if null.all() else Column(values, null)

    def events(self, found: Identities, kinds: NDArray[Any]) -> dict[str, Column]:
        """`kinds` are those of the keys."""
        rows, keys = self.rows, self.rows["file"]
        index, npages = rows["index"], rows["npages"]
        file = np.array([*found.file, -1], np.int64)[keys]
        if found.ambiguous:
            settle(found, keys, file, rows["op"], index)
        if found.successors:
            succeed(found, keys, file, kinds)
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
            "kind": Column(self.codes("kind"), words=KINDS),
            "device": self.devices(),
            **{name: self.valued(name) for name in ("pfn", "bytes", "result")},
        }
        always = {**{name: Column(rows[name]) for name in ("seq", "ts", "cpu", "tid", "op")}, "file": Column(file)}
        return {**always, **self.grades(found, keys, file), **{name: column for name, column in columns.items() if column is not None}}

    def flag(self, name: str) -> Column | None:
        known, value = _bits(name)
        told = (self.rows["flags"] & known) != 0
        return Column((self.rows["flags"] & value) != 0, ~told) if told.any() else None

    def codes(self, name: str) -> NDArray[np.int64]:
        column = self.patched(name)
        if column is None:
            return np.full(len(self.rows["op"]), -1, np.int64)
        return column.data if column.null is None else np.where(column.null, -1, column.data)

    def devices(self) -> Column:
        """Kernel pointers of RDMA devices, and block devices by number."""
        codes = np.full(len(self.rows["op"]), -1, np.int32)
        names: list[str] = []
        for column, name in (("rdma_device", pointer_name), ("block_device", device_name)):
            values = self.codes(column)
            known = np.flatnonzero(values != -1)
            distinct, place = np.unique(values[known], return_inverse=True)
            codes[known] = len(names) + place
            names += [name(int(value)) for value in distinct]
        return Column(codes, words=names)

    def grades(self, found: Identities, keys: NDArray[Any], file: NDArray[Any]) -> dict[str, Column]:
        """Rows that an event's own identity names take that identity's grade; a file that was decided row by row is less sure."""
        source, confidence, by_key = self.rows["source"], self.rows["confidence"], self.rows["source"] == 0
        source = np.where(by_key, np.array([*found.source, 0], np.uint8)[keys], source)
        confidence = np.where(by_key, np.array([*(round(100 * sure) for sure in found.confidence), 0], np.uint8)[keys], confidence)
        # The file of a region is that of its pins, which mappings told.
        region = by_key & ((self.rows["op"] == OP_CODE["mr_reg"]) | (self.rows["op"] == OP_CODE["mr_dereg"]))
        if region.any():
            source[region] = np.where(file[region] >= 0, SOURCES.index("mapping"), 0)
            confidence[region] = np.where(file[region] >= 0, 90, 0)
        if found.ambiguous:
            decided = by_key & (file >= 0) & (source == SOURCES.index("unresolved"))
            source[decided], confidence[decided] = SOURCES.index("cooccurrence"), 60
        codes = np.array([-1, *range(1, len(SOURCES))], np.int32)[source]
        sure = (np.arange(256) / 100)[confidence]
        return {"id_source": Column(codes, words=SOURCES), "id_confidence": Column(sure, codes < 0)}


def pointer_name(pointer: int) -> str:
    return f"{pointer & (1 << 64) - 1:#x}"


def _bits(name: str) -> tuple[int, int]:
    """The bits of `flags` that say whether a flag is told, and its value."""
    return 1 << 2 * FLAGS.index(name), 2 << 2 * FLAGS.index(name)
