"""File operations: what is nested in what, where an operation began for its user, and when it ended."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from replay._ext cimport releases
from replay._ext.addresses cimport Group
from replay._ext.ops cimport (
    OP_CACHE_DEL,
    OP_COLLAPSE,
    OP_FALLOCATE,
    OP_FSYNC,
    OP_LAYOUT_WAIT,
    OP_LEASE_BREAK,
    OP_PUNCH,
    OP_RECLAIM,
    OP_TRUNCATE,
)
from replay._ext.rows cimport (
    FLAG_BUSY,
    OP_NOTHING,
    PATCH_DUR,
    PATCH_FILE,
    PATCH_INDEX,
    PATCH_KIND,
    PATCH_OP,
    PATCH_OPEN,
    PATCH_RESULT,
    Row,
    lasted,
    told,
)
from replay._ext.state cimport (
    COUNT_BEGINS_UNPAIRED,
    COUNT_ENDS_UNPAIRED,
    COUNT_TRUNCATES_BLIND,
    KEY_INODE,
    Operation,
    Record,
    State,
    Task,
)

cdef enum:
    # include/uapi/linux/falloc.h
    FALLOC_PUNCH_HOLE = 0x02
    FALLOC_COLLAPSE_RANGE = 0x08
    FALLOC_ZERO_RANGE = 0x10
    FALLOC_INSERT_RANGE = 0x20
    # Order of lowering.KINDS.
    KIND_NONE = -1
    KIND_ZERO = 0
    KIND_COLLAPSE = 1
    KIND_INSERT = 2


cdef int boundary(State state, Task *task, Record *record) except -1 nogil:
    """The task begins something else: an operation without an end event ended with its last nested event, and a burst of deletions that
    no truncate followed was none."""
    if task.layout.row >= 0 and not task.layout.ends:
        state.patch(task.layout.row, PATCH_DUR, lasted(task.layout.ts, task.layout.last_ts))
        task.layout.row = -1
    task.burst.row = -1
    releases.finish(state, task, record)
    if task.scan.row < 0:
        task.waited_row = -1
    return 0


cdef int _begin(State state, Operation *operation, Record *record, int op, bint ends) except -1 nogil:
    if operation.row >= 0 and operation.ends:
        state.counts[COUNT_BEGINS_UNPAIRED] += 1
    operation.row = state.latest()
    operation.ts = operation.last_ts = record.ts
    operation.ino, operation.index, operation.low = record.ino, record.index, -1
    operation.file, operation.op, operation.ends = state.rows[state.rows_used - 1].file, op, ends
    return 0


cdef int fsync_begin(State state, Task *task, Record *record) except -1 nogil:
    cdef Row *row
    boundary(state, task, record)
    row = state.emit(record, OP_FSYNC)
    row.file = state.file_of(record)
    return _begin(state, &task.fsync, record, OP_FSYNC, record.c < 0)


cdef int fsync_end(State state, Task *task, Record *record) except -1 nogil:
    if task.fsync.row < 0:
        state.counts[COUNT_ENDS_UNPAIRED] += 1
        return 0
    state.patch(task.fsync.row, PATCH_DUR, lasted(task.fsync.ts, record.ts))
    state.patch(task.fsync.row, PATCH_RESULT, record.a)
    task.fsync.row = -1
    return 0


cdef int layout_begin(State state, Task *task, Record *record, int op, int64_t kind, bint ends) except -1 nogil:
    """An operation on a range. One that a fallocate under way on the same file has announced is that fallocate; one that tells no range
    takes it from the system call."""
    cdef Row *row
    if task.layout.row >= 0 and task.layout.op == op and task.layout.ends and not ends:
        if task.layout.ino == record.ino and task.layout.index == record.index:
            return inside(state, task, record)
    boundary(state, task, record)
    row = state.emit(record, op)
    row.file, row.index, row.npages = state.file_of(record), record.index, record.npages
    if record.index < 0 and task.told_index >= 0:
        row.index, row.npages = task.told_index, task.told_npages
    _begin(state, &task.layout, record, op, ends)
    if kind != KIND_NONE:
        state.patch(task.layout.row, PATCH_KIND, kind)
    return 0


cdef int fallocate_begin(State state, Task *task, Record *record) except -1 nogil:
    cdef int64_t mode = record.a if record.a >= 0 else max(task.told_mode, 0)
    cdef bint ends = record.c < 0
    if mode & FALLOC_PUNCH_HOLE:
        return layout_begin(state, task, record, OP_PUNCH, KIND_NONE, ends)
    if mode & FALLOC_ZERO_RANGE:
        return layout_begin(state, task, record, OP_PUNCH, KIND_ZERO, ends)
    if mode & FALLOC_COLLAPSE_RANGE:
        return layout_begin(state, task, record, OP_COLLAPSE, KIND_COLLAPSE, ends)
    if mode & FALLOC_INSERT_RANGE:
        return layout_begin(state, task, record, OP_COLLAPSE, KIND_INSERT, ends)
    return layout_begin(state, task, record, OP_FALLOCATE, KIND_NONE, ends)


cdef int layout_end(State state, Task *task, Record *record) except -1 nogil:
    if record.c == 1 and task.truncates_inside:
        task.truncates_inside = False
        return inside(state, task, record)
    if task.layout.row < 0:
        state.counts[COUNT_ENDS_UNPAIRED] += 1
        return 0
    state.patch(task.layout.row, PATCH_DUR, lasted(task.layout.ts, record.ts))
    if record.b == 1:
        state.patch(task.layout.row, PATCH_RESULT, record.a)
    task.layout.row = -1
    return 0


cdef int truncate_begin(State state, Task *task, Record *record) except -1 nogil:
    """The file system truncates blocks; for its user the operation began with the lease break, or the first page that left the cache."""
    cdef int32_t file = state.file_of(record)
    cdef int64_t index = task.told_index if record.index < 0 else record.index
    cdef Row *row
    if task.layout.row >= 0 and task.layout.op != OP_TRUNCATE and task.layout.ino == record.ino:
        # Part of another operation, such as a fallocate that failed and takes back what it allocated.
        task.truncates_inside = True
        return inside(state, task, record)
    if task.burst.row >= 0 and task.burst.ino == record.ino:
        if index < 0:
            index = task.burst.low
        if task.layout.row >= 0 and task.layout.ends:
            state.counts[COUNT_BEGINS_UNPAIRED] += 1
        task.layout = task.burst
        task.layout.op, task.layout.ends = OP_TRUNCATE, True
        task.burst.row = -1
        state.patch(task.layout.row, PATCH_OP, OP_TRUNCATE)
        state.patch(task.layout.row, PATCH_FILE, file)
    else:
        boundary(state, task, record)
        row = state.emit(record, OP_TRUNCATE)
        row.file = file
        _begin(state, &task.layout, record, OP_TRUNCATE, True)
    if index >= 0:
        state.patch(task.layout.row, PATCH_INDEX, index)
    else:
        state.counts[COUNT_TRUNCATES_BLIND] += 1
    return 0


cdef int inside(State state, Task *task, Record *record) except -1 nogil:
    """An event that belongs to the operation under way on its file."""
    if task.layout.row >= 0 and task.layout.ino == record.ino:
        task.layout.last_ts = record.ts
    return 0


cdef int _keep_place(State state, Task *task, Record *record) except -1 nogil:
    """An empty row, here in the order of events, for a truncate that may follow."""
    state.emit(record, OP_NOTHING)
    return _begin(state, &task.burst, record, OP_NOTHING, False)


cdef int cache_delete(State state, Task *task, Record *record) except -1 nogil:
    cdef bint nested = task.layout.row >= 0 and task.layout.ino == record.ino
    cdef Row *row
    if nested:
        task.layout.last_ts = record.ts
    elif task.reclaimer:
        row = state.emit(record, OP_RECLAIM)
        row.file, row.index, row.npages = state.file_of(record), record.index, record.npages
    elif task.burst.row < 0 or task.burst.ino != record.ino:
        boundary(state, task, record)
        _keep_place(state, task, record)
    if not nested and task.burst.row >= 0 and (task.burst.low < 0 or record.index < task.burst.low):
        task.burst.low = record.index
    row = state.emit(record, OP_CACHE_DEL)
    row.file, row.index, row.npages, row.value = state.file_of(record), record.index, record.npages, record.a
    return 0


cdef int system_call_end(State state, Task *task, Record *record) except -1 nogil:
    """The end of a system call ends the operations of its task that have no end event of their own."""
    task.told_index = task.told_npages = task.told_mode = -1
    if task.layout.row >= 0 and not task.layout.ends:
        state.patch(task.layout.row, PATCH_DUR, lasted(task.layout.ts, record.ts))
        state.patch(task.layout.row, PATCH_RESULT, record.a)
        task.layout.row = -1
    if task.fsync.row >= 0 and not task.fsync.ends:
        state.patch(task.fsync.row, PATCH_DUR, lasted(task.fsync.ts, record.ts))
        state.patch(task.fsync.row, PATCH_RESULT, record.a)
        task.fsync.row = -1
    return 0


cdef int lease_block(State state, Task *task, Record *record) except -1 nogil:
    cdef Row *row
    if task.layout.row < 0 and (task.burst.row < 0 or task.burst.ino != record.ino):
        boundary(state, task, record)
        _keep_place(state, task, record)
    row = state.emit(record, OP_LEASE_BREAK)
    row.file = state.file_of(record)
    return _begin(state, &task.lease, record, OP_LEASE_BREAK, True)


cdef int lease_unblock(State state, Task *task, Record *record) except -1 nogil:
    if task.lease.row < 0:
        state.counts[COUNT_ENDS_UNPAIRED] += 1
        return 0
    state.patch(task.lease.row, PATCH_DUR, lasted(task.lease.ts, record.ts))
    task.lease.row = -1
    return 0


cdef int scan_call(State state, Task *task, Record *record) except -1 nogil:
    """dax_layout_busy_page_range looks for a pinned page; it is called again after each wait (fs/ext4/inode.c, ext4_break_layouts)."""
    task.scanning = True
    task.scan_ino, task.scan_index, task.scan_npages = record.ino, record.index, record.npages
    return inside(state, task, record)


cdef int scan_return(State state, Task *task, Record *record) except -1 nogil:
    cdef Row *row
    if not task.scanning:
        state.counts[COUNT_ENDS_UNPAIRED] += 1
        return 0
    task.scanning = False
    record.ino = task.scan_ino
    inside(state, task, record)
    if task.scan.row >= 0:
        state.patch(task.scan.row, PATCH_DUR, lasted(task.scan.ts, record.ts))
        task.waited_row, task.waited_ts = task.scan.row, task.scan.ts
        task.scan.row = -1
    if record.a == 0:
        return 0
    row = state.emit(record, OP_LAYOUT_WAIT)
    if task.layout.row >= 0 and task.layout.ino == task.scan_ino:
        row.file = task.layout.file
    else:
        row.file = state.key(KEY_INODE, 0, task.scan_ino)
    row.index, row.npages = task.scan_index, task.scan_npages
    row.flags = told(FLAG_BUSY, True)
    return _begin(state, &task.scan, record, OP_LAYOUT_WAIT, True)


cdef int task_exit(State state, Task *task, Record *record) except -1 nogil:
    """A wait that ended only because its process was being killed did not end: another thread of the process died while the operation was
    under way, and the task itself never got out of it."""
    cdef Group *group = &state.spaces.groups[state.spaces.spaces[task.space].group]
    if task.waited_row >= 0 and task.layout.row >= 0 and task.waited_ts < group.last_exit_ts <= task.layout.last_ts:
        state.patch(task.waited_row, PATCH_OPEN, 1)
        state.patch(task.layout.row, PATCH_OPEN, 1)
        state.counts[COUNT_BEGINS_UNPAIRED] += 2
        task.layout.row = -1
    group.last_exit_ts = record.ts
    boundary(state, task, record)
    return 0
