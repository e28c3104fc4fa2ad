"""How events look in text: the printk format of each event that lowering uses, as data, and which system an event is of.

Text shows what the kernel's TP_printk makes of the fields, under other names and in other radices: filemap prints inodes in
bare hex and byte offsets for page numbers, writeback prints inodes in decimal, filelock in 0x-hex. A form is that format
with the event's real fields in it, {field:type}:

    u8 .. u64, i8 .. i64   decimal, or hex after 0x            dev    a dev_t printed as MAJOR,MINOR or MAJOR:MINOR
    u64x                   hex without 0x                      pages  a page number printed as a byte offset
    u16o                   octal                               str    up to what follows, or to the end
    ptr                    hex, or (nil)                       NAME   names of FLAGS or SYMBOLS below, as a number

and {} for text that is passed over. A form that ends before the payload does still fits: kernels append fields. Several
forms are of several kernels (include/trace/events, fs/xfs/xfs_trace.h, fs/iomap/trace.h from 4.20 on) and of the plugins
of trace-cmd.
"""

from __future__ import annotations

FLAGS: dict[str, tuple[str, dict[str, int]]] = {
    "falloc": ("int32", {"KEEP_SIZE": 1, "PUNCH_HOLE": 2, "NO_HIDE_STALE": 4, "COLLAPSE_RANGE": 8, "ZERO_RANGE": 16}),
    "fl_flags": (
        "uint32",
        {
            "FL_POSIX": 1,
            "FL_FLOCK": 2,
            "FL_DELEG": 4,
            "FL_ACCESS": 8,
            "FL_EXISTS": 16,
            "FL_LEASE": 32,
            "FL_CLOSE": 64,
            "FL_SLEEP": 128,
            "FL_DOWNGRADE_PENDING": 256,
            "FL_UNLOCK_PENDING": 512,
            "FL_OFDLCK": 1024,
            "FL_LAYOUT": 2048,
            "FL_RECLAIM": 4096,
        },
    ),
    "fl_type": ("uint8", {"F_RDLCK": 0, "F_WRLCK": 1, "F_UNLCK": 2}),
    # How perf prints PROT_ and MAP_ bits, of which it keeps MAP_SHARED (1) or MAP_PRIVATE (2); and PERF_RECORD_MISC_COMM_EXEC.
    "sharing": ("uint32", {f"{r}{w}{x}{s}": 1 + (s == "p") for r in "r-" for w in "w-" for x in "x-" for s in "sp"}),
    "exec": ("uint16", {"exec": 1 << 13}),
    "mr_type": ("uint64", {"MEM_REG": 0, "SG_GAPS": 1, "DM": 2, "USER": 3, "DMA": 4, "INTEGRITY": 5}),
}
"""Names that formats print for bits or values, joined by "|", and the field's type."""

_EXT4 = "dev {dev:dev} ino {ino:u64}"
_RANGE = f"{_EXT4} offset {{offset:i64}} len {{len:i64}}"
_FALLOCATE = (f"{_RANGE} mode {{mode:falloc}}", f"{_EXT4} pos {{pos:i64}} len {{len:i64}} mode {{mode:falloc}}", _RANGE)
_WRITEPAGES = (
    f"{_EXT4} nr_to_write {{nr_to_write:i64}} pages_skipped {{pages_skipped:i64}} range_start {{range_start:i64}} "
    "range_end {range_end:i64} sync_mode {sync_mode:i32} for_kupdate {for_kupdate:i8} range_cyclic {range_cyclic:i8} "
    "writeback_index {writeback_index:u64}"
)
_WRITEPAGES_RESULT = (
    f"{_EXT4} ret {{ret:i32}} pages_written {{pages_written:i32}} pages_skipped {{pages_skipped:i64}} sync_mode {{sync_mode:i32}} "
    "writeback_index {writeback_index:u64}"
)
_FOLIO = (f"{_EXT4} folio_index {{index:u64}}", f"{_EXT4} page_index {{index:u64}}")
_BDI_PAGE = ("bdi {name:str}: ino={ino:u64} index={index:u64}",)
_CACHE = (
    "dev {s_dev:dev} ino {i_ino:u64x} pfn=0x{pfn:u64x} ofs={index:pages} order={order:u8}",
    "dev {s_dev:dev} ino {i_ino:u64x} page={} pfn=0x{pfn:u64x} ofs={index:pages} order={order:u8}",
    "dev {s_dev:dev} ino {i_ino:u64x} page={} pfn={pfn:u64} ofs={index:pages}",
    "dev {s_dev:dev} ino {i_ino:u64x} pfn={pfn:u64} ofs={index:pages}",
)
_LOCK = (
    "fl={fl:ptr} dev={s_dev:dev} ino=0x{i_ino:u64x} fl_blocker={fl_blocker:ptr} fl_owner={fl_owner:ptr} fl_flags={fl_flags:fl_flags} "
    "fl_type={fl_type:fl_type} fl_break_time={fl_break_time:u64} fl_downgrade_time={fl_downgrade_time:u64}"
)
_XFS = "dev {dev:dev} ino {ino:u64}"
_XFS_SPACE = (f"{_XFS} isize {{isize:i64}} disize {{disize:i64}} pos {{offset:i64}} bytecount {{count:u64}}", _XFS)
_XFS_TRUNCATE = (f"{_XFS} disize {{size:i64}} new_size {{new_size:i64}}", f"{_XFS} size {{size:i64}} new_size {{new_size:i64}}")
_XFS_INODES = "ino {src_ino:u64} isize {src_isize:i64} disize {src_disize:i64} {at} {src_offset:i64} -> ino {dest_ino:u64} "
_XFS_INODES += "isize {dest_isize:i64} disize {dest_disize:i64} {at} {dest_offset:i64}"
_XFS_REMAP = tuple(
    f"dev {{dev:dev}} {length} {{len:u64}} {_XFS_INODES.replace('{at}', at)}"
    for length, at in (("bytecount", "pos"), ("count", "pos"), ("count", "offset"))
)
_IOMAP = (
    f"{_XFS} size {{size:i64}} offset 0x{{offset:u64x}} length 0x{{length:u64x}}",
    f"{_XFS} size {{size:i64}} offset {{offset:u64x}} length {{length:u64x}}",
)
_DAX = f"{_XFS} {{}} {{}} address {{address:u64}}"
_MIGRATE = "nr_succeeded={succeeded:u64} nr_failed={failed:u64}"

FORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "writeback": {
        "writeback_dirty_folio writeback_dirty_page folio_wait_writeback wait_on_page_writeback": _BDI_PAGE,
        "writeback_mark_inode_dirty writeback_dirty_inode_start writeback_dirty_inode": (
            "bdi {name:str}: ino={ino:u64} state={state:str} flags={flags:str}",
        ),
        "writeback_dirty_inode_enqueue sb_mark_inode_writeback sb_clear_inode_writeback": (
            "dev {dev:dev} ino {ino:u64} dirtied {dirtied_when:u64} state {state:str} mode 0{mode:u16o}",
        ),
        "global_dirty_state": (
            (
                "dirty={nr_dirty:u64} writeback={nr_writeback:u64} bg_thresh={background_thresh:u64} thresh={dirty_thresh:u64} "
                "limit={dirty_limit:u64} dirtied={nr_dirtied:u64} written={nr_written:u64}"
            ),
            (
                "dirty={nr_dirty:u64} writeback={nr_writeback:u64} unstable={nr_unstable:u64} bg_thresh={background_thresh:u64} "
                "thresh={dirty_thresh:u64} limit={dirty_limit:u64} dirtied={nr_dirtied:u64} written={nr_written:u64}"
            ),
        ),
        "wbc_writepage": (
            (
                "bdi {name:str}: towrt={nr_to_write:i64} skip={pages_skipped:i64} mode={sync_mode:i32} kupd={for_kupdate:i32} "
                "bgrd={for_background:i32} reclm={for_reclaim:i32} cyclic={range_cyclic:i32} "
                "start=0x{range_start:u64x} end=0x{range_end:u64x}"
            ),
        ),
    },
    "filemap": {"mm_filemap_add_to_page_cache mm_filemap_delete_from_page_cache": _CACHE},
    "ext4": {
        "ext4_writepages ext4_da_writepages": (_WRITEPAGES,),
        "ext4_writepages_result ext4_da_writepages_result": (_WRITEPAGES_RESULT,),
        "ext4_sync_file_enter": (f"{_EXT4} parent {{parent:u64}} datasync {{datasync:i32}}",),
        "ext4_sync_file_exit": (f"{_EXT4} ret {{ret:i32}}",),
        "ext4_punch_hole ext4_zero_range ext4_fallocate_enter": _FALLOCATE,
        "ext4_fallocate_exit": (f"{_EXT4} pos {{pos:i64}} blocks {{blocks:u32}} ret {{ret:i32}}",),
        "ext4_collapse_range ext4_insert_range": (_RANGE,),
        "ext4_truncate_enter ext4_truncate_exit": (f"{_EXT4} blocks {{blocks:u64}}",),
        "ext4_release_folio ext4_releasepage ext4_read_folio ext4_readpage ext4_writepage": _FOLIO,
        "ext4_allocate_blocks": (
            (
                f"{_EXT4} flags {{}} len {{len:u32}} block {{block:u64}} lblk {{logical:u32}} goal {{goal:u64}} lleft {{lleft:u32}} "
                "lright {lright:u32} pleft {pleft:u64} pright {pright:u64}"
            ),
        ),
        "ext4_free_blocks": (f"{_EXT4} mode 0{{mode:u16o}} block {{block:u64}} count {{count:u64}}",),
    },
    "xfs": {
        "xfs_file_fsync": (_XFS,),
        "xfs_free_file_space xfs_zero_file_space xfs_collapse_file_space xfs_insert_file_space xfs_alloc_file_space": _XFS_SPACE,
        "xfs_itruncate_extents_start xfs_itruncate_extents_end": _XFS_TRUNCATE,
        "xfs_reflink_remap_range": _XFS_REMAP,
    },
    "iomap": {"iomap_writeback_folio iomap_writepage": _IOMAP},
    "filelock": {
        "break_lease_block break_lease_unblock generic_delete_lease time_out_leases": (_LOCK, _LOCK.replace("fl_blocker", "fl_next")),
        "generic_add_lease": tuple(
            f"dev={{s_dev:dev}} ino=0x{{i_ino:u64x}} wcount={{wcount:i32}} {readers}={{{readers}:i32}} icount={{icount:i32}} "
            "fl_owner={fl_owner:ptr} fl_flags={fl_flags:fl_flags} fl_type={fl_type:fl_type}"
            for readers in ("rcount", "dcount")
        ),
    },
    "fs_dax": {
        "dax_pte_fault dax_load_hole dax_insert_pfn_mkwrite": (f"{_DAX} pgoff {{pgoff:u64}}",),
        "dax_pmd_fault": (f"{_DAX} vm_start {{vm_start:u64}} vm_end {{vm_end:u64}} pgoff {{pgoff:u64}} max_pgoff {{max_pgoff:u64}}",),
        "dax_insert_mapping": (f"{_DAX} radix_entry {{radix_entry:u64}}",),
        "dax_pmd_insert_mapping": (f"{_DAX} length {{length:i64}} pfn {{pfn_val:u64}}",),
        "dax_writeback_one": (f"{_XFS} pgoff {{pgoff:u64}} pglen {{pglen:u64}}",),
        "dax_writeback_range": (f"{_XFS} pgoff {{start_index:u64}}-{{end_index:u64}}",),
    },
    "rdma_core": {
        "mr_alloc": ("pd.id={pd_id:u32} mr.id={mr_id:u32} type={mr_type:mr_type} max_num_sg={max_num_sg:u32} rc={rc:i32}",),
        "mr_dereg": ("mr.id={id:u32}",),
    },
    "sched": {
        "sched_process_fork": ("comm={parent_comm:str} pid={parent_pid:i32} child_comm={child_comm:str} child_pid={child_pid:i32}",),
        "sched_process_exec": ("filename={filename:str} pid={pid:i32} old_pid={old_pid:i32}",),
        "sched_process_exit sched_process_free sched_process_wait": ("comm={comm:str} pid={pid:i32} prio={prio:i32}",),
        "sched_switch": (
            (
                "prev_comm={prev_comm:str} prev_pid={prev_pid:i32} prev_prio={prev_prio:i32} prev_state={} ==> "
                "next_comm={next_comm:str} next_pid={next_pid:i32} next_prio={next_prio:i32}"
            ),
            "{prev_comm:str}:{prev_pid:i32} [{prev_prio:i32}] {} ==> {next_comm:str}:{next_pid:i32} [{next_prio:i32}]",
        ),
    },
    "task": {"task_newtask": ("pid={pid:i32} comm={comm:str} clone_flags={clone_flags:u64x} oom_score_adj={oom_score_adj:i16}",)},
    "migrate": {
        "mm_migrate_pages": (
            f"{_MIGRATE} nr_thp_succeeded={{thp_succeeded:u64}} nr_thp_failed={{thp_failed:u64}} nr_thp_split={{thp_split:u64}}",
            _MIGRATE,
        ),
    },
    "vmscan": {
        "mm_vmscan_direct_reclaim_begin mm_vmscan_memcg_reclaim_begin": ("order={order:i32}",),
        "mm_vmscan_direct_reclaim_end mm_vmscan_memcg_reclaim_end": ("nr_reclaimed={nr_reclaimed:u64}",),
    },
    "syscalls": {
        "sys_enter_munmap": ("addr: {addr:u64x}, len: {len:u64x}",),
        "sys_enter_truncate": ("path: {path:u64x}, length: {length:i64x}",),
        "sys_enter_ftruncate": ("fd: {fd:u32x}, length: {length:u64x}",),
        "sys_enter_fallocate": ("fd: {fd:i32x}, mode: {mode:i32x}, offset: {offset:i64x}, len: {len:i64x}",),
    },
    "ftrace": {
        "print tracing_mark_write": ("{buf:str}",),
        "bprint bputs kernel_stack user_stack": ("{buf:str}",),
        "function": ("{function:str} <-- {parent:str}", "{function:str} <-{parent:str}", "{function:str}"),
    },
}

_MAPPED = "{pid:i32}/{tid:i32}: [{addr:u64}({len:u64}) @ {pgoff:u64}"
RECORDS: dict[str, tuple[str, ...]] = {
    "mmap2": (f"{_MAPPED} {{maj:u32x}}:{{min:u32x}} {{ino:u64}} {{ino_generation:u64}}]: {{flags:sharing}} {{filename:str}}",),
    "mmap": (f"{_MAPPED}]: {{}} {{filename:str}}",),
    "comm": ("{misc:exec}: {comm:str}:{pid:i32}/{tid:i32}",),
    **dict.fromkeys(("fork", "exit"), ("({pid:i32}:{tid:i32}):({ppid:i32}:{ptid:i32})",)),
    **dict.fromkeys(("lost", "lost_samples"), ("lost {lost:u64}",)),
}
"""Forms of perf's own records (tools/perf/util/event.c), which `perf script --show-mmap-events --show-task-events` prints."""

SYSCALL_EXIT = ("{ret:i64x}",)
"""The form of every sys_exit_* event."""

MULTILINE = frozenset({"print", "tracing_mark_write", "bprint", "bputs", "kernel_stack", "user_stack"})
"""Events of system ftrace whose payload may go on over several lines."""

SYSTEMS = (
    ("sched_", "sched"),
    ("writeback_", "writeback"),
    ("wbc_", "writeback"),
    ("sb_mark_inode_writeback", "writeback"),
    ("sb_clear_inode_writeback", "writeback"),
    ("global_dirty_state", "writeback"),
    ("bdi_dirty_ratelimit", "writeback"),
    ("balance_dirty_pages", "writeback"),
    ("mm_filemap_", "filemap"),
    ("filemap_", "filemap"),
    ("ext4_", "ext4"),
    ("f2fs_", "f2fs"),
    ("xfs_", "xfs"),
    ("btrfs_", "btrfs"),
    ("jbd2_", "jbd2"),
    ("iomap_", "iomap"),
    ("dax_", "fs_dax"),
    ("block_", "block"),
    ("mm_vmscan_", "vmscan"),
    ("mm_migrate_", "migrate"),
    ("mm_compaction_", "compaction"),
    ("mm_page_", "kmem"),
    ("kmem_cache_", "kmem"),
    ("kmalloc", "kmem"),
    ("kfree", "kmem"),
    ("mr_", "rdma_core"),
    ("cq_", "rdma_core"),
    ("posix_lock_", "filelock"),
    ("locks_", "filelock"),
    ("flock_", "filelock"),
    ("leases_conflict", "filelock"),
    ("task_", "task"),
    ("signal_", "signal"),
    ("irq_handler_", "irq"),
    ("softirq_", "irq"),
    ("timer_", "timer"),
    ("hrtimer_", "timer"),
    ("workqueue_", "workqueue"),
    ("cpu_idle", "power"),
    ("cpu_frequency", "power"),
    ("io_uring_", "io_uring"),
    ("rcu_", "rcu"),
    ("dma_fence_", "dma_fence"),
    ("sys_enter", "syscalls"),
    ("sys_exit", "syscalls"),
    ("funcgraph_", "ftrace"),
)
"""The system of events without a form, by how their name begins: text other than perf's tells no system."""
