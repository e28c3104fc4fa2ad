"""Events in batches on their way from Parquet to the engine."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.arrays import Numbers, codes, numbers
from replay.blocks import BlockRow
from replay.schema import EVENTS, OPS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

# What the engine reads of each event, as it lies in Parquet.
NEEDED = (
    *("ts", "op", "tid", "file", "index", "npages", "dur", "pin", "mr"),
    *("bits", "bytes", "result", "lead", "nslots", "device", "block", "nblocks"),
)

# Bits of a row's flags, as in _ext/world.pxd.
ROW_FLAGS = (("write", 1), ("sync", 2), ("dirty", 4), ("open", 16))
ROW_FAILED = 32

# Events that are converted at once: small enough that memory is used again instead of being asked for anew.
BATCH_ROWS = 1 << 17

# Thread ids up to here, beyond which no kernel goes, are looked up in a table, others by search.
_COMMON_TIDS = 1 << 22
_OPS = {op: number for number, op in enumerate(OPS)}

Columns = dict[str, Any]  # numpy arrays, and rows about blocks


def read_batches(groups: Sequence[tuple[Path, int]], convert: Callable[[pa.RecordBatch], Columns]) -> Iterator[Columns]:
    """Row groups of events in order, by file and number, converted in threads, as many ahead as there are CPUs."""
    import pyarrow.parquet as pq

    def one(path: Path, group: int) -> list[Columns]:
        with pq.ParquetFile(path, memory_map=True) as file:
            return [convert(batch) for batch in file.iter_batches(BATCH_ROWS, [group], list(NEEDED), use_threads=False)]

    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers, thread_name_prefix="replay-read") as pool:
        ahead: deque[Future[list[Columns]]] = deque()
        for group in groups:
            ahead.append(pool.submit(one, *group))
            if len(ahead) > workers:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


class EventRows:
    """Batches of events as rows for the engine. `blocks`: what those that were passed on say about blocks."""

    def __init__(self, tids: NDArray[np.int32], files: Mapping[str, int]) -> None:
        self.tids = tids
        self.files = files
        self.tasks = _task_table(tids)
        self.blocks: list[BlockRow] = []
        self.passed = 0

    def convert(self, events: pa.RecordBatch) -> Columns:
        """The columns of history.ROW_COLUMNS, and `blocks`: events about blocks. Any thread may call it."""
        tid = numbers(events, "tid")
        op = codes(events, "op", _OPS, np.int8)
        return {
            "row_ts": numbers(events, "ts"),
            "row_op": op,
            "row_task": task_numbers(tid, self.tids) if self.tasks is None else self.tasks.take(tid + 1, mode="clip"),
            "row_file": codes(events, "file", self.files, np.int32),
            "row_slot": _slots(events),
            "row_nslots": numbers(events, "nslots"),
            "row_index": numbers(events, "index"),
            "row_npages": numbers(events, "npages"),
            "row_dur": numbers(events, "dur"),
            "row_bytes": numbers(events, "bytes"),
            "row_pin": numbers(events, "pin", kind=np.int32),
            "row_region": numbers(events, "mr", kind=np.int32),
            "row_flags": _row_flags(events),
            "blocks": self._block_rows(events, op),
        }

    def passing(self, batches: Iterator[Columns]) -> Iterator[Columns]:
        """The same batches in their order; what they say about blocks stays here."""
        for batch in batches:
            self.blocks += [row._replace(row=self.passed + row.row) for row in batch.pop("blocks")]
            self.passed += len(batch["row_ts"])
            yield batch

    def _block_rows(self, events: pa.RecordBatch, op: Numbers) -> list[BlockRow]:
        if events["block"].null_count == events.num_rows:
            return []
        alloc, free = _OPS["block_alloc"], _OPS["block_free"]
        known = (numbers(events, "block") >= 0) & (numbers(events, "nblocks") > 0)
        at = np.flatnonzero(((op == alloc) | (op == free)) & known)
        rows = events.select(["file", "index", "device", "block", "nblocks"]).take(at).to_pylist()
        return [
            BlockRow(
                int(row),
                bool(op[row] == free),
                told["device"] or told["file"].rpartition(":")[0],
                told["block"],
                told["nblocks"],
                self.files.get(told["file"], -1),
                told["index"],
            )
            for row, told in zip(at, rows, strict=True)
        ]


def task_numbers(tid: Numbers, tids: NDArray[np.int32]) -> Numbers:
    found = np.minimum(np.searchsorted(tids, tid), len(tids) - 1)
    return np.where((tids[found] == tid) & (tid >= 0), found, len(tids) - 1).astype(np.int32)


def _task_table(tids: NDArray[np.int32]) -> NDArray[np.int32] | None:
    """For every thread id plus one its task, where ids are not too large."""
    unknown = len(tids) - 1
    if unknown == 0 or not 0 <= tids[0] <= tids[-2] < _COMMON_TIDS:
        return None
    table = np.full(tids[-2] + 3, unknown, np.int32)
    table[tids[:-1] + 1] = np.arange(unknown)
    return table


def _slots(events: pa.RecordBatch) -> Numbers:
    """The first slot of each range, as schema.EVENTS tells it; -1 where there is none."""
    slots = numbers(events, "index") + numbers(events, "lead")
    slots[numbers(events, "nslots") <= 0] = -1
    return slots


def _flag_table() -> NDArray[np.uint8]:
    """For what the low half of an event's bits may be, its row's flags."""
    table = np.zeros(1 << 16, np.uint8)
    stored = {column.name: column.stored for column in EVENTS.columns}
    for name, bit in ROW_FLAGS:
        how = stored[name]
        assert how is not None
        true = int(how.number(np.ones(1, bool))[0])
        table[np.arange(1 << 16) & true == true] |= bit
    return table


_FLAGS = _flag_table()


def _row_flags(events: pa.RecordBatch) -> Numbers:
    flags = _FLAGS[numbers(events, "bits") & 0xFFFF]
    if events["result"].null_count < events.num_rows:
        flags[numbers(events, "result", none=0) < 0] |= ROW_FAILED
    return flags
