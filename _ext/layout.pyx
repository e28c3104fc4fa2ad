"""The `layout` decision: truncate, punch, collapse or reflink meets pinned pages. Also `reclaim` and evictions.

An operation that waits is run again when nothing holds it up (`retry`), so each function below is written for the first
run and for every later one. Where cache_del rows show when pages leave the cache, instances end there; else the operation
ends them itself, unless it failed. Short-term pins have no lease and make no file immutable: where a decision leaves them
over, a DAX file waits for them (the kernel always did) and a page cache file lets the page go.
"""

from libc.stdint cimport INT64_MAX, int32_t, int64_t

from replay._ext.scheduler cimport wait_pages
from replay._ext.decisions cimport (
    ADMIT_NEED_LEASE, FAILED_FS_OP, FAILED_FS_OPS, FREE_BUSY, LAYOUT_BREAK, LAYOUT_BREAK_LEASE, LAYOUT_FAIL, LAYOUT_INVALIDATE,
    LAYOUT_PROCEED_BUSY, LAYOUT_WAIT, LEASE_DENIED, MIGRATE_REFUSED, PRIV_RELEASED_PINNED, RECLAIM_INVALIDATE,
    RECLAIM_STRIP, ROLE_BREAKER, SPACE_HELD, TRUNCATE_WHILE_PINNED, UNMAP_REFUSED,
)
from replay._ext.blocks cimport hold_blocks
from replay._ext.device cimport unmap_range
from replay._ext.inodelock cimport acquire, hold_longer, hold_on
from replay._ext.lease cimport break_leases
from replay._ext.ops cimport OP_COLLAPSE, OP_EVICT, OP_LAYOUT_WAIT, OP_PUNCH, OP_REFLINK, OP_TRUNCATE
from replay._ext.outcomes cimport charge, conflict, index_of, report, run_end, stall_range
from replay._ext.pages cimport end_instances
from replay._ext.reregister cimport reregister_later
from replay._ext.world cimport (
    ATTACHED, BLOCKED, DETACHED, Detail, HELD, HELD_LONG, PAGE_SHARED, Pin, ROW_FAILED, ROW_OPEN, Rows, Task, World, born, detail_of, matches,
)


cdef inline int choice_of(World* w, int32_t file) noexcept nogil:
    return w.policy.layout_dax if w.files[file].dax else w.policy.layout_cache


cdef inline bint inside(World* w, Task* task, int32_t row) noexcept nogil:
    """Whether the row was recorded inside its task's current layout operation."""
    return task.op_row >= 0 and w.rows.ts[row] <= task.op_end


cdef inline int64_t begin_of(World* w, int32_t row) noexcept nogil:
    return w.rows.slot[row] if w.rows.nslots[row] > 0 else 0


cdef inline int64_t end_of(World* w, int32_t row) noexcept nogil:
    return w.rows.slot[row] + w.rows.nslots[row] if w.rows.nslots[row] > 0 else 0


cdef int on_layout(World* w, int32_t row) except -1 nogil:
    if w.locks == NULL or acquire(w, row):
        change_layout(w, row)
        hold_on(w, row)
    return 0


cdef int change_layout(World* w, int32_t row) except -1 nogil:
    cdef Rows* rows = &w.rows
    cdef Task* task = &w.tasks[rows.task[row]]
    cdef int choice
    if not task.retry:
        task.op_row = row
        task.op_end = INT64_MAX if rows.flags[row] & ROW_OPEN else rows.ts[row] + max(0, detail_of(rows, row).dur)
        task.op_failed = False
        task.op_waited = False
        task.op_reported = False
        task.lease_break = -1
    if rows.file[row] < 0 or rows.flags[row] & ROW_FAILED:
        return 0                            # the recorded operation did nothing
    choice = choice_of(w, rows.file[row])
    if choice == LAYOUT_WAIT:
        return wait_for_pins(w, row)
    if choice == LAYOUT_BREAK_LEASE:
        return break_lease(w, row)
    if choice == LAYOUT_FAIL:
        return fail(w, row)
    if choice == LAYOUT_PROCEED_BUSY:
        return proceed_busy(w, row)
    if choice == LAYOUT_INVALIDATE:
        return invalidate(w, row)
    return orphan(w, row)


# -- one function per choice ------------------------------------------------------------------------------------------

cdef int orphan(World* w, int32_t row) except -1 nogil:
    """The operation proceeds; pinned pages leave the cache with their pins alive."""
    cdef int op = w.rows.op[row]
    cdef int32_t file = w.rows.file[row]
    if op == OP_REFLINK:
        return share(w, begin_of(w, row), end_of(w, row))
    if op != OP_TRUNCATE and op != OP_PUNCH and op != OP_COLLAPSE or w.files[file].drops_late:
        return 0
    return let_go(w, op, file, begin_of(w, row), end_of(w, row), w.rows.task[row], True)


cdef int share(World* w, int64_t lo, int64_t hi) noexcept nogil:
    """A reflink keeps the pages; another file shares their blocks until somebody writes."""
    cdef int64_t slot
    for slot in range(lo, hi):
        w.flags[slot] |= PAGE_SHARED
    return 0


cdef int let_go(World* w, int op, int32_t file, int64_t lo, int64_t hi, int32_t victim, bint freed) except -1 nogil:
    """The pages leave the cache, pinned or not. `freed`: their blocks go too, and the `free` decision says whether those of
    pinned pages may be used again at once."""
    report(w, TRUNCATE_WHILE_PINNED, op, file, lo, hi, HELD, victim)
    if freed and w.policy.free == FREE_BUSY:
        report(w, SPACE_HELD, op, file, lo, hi, HELD, victim)
    if freed:
        hold_blocks(w, file, lo, hi, w.policy.free == FREE_BUSY)
    return end_instances(w, file, lo, hi, freed)


cdef int wait_for_pins(World* w, int32_t row) except -1 nogil:
    cdef int32_t file = w.rows.file[row], task = w.rows.task[row]
    cdef int64_t lo = begin_of(w, row), hi = end_of(w, row)
    if not w.tasks[task].op_reported:
        report(w, LAYOUT_BREAK, w.rows.op[row], file, lo, hi, HELD, task)
        w.tasks[task].op_reported = True
    if wait_pages(w, row, file, lo, hi, HELD, w.rows.op[row]):
        w.tasks[task].op_waited = True
        return 0
    return orphan(w, row)


cdef int settle_short_pins(World* w, int32_t row) except -1 nogil:
    if w.files[w.rows.file[row]].dax:
        return wait_for_pins(w, row)
    return orphan(w, row)


cdef int break_lease(World* w, int32_t row) except -1 nogil:
    cdef int32_t task = w.rows.task[row]
    if break_leases(w, row, begin_of(w, row), end_of(w, row)):
        w.tasks[task].op_waited = True
        return 0
    settle_short_pins(w, row)
    if w.tasks[task].mode != BLOCKED:
        reregister_later(w, row)
    return 0


cdef bint is_owner(World* w, int32_t row) noexcept nogil:
    """Whether nobody but the breaking process itself holds a long-term pin in the range."""
    cdef int32_t owner = w.tasks[w.rows.task[row]].owner, p = w.files[w.rows.file[row]].pins
    cdef int64_t slot
    cdef Pin* pin
    while p >= 0:
        pin = &w.pins[p]
        if pin.longterm and w.tasks[pin.task].owner != owner:
            for slot in range(max(pin.slot, begin_of(w, row)), min(pin.slot + pin.live, end_of(w, row))):
                if born(w, slot) < pin.step:
                    return False
        p = pin.after
    return True


cdef int fail(World* w, int32_t row) except -1 nogil:
    """The operation returns an error at once and changes nothing. The holder of an exclusive lease itself may go on:
    Matthew Wilcox's objection, and then its pages are orphaned."""
    cdef int32_t file = w.rows.file[row], task = w.rows.task[row]
    cdef bint leased = (w.policy.admit & ADMIT_NEED_LEASE) != 0
    cdef int64_t lo = begin_of(w, row), hi = end_of(w, row), slot = lo
    while slot < hi and not matches(w, slot, HELD_LONG):
        slot += 1
    if slot == hi:
        return settle_short_pins(w, row)
    if leased and is_owner(w, row):
        return orphan(w, row)
    report(w, LEASE_DENIED if leased else FAILED_FS_OP, w.rows.op[row], file, lo, hi, HELD_LONG, task)
    charge(w, FAILED_FS_OPS, 1)
    w.tasks[task].op_failed = True
    return 0


cdef int release_busy(World* w, int op, int32_t file, int64_t lo, int64_t hi, int32_t victim, bint hole) except -1 nogil:
    """The pages leave the cache; the blocks of pinned ones stay busy until their last pin drops."""
    report(w, SPACE_HELD, op, file, lo, hi, HELD, victim)
    hold_blocks(w, file, lo, hi, True)
    return end_instances(w, file, lo, hi, hole)


cdef int proceed_busy(World* w, int32_t row) except -1 nogil:
    cdef int op = w.rows.op[row]
    cdef int32_t file = w.rows.file[row]
    if op == OP_REFLINK:
        return share(w, begin_of(w, row), end_of(w, row))
    if op != OP_TRUNCATE and op != OP_PUNCH and op != OP_COLLAPSE or w.files[file].drops_late:
        return 0
    return release_busy(w, op, file, begin_of(w, row), end_of(w, row), w.rows.task[row], True)


cdef int invalidate(World* w, int32_t row) except -1 nogil:
    if not w.tasks[w.rows.task[row]].retry:
        unmap_range(w, w.rows.file[row], begin_of(w, row), end_of(w, row), False)
    return settle_short_pins(w, row)


# -- recorded waits ---------------------------------------------------------------------------------------------------

cdef int forget_recorded(World* w, int32_t row) except -1 nogil:
    """The recorded kernel blocked this task; what the policy does instead is modelled, so the recorded wait goes."""
    cdef Task* task = &w.tasks[w.rows.task[row]]
    cdef int64_t dur = detail_of(&w.rows, row).dur
    if dur > 0:
        task.stall_end = w.rows.ts[row] + dur
        task.stall_dur += dur
        if task.mode == ATTACHED:
            task.mode = DETACHED
    return 0


cdef int on_lease_break(World* w, int32_t row) except -1 nogil:
    return forget_recorded(w, row)


cdef int on_layout_wait(World* w, int32_t row) except -1 nogil:
    """A recorded wait for busy DAX pages.

    Where the policy waits too and the replay knew no pin to wait for, the record itself is the evidence: direct IO pins
    that no probe showed. It counts as one stall of its recorded length, which then stays on the task's clock.
    """
    cdef Rows* rows = &w.rows
    cdef Task* task = &w.tasks[rows.task[row]]
    cdef int32_t file = rows.file[row]
    cdef bint open_end = (rows.flags[row] & ROW_OPEN) != 0
    cdef int op = OP_LAYOUT_WAIT
    cdef Detail told = detail_of(rows, row)
    cdef int64_t dur = told.dur
    cdef int choice = choice_of(w, file) if file >= 0 else w.policy.layout_dax
    cdef bint known = inside(w, task, row) and task.op_waited
    if known or (choice != LAYOUT_WAIT and choice != LAYOUT_BREAK_LEASE) or (dur <= 0 and not open_end):
        return forget_recorded(w, row)
    if inside(w, task, row):
        op = rows.op[task.op_row]
    if inside(w, task, row):
        hold_longer(w, row, INT64_MAX if open_end else dur)
    report_busy(w, row, op)
    dur = max(0, w.end - w.now) if open_end else dur
    return stall_range(w, w.now, dur, open_end, op, ROLE_BREAKER, rows.task[row], file, told.index, told.npages, -1)


cdef int report_busy(World* w, int32_t row, int op) except -1 nogil:
    """The range that was scanned: its pages that the trace knows, else all of it; one page at least was busy."""
    cdef int64_t slot = begin_of(w, row), hi = end_of(w, row), stop
    cdef Detail told = detail_of(&w.rows, row)
    if slot == hi:
        return conflict(w, LAYOUT_BREAK, op, w.rows.file[row], told.index, max(1, told.npages), -1, -1, w.rows.task[row])
    while slot < hi:
        stop = min(run_end(w, slot), hi)
        conflict(w, LAYOUT_BREAK, op, w.rows.file[row], index_of(w, slot), stop - slot, -1, -1, w.rows.task[row])
        slot = stop
    return 0


# -- pages that leave the cache ---------------------------------------------------------------------------------------

cdef int on_cache_del(World* w, int32_t row) except -1 nogil:
    cdef Task* task = &w.tasks[w.rows.task[row]]
    cdef int32_t file = w.rows.file[row], victim = w.rows.task[row]
    cdef int64_t lo = begin_of(w, row), hi = end_of(w, row)
    cdef bint nested = inside(w, task, row) and w.rows.file[task.op_row] == file
    cdef int op = w.rows.op[task.op_row] if nested else OP_EVICT
    if lo == hi or (nested and task.op_failed):
        return 0
    if choice_of(w, file) == LAYOUT_INVALIDATE and not nested:
        unmap_range(w, file, lo, hi, False)
    if choice_of(w, file) == LAYOUT_PROCEED_BUSY:
        return release_busy(w, op, file, lo, hi, victim, nested)
    return let_go(w, op, file, lo, hi, victim, nested)


cdef int on_reclaim(World* w, int32_t row) except -1 nogil:
    cdef int choice = w.policy.reclaim
    cdef int cls = PRIV_RELEASED_PINNED if choice == RECLAIM_STRIP else UNMAP_REFUSED
    if w.rows.nslots[row] == 0:
        return 0
    if choice == RECLAIM_INVALIDATE:
        unmap_range(w, w.rows.file[row], begin_of(w, row), end_of(w, row), True)
    report(w, cls, w.rows.op[row], w.rows.file[row], begin_of(w, row), end_of(w, row), HELD, w.rows.task[row])
    return 0


cdef int on_migrate(World* w, int32_t row) except -1 nogil:
    """A pinned page has references that migration cannot account for: it gives up, under every policy."""
    if w.rows.nslots[row] == 0:
        return 0
    if w.policy.reclaim == RECLAIM_INVALIDATE:
        unmap_range(w, w.rows.file[row], begin_of(w, row), end_of(w, row), True)
    report(w, MIGRATE_REFUSED, w.rows.op[row], w.rows.file[row], begin_of(w, row), end_of(w, row), HELD, w.rows.task[row])
    return 0
