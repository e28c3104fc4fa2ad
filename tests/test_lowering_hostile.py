"""Records that no kernel writes, in any order: lowering must give tables that hold together, or refuse in one line."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from builders.raw import BASE, DEV, Record, lower, rows
from builders.shown import shown
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.errors import TraceError
from replay.ingest.losses import Losses
from replay.ingest.lowering import Lowering
from replay.ingest.records import RawBatch, TraceInfo

WORDS = st.sampled_from([0, 1, 2, 3, 4095, 4096, BASE, BASE + 4096, (1 << 31) - 1, (1 << 32) - 95, 1 << 52, (1 << 63) - 1])
TIDS = st.sampled_from([0, 10, 11, (1 << 31) - 1])
SMALL = st.sampled_from([0, 1, 13, DEV, (1 << 32) - 1])

FIELDS: dict[str, dict[str, Any]] = {
    "pin_user_pages_fast": {"start": WORDS, "nr_pages": WORDS, "gup_flags": SMALL},
    "pin_user_pages_fast_ret": {"ret": WORDS},
    "unpin_user_pages": {"pages": WORDS, "npages": WORDS},
    "ib_umem_get": {"dev": st.just(1 << 63), "addr": WORDS, "size": WORDS, "access": SMALL},
    "ib_umem_get_ret": {"umem": WORDS},
    "ib_umem_release": {"umem": WORDS},
    "rxe_mr_copy": {"iova": WORDS, "length": WORDS, "dir": SMALL},
    "mmap_region": {"ino": SMALL, "dev": SMALL, "addr": WORDS, "len": WORDS, "vm_flags": st.sampled_from([0x73, 0xFB]), "pgoff": WORDS},
    "sys_enter_munmap": {"addr": WORDS, "len": WORDS},
    "writeback_dirty_folio": {"name": st.sampled_from(["254:16", "", "(unknown)"]), "ino": SMALL, "index": WORDS},
    "folio_wait_writeback": {"name": st.just("254:16"), "ino": SMALL, "index": WORDS},
    "folio_start_writeback": {"folio": WORDS, "ino": SMALL, "index": WORDS},
    "folio_end_writeback": {"folio": WORDS, "ino": SMALL, "index": WORDS},
    "mm_filemap_add_to_page_cache": {"pfn": WORDS, "i_ino": SMALL, "index": WORDS, "s_dev": SMALL, "order": st.integers(0, 255)},
    "mm_filemap_delete_from_page_cache": {"pfn": WORDS, "i_ino": SMALL, "index": WORDS, "s_dev": SMALL, "order": st.integers(0, 9)},
    "ext4_punch_hole": {"dev": SMALL, "ino": SMALL, "offset": WORDS, "len": WORDS, "mode": SMALL},
    "ext4_fallocate_enter": {"dev": SMALL, "ino": SMALL, "offset": WORDS, "len": WORDS, "mode": st.integers(0, 63)},
    "ext4_fallocate_exit": {"dev": SMALL, "ino": SMALL, "ret": SMALL},
    "ext4_truncate_enter": {"dev": SMALL, "ino": SMALL, "blocks": WORDS},
    "ext4_truncate_exit": {"dev": SMALL, "ino": SMALL, "blocks": WORDS},
    "sys_enter_ftruncate": {"fd": SMALL, "length": WORDS},
    "sys_exit_ftruncate": {"ret": WORDS},
    "ext4_sync_file_enter": {"dev": SMALL, "ino": SMALL},
    "ext4_sync_file_exit": {"dev": SMALL, "ino": SMALL, "ret": SMALL},
    "ext4_writepages": {"dev": SMALL, "ino": SMALL, "sync_mode": SMALL},
    "ext4_writepages_result": {"dev": SMALL, "ino": SMALL},
    "dax_layout_busy_page_range": {"ino": SMALL, "start": WORDS, "end": WORDS},
    "dax_layout_busy_page_range_ret": {"page": WORDS},
    "dax_pte_fault": {"dev": SMALL, "ino": SMALL},
    "break_lease_block": {"i_ino": SMALL, "s_dev": SMALL},
    "break_lease_unblock": {"i_ino": SMALL, "s_dev": SMALL},
    "task_newtask": {"pid": TIDS, "clone_flags": st.sampled_from([0x1200000, 0x3D0F00])},
    "sched_process_fork": {"child_pid": TIDS},
    "sched_process_exec": {"pid": TIDS},
    "sched_process_exit": {"pid": TIDS},
}


@st.composite
def record(draw: st.DrawFn) -> Record:
    event = draw(st.sampled_from(sorted(FIELDS)))
    return event, draw(TIDS), {name: draw(values) for name, values in FIELDS[event].items()}


@given(st.lists(record(), max_size=60), st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_tables_hold_together_whatever_the_records_say(records: list[Record], cut: int) -> None:
    try:
        canonical, _ = lower(records, cuts=[min(cut, len(records))])
    except TraceError:
        return
    tables = canonical.tables
    events, pins, mrs = (shown(name, tables[name]) for name in ("events", "pins", "mrs"))
    total = sum(row["npages"] for row in tables["slots"].to_pylist())
    assert [(row["ts"], row["seq"]) for row in events] == sorted((row["ts"], row["seq"]) for row in events)
    for row in events:
        assert row["mr"] is None or 0 <= row["mr"] < len(mrs)
        assert row["pin"] is None or 0 <= row["pin"] < len(pins)
        assert (row["slot"], row["nslots"]) == (-1, 0) or 0 <= row["slot"] <= row["slot"] + row["nslots"] <= total
        assert row["dur"] is None or (row["dur"] >= 0 and not row["open"])
    assert [row["pin"] for row in pins] == list(range(len(pins)))
    assert all(row["ts_unpin"] is None or row["ts_unpin"] >= row["ts_pin"] for row in pins)
    unpinned = [row["pin"] for row in events if row["op"] == "unpin" and row["pin"] is not None]
    assert sorted(unpinned) == [row["pin"] for row in pins if row["ts_unpin"] is not None]


def test_fields_of_another_type_than_their_name_suggests_count_as_absent() -> None:
    columns = {"seq": [0], "ts": [5], "cpu": [0], "buffer": [""], "common_pid": ["?"], "name": [[1, 2]], "ino": ["x"], "index": [[7]]}
    lowering = Lowering(TraceInfo("test.dat", "test", "mono", None, 1), Losses())
    lowering.add(RawBatch({("writeback", "writeback_dirty_folio"): pa.RecordBatch.from_pydict(columns)}))
    assert rows(lowering.finish(), "events", "op", "tid", "file", "index") == [("dirty", 0, None, None)]


def test_counts_of_losses_end_at_what_the_tables_hold() -> None:
    losses = Losses()
    losses.add("kernel_lost_events", 1 << 63)
    losses.of("kernel_lost_events", 1 << 80)
    canonical = Lowering(TraceInfo("test.dat", "test", "mono", None, 1), losses).finish()
    assert ("kernel_lost_events", (1 << 63) - 1, (1 << 63) - 1) in rows(canonical, "losses", "counter", "count", "total")
