"""The in-order pass over the raw records of a batch: what each becomes, given what its task is doing."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from replay._ext cimport operations, pincalls, regions, releases, remote, unpins
from replay._ext.addresses cimport (
    MAP_ANONYMOUS,
    MAP_NONE,
    MAP_PRIVATE_FILE,
    MAP_SHARED_FILE,
    SOURCE_COOCCURRENCE,
    SOURCE_MAPPING,
    Segment,
    end_of,
    pages_of,
)
from replay._ext.hashing cimport fetch, get, put
from replay._ext.ops cimport (
    OP_BLOCK_ALLOC,
    OP_BLOCK_FREE,
    OP_CACHE_ADD,
    OP_COLLAPSE,
    OP_DIRTY,
    OP_EXEC,
    OP_EXIT,
    OP_FORK,
    OP_LEASE_ADD,
    OP_LEASE_DEL,
    OP_MIGRATE,
    OP_MMAP,
    OP_MUNMAP,
    OP_PUNCH,
    OP_RECLAIM,
    OP_REFLINK,
    OP_WB_END,
    OP_WB_START,
    OP_WB_WAIT,
)
from replay._ext.rows cimport (
    FLAG_SYNC,
    PATCH_ADDR,
    PATCH_BLOCK,
    PATCH_BLOCK_DEVICE,
    PATCH_DUR,
    PATCH_KIND,
    PATCH_NBLOCKS,
    PATCH_OWNER,
    Row,
    lasted,
    told,
)
from replay._ext.state cimport KEY_DEVICE, Record, State, Task

# The names by which ingest/mappings.py asks for a step.
STEPS = (
    "pin_call", "pin_return", "unpin", "register_call", "register_odp", "register_return", "release", "remote",
    "dirty", "wb_start", "wb_end", "wb_wait", "writepages", "writepages_end", "writepage", "cache_add", "cache_del",
    "fsync", "fsync_end", "punch", "zero", "collapse", "insert", "reflink", "fallocate", "layout_end", "truncate",
    "sys_range", "sys_end", "scan", "scan_return", "mark_dax", "block_alloc", "block_free",
    "lease_add", "lease_del", "lease_block", "lease_unblock", "mmap", "munmap", "newtask", "fork", "exec", "exit",
    "migrate", "reclaim_page", "reclaim_begin", "reclaim_end", "fault", "throttle", "unpin_page",
)

cdef enum:
    PIN_CALL, PIN_RETURN, UNPIN, REGISTER_CALL, REGISTER_ODP, REGISTER_RETURN, RELEASE, REMOTE
    DIRTY, WB_START, WB_END, WB_WAIT, WRITEPAGES, WRITEPAGES_END, WRITEPAGE, CACHE_ADD, CACHE_DEL
    FSYNC, FSYNC_END, PUNCH, ZERO, COLLAPSE, INSERT, REFLINK, FALLOCATE, LAYOUT_END, TRUNCATE
    SYS_RANGE, SYS_END, SCAN, SCAN_RETURN, MARK_DAX, BLOCK_ALLOC, BLOCK_FREE
    LEASE_ADD, LEASE_DEL, LEASE_BLOCK, LEASE_UNBLOCK, MMAP, MUNMAP, NEWTASK, FORK, EXEC, EXIT
    MIGRATE, RECLAIM_PAGE, RECLAIM_BEGIN, RECLAIM_END, FAULT, THROTTLE, UNPIN_PAGE

cdef enum:
    # include/linux/mm.h
    VM_SHARED = 8
    # include/linux/fs.h
    FL_DELEG = 4
    FL_LAYOUT = 2048
    # More pages than any file or address space has; numbers above it are garbage.
    MANY = 0x10000000000000
    # Order of lowering.KINDS.
    KIND_NONE = -1
    KIND_ZERO, KIND_COLLAPSE, KIND_INSERT, KIND_SHARED, KIND_PRIVATE, KIND_ANONYMOUS
    KIND_LEASE


cdef void expect(State state, const Record *record) noexcept nogil:
    """Ask the memory for what a later record will look up: writebacks begin and end on folios all over it."""
    if record.step == WB_START or record.step == WB_END:
        fetch(&state.folio_of, <uint64_t>record.a, 0)


cdef int take(State state, Record *record) except -1 nogil:
    """The next record of the trace."""
    cdef Task *task = &state.tasks[state.task(<int32_t>record.tid)]
    cdef int step = <int>record.step
    if step == DIRTY:
        return _page(state, task, record, OP_DIRTY)
    if step == WB_START:
        return _writeback_start(state, task, record)
    if step == WB_END:
        return _writeback_end(state, record)
    if step == REMOTE:
        return remote.remote(state, record)
    if step == CACHE_ADD:
        return _page(state, task, record, OP_CACHE_ADD)
    if step == CACHE_DEL:
        return operations.cache_delete(state, task, record)
    if step == UNPIN:
        return releases.unpinning(state, task, record) if task.releasing >= 0 else unpins.unpin(state, task, record)
    if step == UNPIN_PAGE:
        return unpins.unpin_page(state, task, record)
    if step == WB_WAIT:
        return _writeback_wait(state, task, record)
    if step == MARK_DAX:
        return _mark_dax(state, record)
    if step == FAULT:
        return pincalls.pin_page(state, task, record, False) if task.pinning else 0
    if step == THROTTLE:
        task.pin_moves_on = False
        return 0
    if step <= RELEASE:
        return _region_step(state, task, record)
    if step <= WRITEPAGE:
        return _writepages(state, task, record)
    if step <= SYS_END:
        return _operation_step(state, task, record)
    if step <= SCAN_RETURN:
        return operations.scan_call(state, task, record) if step == SCAN else operations.scan_return(state, task, record)
    if step <= LEASE_UNBLOCK:
        return _block_or_lease(state, task, record)
    return _task_step(state, task, record)


cdef int meet(State state, Record *record) except -1 nogil:
    """The record concerns a file that another task is pinning or releasing pages of: settle how far that is."""
    cdef size_t i = 0
    cdef Task *other
    if record.step in (DIRTY, CACHE_ADD, WB_END, WB_WAIT, FAULT, UNPIN_PAGE):
        return 0
    while i < state.n_moving:
        other = &state.tasks[state.moving[i]]
        if other.tid == record.tid or other.moving_ino != record.ino:
            i += 1
            continue
        other.moving = False
        state.n_moving -= 1
        state.moving[i] = state.moving[state.n_moving]
        if other.pinning:
            pincalls.pins_so_far(state, other, record)
        elif other.releasing >= 0:
            releases.meets(state, other, record)
    return 0


cdef int _mark_dax(State state, Record *record) except -1 nogil:
    cdef int32_t file = state.file_of(record)
    if file >= 0:
        state.keys[file].dax = 1
    return 0


cdef int _region_step(State state, Task *task, Record *record) except -1 nogil:
    cdef int step = record.step
    if step == PIN_RETURN:
        return pincalls.pin_return(state, task, record)
    if step == REGISTER_RETURN:
        return regions.register_return(state, task, record)
    operations.boundary(state, task, record)
    if step == PIN_CALL:
        return pincalls.pin_call(state, task, record)
    if step == RELEASE:
        return releases.release(state, task, record)
    return regions.register_call(state, task, record, step == REGISTER_ODP)


cdef int _page(State state, Task *task, Record *record, int op) except -1 nogil:
    """A page is dirtied or enters the cache: because of the region that the task is releasing or registering, if any."""
    cdef int32_t mr = task.registering
    cdef Row *row
    if op == OP_DIRTY and task.pinning:
        pincalls.pin_page(state, task, record, True)
    elif op == OP_DIRTY and task.releasing >= 0:
        mr = releases.dirtied(state, task, record)
    row = state.emit(record, op)
    row.file, row.index, row.npages, row.value = state.file_of(record), record.index, record.npages, record.a
    row.mr = mr
    if mr < 0 and op == OP_CACHE_ADD and task.burst.row >= 0 and task.burst.ino == record.ino:
        task.burst.row = -1
    return 0


cdef int32_t _written_file(State state, Task *task, Record *record) except -2 nogil:
    """A probe that knows only the inode, inside of ext4_writepages on that inode, is about that file."""
    if record.dev < 0 and record.name < 0 and task.writing and task.write_dev >= 0 and task.write_ino == record.ino:
        return state.key(KEY_DEVICE, task.write_dev, record.ino)
    return state.file_of(record)


cdef int _writeback_start(State state, Task *task, Record *record) except -1 nogil:
    cdef Row *row = state.emit(record, OP_WB_START)
    row.file, row.index, row.npages = _written_file(state, task, record), record.index, record.npages
    if task.sync >= 0:
        row.flags |= told(FLAG_SYNC, task.sync)
        if not task.writing:
            task.sync = -1
    elif task.fsync.row >= 0 and task.fsync.ends:
        row.flags |= told(FLAG_SYNC, True)
    if record.dev < 0 and row.file >= 0 and record.a != -1 and state.keys[row.file].kind == KEY_DEVICE:
        row.source, row.confidence = SOURCE_COOCCURRENCE, 95
        put(&state.folio_of, <uint64_t>record.a, 0, row.file)
    return 0


cdef int _writeback_end(State state, Record *record) except -1 nogil:
    """Runs in whatever task the interrupt hits; the folio tells which writeback ends."""
    cdef int64_t known = -1
    cdef Row *row = state.emit(record, OP_WB_END)
    row.index, row.npages = record.index, record.npages
    if record.dev < 0 and record.name < 0 and record.a != -1:
        known = get(&state.folio_of, <uint64_t>record.a, 0)
    if known >= 0 and state.keys[known].ino == record.ino:
        row.file = <int32_t>known
        row.source, row.confidence = SOURCE_COOCCURRENCE, 95
    else:
        row.file = state.file_of(record)
    if state.waiting:
        _end_waits(state, record)
    return 0


cdef int _writeback_wait(State state, Task *task, Record *record) except -1 nogil:
    cdef Row *row = state.emit(record, OP_WB_WAIT)
    row.file, row.index, row.npages = state.file_of(record), record.index, record.npages
    if task.wait.row < 0:
        state.waiting += 1
    task.wait.row, task.wait.ts, task.wait.ino, task.wait.low = state.latest(), record.ts, record.ino, record.index
    return 0


cdef int _end_waits(State state, Record *record) except -1 nogil:
    """folio_wait_writeback has no end event: the wait ends with the writeback of its page."""
    cdef size_t i
    cdef Task *task
    for i in range(state.tasks_used):
        task = &state.tasks[i]
        if task.wait.row >= 0 and task.wait.ino == record.ino and record.index <= task.wait.low < record.index + record.npages:
            state.patch(task.wait.row, PATCH_DUR, lasted(task.wait.ts, record.ts))
            task.wait.row = -1
            state.waiting -= 1
    return 0


cdef int _writepages(State state, Task *task, Record *record) except -1 nogil:
    """Context of the writebacks that follow: which file, and whether for data integrity (WB_SYNC_ALL is 1)."""
    if record.step == WRITEPAGES_END:
        task.writing, task.sync = False, -1
        return 0
    task.sync = record.a == 1
    if record.step == WRITEPAGES:
        task.writing, task.write_dev, task.write_ino = True, record.dev, record.ino
        state.file_of(record)
        operations.inside(state, task, record)
    return 0


cdef int _operation_step(State state, Task *task, Record *record) except -1 nogil:
    cdef int step = record.step
    if step == FSYNC:
        return operations.fsync_begin(state, task, record)
    if step == FSYNC_END:
        return operations.fsync_end(state, task, record)
    if step == PUNCH:
        return operations.layout_begin(state, task, record, OP_PUNCH, KIND_NONE, False)
    if step == ZERO:
        return operations.layout_begin(state, task, record, OP_PUNCH, KIND_ZERO, False)
    if step == COLLAPSE:
        return operations.layout_begin(state, task, record, OP_COLLAPSE, KIND_COLLAPSE, False)
    if step == INSERT:
        return operations.layout_begin(state, task, record, OP_COLLAPSE, KIND_INSERT, False)
    if step == REFLINK:
        return operations.layout_begin(state, task, record, OP_REFLINK, KIND_NONE, False)
    if step == FALLOCATE:
        return operations.fallocate_begin(state, task, record)
    if step == LAYOUT_END:
        return operations.layout_end(state, task, record)
    if step == TRUNCATE:
        return operations.truncate_begin(state, task, record)
    if step == SYS_RANGE:
        task.told_index, task.told_npages, task.told_mode = record.index, record.npages, record.a
        return 0
    return operations.system_call_end(state, task, record)


cdef int _block_or_lease(State state, Task *task, Record *record) except -1 nogil:
    cdef int step = record.step
    cdef int64_t kind
    cdef Row *row
    if step == LEASE_BLOCK:
        return operations.lease_block(state, task, record)
    if step == LEASE_UNBLOCK:
        return operations.lease_unblock(state, task, record)
    if step == BLOCK_ALLOC or step == BLOCK_FREE:
        operations.inside(state, task, record)
        row = state.emit(record, OP_BLOCK_ALLOC if step == BLOCK_ALLOC else OP_BLOCK_FREE)
        row.file = state.file_of(record)
        if record.index >= 0:                    # file system blocks are taken for pages
            row.index, row.npages = record.index, record.b
        state.patch(state.latest(), PATCH_BLOCK, record.a)
        state.patch(state.latest(), PATCH_NBLOCKS, record.b)
        return state.patch(state.latest(), PATCH_BLOCK_DEVICE, record.dev)
    row = state.emit(record, OP_LEASE_ADD if step == LEASE_ADD else OP_LEASE_DEL)
    row.file = state.file_of(record)
    state.patch(state.latest(), PATCH_OWNER, record.a)
    # F_RDLCK 0, F_WRLCK 1, F_UNLCK 2 (include/uapi/asm-generic/fcntl.h); three kinds of lease with each.
    kind = 2 if record.b & FL_LAYOUT else 1 if record.b & FL_DELEG else 0
    if 0 <= record.c < 3:
        state.patch(state.latest(), PATCH_KIND, KIND_LEASE + 3 * kind + record.c)
    return 0


cdef int _task_step(State state, Task *task, Record *record) except -1 nogil:
    cdef int step = record.step
    cdef Row *row
    if step == MMAP:
        return _map(state, task, record)
    if step == MUNMAP:
        return _unmap(state, task, record)
    if step == RECLAIM_BEGIN or step == RECLAIM_END:
        task.reclaimer = step == RECLAIM_BEGIN
        return 0
    if step == NEWTASK:
        return state.clone(state.task(record.tid), <int32_t>record.a, record.b)
    if step == RECLAIM_PAGE:
        return _page(state, task, record, OP_RECLAIM)
    if step == MIGRATE:
        row = state.emit(record, OP_MIGRATE)
        if 0 <= record.a < MANY and 0 <= record.b < MANY:
            row.npages, row.value = record.a + record.b, record.a
        return 0
    if step == EXIT:
        operations.task_exit(state, task, record)
    else:
        operations.boundary(state, task, record)
    row = state.emit(record, OP_FORK if step == FORK else OP_EXEC if step == EXEC else OP_EXIT)
    if step == EXEC:
        # perf tells of it before the new image is mapped (a is 1), the tracepoint behind.
        task.tgid, task.space = task.tid, state.spaces.exec_space(task.space, record.a != 1)
        return put(&state.space_of, <uint64_t>task.tid, 0, task.space)
    if step == FORK:
        row.value = record.a
        if record.b >= 0:
            return state.clone(state.task(record.tid), <int32_t>record.a, record.b)
        return state.fork(state.task(record.tid), <int32_t>record.a)
    return 0


cdef int _map(State state, Task *task, Record *record) except -1 nogil:
    """mmap_region(file, addr, len, vm_flags, pgoff). The probe reads dev and inode through the file pointer: for anonymous memory that is
    NULL and they are what was in the buffer before. do_mmap gives private anonymous memory pgoff = addr >> 12 (mm/mmap.c)."""
    cdef Row *row = state.emit(record, OP_MMAP)
    cdef Segment segment
    cdef int64_t kind
    segment.start = <uint64_t>record.a & ~<uint64_t>4095
    segment.end = end_of(segment.start, pages_of(record.b))
    segment.pgoff, segment.key = record.d if 0 <= record.d < MANY else 0, -1
    if record.c & VM_SHARED:
        segment.kind, kind = MAP_SHARED_FILE, KIND_SHARED
    elif record.d == <int64_t>(segment.start >> 12) or record.dev <= 0 or not record.ino:
        segment.kind, kind = MAP_ANONYMOUS, KIND_ANONYMOUS
    else:
        segment.kind, kind = MAP_PRIVATE_FILE, KIND_PRIVATE
    if segment.kind != MAP_ANONYMOUS and record.dev > 0 and record.ino:
        # Not marked as told directly: only other events show whether such a file exists.
        segment.key = state.key_of_generation(record.dev, record.ino, record.npages)
        state.keys[segment.key].before = 0
        row.file, row.index = segment.key, segment.pgoff
        row.source, row.confidence = SOURCE_MAPPING, 90
        # perf (index is 1) tells what the kernel knows of the file; shared anonymous memory is one without a device of its own.
        if segment.kind == MAP_PRIVATE_FILE or (record.index == 1 and record.dev >> 20):
            state.keys[segment.key].direct = 1
    elif segment.kind == MAP_SHARED_FILE:
        segment.kind = MAP_ANONYMOUS
    row.npages, row.value = <int64_t>((segment.end - segment.start) >> 12), record.b
    state.patch(state.latest(), PATCH_ADDR, record.a)
    state.patch(state.latest(), PATCH_KIND, kind)
    if segment.end > segment.start:
        state.spaces.map_range(task.space, segment)
    return 0


cdef int _unmap(State state, Task *task, Record *record) except -1 nogil:
    cdef Row *row = state.emit(record, OP_MUNMAP)
    cdef Segment segment
    segment.start = <uint64_t>record.a & ~<uint64_t>4095
    segment.end = end_of(segment.start, pages_of(record.b))
    segment.key, segment.kind, segment.pgoff = -1, MAP_NONE, 0
    row.npages, row.value = <int64_t>((segment.end - segment.start) >> 12), record.b
    state.patch(state.latest(), PATCH_ADDR, record.a)
    if segment.end > segment.start:
        state.spaces.map_range(task.space, segment)
    return 0
