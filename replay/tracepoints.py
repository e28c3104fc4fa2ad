"""The tracepoints of a recording: one row for each set, and what is lost without it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tracepoints:
    """Events of one system that serve one purpose; names of other kernel versions are divided by |."""

    system: str
    events: tuple[str, ...]
    gives: str
    without: str


_EXT4 = "what happens to files on ext4 is seen only as far as their pages are"
_XFS = "what happens to files on XFS is seen only as far as their pages are"

TRACEPOINTS = (
    Tracepoints(
        "filemap",
        ("mm_filemap_add_to_page_cache", "mm_filemap_delete_from_page_cache"),
        "when pages enter and leave the page cache, of which file",
        "no page identity: truncated, reclaimed and filled pages cannot be told apart, nor files by their device",
    ),
    Tracepoints(
        "filemap",
        ("mm_filemap_fault",),
        "how far a pin call has come when another task meets its pages",
        "pins count from the return of the pin call",
    ),
    Tracepoints(
        "writeback",
        ("balance_dirty_pages",),
        "pin calls that wait because too much is dirty",
        "pins of such a call count although they wait",
    ),
    Tracepoints(
        "writeback",
        ("writeback_dirty_folio|writeback_dirty_page",),
        "which pages become dirty",
        "dirty pages are unknown: the classes of data at risk are empty",
    ),
    Tracepoints(
        "writeback",
        ("folio_wait_writeback|wait_on_page_writeback", "wbc_writepage"),
        "who waits for writeback, and which of it is for data integrity",
        "what the recorded kernel made tasks wait for writeback is unknown",
    ),
    Tracepoints(
        "filelock",
        ("generic_add_lease", "generic_delete_lease", "break_lease_block", "break_lease_unblock"),
        "leases, and who breaks them",
        "leases of the recorded programs, and their breaks, are unknown",
    ),
    Tracepoints(
        "sched",
        ("sched_process_fork", "sched_process_exec", "sched_process_exit"),
        "lives of processes",
        "pins of processes that are gone last for ever, and children do not inherit mappings",
    ),
    Tracepoints("task", ("task_newtask",), "which tasks share an address space", "pins by threads are not resolved"),
    Tracepoints(
        "syscalls",
        (
            *("sys_enter_munmap", "sys_enter_truncate", "sys_exit_truncate", "sys_enter_ftruncate", "sys_exit_ftruncate"),
            *("sys_enter_fallocate", "sys_exit_fallocate", "sys_exit_fsync", "sys_exit_fdatasync"),
        ),
        "ranges of truncates and fallocates, ends of mappings",
        "the new size of truncates is guessed from the pages that go; mappings end when others take their place",
    ),
    Tracepoints(
        "ext4",
        (
            *("ext4_sync_file_enter", "ext4_sync_file_exit", "ext4_writepages|ext4_da_writepages"),
            "ext4_writepages_result|ext4_da_writepages_result",
            *("ext4_punch_hole", "ext4_zero_range", "ext4_collapse_range", "ext4_insert_range"),
            *("ext4_fallocate_enter", "ext4_fallocate_exit", "ext4_truncate_enter", "ext4_truncate_exit"),
        ),
        "fsync, writeback and layout changes on ext4",
        _EXT4,
    ),
    Tracepoints(
        "ext4",
        ("ext4_allocate_blocks", "ext4_free_blocks", "ext4_release_folio|ext4_releasepage", "ext4_unlink_enter", "ext4_evict_inode"),
        "blocks on ext4, and buffers that reclaim takes",
        "space that is held, blocks in use again and stripped buffers on ext4 are unknown",
    ),
    Tracepoints(
        "xfs",
        (
            *("xfs_file_fsync", "xfs_free_file_space", "xfs_zero_file_space", "xfs_collapse_file_space", "xfs_insert_file_space"),
            *("xfs_alloc_file_space", "xfs_itruncate_extents_start", "xfs_itruncate_extents_end", "xfs_reflink_remap_range"),
        ),
        "fsync and layout changes on XFS",
        _XFS,
    ),
    Tracepoints(
        "iomap",
        ("iomap_writeback_folio|iomap_writepage",),
        "writeback on XFS, should its probe fail",
        "writeback on XFS is seen by the probe alone",
    ),
    Tracepoints(
        "iomap",
        ("iomap_dio_invalidate_fail",),
        "direct IO that pins keep from invalidating pages",
        "the report dio-invalidate has nothing to tell",
    ),
    Tracepoints(
        "fs_dax",
        (*("dax_pte_fault", "dax_pmd_fault", "dax_insert_pfn_mkwrite", "dax_load_hole", "dax_writeback_range", "dax_writeback_one"),),
        "which files are DAX",
        "files on DAX are taken for files in the page cache",
    ),
    Tracepoints("migrate", ("mm_migrate_pages",), "migration and compaction", "the report migration has nothing to tell"),
    Tracepoints(
        "vmscan",
        (
            *("mm_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_end"),
            *("mm_vmscan_memcg_reclaim_begin", "mm_vmscan_memcg_reclaim_end"),
        ),
        "reclaim by tasks that want memory",
        "pages that reclaim takes are told from others by kswapd alone",
    ),
)
