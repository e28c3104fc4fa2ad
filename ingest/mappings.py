"""Which tracepoint or probe becomes which canonical operation: one entry each, as data.

An entry names the events (over all kernel versions and probe groups), the fields without which it does not apply, the step
of the in-order pass that takes its records, and where each word of a record comes from. A tracepoint that is not here stays
in its raw table and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator

from replay.ingest.perfmappings import PERF_MAPPINGS
from replay.ingest.pinmappings import PIN_MAPPINGS
from replay.ingest.sources import (
    DEV_INO,
    Mapping,
    constant,
    covering,
    distance,
    first_page,
    folio_pages,
    has,
    order,
    page,
    whole,
    whole_first,
)

ONE = constant(1)
BDI_INO = {"name": has("name"), "ino": has("ino")}
OFFSET, LENGTH = ("offset", "pos"), ("len", "length", "count")
# A folio or page as a probe sees it, with the device if it fetches that too (B.3 of the probe recipes: idx, dev).
FOLIO = {
    "ino": has("ino"),
    "dev": has("dev"),
    "index": page("index", "idx"),
    "npages": folio_pages("head", "order"),
    "a": has("folio", "page"),
}
ALLOCATED = {**DEV_INO, "index": has("logical"), "a": has("block"), "b": has("len")}
WHOLE_RANGE = {**DEV_INO, "index": whole_first(*OFFSET), "npages": whole(OFFSET, LENGTH)}
LEASE = {**DEV_INO, "a": has("fl_owner", "owner"), "b": has("fl_flags", "flags"), "c": has("fl_type", "type")}
NO_END = {"c": constant(1)}

MAPPINGS = (
    *PIN_MAPPINGS,
    # Pages: dirty, writeback, page cache.
    Mapping(
        "dirty",
        "dirty",
        ("writeback_dirty_folio", "writeback_dirty_page"),
        ("writeback",),
        words={**BDI_INO, "index": page("index"), "npages": ONE},
    ),
    Mapping(
        "wb_start",
        "wb_start",
        ("folio_start_writeback", "__folio_start_writeback", "__test_set_page_writeback", "test_set_page_writeback", "start"),
        needs=("ino", "folio|page", "index|idx"),
        words=FOLIO,
    ),
    Mapping(
        "wb_end",
        "wb_end",
        ("folio_end_writeback", "folio_end_writeback_no_dropbehind", "test_clear_page_writeback", "end_page_writeback", "end"),
        needs=("ino", "folio|page", "index|idx"),
        words=FOLIO,
    ),
    Mapping(
        "wb_start",
        "wb_start",
        ("iomap_writeback_folio", "iomap_writepage"),
        ("iomap",),
        words={**DEV_INO, "index": first_page("offset", "pos"), "npages": covering(("offset", "pos"), ("length", "len"))},
        weak=True,
    ),
    Mapping(
        "wb_wait",
        "wb_wait",
        ("folio_wait_writeback", "wait_on_page_writeback"),
        ("writeback",),
        words={**BDI_INO, "index": page("index"), "npages": ONE},
    ),
    Mapping("wb_start", "writepages", ("ext4_writepages", "ext4_da_writepages"), ("ext4",), words={**DEV_INO, "a": has("sync_mode")}),
    Mapping("wb_start", "writepages_end", ("ext4_writepages_result", "ext4_da_writepages_result"), ("ext4",)),
    Mapping("wb_start", "writepage", ("wbc_writepage",), ("writeback",), words={"a": has("sync_mode")}),
    Mapping(
        "cache_add",
        "cache_add",
        ("mm_filemap_add_to_page_cache",),
        ("filemap",),
        words={**DEV_INO, "index": page("index"), "npages": order("order"), "a": has("pfn")},
    ),
    Mapping(
        "cache_del",
        "cache_del",
        ("mm_filemap_delete_from_page_cache",),
        ("filemap",),
        words={**DEV_INO, "index": page("index"), "npages": order("order"), "a": has("pfn")},
    ),
    # File operations of ext4 and XFS. ext4_punch_hole and its like have no end event; xfs events tell no ranges, system calls do.
    Mapping("fsync", "fsync", ("ext4_sync_file_enter",), ("ext4",), words=DEV_INO),
    Mapping("fsync", "fsync_end", ("ext4_sync_file_exit",), ("ext4",), words={"a": has("ret")}),
    Mapping("fsync", "fsync", ("xfs_file_fsync",), ("xfs",), words={**DEV_INO, **NO_END}),
    Mapping("punch", "punch", ("ext4_punch_hole",), ("ext4",), words=WHOLE_RANGE),
    Mapping("punch", "zero", ("ext4_zero_range",), ("ext4",), words=WHOLE_RANGE),
    Mapping("collapse", "collapse", ("ext4_collapse_range",), ("ext4",), words={**DEV_INO, "index": first_page("offset")}),
    Mapping("collapse", "insert", ("ext4_insert_range",), ("ext4",), words={**DEV_INO, "index": first_page("offset")}),
    Mapping(
        "fallocate",
        "fallocate",
        ("ext4_fallocate_enter",),
        ("ext4",),
        words={**DEV_INO, "index": first_page(*OFFSET), "npages": covering(OFFSET, LENGTH), "a": has("mode")},
    ),
    Mapping("fallocate", "layout_end", ("ext4_fallocate_exit",), ("ext4",), words={**DEV_INO, "a": has("ret"), "b": ONE}),
    Mapping("truncate", "truncate", ("ext4_truncate_enter",), ("ext4",), words=DEV_INO),
    Mapping("truncate", "layout_end", ("ext4_truncate_exit",), ("ext4",), words={**DEV_INO, "c": ONE}),
    Mapping("punch", "punch", ("xfs_free_file_space",), ("xfs",), words=DEV_INO),
    Mapping("punch", "zero", ("xfs_zero_file_space",), ("xfs",), words=DEV_INO),
    Mapping("collapse", "collapse", ("xfs_collapse_file_space",), ("xfs",), words=DEV_INO),
    Mapping("collapse", "insert", ("xfs_insert_file_space",), ("xfs",), words=DEV_INO),
    Mapping("fallocate", "fallocate", ("xfs_alloc_file_space",), ("xfs",), words={**DEV_INO, "a": constant(0), **NO_END}),
    Mapping("truncate", "truncate", ("xfs_itruncate_extents_start",), ("xfs",), words={**DEV_INO, "index": whole_first("new_size")}),
    Mapping("truncate", "layout_end", ("xfs_itruncate_extents_end",), ("xfs",), words={**DEV_INO, "c": ONE}),
    Mapping(
        "reflink",
        "reflink",
        ("xfs_reflink_remap_range",),
        ("xfs",),
        words={
            "dev": has("dev"),
            "ino": has("dest_ino"),
            "index": first_page("dest_offset"),
            "npages": covering(("dest_offset",), ("len",)),
        },
    ),
    Mapping("truncate", "sys_range", ("sys_enter_truncate", "sys_enter_ftruncate"), ("syscalls",), words={"index": whole_first("length")}),
    Mapping(
        "fallocate",
        "sys_range",
        ("sys_enter_fallocate",),
        ("syscalls",),
        words={"index": whole_first("offset"), "npages": whole(("offset",), ("len",)), "a": has("mode")},
    ),
    Mapping(
        "fallocate",
        "sys_end",
        ("sys_exit_truncate", "sys_exit_ftruncate", "sys_exit_fallocate", "sys_exit_fsync", "sys_exit_fdatasync"),
        ("syscalls",),
        words={"a": has("ret")},
    ),
    # DAX.
    Mapping(
        "layout_wait",
        "scan",
        ("dax_layout_busy_page_range", "dax_layout_busy_page"),
        needs=("ino",),
        words={"ino": has("ino"), "index": first_page("start"), "npages": distance(("start",), ("end",))},
    ),
    Mapping(
        "layout_wait",
        "scan_return",
        ("dax_layout_busy_page_range_ret", "dax_layout_busy_page_ret", "busy"),
        needs=("page",),
        words={"a": has("page")},
    ),
    Mapping(
        "files.dax",
        "mark_dax",
        (
            "dax_pte_fault",
            "dax_pmd_fault",
            "dax_insert_pfn_mkwrite",
            "dax_insert_mapping",
            "dax_pmd_insert_mapping",
            "dax_load_hole",
            "dax_writeback_range",
            "dax_writeback_one",
        ),
        ("fs_dax",),
        words=DEV_INO,
    ),
    # Blocks.
    Mapping("block_alloc", "block_alloc", ("ext4_allocate_blocks",), ("ext4",), words=ALLOCATED),
    Mapping("block_free", "block_free", ("ext4_free_blocks",), ("ext4",), words={**DEV_INO, "a": has("block"), "b": has("count")}),
    # Leases. break_lease_block tells the breaker's own fields: owner and time are not the holder's.
    Mapping("lease_add", "lease_add", ("generic_add_lease",), ("filelock",), words=LEASE),
    Mapping("lease_del", "lease_del", ("generic_delete_lease",), ("filelock",), words=LEASE),
    Mapping("lease_break", "lease_block", ("break_lease_block",), ("filelock",), words=DEV_INO),
    Mapping("lease_break", "lease_unblock", ("break_lease_unblock",), ("filelock",), words=DEV_INO),
    # Address spaces and tasks.
    Mapping(
        "mmap",
        "mmap",
        ("mmap_region",),
        needs=("addr", "len", "vm_flags", "pgoff"),
        words={**DEV_INO, "a": has("addr"), "b": has("len"), "c": has("vm_flags"), "d": has("pgoff")},
    ),
    Mapping("munmap", "munmap", ("sys_enter_munmap",), ("syscalls",), words={"a": has("addr"), "b": has("len")}),
    Mapping("fork", "newtask", ("task_newtask",), ("task",), words={"a": has("pid"), "b": has("clone_flags")}),
    Mapping("fork", "fork", ("sched_process_fork",), ("sched",), words={"a": has("child_pid")}),
    Mapping("exec", "exec", ("sched_process_exec",), ("sched",)),
    Mapping("exit", "exit", ("sched_process_exit",), ("sched",)),
    *PERF_MAPPINGS,
    # Migration and reclaim. A page whose private data is released is one that reclaim wants; direct reclaim is context.
    Mapping("migrate", "migrate", ("mm_migrate_pages",), ("migrate",), words={"a": has("succeeded"), "b": has("failed")}),
    Mapping(
        "reclaim",
        "reclaim_page",
        ("ext4_release_folio", "ext4_releasepage"),
        ("ext4",),
        words={**DEV_INO, "index": page("index"), "npages": ONE},
    ),
    Mapping("reclaim", "reclaim_begin", ("mm_vmscan_direct_reclaim_begin", "mm_vmscan_memcg_reclaim_begin"), ("vmscan",)),
    Mapping("reclaim", "reclaim_end", ("mm_vmscan_direct_reclaim_end", "mm_vmscan_memcg_reclaim_end"), ("vmscan",)),
)


def find(system: str, event: str, fields: frozenset[str]) -> Mapping | None:
    """The mapping of an event, or None. perf names return probes NAME__return where tracefs users write NAME_ret."""
    name = f"{event.removesuffix('__return')}_ret" if event.endswith("__return") else event
    return next((mapping for mapping in _candidates(name, system, fields) if not mapping.beside), None)


def find_all(system: str, event: str, fields: frozenset[str]) -> tuple[Mapping, ...]:
    """The mapping, and those beside it."""
    found = find(system, event, fields)
    return () if found is None else (found, *(mapping for mapping in _candidates(event, system, fields) if mapping.beside))


def _candidates(name: str, system: str, fields: frozenset[str]) -> Iterator[Mapping]:
    for mapping in MAPPINGS:
        if name in mapping.events and (not mapping.systems or system in mapping.systems) and _complete(mapping, fields):
            yield mapping


def _complete(mapping: Mapping, fields: frozenset[str]) -> bool:
    return all(any(name in fields for name in need.split("|")) for need in mapping.needs)
