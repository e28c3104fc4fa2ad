"""From a trace's tables to the columns of numbers that the engine runs over. Names stay here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from replay._ext.recording import Trace
from replay.arrays import Numbers, codes, flags, numbers
from replay.blocks import BlockRow, reuses
from replay.errors import StoreError
from replay.eventrows import Columns, EventRows, read_batches, task_numbers
from replay.ingest.slots import SlotMap
from replay.schema import EVENTS, FILES, MRS, PINS, SLOTS, TASKS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from replay.store import Entry

# What the engine reads of each table beside the events.
NEEDED = {
    FILES.name: ("file", "file_id", "dax", "slot", "nslots"),
    SLOTS.name: ("file_id", "index", "npages", "slot"),
    TASKS.name: ("tid", "tgid", "kthread"),
    MRS.name: ("mr", "device", "tid", "write"),
    PINS.name: ("pin", "mr", "tid", "file", "npages", "slot", "write", "longterm", "preexisting", "ts_unpin"),
}


# The kernel's own mount of shmem, which is the first anonymous device: memfd, System V segments, shared anonymous memory.
_SHMEM = "0:1:"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A trace for the engine, and what its numbers stand for. `mrs`: regions from this number on are pins of no MR."""

    trace: Trace
    tids: NDArray[np.int32]
    files: tuple[str, ...]
    mrs: int


def read_recorded(entry: Entry) -> Recorded:
    """A trace of a store. Its events are read a row group at a time, some of them ahead in threads."""
    files = {name: _opened(entry.table(name)) for name in NEEDED}
    events = [(path, _opened(path).metadata) for path in entry.files(EVENTS.name)]
    groups = [(path, group) for path, metadata in events for group in range(metadata.num_row_groups)]
    try:
        tables = {name: files[name].read(list(columns)) for name, columns in NEEDED.items()}
        return _build(tables, sum(metadata.num_rows for _, metadata in events), lambda rows: read_batches(groups, rows.convert))
    except (ValueError, KeyError) as error:
        raise StoreError(f"the trace's tables do not fit together: {error}", where=str(entry.path), hint="ingest it again") from error


def _opened(path: Path) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, memory_map=True)
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read: {str(error).splitlines()[0]}", where=str(path)) from error


def load(tables: Mapping[str, pa.Table]) -> Recorded:
    """The same from tables in memory. ValueError where a number points outside of its table."""
    events = tables[EVENTS.name].unify_dictionaries().combine_chunks()
    return _build(tables, events.num_rows, lambda rows: map(rows.convert, events.to_batches()))


def _build(tables: Mapping[str, pa.Table], n_rows: int, batches: Callable[[EventRows], Iterator[Columns]]) -> Recorded:
    """The trace whose events `batches` gives."""
    files, slots, tasks, mrs, pins = (tables[name] for name in NEEDED)
    tids, owners, kworkers = _tasks(tasks)
    names, file_columns = _files(files)
    pin_columns, regions = _pins_and_regions(pins, mrs, tids, names)
    order = np.argsort(numbers(slots, "slot"), kind="stable")
    columns = {
        "task_owner": owners,
        "task_kworker": kworkers,
        **file_columns,
        **pin_columns,
        **regions,
        "run_slot": numbers(slots, "slot")[order],
        "run_index": numbers(slots, "index")[order],
        "run_npages": numbers(slots, "npages")[order],
    }
    rows = EventRows(tids, names)
    trace = Trace(columns, rows.passing(batches(rows)), n_rows, lambda: _reuses(rows.blocks, slots))
    return Recorded(trace, tids, tuple(names), mrs.num_rows)


def _tasks(tasks: pa.Table) -> tuple[NDArray[np.int32], Numbers, Numbers]:
    """Thread ids in ascending order with one more for events of no known thread; their processes; which are kernel workers.

    A thread whose process the trace does not tell is taken for a process of its own.
    """
    tid = numbers(tasks, "tid")
    order = np.argsort(tid, kind="stable")
    tgid = np.where(numbers(tasks, "tgid") < 0, tid, numbers(tasks, "tgid"))
    owners = np.unique(np.append(tgid[order], -1), return_inverse=True)[1]
    return (
        np.append(tid[order], np.iinfo(np.int32).max).astype(np.int32),
        owners.astype(np.int32),
        np.append(flags(tasks, "kthread")[order], 0).astype(np.uint8),
    )


def _files(files: pa.Table) -> tuple[dict[str, int], dict[str, Numbers]]:
    """Files by name, and their columns in order of file_id."""
    ids = numbers(files, "file_id")
    if sorted(ids.tolist()) != list(range(len(ids))):
        raise ValueError("file ids are not dense")
    order = np.argsort(ids)
    texts = files["file"].to_pylist()
    return {texts[row]: number for number, row in enumerate(order.tolist())}, {
        "file_slot": numbers(files, "slot")[order],
        "file_nslots": numbers(files, "nslots", none=0)[order],
        "file_dax": flags(files, "dax")[order],
        "file_memory": np.array([texts[row].startswith(_SHMEM) for row in order.tolist()], np.uint8),
    }


def _pins_and_regions(
    pins: pa.Table, mrs: pa.Table, tids: NDArray[np.int32], files: Mapping[str, int]
) -> tuple[dict[str, Numbers], dict[str, Numbers]]:
    """Pins, and what they belong to: MRs, and behind them one region for each long-term pin that belongs to none."""
    for table, name in ((pins, "pin"), (mrs, "mr")):
        if not (numbers(table, name) == np.arange(table.num_rows)).all():
            raise ValueError(f"column {name} does not number the rows of its table")
    region = numbers(pins, "mr", kind=np.int32).copy()
    longterm = flags(pins, "longterm") | (region >= 0)
    alone = np.flatnonzero((longterm != 0) & (region < 0))
    region[alone] = mrs.num_rows + np.arange(len(alone))
    task = task_numbers(numbers(pins, "tid"), tids)
    write = flags(pins, "write")
    slot = numbers(pins, "slot")
    devices = sorted({text for text in mrs["device"].to_pylist() if text is not None})
    device = codes(mrs, "device", {text: number for number, text in enumerate(devices)}, np.int32)
    return {
        "pin_slot": slot,
        "pin_npages": numbers(pins, "npages", none=0),
        "pin_file": np.where(slot < 0, -1, codes(pins, "file", files, np.int32)).astype(np.int32),
        "pin_region": region,
        "pin_task": task,
        "pin_write": write,
        "pin_longterm": longterm.astype(np.uint8),
        "pin_preexisting": flags(pins, "preexisting"),
        "pin_released": (numbers(pins, "ts_unpin") >= 0).astype(np.uint8),
    }, {
        "region_task": np.append(task_numbers(numbers(mrs, "tid"), tids), task[alone]).astype(np.int32),
        "region_device": np.append(device, -2 - np.arange(len(alone))).astype(np.int32),
        "region_write": np.append(flags(mrs, "write"), write[alone]).astype(np.uint8),
    }


def _reuses(blocks: list[BlockRow], slots: pa.Table) -> dict[str, Numbers]:
    """Allocations of blocks that touched pages gave up, by row: the slots of those pages."""
    known = SlotMap(*(numbers(slots, name)[np.argsort(numbers(slots, "slot"))] for name in ("file_id", "index", "npages", "slot")))
    row, file, index, npages = reuses(blocks).T
    slot, n = known.locate(file, index, index + npages)
    return {"reuse_row": row[n > 0].astype(np.int32), "reuse_slot": slot[n > 0], "reuse_npages": n[n > 0]}
