"""The `admit` decision: which registrations and long-term pins are let in, and what becomes of them.

An MR is decided at its mr_reg row (or at its first pin, where the trace begins later), any other long-term pin at its own
row. Short-term pins are always let in. One offending range refuses the whole MR; the rows then tell the ranges of the
files that offend. Rules are tried in the order of the REFUSED_ numbers, as the kernel checks the mapping's kind first; before
all of them the context must be there, in which to register (REFUSED_TORN_DOWN, see lease.fail_io).
"""

from libc.stdint cimport int32_t, int64_t

from replay._ext.decisions cimport (
    ADMIT_NEED_ALLOCATED, ADMIT_NO_PIN, ADMIT_REFUSE_DAX, ADMIT_REFUSE_SHARED_FILE, ADMIT_REFUSE_UNREVOCABLE, NOT_REFUSED,
    PIN_REFUSED, REFUSED_DAX, REFUSED_NOT_ALLOCATED, REFUSED_PAGES, REFUSED_SHARED_FILE, REFUSED_TORN_DOWN, REFUSED_UNREVOCABLE,
    REVOKE_NONE,
)
from replay._ext.device cimport map_pin, unmap_pin
from replay._ext.outcomes cimport RefusalRow, charge, conflict, index_of
from replay._ext.pages cimport drop_front, drop_pin, take_pin
from replay._ext.world cimport (
    DROP_CLEAN, DROP_DIRTY, Detail, NOT_OWN, Pin, REGION_DEAD, REGION_LIVE, REGION_NEW, REGION_REFUSED, REGION_REVOKED, ROW_DIRTY, ROW_FAILED,
    ROW_WRITE, Region, World, detail_of, matches, push,
)


cdef enum:                 # from which kernel on
    REFUSES_DAX = 4015
    REFUSES_SHARED_FILE = 6005


cdef int reason_by_file(World* w, int32_t file, bint write) noexcept nogil:
    """Why a long-term pin of this file's pages is refused wherever they lie in it, or NOT_REFUSED. Private mappings are
    resolved to no file, and memory that nothing writes back needs no dirty tracking."""
    cdef int rules = w.policy.admit
    if rules & ADMIT_REFUSE_DAX and w.files[file].dax and w.params.mainline >= REFUSES_DAX:
        return REFUSED_DAX
    if rules & ADMIT_REFUSE_SHARED_FILE and write and not w.files[file].memory and w.params.mainline >= REFUSES_SHARED_FILE:
        return REFUSED_SHARED_FILE
    if rules & ADMIT_REFUSE_UNREVOCABLE and w.files[file].dax and w.params.revoke == REVOKE_NONE:
        return REFUSED_UNREVOCABLE
    return NOT_REFUSED


cdef int reason_against(World* w, Pin* pin) noexcept nogil:
    """Why this long-term pin is refused, or NOT_REFUSED."""
    cdef int64_t slot
    cdef int reason
    if pin.slot < 0:
        return NOT_REFUSED
    reason = reason_by_file(w, pin.file, pin.write)
    if reason != NOT_REFUSED:
        return reason
    if w.policy.admit & ADMIT_NEED_ALLOCATED:                        # as far as the trace shows: it does not tell extents
        for slot in range(pin.slot, pin.slot + pin.live):
            if matches(w, slot, NOT_OWN):
                return REFUSED_NOT_ALLOCATED
    return NOT_REFUSED


cdef int refuse_range(World* w, int32_t row, int reason, int32_t file, int64_t index, int64_t npages, int32_t p, int32_t r) except -1 nogil:
    cdef RefusalRow refusal
    refusal.ts = w.now
    refusal.index = index
    refusal.npages = npages
    refusal.reason = reason
    refusal.task = w.rows.task[row]
    refusal.file = file
    refusal.pin = p
    refusal.region = r
    conflict(w, PIN_REFUSED, w.rows.op[row], file, index, npages, p, r, refusal.task)
    charge(w, REFUSED_PAGES, npages)
    return push(&w.refusals, &refusal, sizeof(refusal))


cdef int refuse(World* w, int32_t row, int32_t p, int reason) except -1 nogil:
    cdef Pin* pin = &w.pins[p]
    return refuse_range(w, row, reason, pin.file, index_of(w, pin.slot), pin.npages, p, pin.region)


cdef int refused_as_recorded(World* w, int32_t row) except -1 nogil:
    """A registration that the recorded kernel refused pinned nothing. Under a policy that refuses it too, it counts as refused."""
    cdef int32_t file = w.rows.file[row], r = w.rows.subject[row]
    cdef int reason
    cdef Detail told = detail_of(&w.rows, row)
    if file < 0 or told.index < 0 or told.npages <= 0:
        return 0
    reason = reason_by_file(w, file, (w.rows.flags[row] & ROW_WRITE) != 0)
    if r >= 0 and w.regions[r].torn_down:
        reason = REFUSED_TORN_DOWN
    if reason == NOT_REFUSED:
        return 0
    return refuse_range(w, row, reason, file, told.index, told.npages, -1, r)


cdef int admit(World* w, int32_t row, int32_t r) except -1 nogil:
    """Decide on a region that is new; 1 if it is live afterwards."""
    cdef Region* region = &w.regions[r]
    cdef int32_t i
    cdef int reason
    if region.state != REGION_NEW:
        return region.state == REGION_LIVE
    region.state = REGION_REFUSED if region.torn_down else REGION_LIVE
    region.since = w.now
    for i in range(region.first, region.first + region.n):
        reason = REFUSED_TORN_DOWN if region.torn_down else reason_against(w, &w.pins[w.region_pins[i]])
        if reason != NOT_REFUSED and w.pins[w.region_pins[i]].slot >= 0:
            region.state = REGION_REFUSED
            refuse(w, row, w.region_pins[i], reason)
    w.lost |= region.state == REGION_REFUSED
    return region.state == REGION_LIVE


cdef int on_mr_reg(World* w, int32_t row) except -1 nogil:
    if w.rows.flags[row] & ROW_FAILED:
        return refused_as_recorded(w, row)
    if w.rows.subject[row] >= 0:
        admit(w, row, w.rows.subject[row])
    return 0


cdef int on_mr_dereg(World* w, int32_t row) except -1 nogil:
    """The MR's pins drop at unpin rows of their own; a refused or revoked MR has none left."""
    cdef int32_t r = w.rows.subject[row]
    if r >= 0 and w.regions[r].state != REGION_REFUSED:
        w.regions[r].state = REGION_DEAD
    return 0


cdef int enter(World* w, int32_t p) except -1 nogil:
    if w.policy.admit & ADMIT_NO_PIN and w.pins[p].region >= 0:
        return map_pin(w, p)
    return take_pin(w, p, True)


cdef int on_pin(World* w, int32_t row) except -1 nogil:
    cdef int32_t p = w.rows.subject[row]
    if p < 0 or w.rows.flags[row] & ROW_FAILED:
        return 0
    if w.pins[p].region >= 0 and not admit(w, row, w.pins[p].region):
        return 0
    return enter(w, p)


cdef int take_preexisting(World* w, int32_t p) except -1 nogil:
    """A pin that was there before the trace: no rule is applied to it."""
    if w.pins[p].region >= 0:
        w.regions[w.pins[p].region].state = REGION_LIVE
        w.regions[w.pins[p].region].since = w.first
    return enter(w, p)


cdef int on_unpin(World* w, int32_t row) except -1 nogil:
    cdef int32_t p = w.rows.subject[row]
    cdef int64_t npages = w.rows.nslots[row]
    cdef int how
    if p < 0:
        return 0
    if w.policy.admit & ADMIT_NO_PIN and w.pins[p].region >= 0:
        unmap_pin(w, p)
        return 0
    if w.pins[p].region >= 0 and w.regions[w.pins[p].region].state == REGION_REVOKED:
        w.regions[w.pins[p].region].state = REGION_DEAD       # released by its owner: never to be registered again
        return 0
    how = DROP_DIRTY if w.rows.flags[row] & ROW_DIRTY and w.pins[p].write else DROP_CLEAN
    if 0 < npages < w.pins[p].live and w.rows.slot[row] == w.pins[p].slot:
        return drop_front(w, p, npages, how, w.rows.op[row], w.rows.task[row])
    drop_pin(w, p, how, w.rows.op[row], w.rows.task[row])
    if w.pins[p].region >= 0 and w.regions[w.pins[p].region].held == 0 and w.regions[w.pins[p].region].state == REGION_LIVE:
        w.regions[w.pins[p].region].state = REGION_DEAD       # nothing is left that a lease break could ask for
    return 0


cdef void on_fork(World* w, int32_t row) noexcept nogil:
    w.forked[w.tasks[w.rows.task[row]].owner] = w.step


cdef int on_exit(World* w, int32_t row) except -1 nogil:
    """A process is gone with its last recorded event, and its pins with its files, where the trace does not show them
    released. A child that was forked since may hold the files: then they stay."""
    cdef int32_t owner = w.tasks[w.rows.task[row]].owner, p
    cdef Pin* pin
    if w.last_row[owner] != row:
        return 0
    for p in range(w.n_pins):
        pin = &w.pins[p]
        if w.tasks[pin.task].owner != owner or w.pin_released[p] or (0 <= pin.step < w.forked[owner]):
            continue
        if pin.region >= 0 and w.policy.admit & ADMIT_NO_PIN:
            unmap_pin(w, p)
        elif pin.step >= 0:
            drop_pin(w, p, DROP_DIRTY if pin.region >= 0 and pin.write else DROP_CLEAN, w.rows.op[row], w.rows.task[row])
        if pin.region >= 0 and w.regions[pin.region].held == 0 and w.regions[pin.region].state in (REGION_LIVE, REGION_REVOKED):
            w.regions[pin.region].state = REGION_DEAD
    return 0
