"""Time: each task has its own clock, which a wait moves; nobody else's moves with it.

A task whose clock equals the recording's is attached: the main cursor, a linear walk, runs its rows. Once shifted it is
detached: its next row waits in a heap ordered by (time, row), and moves with its clock. A blocked task is in neither; what it
waits for is watched at one place at a time (the first page or pin that still holds it up), so a drop costs one look.
"""

from libc.stdint cimport INT64_MAX, int32_t, int64_t
from libc.stdlib cimport realloc

from replay._ext.ops cimport OP_COLLAPSE, OP_PUNCH, OP_REFLINK, OP_TRUNCATE
from replay._ext.decisions cimport ROLE_APP, ROLE_BREAKER, ROLE_KWORKER
from replay._ext.outcomes cimport holder_of, stall
from replay._ext.world cimport (
    AT_ROW, ATTACHED, BLOCKED, DETACHED, Entry, HELD_WRITE, Heap, Task, WAIT_LOCK, WAIT_NOTHING, WAIT_PAGES, WAIT_PINS, WAIT_WRITTEN, World,
    born, clean, held_to_write, matches, outlives, prefetch,
)

cdef int64_t FIRST_TIMER = <int64_t>1 << 40      # timers come behind all rows of their instant


# -- the heap ---------------------------------------------------------------------------------------------------------

cdef inline bint earlier(Entry* a, Entry* b) noexcept nogil:
    return a.time < b.time or (a.time == b.time and a.order < b.order)


cdef inline void put(World* w, int64_t at, const Entry* entry) noexcept nogil:
    w.heap.at[at] = entry[0]
    if entry.kind == AT_ROW:
        w.tasks[entry.who].place = at


cdef void settle(World* w, int64_t at, Entry entry) noexcept nogil:
    """Put the entry where it belongs; the place `at` is free."""
    cdef Heap* heap = &w.heap
    cdef int64_t up, child
    while at > 0:
        up = (at - 1) // 2
        if not earlier(&entry, &heap.at[up]):
            break
        put(w, at, &heap.at[up])
        at = up
    while True:
        child = 2 * at + 1
        if child >= heap.n:
            break
        if child + 1 < heap.n and earlier(&heap.at[child + 1], &heap.at[child]):
            child += 1
        if not earlier(&heap.at[child], &entry):
            break
        put(w, at, &heap.at[child])
        at = child
    put(w, at, &entry)


cdef int add(World* w, Entry entry) except -1 nogil:
    cdef Heap* heap = &w.heap
    cdef int64_t room
    cdef Entry* grown
    if heap.n == heap.room:
        room = 64 if heap.room == 0 else heap.room * 2
        grown = <Entry*>realloc(heap.at, <size_t>room * sizeof(Entry))
        if grown == NULL:
            with gil:
                raise MemoryError(f"{room} pending events")
        heap.at = grown
        heap.room = room
    heap.n += 1
    settle(w, heap.n - 1, entry)
    return 0


cdef void take_out(World* w, int64_t at) noexcept nogil:
    cdef Heap* heap = &w.heap
    if heap.at[at].kind == AT_ROW:
        w.tasks[heap.at[at].who].place = -1
    heap.n -= 1
    if at < heap.n:
        settle(w, at, heap.at[heap.n])


cdef void unschedule(World* w, int32_t task) noexcept nogil:
    """Whatever row of the task is in the heap, it does not run."""
    if w.tasks[task].place >= 0:
        take_out(w, w.tasks[task].place)


cdef int timer(World* w, int64_t time, int kind, int32_t who, int32_t what) except -1 nogil:
    w.heap.timers += 1
    return add(w, Entry(time=time, order=FIRST_TIMER + w.heap.timers, kind=kind, who=who, what=what))


cdef int at_row(World* w, int32_t task, int32_t row, int64_t time) except -1 nogil:
    """The task's next row is this, at this time. It has one entry in the heap at most."""
    cdef Entry entry = Entry(time=time, order=row, kind=AT_ROW, who=task, what=row)
    if w.tasks[task].place >= 0:
        settle(w, w.tasks[task].place, entry)
        return 0
    return add(w, entry)


# -- tasks' clocks ----------------------------------------------------------------------------------------------------

cdef int schedule_next(World* w, int32_t task) except -1 nogil:
    """Put a detached task's next row into the heap, or give the task back to the main cursor."""
    cdef Task* t = &w.tasks[task]
    cdef int32_t row = t.first if t.last < 0 else w.rows.next[t.last]
    if row < 0:
        unschedule(w, task)
        return 0
    if t.stall_dur > 0 and t.stall_end <= w.rows.ts[row]:
        t.shift -= t.stall_dur
        t.stall_dur = 0
    if t.shift == 0 and t.stall_dur == 0 and t.last < w.main <= row:      # a row that ran early, the main cursor has yet to pass
        t.mode = ATTACHED
        unschedule(w, task)
        return 0
    prefetch(&w.flags[w.rows.slot[row]])
    return at_row(w, task, row, max(w.now, w.rows.ts[row] + t.shift))


cdef int shift(World* w, int32_t task, int64_t delta) except -1 nogil:
    """Move the task's later rows. The current task's next row is scheduled when its present one is done; one that has just
    been woken runs now."""
    cdef Task* t = &w.tasks[task]
    cdef bint attached = t.mode == ATTACHED
    if delta == 0:
        return 0
    t.shift += delta
    if attached:
        t.mode = DETACHED
    if task != w.current and t.mode == DETACHED and not t.retry:
        schedule_next(w, task)
    return 0


# -- waiting ----------------------------------------------------------------------------------------------------------

cdef void block(World* w, int32_t row, int32_t file, int64_t lo, int64_t hi, int op, int32_t pin) noexcept nogil:
    cdef int32_t task = w.rows.task[row]
    cdef Task* t = &w.tasks[task]
    t.mode = BLOCKED
    t.block_last = w.now
    t.wait_file = file
    if t.block_first < 0:                # a stall keeps the cause that it began with
        t.block_first = w.now
        t.stall_lo = lo
        t.stall_hi = hi
        t.stall_op = op
        t.stall_pin = pin
    t.last = row
    w.waiting[w.n_waiting] = task
    w.n_waiting += 1


cdef int wait_pages(World* w, int32_t row, int32_t file, int64_t lo, int64_t hi, int look, int op) except -1 nogil:
    """Block the row's task until no page of [lo, hi) matches `look`, if one does; 1 if it blocked."""
    cdef int64_t slot = lo
    cdef Task* t = &w.tasks[w.rows.task[row]]
    while slot < hi and not matches(w, slot, look):
        slot += 1
    if slot == hi:
        return 0
    block(w, row, file, lo, hi, op, holder_of(w, file, slot, look))
    t.wait = WAIT_PAGES
    t.look = look
    t.wait_lo = lo
    t.wait_hi = hi
    t.watch = slot
    return 1


cdef int wait_pins(World* w, int32_t row, int32_t file, int64_t at, int64_t n, int64_t lo, int64_t hi, int op) except -1 nogil:
    """Block the row's task until the n pins that stand in the arena from `at` have all dropped."""
    cdef Task* t = &w.tasks[w.rows.task[row]]
    block(w, row, file, lo, hi, op, (<int32_t*>w.arena.data)[at])
    t.wait = WAIT_PINS
    t.wait_step = w.step
    t.wait_lo = at
    t.wait_hi = at + n
    t.watch = at
    return 1


cdef int wait_written(World* w, int32_t row, int32_t file, int64_t at, int op) except -1 nogil:
    """Go through the pages of the runs (lo, hi) that stand in the arena from `at` to its end, in order, as writeback for
    integrity does: each is written once it has no write pin. Block the row's task while one has."""
    cdef Task* t = &w.tasks[w.rows.task[row]]
    cdef const int32_t* arena = <int32_t*>w.arena.data
    if at == w.arena.n:
        return 0
    t.wait = WAIT_WRITTEN
    t.wait_lo = at
    t.wait_hi = w.arena.n
    t.wait_step = w.step
    t.watch = arena[at]
    if not still_unwritten(w, t):
        t.wait = WAIT_NOTHING
        return 0
    block(w, row, file, arena[at], arena[t.wait_hi - 1], op, holder_of(w, file, t.watch, HELD_WRITE))
    return 1


cdef void stop_waiting(World* w, int32_t task) noexcept nogil:
    cdef int32_t i
    w.tasks[task].wait = WAIT_NOTHING
    for i in range(w.n_waiting):
        if w.waiting[i] == task:
            w.n_waiting -= 1
            w.waiting[i] = w.waiting[w.n_waiting]
            return


cdef int wake(World* w, int32_t task) except -1 nogil:
    """Let the task run its row again now; what follows comes later by the time that it waited."""
    cdef Task* t = &w.tasks[task]
    stop_waiting(w, task)
    t.shift += w.now - t.block_last
    t.mode = DETACHED
    t.retry = True
    return at_row(w, task, t.last, w.now)


cdef bint still_unwritten(World* w, Task* t) noexcept nogil:
    cdef const int32_t* arena = <int32_t*>w.arena.data
    while t.wait_lo < t.wait_hi:
        while t.watch < arena[t.wait_lo + 1]:
            if born(w, t.watch) < t.wait_step:          # the same page as then
                if held_to_write(w, t.watch):
                    return True
                clean(w, t.watch)
            t.watch += 1
        t.wait_lo += 2
        if t.wait_lo < t.wait_hi:
            t.watch = arena[t.wait_lo]
    return False


cdef bint some_page_held(World* w, Task* t) noexcept nogil:
    """From the watched page on, and then from the first: a page behind may have been pinned meanwhile."""
    cdef int64_t slot
    for slot in range(t.watch, t.wait_hi):
        if matches(w, slot, t.look):
            t.watch = slot
            return True
    for slot in range(t.wait_lo, t.watch):
        if matches(w, slot, t.look):
            t.watch = slot
            return True
    return False


cdef bint still_held(World* w, Task* t) noexcept nogil:
    cdef const int32_t* arena = <int32_t*>w.arena.data
    if t.wait == WAIT_WRITTEN:
        return still_unwritten(w, t)
    if t.wait == WAIT_PAGES:
        return some_page_held(w, t)
    if t.wait == WAIT_LOCK:
        return True
    while t.watch < t.wait_hi:
        if outlives(w, arena[t.watch], t.wait_step):
            return True
        t.watch += 1
    return False


cdef int watch_pages(World* w, int32_t task, int64_t lo, int64_t hi, int look) except -1 nogil:
    """A blocked task from now on waits for pages of [lo, hi) instead."""
    cdef Task* t = &w.tasks[task]
    t.wait = WAIT_PAGES
    t.look = look
    t.wait_lo = lo
    t.wait_hi = hi
    t.watch = lo
    if not still_held(w, t):
        wake(w, task)
    return 0


cdef int recheck(World* w, int32_t file) except -1 nogil:
    """Pins of the file dropped: wake whom nothing holds up any more."""
    cdef int32_t i = 0, task
    while i < w.n_waiting:
        task = w.waiting[i]
        if w.tasks[task].wait_file == file and not still_held(w, &w.tasks[task]):
            wake(w, task)                # moves another waiter to place i
        else:
            i += 1
    return 0


cdef int finish_stall(World* w, int32_t task, bint unbounded) except -1 nogil:
    """Write the stall that the task has just left, or is still in when the trace ends. One of no length is none."""
    cdef Task* t = &w.tasks[task]
    cdef int64_t ts = t.block_first
    cdef int64_t dur = max(0, w.end - ts) if unbounded else w.now - ts
    cdef int role = ROLE_KWORKER if t.kworker else ROLE_APP
    t.block_first = -1
    if dur == 0 and not unbounded:
        return 0
    if t.stall_op == OP_TRUNCATE or t.stall_op == OP_PUNCH or t.stall_op == OP_COLLAPSE or t.stall_op == OP_REFLINK:
        role = ROLE_BREAKER
    return stall(w, ts, dur, unbounded, t.stall_op, role, task, t.wait_file, t.stall_lo, t.stall_hi, t.stall_pin)
