"""Raw batches made of records written out, as a decoder would hand them on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from typing import Any

import pyarrow as pa

from builders.shown import shown
from replay.ingest.before import informed
from replay.ingest.canonical import Canonical
from replay.ingest.losses import Losses
from replay.ingest.lowering import Lowering
from replay.ingest.records import RawBatch, TraceInfo

DEV = 254 << 20 | 16
INO = 13

Record = tuple[str, int, dict[str, Any]]
"""Event, thread and fields; its position is its seq, and its time in microseconds."""

_SYSTEMS = {
    "writeback_dirty_folio": "writeback",
    "balance_dirty_pages": "writeback",
    "folio_wait_writeback": "writeback",
    "wbc_writepage": "writeback",
    "mm_filemap_add_to_page_cache": "filemap",
    "mm_filemap_delete_from_page_cache": "filemap",
    "mm_filemap_fault": "filemap",
    "sched_process_fork": "sched",
    "sched_process_exec": "sched",
    "sched_process_exit": "sched",
    "task_newtask": "task",
    "generic_add_lease": "filelock",
    "break_lease_block": "filelock",
    "break_lease_unblock": "filelock",
    "dax_pte_fault": "fs_dax",
    "iomap_writeback_folio": "iomap",
    "iomap_iter": "iomap",
    "mmap2": "perf",
}
_UNSIGNED = {"umem", "start", "addr", "iova", "folio", "pfn", "page", "vm_flags", "ino", "i_ino", "index", "fl_owner"}
_UNSIGNED |= {"mapping", "compound", "head_mapping", "head_ino", "head_index"}


def system(event: str) -> str:
    if event.startswith(("ext4_", "xfs_")):
        return event[: event.index("_")]
    return "syscalls" if event.startswith("sys_") else _SYSTEMS.get(event, "probes")


def batch(records: Sequence[Record], first: int = 0) -> RawBatch:
    """Records in order; the time of each is its position in microseconds."""
    tables: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for seq, (event, tid, fields) in enumerate(records, first):
        row = {"seq": seq, "ts": 1000 * seq, "cpu": tid % 2, "buffer": "", "common_pid": tid, **fields}
        tables.setdefault((system(event), event), []).append(row)
    return RawBatch({name: _batch(rows) for name, rows in tables.items()})


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    types = {"seq": pa.int64(), "ts": pa.int64(), "cpu": pa.int32(), "common_pid": pa.int32(), "s_dev": pa.uint32(), "dev": pa.uint32()}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    arrays = {}
    for name, values in columns.items():
        if name == "dev" and values[0] > 0xFFFFFFFF:
            arrays[name] = pa.array(values, pa.uint64())
        elif isinstance(values[0], str):
            arrays[name] = pa.array(values, pa.string())
        else:
            arrays[name] = pa.array(values, types.get(name, pa.uint64() if name in _UNSIGNED else pa.int64()))
    return pa.RecordBatch.from_pydict(arrays)


def lower(records: Sequence[Record], *, cuts: Sequence[int] = (), **facts: Any) -> tuple[Canonical, dict[str, int]]:
    """Lower the records in one batch, or in several that end at `cuts`; gives the tables and the counters that are not zero."""
    losses = Losses()
    before = facts.pop("before", None)
    info = TraceInfo("test.dat", "test", "mono", facts.pop("uname", "Linux x 6.1.0"), 2, **facts)
    if before is not None:
        info = informed(info, before)
    edges = [0, *cuts, len(records)]
    with closing(Lowering(info, losses, before=before)) as lowering:
        for first, last in pairwise(edges):
            lowering.add(batch(records[first:last], first))
        canonical = lowering.finish()
        assert canonical.tables  # losses are complete once these are
    return canonical, {name: count for (name, _), count in losses.counts.items() if count}


def rows(canonical: Canonical, table: str, *columns: str, op: str | None = None) -> list[tuple[Any, ...]]:
    """Rows of a table as tuples of some columns, of events optionally those of one operation."""
    found = shown(table, canonical.tables[table])
    return [tuple(row[column] for column in columns) for row in found if op is None or row["op"] == op]


# Records of one workload: a file of 16 pages at 0x7f0000000000, mapped shared by thread 10.
BASE = 0x7F0000000000


def mmap(tid: int, addr: int, npages: int, *, flags: int = 0xFB, pgoff: int = 0, ino: int = INO, dev: int = DEV) -> Record:
    return "mmap_region", tid, {"ino": ino, "dev": dev, "addr": addr, "len": npages * 4096, "vm_flags": flags, "pgoff": pgoff}


def mmap2(tid: int, addr: int, npages: int, generation: int, *, ino: int = INO, dev: int = DEV) -> Record:
    where = {"maj": dev >> 20, "min": dev & 0xFFFFF, "ino": ino, "ino_generation": generation, "addr": addr, "len": npages * 4096}
    return "mmap2", tid, where | {"pid": tid, "tid": tid, "pgoff": 0, "flags": 1}


def added(tid: int, index: int, *, ino: int = INO, dev: int = DEV, order: int = 0) -> Record:
    return "mm_filemap_add_to_page_cache", tid, {"pfn": 7000 + index, "i_ino": ino, "index": index, "s_dev": dev, "order": order}


def deleted(tid: int, index: int, *, ino: int = INO, dev: int = DEV) -> Record:
    return "mm_filemap_delete_from_page_cache", tid, {"pfn": 7000 + index, "i_ino": ino, "index": index, "s_dev": dev, "order": 0}


def dirtied(tid: int, index: int, *, ino: int = INO, name: str = "254:16") -> Record:
    return "writeback_dirty_folio", tid, {"name": name, "ino": ino, "index": index}


def throttled(tid: int) -> Record:
    """A task that dirtied a page has to wait."""
    return "balance_dirty_pages", tid, {"bdi": "254:16", "pause": 100}


def writeback(kind: str, tid: int, index: int, *, ino: int = INO, folio: int = 0xFFD0) -> Record:
    return f"folio_{kind}_writeback", tid, {"folio": folio + 64 * index, "ino": ino, "index": index, "refs": 4}


def on_file(event: str, tid: int, *, ino: int = INO, dev: int = DEV, **fields: int) -> Record:
    return event, tid, {"dev": dev, "ino": ino, **fields}


def pinned(tid: int, addr: int, npages: int, *, flags: int = 0x10001, ret: int | None = None) -> list[Record]:
    return [
        ("pin_user_pages_fast", tid, {"start": addr, "nr_pages": npages, "gup_flags": flags}),
        ("pin_user_pages_fast_ret", tid, {"ret": npages if ret is None else ret}),
    ]


def registered(tid: int, addr: int, npages: int, umem: int, *, access: int = 3, pins: bool = True) -> list[Record]:
    """ib_umem_get of whole pages; writable by default."""
    begin: Record = ("ib_umem_get", tid, {"dev": 0xFF11000000000000, "addr": addr, "size": npages * 4096, "access": access})
    end: Record = ("ib_umem_get_ret", tid, {"umem": umem})
    return [begin, *(pinned(tid, addr, npages) if pins else []), end]


def released(tid: int, umem: int) -> Record:
    return "ib_umem_release", tid, {"umem": umem}


def remote(iova: int, length: int, direction: int = 0) -> Record:
    return "rxe_mr_copy", 0, {"iova": iova, "length": length, "dir": direction}
