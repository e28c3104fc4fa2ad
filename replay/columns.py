"""From a trace's tables to the columns of numbers that the engine runs over. Names stay here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replay._ext.recording import Trace
from replay.blocks import BlockRow, reuses
from replay.errors import StoreError
from replay.ingest.slots import SlotMap
from replay.schema import EVENTS, FILES, MRS, OPS, PINS, SLOTS, TASKS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

# What the engine reads of each table.
NEEDED = {
    EVENTS.name: (
        *("ts", "op", "tid", "file", "index", "npages", "dur", "open", "pin", "mr", "write", "longterm", "dirty", "sync"),
        *("bytes", "result", "slot", "nslots", "device", "block", "nblocks"),
    ),
    FILES.name: ("file", "file_id", "dax", "slot", "nslots"),
    SLOTS.name: ("file_id", "index", "npages", "slot"),
    TASKS.name: ("tid", "tgid", "kthread"),
    MRS.name: ("mr", "device", "tid", "write"),
    PINS.name: ("pin", "mr", "tid", "file", "npages", "slot", "write", "longterm", "preexisting", "ts_unpin"),
}

# Bits of a row's flags, as in _ext/world.pxd.
ROW_FLAGS = (("write", 1), ("sync", 2), ("dirty", 4), ("longterm", 8), ("open", 16))
ROW_FAILED, ROW_RANGE = 32, 64

Numbers = Any  # a numpy array; its type follows from the column


@dataclass(frozen=True, slots=True)
class Recorded:
    """A trace for the engine, and what its numbers stand for. `mrs`: regions from this number on are pins of no MR."""

    trace: Trace
    tids: NDArray[np.int32]
    files: tuple[str, ...]
    mrs: int


def read_recorded(folder: Path) -> Recorded:
    """The trace in a store's folder."""
    import pyarrow.parquet as pq

    tables = {}
    for name, columns in NEEDED.items():
        path = folder / f"{name}.parquet"
        try:
            tables[name] = pq.read_table(path, columns=list(columns), memory_map=True)
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read: {str(error).splitlines()[0]}", where=str(path)) from error
    try:
        return load(tables)
    except (ValueError, KeyError) as error:
        raise StoreError(f"the trace's tables do not fit together: {error}", where=str(folder), hint="ingest it again") from error


def load(tables: Mapping[str, pa.Table]) -> Recorded:
    """The same from tables in memory. ValueError where a number points outside of its table."""
    events, files, slots, tasks, mrs, pins = (tables[name] for name in NEEDED)
    tids, owners, kworkers = _tasks(tasks)
    names, file_columns = _files(files)
    pin_columns, regions = _pins_and_regions(pins, mrs, tids, names)
    order = np.argsort(_numbers(slots, "slot"), kind="stable")
    columns = {
        **_rows(events, tids, names),
        "task_owner": owners,
        "task_kworker": kworkers,
        **file_columns,
        **pin_columns,
        **regions,
        **_reuses(events, slots, names),
        "run_slot": _numbers(slots, "slot")[order],
        "run_index": _numbers(slots, "index")[order],
        "run_npages": _numbers(slots, "npages")[order],
    }
    return Recorded(Trace(columns), tids, tuple(names), mrs.num_rows)


def _numbers(table: pa.Table, name: str, *, none: int = -1, kind: Any = np.int64) -> Numbers:
    """A column as numpy, NULL as `none`."""
    import pyarrow as pa

    column = table[name].combine_chunks()
    if column.null_count and pa.types.is_integer(column.type):
        # Several times faster than fill_null: what lies under a NULL is arbitrary, but it is there.
        data = np.frombuffer(column.buffers()[1], column.type.to_pandas_dtype())
        held = data[column.offset : column.offset + len(column)]
        values = np.where(column.is_valid().to_numpy(zero_copy_only=False), held, held.dtype.type(none))
    else:
        values = (column.fill_null(none) if column.null_count else column).to_numpy(zero_copy_only=False)
    if kind is np.int32 and values.dtype == np.int64 and len(values) and not -(2**31) <= values.min() <= values.max() < 2**31:
        raise ValueError(f"column {name} holds numbers beyond 32 bits")
    return values.astype(kind, copy=False)


def _flags(table: pa.Table, name: str) -> Numbers:
    return _numbers(table, name, none=False, kind=np.uint8)


def _codes(table: pa.Table, name: str, numbers: Mapping[str, int], kind: Any) -> Numbers:
    """A text column as the numbers of its words; NULL and unknown words as -1."""
    import pyarrow as pa

    column = table[name].unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    words = [numbers.get(word, -1) for word in column.dictionary.to_pylist()]
    return np.array([*words, -1], kind)[column.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


def _tasks(tasks: pa.Table) -> tuple[NDArray[np.int32], Numbers, Numbers]:
    """Thread ids in ascending order with one more for events of no known thread; their processes; which are kernel workers.

    A thread whose process the trace does not tell is taken for a process of its own.
    """
    tid = _numbers(tasks, "tid")
    order = np.argsort(tid, kind="stable")
    tgid = np.where(_numbers(tasks, "tgid") < 0, tid, _numbers(tasks, "tgid"))
    owners = np.unique(np.append(tgid[order], -1), return_inverse=True)[1]
    return (
        np.append(tid[order], np.iinfo(np.int32).max).astype(np.int32),
        owners.astype(np.int32),
        np.append(_flags(tasks, "kthread")[order], 0).astype(np.uint8),
    )


def _task_numbers(table: pa.Table, tids: NDArray[np.int32]) -> Numbers:
    tid = _numbers(table, "tid")
    found = np.minimum(np.searchsorted(tids, tid), len(tids) - 1)
    return np.where((tids[found] == tid) & (tid >= 0), found, len(tids) - 1).astype(np.int32)


def _files(files: pa.Table) -> tuple[dict[str, int], dict[str, Numbers]]:
    """Files by name, and their columns in order of file_id."""
    ids = _numbers(files, "file_id")
    if sorted(ids.tolist()) != list(range(len(ids))):
        raise ValueError("file ids are not dense")
    order = np.argsort(ids)
    texts = files["file"].to_pylist()
    return {texts[row]: number for number, row in enumerate(order.tolist())}, {
        "file_slot": _numbers(files, "slot")[order],
        "file_nslots": _numbers(files, "nslots", none=0)[order],
        "file_dax": _flags(files, "dax")[order],
    }


def _pins_and_regions(
    pins: pa.Table, mrs: pa.Table, tids: NDArray[np.int32], files: Mapping[str, int]
) -> tuple[dict[str, Numbers], dict[str, Numbers]]:
    """Pins, and what they belong to: MRs, and behind them one region for each long-term pin that belongs to none."""
    for table, name in ((pins, "pin"), (mrs, "mr")):
        if not (_numbers(table, name) == np.arange(table.num_rows)).all():
            raise ValueError(f"column {name} does not number the rows of its table")
    region = _numbers(pins, "mr", kind=np.int32).copy()
    longterm = _flags(pins, "longterm") | (region >= 0)
    alone = np.flatnonzero((longterm != 0) & (region < 0))
    region[alone] = mrs.num_rows + np.arange(len(alone))
    task = _task_numbers(pins, tids)
    write = _flags(pins, "write")
    slot = _numbers(pins, "slot")
    devices = sorted({text for text in mrs["device"].to_pylist() if text is not None})
    device = _codes(mrs, "device", {text: number for number, text in enumerate(devices)}, np.int32)
    return {
        "pin_slot": slot,
        "pin_npages": _numbers(pins, "npages", none=0),
        "pin_file": np.where(slot < 0, -1, _codes(pins, "file", files, np.int32)).astype(np.int32),
        "pin_region": region,
        "pin_task": task,
        "pin_write": write,
        "pin_longterm": longterm.astype(np.uint8),
        "pin_preexisting": _flags(pins, "preexisting"),
        "pin_released": (_numbers(pins, "ts_unpin") >= 0).astype(np.uint8),
    }, {
        "region_task": np.append(_task_numbers(mrs, tids), task[alone]).astype(np.int32),
        "region_device": np.append(device, -2 - np.arange(len(alone))).astype(np.int32),
        "region_write": np.append(_flags(mrs, "write"), write[alone]).astype(np.uint8),
    }


def _rows(events: pa.Table, tids: NDArray[np.int32], files: Mapping[str, int]) -> dict[str, Numbers]:
    flags = np.zeros(events.num_rows, np.uint8)
    for name, bit in ROW_FLAGS:
        flags |= _flags(events, name) * np.uint8(bit)
    flags[_numbers(events, "result", none=0) < 0] |= ROW_FAILED
    flags[_numbers(events, "index") >= 0] |= ROW_RANGE
    return {
        "row_ts": _numbers(events, "ts"),
        "row_op": _codes(events, "op", {op: number for number, op in enumerate(OPS)}, np.int8),
        "row_task": _task_numbers(events, tids),
        "row_file": _codes(events, "file", files, np.int32),
        "row_slot": _numbers(events, "slot"),
        "row_nslots": _numbers(events, "nslots", none=0),
        "row_index": _numbers(events, "index"),
        "row_npages": _numbers(events, "npages"),
        "row_dur": _numbers(events, "dur"),
        "row_bytes": _numbers(events, "bytes"),
        "row_pin": _numbers(events, "pin", kind=np.int32),
        "row_region": _numbers(events, "mr", kind=np.int32),
        "row_flags": flags,
    }


def _reuses(events: pa.Table, slots: pa.Table, files: Mapping[str, int]) -> dict[str, Numbers]:
    """Allocations of blocks that touched pages gave up, by row: the slots of those pages."""
    known = SlotMap(*(_numbers(slots, name)[np.argsort(_numbers(slots, "slot"))] for name in ("file_id", "index", "npages", "slot")))
    row, file, index, npages = reuses(_block_rows(events, files)).T
    slot, n = known.locate(file, index, index + npages)
    return {"reuse_row": row[n > 0].astype(np.int32), "reuse_slot": slot[n > 0], "reuse_npages": n[n > 0]}


def _block_rows(events: pa.Table, files: Mapping[str, int]) -> list[BlockRow]:
    """The events that allocate or free blocks."""
    op = _codes(events, "op", {"block_alloc": 0, "block_free": 1}, np.int8)
    at = np.flatnonzero((op >= 0) & (_numbers(events, "block") >= 0) & (_numbers(events, "nblocks") > 0))
    rows = events.select(["file", "index", "device", "block", "nblocks"]).take(at).to_pylist()
    return [
        BlockRow(
            int(row),
            bool(op[row]),
            told["device"] or (told["file"] or "").rpartition(":")[0],
            told["block"],
            told["nblocks"],
            files.get(told["file"], -1),
            -1 if told["index"] is None else told["index"],
        )
        for row, told in zip(at, rows, strict=True)
    ]
