"""The replay loop: one pass over the recorded rows under one policy, as a discrete event simulation.

It knows numbers and time. A policy arrives as its decisions, a file as a range of page slots, an outcome leaves as arrays.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from replay._ext cimport decisions as d, ops as o
from replay._ext.admit cimport on_exit, on_fork, on_mr_dereg, on_mr_reg, on_pin, on_unpin, take_preexisting
from replay._ext.scheduler cimport finish_stall, schedule_next, take_out, unschedule
from replay._ext.recording cimport Trace
from replay._ext.blocks cimport on_block_alloc
from replay._ext.device cimport assume_device, on_remote
from replay._ext.inodelock cimport acquire, find_queues, hold_on, let_queues_go, on_unlock, queues_undelayed, settle_queued
from replay._ext.layout cimport on_cache_del, on_layout, on_layout_wait, on_lease_break, on_migrate, on_reclaim
from replay._ext.lease cimport on_answer, on_deadline, on_lease_del
from replay._ext.outcomes cimport Blocks, change, outcomes, report
from replay._ext.pages cimport dirty_pages, end_instances
from replay._ext.reregister cimport on_reregister
from replay._ext.shortcuts cimport find_effects, take_shortcut, walk
from replay._ext.world cimport (
    AT_ANSWER, AT_DEADLINE, AT_ROW, AT_UNLOCK, ATTACHED, BLOCKED, DETACHED, Entry, HELD_SHARED, N_BINS, PAGE_HOLE, PAGE_RECORDED,
    Params, Pin, Policy, REGION_LIVE, REGION_NEW, ROW_FAILED, Region, Rows, Task, World, allocate,
    matches, release,
)
from replay._ext.writeback cimport flush_to_end, on_fsync, on_wb_start

ENGINE_VERSION = "10"

# The order in which replay() takes a policy's choices and parameters.
DECISIONS = ("admit", "writeback", "layout_cache", "layout_dax", "reclaim", "free")
PARAMS = (
    "lease.break_time", "lease.timer_rounding", "lease.app", "lease.rtt", "lease.rounds", "lease.on_timeout", "lease.scope",
    "lease.reregister", "hw.revoke", "remote.activity", "writeback.expire", "writeback.interval",
    "free.reserve", "propagate", "mainline.version",
    "mr.reg", "mr.dereg", "mr.dirty", "odp.fault", "odp.invalidate", "bounce.copy", "writeback.service",
)

BLOCK_ROWS = 1 << 16        # of conflicts: few enough to stay in a cache

# -- rows -------------------------------------------------------------------------------------------------------------

cdef int on_dirty(World* w, int32_t row) except -1 nogil:
    """A page became dirty. On a DAX file it is written in place, unless its blocks are shared. What a refused or revoked MR's pin or release would have dirtied stays as it is, and a live
    MR's release dirties its pages itself (see drop_pin)."""
    cdef Rows* rows = &w.rows
    cdef int64_t slot, lo = rows.slot[row], hi = lo + rows.nslots[row]
    cdef int32_t r = rows.subject[row]
    if rows.file[row] >= 0 and w.files[rows.file[row]].dax:
        w.files[rows.file[row]].loose = True
        copy_on_write(w, row)
    if r >= 0 and w.regions[r].state != REGION_LIVE and w.regions[r].state != REGION_NEW:
        for slot in range(lo, hi):
            w.flags[slot] |= PAGE_RECORDED
    elif r >= 0 and w.policy.admit & d.ADMIT_NO_PIN:
        for slot in range(lo, hi):
            w.flags[slot] |= PAGE_RECORDED
    else:
        dirty_pages(w, lo, hi)
    return 0


cdef int copy_on_write(World* w, int32_t row) except -1 nogil:
    """A CPU writes DAX pages whose blocks another file shares: they get blocks of their own, and a pin keeps the old ones."""
    cdef int64_t slot, lo = w.rows.slot[row], hi = lo + w.rows.nslots[row]
    cdef int32_t file = w.rows.file[row]
    report(w, d.COW_DIVERGENCE, o.OP_DIRTY, file, lo, hi, HELD_SHARED, w.rows.task[row])
    for slot in range(lo, hi):
        if matches(w, slot, HELD_SHARED):
            end_instances(w, file, slot, slot + 1, False)
    return 0


cdef int fill_holes(World* w, int32_t row) noexcept nogil:
    """A page came into the cache, or blocks were allocated."""
    cdef int64_t slot, lo = w.rows.slot[row]
    if w.rows.flags[row] & ROW_FAILED:
        return 0
    for slot in range(lo, lo + w.rows.nslots[row]):
        w.flags[slot] &= ~PAGE_HOLE
    return 0


cdef int on_fallocate(World* w, int32_t row) except -1 nogil:
    if w.locks == NULL or acquire(w, row):
        fill_holes(w, row)
        hold_on(w, row)
    return 0


cdef int dispatch(World* w, int32_t row) except -1 nogil:
    cdef int op = w.rows.op[row]
    if op == o.OP_DIRTY:
        return on_dirty(w, row)
    elif op == o.OP_WB_START:
        return on_wb_start(w, row)
    elif op == o.OP_REMOTE_WRITE:
        return on_remote(w, row, True)
    elif op == o.OP_REMOTE_READ:
        return on_remote(w, row, False)
    elif op == o.OP_PIN:
        return on_pin(w, row)
    elif op == o.OP_UNPIN:
        return on_unpin(w, row)
    elif op == o.OP_MR_REG:
        return on_mr_reg(w, row)
    elif op == o.OP_MR_DEREG:
        return on_mr_dereg(w, row)
    elif op == o.OP_FSYNC:
        return on_fsync(w, row)
    elif op == o.OP_TRUNCATE or op == o.OP_PUNCH or op == o.OP_COLLAPSE or op == o.OP_REFLINK:
        return on_layout(w, row)
    elif op == o.OP_BLOCK_ALLOC:
        fill_holes(w, row)
        return on_block_alloc(w, row) if w.n_reuses > 0 else 0
    elif op == o.OP_CACHE_ADD:
        return fill_holes(w, row)
    elif op == o.OP_FALLOCATE:
        return on_fallocate(w, row)
    elif op == o.OP_CACHE_DEL:
        return on_cache_del(w, row)
    elif op == o.OP_LAYOUT_WAIT:
        return on_layout_wait(w, row)
    elif op == o.OP_LEASE_BREAK:
        return on_lease_break(w, row)
    elif op == o.OP_RECLAIM:
        return on_reclaim(w, row)
    elif op == o.OP_MIGRATE:
        return on_migrate(w, row)
    elif op == o.OP_LEASE_DEL:
        return on_lease_del(w, row)
    elif op == o.OP_FORK:
        on_fork(w, row)
    elif op == o.OP_EXIT:
        return on_exit(w, row)
    return 0                   # the others change nothing that a decision looks at


cdef int run_row(World* w, int32_t row, int32_t task) except -1 nogil:
    cdef Task* t = &w.tasks[task]
    w.current = task
    w.step += 1
    if t.retry or not take_shortcut(w, row):
        dispatch(w, row)
    if t.mode == BLOCKED:
        return 0               # the row runs again when it wakes
    t.retry = False
    t.last = row
    if t.block_first >= 0:
        finish_stall(w, task, False)
    return 0


# -- the loop ---------------------------------------------------------------------------------------------------------

cdef int close_stalls(World* w) except -1 nogil:
    """The trace is over: who still waits has waited without an end that it shows, but for who queues behind no delay."""
    cdef int32_t task
    w.over = True
    w.now = max(w.now, w.end)
    for task in range(w.n_tasks):
        if queues_undelayed(w, task):
            continue
        settle_queued(w, task)
        if w.tasks[task].block_first >= 0 and w.tasks[task].mode == BLOCKED:
            finish_stall(w, task, True)
    return let_queues_go(w)


cdef int run_entry(World* w) except -1 nogil:
    """The first entry of the heap. Behind the trace's end only rows that are late still run."""
    cdef Entry entry = w.heap.at[0]
    w.now = max(w.now, entry.time)
    if entry.kind == AT_ROW:
        if w.tasks[entry.who].mode == DETACHED:
            run_row(w, entry.what, entry.who)
        if w.tasks[entry.who].mode == DETACHED:
            schedule_next(w, entry.who)
        else:
            unschedule(w, entry.who)
        return 0
    take_out(w, 0)
    if w.over:
        return 0
    w.current = -1
    w.step += 1
    if entry.kind == AT_ANSWER:
        return on_answer(w, entry.who, entry.what)
    if entry.kind == AT_DEADLINE:
        return on_deadline(w, entry.who)
    if entry.kind == AT_UNLOCK:
        return on_unlock(w, entry.who)
    return on_reregister(w, entry.who, entry.what)


cdef inline bint heap_is_first(World* w) noexcept nogil:
    """Whether the heap's first entry comes before the main cursor's row."""
    cdef Entry* top = &w.heap.at[0]
    cdef int64_t ts
    if w.main == w.rows.n:
        return True
    ts = w.rows.ts[w.main]
    return top.time < ts or (top.time == ts and top.order < w.main)


cdef int begin(World* w) except -1 nogil:
    cdef int32_t p
    for p in range(w.n_pins):
        if w.pins[p].step == -2:
            w.pins[p].step = -1
            take_preexisting(w, p)
    return 0


cdef int run(World* w) except -1 nogil:
    """All rows, and what they set off."""
    cdef int64_t row
    cdef int32_t task
    while True:
        walk(w)
        if w.heap.n > 0 and heap_is_first(w):
            if w.end < w.heap.at[0].time and not w.over:
                close_stalls(w)            # which may put something before it
            else:
                run_entry(w)
        elif w.main < w.rows.n:
            row = w.main
            w.main += 1
            task = w.rows.task[row]
            if w.tasks[task].mode == ATTACHED:
                w.now = max(w.now, w.rows.ts[row])
                run_row(w, <int32_t>row, task)
                if w.tasks[task].mode == DETACHED:
                    schedule_next(w, task)
        elif not w.over:
            close_stalls(w)
        else:
            return 0


cdef int finish(World* w) except -1 nogil:
    close_stalls(w)                        # of what ran behind the end
    flush_to_end(w)
    change(w, &w.unreclaimable, d.UNRECLAIMABLE_PAGE_SECONDS, 0)
    change(w, &w.held, d.HELD_BLOCK_SECONDS, 0)
    change(w, &w.pinned, d.PINNED_PAGE_SECONDS, 0)
    return 0


# -- in and out -------------------------------------------------------------------------------------------------------

cdef int fill(World* w, Trace trace) except -1:
    """Entities as recorded; nothing has happened yet."""
    cdef int32_t i
    for i in range(w.n_files):
        w.files[i].slot = trace.file_slot[i]
        w.files[i].nslots = trace.file_nslots[i]
        w.files[i].dax = trace.file_dax[i]
        w.files[i].memory = trace.file_memory[i]
        w.files[i].pins = -1
        w.files[i].drops_late = trace.history.deletes and not trace.file_dax[i]    # DAX pages are in no page cache
    for i in range(w.n_tasks):
        w.tasks[i].block_first = -1
        w.tasks[i].op_row = -1
        w.tasks[i].last = -1
        w.tasks[i].place = -1
        w.tasks[i].lease_break = -1
        w.tasks[i].first = trace.first_row[i]
        w.tasks[i].owner = trace.task_owner[i]
        w.tasks[i].kworker = trace.task_kworker[i]
    for i in range(w.n_regions):
        w.regions[i].first = trace.region_first[i]
        w.regions[i].n = trace.region_first[i + 1] - trace.region_first[i]
        w.regions[i].task = trace.region_task[i]
        w.regions[i].owner = trace.task_owner[trace.region_task[i]]
        w.regions[i].device = trace.region_device[i]
        w.regions[i].write = trace.region_write[i]
        w.regions[i].last = -1
        w.regions[i].lease_break = -1
        w.regions[i].state = REGION_NEW
    for i in range(w.n_pins):
        fill_pin(w, trace, i)
    return 0


cdef void fill_pin(World* w, Trace trace, int32_t i) noexcept:
    cdef Pin* pin = &w.pins[i]
    pin.slot = trace.pin_slot[i]
    pin.npages = trace.pin_npages[i]
    pin.live = pin.npages
    pin.file = trace.pin_file[i]
    pin.region = trace.pin_region[i]
    pin.task = trace.pin_task[i]
    pin.write = trace.pin_write[i] != 0
    pin.longterm = trace.pin_longterm[i] != 0
    pin.step = -2 if trace.pin_preexisting[i] else -1
    pin.before = -1
    pin.after = -1
    pin.holds = -1
    if pin.region >= 0:
        w.regions[pin.region].npages += pin.npages


def replay(Trace trace not None, const int64_t[::1] policy not None, const int64_t[::1] params not None, take_conflicts=None,
           int64_t block_rows=BLOCK_ROWS):
    """Replay the trace under the policy's choices (in the order of DECISIONS) and parameters (PARAMS, costs as two numbers:
    base and slope in picoseconds). Returns outcome columns by table, and cost intervals.

    `take_conflicts` is called with each block of so many conflicts; what is left over is returned. Arrays that it does not keep
    are used again.
    """
    cdef World w
    cdef Blocks blocks = Blocks(block_rows, take_conflicts)
    if block_rows < 1:
        raise ValueError(f"conflicts in blocks of {block_rows}")
    if policy.shape[0] * sizeof(int32_t) != sizeof(Policy) or params.shape[0] * sizeof(int64_t) != sizeof(Params):
        raise ValueError("policy or parameters of a wrong length")
    memset(&w, 0, sizeof(w))
    w.policy = Policy(<int32_t>policy[0], <int32_t>policy[1], <int32_t>policy[2], <int32_t>policy[3], <int32_t>policy[4],
                      <int32_t>policy[5])
    memcpy(&w.params, &params[0], sizeof(Params))
    w.rows = trace.rows
    w.n_slots, w.n_pins, w.n_regions, w.n_files = trace.n_slots, trace.n_pins, trace.n_regions, trace.n_files
    w.n_tasks, w.n_owners, w.n_runs = trace.n_tasks, trace.n_owners, trace.n_runs
    w.region_pins, w.run_slot, w.run_index, w.run_at = trace.region_pins, trace.run_slot, trace.run_index, trace.run_at
    w.n_reuses, w.reuse_row, w.reuse_slot, w.reuse_npages = trace.n_reuses, trace.reuse_row, trace.reuse_slot, trace.reuse_npages
    w.pin_released, w.last_row = trace.pin_released, trace.last_row
    w.reserve = w.params.reserve
    w.first = trace.history.first
    w.end = trace.history.end
    w.now = w.first
    w.unreclaimable.since = w.held.since = w.pinned.since = w.first
    w.bin_ns = max(1, (w.end - w.first + N_BINS) // N_BINS)
    w.params.service = trace.history.service(w.params.service)
    assume_device(&w, trace.history.remote)
    w.current = -1
    w.step = 1
    try:
        allocate(&w)
        fill(&w, trace)
        blocks.begin(&w.conflicts)
        with nogil:
            find_queues(&w)
            find_effects(&w)
            begin(&w)
            run(&w)
            finish(&w)
        return outcomes(&w, blocks)
    finally:
        release(&w)
