"""The inode's lock, where a delay is to propagate (propagate=inode): who queues behind a delayed operation is late too.

truncate, punch, collapse, reflink and fallocate take the file's i_rwsem for themselves and keep it until they are through,
waits for pins included. How long the recording shows each of them queued for it is worked out beforehand: until the latest
recorded end of those by other tasks that began before it. That time is taken out of the task's clock like any recorded wait,
and the queueing of the replay is put in. Who ended before such an operation did was not behind its lock, and takes none.

Queueing that is longer than recorded is a stall, if a pin is what made the operation in front late.
"""

from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free

from replay._ext.ops cimport OP_COLLAPSE, OP_FALLOCATE, OP_PUNCH, OP_REFLINK, OP_TRUNCATE
from replay._ext.reregister cimport service_time
from replay._ext.scheduler cimport block, timer, wake
from replay._ext.world cimport (
    ATTACHED, AT_UNLOCK, BLOCKED, DETACHED, GONE, InodeLock, Queued, ROW_OPEN, Task, WAIT_LOCK, World, detail_of, push,
)


cdef struct Ends:          # of the operations on a file so far, as recorded
    int64_t latest
    int64_t others         # the latest of any task but that of `latest`
    int32_t task


# -- as recorded ------------------------------------------------------------------------------------------------------

cdef int find_queues(World* w) except -1 nogil:
    """Fill `queues`."""
    cdef Ends* ends
    cdef int32_t i
    if w.locks == NULL:
        return 0
    ends = <Ends*>calloc(<size_t>w.n_files + 1, sizeof(Ends))
    if ends == NULL:
        with gil:
            raise MemoryError(f"ends of operations on {w.n_files} files")
    try:
        for i in range(w.n_files):
            w.locks[i].owner = -1
            w.locks[i].pin = -1
            ends[i] = Ends(latest=-1, others=-1, task=-1)
        return walk(w, ends)
    finally:
        free(ends)


cdef int walk(World* w, Ends* ends) except -1 nogil:
    cdef int64_t row
    cdef int op
    for row in range(w.rows.n):
        op = w.rows.op[row]
        if op == OP_TRUNCATE or op == OP_PUNCH or op == OP_COLLAPSE or op == OP_REFLINK or op == OP_FALLOCATE:
            if w.rows.file[row] >= 0:
                note(w, row, &ends[w.rows.file[row]])
    return 0


cdef int note(World* w, int64_t row, Ends* ends) except -1 nogil:
    cdef int32_t task = w.rows.task[row]
    cdef int64_t before = ends.others if ends.task == task else ends.latest, end
    cdef Queued queued = Queued(row=row, dur=before - w.rows.ts[row])
    cdef bint is_open = (w.rows.flags[row] & ROW_OPEN) != 0
    end = w.rows.ts[row] + max(0, detail_of(&w.rows, row).dur)
    if not is_open and end < before:
        queued.dur = -1
        return push(&w.queues, &queued, sizeof(queued))
    if queued.dur > 0:
        push(&w.queues, &queued, sizeof(queued))
    if not is_open and ends.latest < end:
        if ends.task != task:
            ends.others = ends.latest
        ends.latest = end
        ends.task = task
    elif not is_open and ends.task != task:
        ends.others = max(ends.others, end)
    return 0


cdef int64_t recorded_queue(World* w, int64_t row) noexcept nogil:
    """How long the row's operation queued as recorded; -1 if it takes no lock."""
    cdef Queued* queues = <Queued*>w.queues.data
    cdef int64_t low = 0, high = w.queues.n, middle
    while low < high:
        middle = (low + high) // 2
        if queues[middle].row < row:
            low = middle + 1
        else:
            high = middle
    return queues[low].dur if low < w.queues.n and queues[low].row == row else 0


# -- in the replay ----------------------------------------------------------------------------------------------------

cdef bint is_free(World* w, InodeLock* lock) noexcept nogil:
    """Whoever queues already comes first. Behind the trace's end nobody lets go at a time that would still come."""
    if lock.queued > 0:
        return False
    return lock.owner < 0 or w.tasks[lock.owner].mode == GONE or lock.until <= w.now or (w.over and lock.until < INT64_MAX)


cdef void forget_queue(World* w, int32_t row, int64_t dur) noexcept nogil:
    """Take the recorded queueing out of the task's clock."""
    cdef Task* t = &w.tasks[w.rows.task[row]]
    if dur > 0:
        t.stall_end = w.rows.ts[row] + dur
        t.stall_dur += dur
        if t.mode == ATTACHED:
            t.mode = DETACHED


cdef bint acquire(World* w, int32_t row) except -1 nogil:
    """Whether the row's operation may go on: it has the lock of its file, or needs none. Else its task queues."""
    cdef int32_t file = w.rows.file[row], task = w.rows.task[row]
    cdef Task* t = &w.tasks[task]
    cdef InodeLock* lock
    cdef int64_t queued
    if w.locks == NULL or file < 0:
        return True
    lock = &w.locks[file]
    if lock.owner == task and not lock.passed and (t.retry or w.now < lock.until):
        return True
    queued = recorded_queue(w, row)
    if queued < 0:
        return True
    if lock.owner == task and lock.passed:
        t.retry = False                  # the operation begins only now
        lock.passed = False
        forget_queue(w, row, queued)
        return True
    if is_free(w, lock):
        lock.owner = task
        lock.passed = False
        lock.until = INT64_MAX
        lock.late = False
        lock.pin = -1
        forget_queue(w, row, queued)
        return True
    queue_up(w, row, lock, queued)
    return False


cdef int queue_up(World* w, int32_t row, InodeLock* lock, int64_t recorded) except -1 nogil:
    cdef int64_t lo = max(0, w.rows.slot[row])
    cdef Task* t = &w.tasks[w.rows.task[row]]
    block(w, row, w.rows.file[row], lo, lo + w.rows.nslots[row], w.rows.op[row], -1)
    t.block_first += recorded            # only what is more than that is a stall
    t.wait = WAIT_LOCK
    t.wait_step = w.step
    lock.queued += 1
    if lock.queued == 1 and lock.until < INT64_MAX:
        timer(w, lock.until, AT_UNLOCK, w.rows.file[row], 0)
    return 0


cdef int hold_on(World* w, int32_t row) except -1 nogil:
    """The row has run: its task keeps the lock while it waits for pins, then for as long as the operation itself takes."""
    cdef int32_t file = w.rows.file[row], task = w.rows.task[row]
    cdef Task* t = &w.tasks[task]
    cdef InodeLock* lock
    if w.locks == NULL or file < 0 or w.locks[file].owner != task:
        return 0
    lock = &w.locks[file]
    if t.mode == BLOCKED:
        lock.until = INT64_MAX
        if not lock.late:
            lock.late = True
            lock.pin = t.stall_pin
        return 0
    lock.until = w.now
    if t.op_row != row or not t.op_failed:
        lock.until += service_time(w, row)
    if lock.queued == 0:
        return 0
    if lock.until <= w.now or w.over:
        return pass_on(w, file)
    return timer(w, lock.until, AT_UNLOCK, file, 0)


cdef int hold_longer(World* w, int32_t row, int64_t dur) except -1 nogil:
    """A recorded wait for pins that the trace does not show belongs to the task's operation. INT64_MAX: without an end."""
    cdef Task* t = &w.tasks[w.rows.task[row]]
    cdef InodeLock* lock
    if w.locks == NULL or w.rows.file[t.op_row] < 0:
        return 0
    lock = &w.locks[w.rows.file[t.op_row]]
    if lock.owner != w.rows.task[row] or lock.until == INT64_MAX:
        return 0
    lock.until = dur if dur == INT64_MAX else lock.until + dur
    lock.late = True
    return 0


cdef int pass_on(World* w, int32_t file) except -1 nogil:
    """The lock goes to who has queued for longest."""
    cdef InodeLock* lock = &w.locks[file]
    cdef int32_t i, task, first = -1
    for i in range(w.n_waiting):
        task = w.waiting[i]
        if w.tasks[task].wait == WAIT_LOCK and w.tasks[task].wait_file == file:
            if first < 0 or w.tasks[task].wait_step < w.tasks[first].wait_step:
                first = task
    lock.owner = first
    lock.until = INT64_MAX
    lock.passed = first >= 0
    if first < 0:
        return 0
    lock.queued -= 1
    lock.late = end_queue(w, first, lock)
    if not lock.late:
        lock.pin = -1
    return wake(w, first)


cdef bint end_queue(World* w, int32_t task, InodeLock* lock) noexcept nogil:
    """The task queues no more. Whether that was a stall: longer than recorded, and because of a pin."""
    cdef Task* t = &w.tasks[task]
    t.stall_pin = lock.pin
    if not lock.late or w.now <= t.block_first:
        t.block_first = -1
        return False
    return True


cdef int on_unlock(World* w, int32_t file) except -1 nogil:
    cdef InodeLock* lock = &w.locks[file]
    if lock.queued == 0 or lock.until == INT64_MAX:
        return 0
    if w.now < lock.until:
        return timer(w, lock.until, AT_UNLOCK, file, 0)
    return pass_on(w, file)


cdef bint queues_undelayed(World* w, int32_t task) noexcept nogil:
    """Whether the task queues behind an operation that no pin made late."""
    cdef Task* t = &w.tasks[task]
    return t.mode == BLOCKED and t.wait == WAIT_LOCK and not w.locks[t.wait_file].late


cdef void settle_queued(World* w, int32_t task) noexcept nogil:
    """The trace ends: a task that queues because of a pin does so without an end."""
    cdef Task* t = &w.tasks[task]
    if t.wait != WAIT_LOCK or t.mode != BLOCKED or t.block_first < 0:
        return
    w.locks[t.wait_file].queued -= 1
    t.stall_pin = w.locks[t.wait_file].pin


cdef int let_queues_go(World* w) except -1 nogil:
    """The trace ends: nobody waits any more. Who queues behind no delay has the lock at once, as one that comes later has: the
    recording's operation took place, if behind the last event, and is not to look safe."""
    cdef int32_t i, n = 0, file
    for i in range(w.n_waiting):
        if queues_undelayed(w, w.waiting[i]):
            w.waiting[n] = w.waiting[i]
            n += 1
    w.n_waiting = n
    if n > 0:
        for file in range(w.n_files):
            if w.locks[file].queued > 0 and w.locks[file].until < INT64_MAX:
                pass_on(w, file)
    return 0


cdef void leave_queue(World* w, int32_t task) noexcept nogil:
    """A task that may be queueing is killed."""
    cdef Task* t = &w.tasks[task]
    if t.wait == WAIT_LOCK and t.mode == BLOCKED:
        w.locks[t.wait_file].queued -= 1
        end_queue(w, task, &w.locks[t.wait_file])


cdef int pass_on_of_dead(World* w) except -1 nogil:
    """Tasks were killed: who queued behind one goes on."""
    cdef int32_t file
    if w.locks == NULL:
        return 0
    for file in range(w.n_files):
        if w.locks[file].queued > 0 and w.tasks[w.locks[file].owner].mode == GONE:
            pass_on(w, file)
    return 0
