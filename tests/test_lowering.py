"""Raw records to canonical events: small traces written out, with the rows that they must become."""

from __future__ import annotations

import pytest
from builders.raw import (
    BASE,
    DEV,
    Record,
    added,
    deleted,
    dirtied,
    lower,
    mmap,
    on_file,
    pinned,
    registered,
    released,
    remote,
    rows,
    writeback,
)

from replay import schema
from replay._ext.identity import STEPS
from replay.ingest import lowering, spill
from replay.ingest.lowering import longterm_flag
from replay.ingest.mappings import MAPPINGS, find

FILE = "254:16:13"
UMEM = 0xFF2F01DEC17A5980


def test_registration_pins_and_release_become_rows_of_one_region() -> None:
    records = [mmap(10, BASE, 16), added(10, 4), *registered(10, BASE + 4 * 4096, 3, UMEM), released(10, UMEM)]
    canonical, counters = lower(records)
    columns = ("seq", "ts", "op", "file", "index", "npages", "dur", "pin", "mr", "write", "longterm", "result", "slot", "nslots")
    assert rows(canonical, "events", *columns)[2:] == [
        (2, 2000, "mr_reg", FILE, 4, 3, 3000, None, 0, True, None, 0, 0, 3),
        (4, 4000, "pin", FILE, 4, 3, None, 0, 0, True, True, 3, 0, 3),
        (6, 6000, "unpin", FILE, 4, 3, None, 0, 0, True, True, None, 0, 3),
        (6, 6000, "mr_dereg", FILE, 4, 3, None, None, 0, True, None, None, 0, 3),
    ]
    assert rows(canonical, "mrs", "mr", "label", "tid", "bytes", "file", "index", "npages", "write", "ts_reg", "ts_dereg") == [
        (0, "0xff2f01dec17a5980", 10, 3 * 4096, FILE, 4, 3, True, 2000, 6000)
    ]
    assert rows(canonical, "pins", "pin", "mr", "file", "index", "npages", "slot", "ts_pin", "ts_unpin", "id_source", "id_confidence") == [
        (0, 0, FILE, 4, 3, 0, 4000, 6000, "mapping", 0.9)
    ]
    assert counters == {}


def test_refused_registration_keeps_its_range_and_its_errno() -> None:
    """-95 as a 32-bit int in a 64-bit word, as a return probe fetches it, and as an error pointer."""
    records = [
        mmap(10, BASE, 16),
        added(10, 0),
        ("ib_umem_get", 10, {"dev": 1, "addr": BASE, "size": 8 * 4096, "access": 3}),
        *pinned(10, BASE, 8, ret=(1 << 32) - 95),
        ("ib_umem_get_ret", 10, {"umem": (1 << 64) - 95}),
        released(10, 0),
    ]
    canonical, _ = lower(records)
    assert rows(canonical, "events", "op", "file", "index", "npages", "pin", "result", "slot", "nslots")[2:] == [
        ("mr_reg", FILE, 0, 8, None, -95, 0, 1),
        ("pin", FILE, 0, 8, None, -95, -1, 0),
    ]
    assert rows(canonical, "mrs", "npages", "result", "ts_dereg") == [(0, -95, None)]
    assert canonical.tables["pins"].num_rows == 0


def test_registration_without_pin_probes_pins_what_it_names() -> None:
    canonical, _ = lower([mmap(10, BASE, 16, pgoff=32), added(10, 33), *registered(10, BASE + 4096, 2, UMEM, pins=False)])
    assert rows(canonical, "events", "seq", "op", "file", "index", "npages", "mr", "pin")[2:] == [
        (2, "mr_reg", FILE, 33, 2, 0, None),
        (3, "pin", FILE, 33, 2, 0, 0),
    ]


def test_dirty_pages_of_a_release_carry_its_region_and_later_ones_do_not() -> None:
    records = [
        mmap(10, BASE, 16),
        added(10, 0),
        *registered(10, BASE, 2, UMEM),
        released(10, UMEM),
        ("unpin_user_page_range_dirty_lock", 10, {"page": 1, "npages": 2, "make_dirty": 1}),
        dirtied(10, 0),
        dirtied(11, 1),
        dirtied(10, 1),
        dirtied(10, 5),
        dirtied(10, 1),
    ]
    canonical, _ = lower(records)
    assert rows(canonical, "events", "tid", "index", "mr", op="dirty") == [
        (10, 0, 0),
        (11, 1, None),
        (10, 1, 0),
        (10, 5, None),
        (10, 1, None),
    ]
    assert len(rows(canonical, "events", "op", op="unpin")) == 1


def test_umem_address_that_is_used_again_means_the_latest_region() -> None:
    records = [mmap(10, BASE, 16), added(10, 0)]
    for first in (0, 4):
        records += [*registered(10, BASE + first * 4096, 2, UMEM), released(10, UMEM)]
    canonical, counters = lower([*records, released(10, UMEM)])
    assert rows(canonical, "mrs", "mr", "index", "ts_dereg", "preexisting") == [
        (0, 0, 6000, False),
        (1, 4, 11000, False),
        (2, None, 12000, True),
    ]
    assert counters == {"mr_release_without_reg": 1}


def test_remote_accesses_find_the_newest_live_region_and_its_page() -> None:
    records = [
        mmap(10, BASE, 16),
        added(10, 0),
        *registered(10, BASE, 8, UMEM),
        *registered(10, BASE + 2 * 4096, 2, UMEM + 64),
        remote(BASE + 2 * 4096 + 100, 1024),
        remote(BASE + 4096 + 4000, 1024, 1),
        released(10, UMEM + 64),
        remote(BASE + 2 * 4096, 4096),
        remote(BASE + 8 * 4096, 64),
    ]
    canonical, counters = lower(records)
    columns = ("op", "file", "index", "npages", "bytes", "mr", "pin", "id_source")
    assert [row for row in rows(canonical, "events", *columns) if row[0].startswith("remote")] == [
        ("remote_write", FILE, 2, 1, 1024, 1, 1, "iova"),
        ("remote_read", FILE, 1, 2, 1024, 0, 0, "iova"),
        ("remote_write", FILE, 2, 1, 4096, 0, 0, "iova"),
        ("remote_write", None, None, None, 64, None, None, "unresolved"),
    ]
    assert counters == {"remote_accesses_unresolved": 1}


def test_writeback_is_for_integrity_inside_of_its_task_s_sync() -> None:
    records = [
        added(10, 0),
        on_file("ext4_sync_file_enter", 11, datasync=0),
        on_file("ext4_writepages", 11, sync_mode=1),
        writeback("start", 11, 0),
        on_file("ext4_writepages_result", 11),
        on_file("ext4_writepages", 12, sync_mode=0),
        writeback("start", 12, 1),
        writeback("end", 0, 0),
        on_file("ext4_sync_file_exit", 11, ret=0),
        writeback("start", 11, 2),
    ]
    canonical, counters = lower(records)
    assert rows(canonical, "events", "file", "index", "sync", "id_source", op="wb_start") == [
        (FILE, 0, True, "cooccurrence"),
        (FILE, 1, False, "cooccurrence"),
        (FILE, 2, None, "cooccurrence"),
    ]
    assert rows(canonical, "events", "ts", "file", "dur", "open", "result", op="fsync") == [(1000, FILE, 7000, False, 0)]
    assert counters == {}


def test_wait_for_writeback_ends_with_it() -> None:
    wait = ("folio_wait_writeback", 10, {"name": "254:16", "ino": 13, "index": 3})
    canonical, _ = lower([added(10, 3), writeback("start", 11, 3), wait, writeback("end", 0, 2), writeback("end", 0, 3)])
    assert rows(canonical, "events", "ts", "file", "index", "dur", op="wb_wait") == [(2000, FILE, 3, 2000)]


def test_truncate_begins_with_its_first_deletion_and_reaches_the_end_of_the_file() -> None:
    records = [
        *(added(10, index) for index in range(6)),
        deleted(10, 5),
        deleted(10, 4),
        on_file("ext4_truncate_enter", 10, blocks=48),
        on_file("ext4_truncate_exit", 10, blocks=32),
        deleted(11, 0),
    ]
    canonical, counters = lower(records)
    columns = ("seq", "op", "index", "npages", "dur", "slot", "nslots")
    assert rows(canonical, "events", *columns)[6:] == [
        (6, "truncate", 4, None, 3000, 4, 2),
        (6, "cache_del", 5, 1, None, 5, 1),
        (7, "cache_del", 4, 1, None, 4, 1),
        (10, "cache_del", 0, 1, None, 0, 1),
    ]
    assert counters == {}


def test_truncate_takes_its_size_from_the_system_call_or_has_none() -> None:
    ends = [on_file("ext4_truncate_enter", 10, blocks=48), on_file("ext4_truncate_exit", 10, blocks=32)]
    records = [
        added(10, 0),
        added(10, 3),
        ("sys_enter_ftruncate", 10, {"fd": 3, "length": 8193}),
        *ends,
        ("sys_exit_ftruncate", 10, {"ret": 0}),
        *ends,
    ]
    canonical, counters = lower(records)
    assert rows(canonical, "events", "index", "slot", "nslots", op="truncate") == [(3, 1, 1), (None, -1, 0)]
    assert counters == {"truncates_without_range": 1}


def test_lease_break_is_a_stall_inside_of_the_truncate_that_broke_it() -> None:
    lease = {"i_ino": 13, "s_dev": 254 << 20 | 16, "fl_owner": 0xFF01, "fl_flags": 32, "fl_type": 1}
    records = [
        ("generic_add_lease", 10, lease),
        ("break_lease_block", 11, lease),
        ("break_lease_unblock", 11, lease),
        on_file("ext4_truncate_enter", 11, blocks=48),
        on_file("ext4_truncate_exit", 11, blocks=32),
    ]
    canonical, _ = lower(records)
    assert rows(canonical, "events", "ts", "op", "file", "dur", "kind", "owner") == [
        (0, "lease_add", FILE, None, "lease:write", 0xFF01),
        (1000, "truncate", FILE, 3000, None, None),
        (1000, "lease_break", FILE, 1000, None, None),
    ]


def test_punch_lasts_as_long_as_its_own_events_and_drops_whole_pages_only() -> None:
    records = [
        *(added(10, index) for index in range(4)),
        on_file("ext4_punch_hole", 10, offset=100, len=3 * 4096, mode=3),
        deleted(10, 1),
        deleted(10, 2),
        on_file("ext4_free_blocks", 10, block=77, count=2),
        dirtied(10, 3),
        on_file("ext4_punch_hole", 10, offset=0, len=4096, mode=3),
    ]
    canonical, _ = lower(records)
    assert rows(canonical, "events", "ts", "index", "npages", "dur", "slot", "nslots", op="punch") == [
        (4000, 1, 2, 3000, 1, 2),
        (9000, 0, 1, None, 0, 1),
    ]
    assert rows(canonical, "events", "block", "nblocks", "device", op="block_free") == [(77, 2, "254:16")]


def test_fallocate_announces_the_punch_inside_of_it() -> None:
    span = {"offset": 4096, "len": 8192}
    records = [
        on_file("ext4_fallocate_enter", 10, mode=3, **span),
        on_file("ext4_punch_hole", 10, mode=3, **span),
        on_file("ext4_fallocate_exit", 10, pos=0, blocks=2, ret=0),
        on_file("ext4_fallocate_enter", 10, mode=0, **span),
    ]
    canonical, counters = lower(records)
    assert rows(canonical, "events", "op", "index", "npages", "dur", "open", "result") == [
        ("punch", 1, 2, 2000, False, 0),
        ("fallocate", 1, 2, None, True, None),
    ]
    assert counters == {"begins_without_end": 1}


def scan(tid: int, page: int) -> list[tuple[str, int, dict[str, int]]]:
    end = (1 << 63) - 1
    return [
        ("dax_layout_busy_page_range", tid, {"ino": 13, "start": 0, "end": end}),
        ("dax_layout_busy_page_range_ret", tid, {"page": page}),
    ]


def test_layout_wait_lasts_until_the_next_scan_finds_no_page() -> None:
    punch = on_file("ext4_punch_hole", 10, offset=0, len=4096, mode=3)
    records = [on_file("dax_pte_fault", 10, pgoff=0), punch, *scan(10, 0xFF98), *scan(10, 0), dirtied(11, 0), *scan(11, 0xFF98)]
    canonical, counters = lower(records)
    assert counters["waits_without_pin"] == 2
    assert rows(canonical, "events", "ts", "tid", "file", "index", "npages", "dur", "open", "busy", "dax", op="layout_wait") == [
        (3000, 10, FILE, 0, None, 2000, False, True, True),
        (8000, 11, FILE, 0, None, None, True, True, True),
    ]
    assert rows(canonical, "files", "file", "dax") == [(FILE, True)]


def test_layout_wait_for_a_pin_of_the_trace_is_explained() -> None:
    pin = [("pin_user_pages_fast", 10, {"start": BASE, "nr_pages": 1, "gup_flags": 1}), ("pin_user_pages_fast_ret", 10, {"ret": 1})]
    unpin = ("unpin_user_pages", 10, {"pages": 1, "npages": 1})
    punch = on_file("ext4_punch_hole", 11, offset=0, len=4096, mode=3)
    records = [mmap(10, BASE, 16), on_file("dax_pte_fault", 10, pgoff=0), *pin, punch, *scan(11, 0xFF98), unpin, *scan(11, 0)]
    _, counters = lower(records)
    assert counters.get("waits_without_pin", 0) == 0
    _, counters = lower([*records, punch, *scan(11, 0xFF98)])
    assert counters["waits_without_pin"] == 1


def test_layout_wait_that_only_a_kill_ends_stays_open() -> None:
    punch = on_file("ext4_punch_hole", 10, offset=0, len=4096, mode=3)
    born = ("task_newtask", 10, {"pid": 11, "clone_flags": 0x3D0F00})
    fork = ("sched_process_fork", 10, {"child_pid": 11})
    ends = [("sched_process_exit", 11, {"pid": 11}), *scan(10, 0), on_file("ext4_free_blocks", 10, block=1, count=1)]
    canonical, _ = lower([born, fork, punch, *scan(10, 0xFF98), *ends, ("sched_process_exit", 10, {"pid": 10})])
    assert rows(canonical, "events", "op", "dur", "open", op="layout_wait") == [("layout_wait", None, True)]
    assert rows(canonical, "events", "op", "dur", "open", op="punch") == [("punch", None, True)]


def test_short_pins_end_with_the_task_s_unpin_of_as_many_pages() -> None:
    unpin = ("unpin_user_pages", 10, {"pages": 1, "npages": 2})
    records = [
        mmap(10, BASE, 16),
        added(10, 0),
        *pinned(10, BASE, 4, flags=1),
        *pinned(10, BASE + 8 * 4096, 2, flags=0),
        unpin,
        ("unpin_user_pages", 10, {"pages": 1, "npages": 3}),
        ("unpin_user_pages", 10, {"pages": 1, "npages": 1}),
        unpin,
    ]
    canonical, counters = lower(records)
    assert rows(canonical, "pins", "index", "npages", "write", "longterm", "ts_pin", "ts_unpin") == [
        (0, 4, True, False, 3000, 8000),
        (8, 2, False, False, 5000, 6000),
    ]
    assert counters == {"unpins_unmatched": 1}


def test_weak_sources_step_back_where_a_better_one_exists() -> None:
    weak = on_file("iomap_writeback_folio", 10, offset=4096, length=8192)
    canonical, _ = lower([weak])
    assert rows(canonical, "events", "op", "index", "npages") == [("wb_start", 1, 2)]
    canonical, _ = lower([added(10, 1), weak, writeback("start", 10, 1)])
    assert rows(canonical, "events", "seq", op="wb_start") == [(2,)]


@pytest.mark.parametrize("chunk_rows", [lowering.CHUNK_ROWS, 1])
def test_batches_may_be_cut_anywhere(chunk_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And rows be put aside at any time: to memory, or to disk. Of many chunks the events are made in parts."""
    records = [
        mmap(10, BASE, 16),
        added(10, 0),
        added(10, 0, dev=DEV + 1),
        writeback("start", 10, 0),
        writeback("end", 10, 0),
        *registered(10, BASE, 2, UMEM),
        deleted(10, 1),
        on_file("ext4_truncate_enter", 10, blocks=8),
        on_file("ext4_truncate_exit", 10, blocks=0),
        remote(BASE, 64),
        released(10, UMEM),
        dirtied(10, 0),
    ]
    whole, _ = lower(records)
    monkeypatch.setattr(lowering, "CHUNK_ROWS", chunk_rows)
    monkeypatch.setattr(spill, "MEMORY_BYTES", 100)
    for cuts in (range(1, len(records)), *([cut] for cut in range(1, len(records)))):
        parts, _ = lower(records, cuts=cuts)
        for name, table in whole.tables.items():
            assert parts.tables[name].to_pylist() == table.to_pylist(), (name, cuts)


def test_tables_follow_the_declared_schemas_even_if_empty() -> None:
    canonical, _ = lower([])
    for declared in schema.TRACE_TABLES:
        assert canonical.tables[declared.name].schema == declared.arrow_schema()
    assert canonical.tables["events"].num_rows == 0


def test_events_that_nothing_maps_stay_raw() -> None:
    canonical, _ = lower([("mr_dereg", 10, {"id": 3}), added(10, 0)])
    assert rows(canonical, "tracepoints", "system", "event", "rows", "mapped") == [
        ("filemap", "mm_filemap_add_to_page_cache", 1, "cache_add"),
        ("probes", "mr_dereg", 1, None),
    ]


@pytest.mark.parametrize(
    ("uname", "flag"), [("Linux x 6.1.0-56-amd64 x86_64", 0x10000), ("Linux x 6.3.0 x86_64", 0x100), ("5.4.0", 0x10000), (None, 0x10100)]
)
def test_longterm_flag_moved_between_kernels(uname: str | None, flag: int) -> None:
    assert longterm_flag(uname) == flag


def test_every_mapping_names_a_step_and_an_operation() -> None:
    for mapping in MAPPINGS:
        assert mapping.step in STEPS
        assert mapping.op in (*schema.OPS, "files.dax")


def test_probes_are_known_by_name_and_fields_in_any_group_and_tracepoints_by_system() -> None:
    fields = frozenset({"ino", "index", "folio"})
    assert find("mine", "folio_start_writeback", fields) is find("gup", "folio_start_writeback", fields) is not None
    assert find("gup", "folio_start_writeback", fields - {"index"}) is None
    assert find("mine", "ext4_punch_hole", frozenset({"dev", "ino", "offset", "len"})) is None
    assert find("probe", "pin_user_pages_fast__return", frozenset({"ret"})) is find("gup", "pin_user_pages_fast_ret", frozenset({"ret"}))


def test_writeback_of_a_folio_of_several_pages() -> None:
    def started(index: int, head: int, order: int) -> Record:
        event, tid, fields = writeback("start", 10, index)
        return event, tid, {**fields, "head": head, "order": order}

    canonical, _ = lower([mmap(10, BASE, 64), added(10, 0), started(0, 1, 5), started(32, 0, 165), started(33, 1, 2)])
    assert rows(canonical, "events", "index", "npages", op="wb_start") == [(0, 32), (32, 1), (33, 4)]
