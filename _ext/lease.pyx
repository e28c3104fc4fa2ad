"""Breaking leases: asking the owners of long-term pins to let go, and what follows if they do not.

The breaker waits until every pin that the lease covers has dropped: all of the file's (lease.scope=inode, what fs/locks.c
does) or those that overlap the range. Owners answer in parallel, each after app + rounds * rtt + the deregistration of
all it has to give up, dirtying included; who holds several MRs gives them up together. hw.revoke says what a device can give up at least:
with ucontext or device, other MRs go too. A break that lasts longer than break_time times out, and on_timeout decides.
A holder's own operation breaks its own lease as well: fs/locks.c makes no exception.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport qsort

from replay._ext.inodelock cimport leave_queue, pass_on_of_dead
from replay._ext.scheduler cimport finish_stall, stop_waiting, timer, wait_pins, watch_pages
from replay._ext.decisions cimport (
    ADMIT_NEED_LEASE,
    COLLATERAL_MRS, COLLATERAL_REVOKE, KILLED, KILLED_TASKS, LEASE_BREAK, LEASE_BREAK_TIMEOUT, LEASE_ZOMBIE,
    REVOKED_COLLATERAL, REVOKED_FAIL_IO, REVOKED_KILL, REVOKED_LEASE_BREAK, REVOKED_MRS, REVOKE_MR,
    REVOKE_NONE, REVOKE_UCONTEXT, SCOPE_INODE, TIMEOUT_FAIL_IO, TIMEOUT_KILL,
)
from replay._ext.outcomes cimport RevocationRow, charge, conflict, index_of, report, report_pin
from replay._ext.pages cimport drop_pin
from replay._ext.reregister cimport reregister_at
from replay._ext.world cimport (
    AT_ANSWER, AT_DEADLINE, BLOCKED, Break, DROP_CLEAN, DROP_REVOKED, GONE, HELD_LONG, PAGE_DIRTY, Pin,
    REGION_LIVE, REGION_REVOKED, ROW_RANGE, Region, Task, World, born, break_at, detail_of, listed, matches, outlives, price, push,
)


cdef int ascending(const void* a, const void* b) noexcept nogil:
    cdef int32_t x = (<const int32_t*>a)[0], y = (<const int32_t*>b)[0]
    return (x > y) - (x < y)


# -- who is concerned -------------------------------------------------------------------------------------------------

cdef inline bint overlaps(Pin* pin, int64_t lo, int64_t hi) noexcept nogil:
    return pin.slot < hi and lo < pin.slot + pin.live


cdef int list_region(World* w, Break* br, int32_t r) except -1 nogil:
    """Add a region to the break's list, once."""
    cdef int32_t mark = <int32_t>w.breaks.n + 1
    if w.mark[r] != mark:
        w.mark[r] = mark
        push(&w.arena, &r, sizeof(r))
        br.n_regions += 1
    return 0


cdef int list_holders(World* w, Break* br) except -1 nogil:
    cdef int32_t p = w.files[br.file].pins
    br.regions_at = w.arena.n
    br.n_regions = 0
    while p >= 0:
        if w.pins[p].longterm and (w.params.scope == SCOPE_INODE or overlaps(&w.pins[p], br.lo, br.hi)):
            list_region(w, br, w.pins[p].region)
        p = w.pins[p].after
    br.n_holders = br.n_regions
    if br.n_holders > 1:
        qsort(&(<int32_t*>w.arena.data)[br.regions_at], <size_t>br.n_holders, sizeof(int32_t), ascending)
    return 0


cdef inline bint same_context(World* w, Region* a, Region* b) noexcept nogil:
    return a.device == b.device and (w.params.revoke != REVOKE_UCONTEXT or a.owner == b.owner)


cdef int list_company(World* w, Break* br) except -1 nogil:
    """MRs that go with the holders', since the device can only revoke a whole context, or everything."""
    cdef int64_t i
    cdef int32_t r
    if w.params.revoke == REVOKE_MR or w.params.revoke == REVOKE_NONE:
        return 0
    for r in range(w.n_regions):
        if w.regions[r].state == REGION_LIVE:
            for i in range(br.n_holders):
                if same_context(w, &w.regions[r], &w.regions[listed(w, br.regions_at + i)]):
                    list_region(w, br, r)
                    break
    return 0


cdef int list_pins(World* w, Break* br) except -1 nogil:
    """The pins whose drop ends the break: those in the range first, for the stall's row names the first."""
    cdef int32_t p
    cdef int inside
    br.pins_at = w.arena.n
    for inside in range(1, -1, -1):
        p = w.files[br.file].pins
        while p >= 0:
            if w.pins[p].longterm and overlaps(&w.pins[p], br.lo, br.hi) == inside:
                if inside or w.params.scope == SCOPE_INODE:
                    push(&w.arena, &p, sizeof(p))
            p = w.pins[p].after
    br.n_pins = w.arena.n - br.pins_at
    return 0


# -- the break --------------------------------------------------------------------------------------------------------

cdef bint must_break(World* w, int32_t row, int64_t lo, int64_t hi) noexcept nogil:
    """On the first run any holder in scope; later only who pinned the range meanwhile."""
    cdef int64_t slot
    if w.tasks[w.rows.task[row]].lease_break < 0:
        return True
    for slot in range(lo, hi):
        if matches(w, slot, HELD_LONG):
            return True
    return False


cdef int break_leases(World* w, int32_t row, int64_t lo, int64_t hi) except -1 nogil:
    """Break the leases that the row's operation meets; 1 if its task has to wait."""
    cdef Break br
    cdef Task* task = &w.tasks[w.rows.task[row]]
    if not must_break(w, row, lo, hi):
        return 0
    br.row = row
    br.task = w.rows.task[row]
    br.file = w.rows.file[row]
    br.before = task.lease_break
    br.lo = lo
    br.hi = hi
    br.op_done = 0
    br.step = w.step
    br.over = False
    br.ranged = (w.rows.flags[row] & ROW_RANGE) != 0
    list_holders(w, &br)
    if br.n_holders == 0:
        return 0
    list_company(w, &br)
    list_pins(w, &br)
    task.lease_break = <int32_t>w.breaks.n
    push(&w.breaks, &br, sizeof(br))
    report_break(w, LEASE_BREAK, &br)
    set_timers(w, &br, task.lease_break)
    return wait_pins(w, row, br.file, br.pins_at, br.n_pins, lo, hi, w.rows.op[row])


cdef int report_break(World* w, int cls, Break* br) except -1 nogil:
    """The pinned pages in the operation's range. The file's lease may be broken without any: a row of no page says so."""
    cdef int op = w.rows.op[br.row]
    cdef int64_t index
    if report(w, cls, op, br.file, br.lo, br.hi, HELD_LONG, br.task) > 0:
        return 0
    index = index_of(w, br.lo) if br.lo < br.hi else detail_of(&w.rows, br.row).index
    return conflict(w, cls, op, br.file, index, 0, listed(w, br.pins_at), -1, br.task)


cdef int set_timers(World* w, Break* br, int32_t broken) except -1 nogil:
    cdef int64_t limit = w.params.break_time + w.params.timer_rounding, i, clean
    cdef int64_t quiesce = w.params.app + w.params.rounds * w.params.rtt
    cdef Region* region
    cdef bint late = w.params.revoke == REVOKE_NONE
    for i in range(br.regions_at, br.regions_at + br.n_regions):
        w.owner_ns[w.regions[listed(w, i)].owner] = quiesce
    for i in range(br.regions_at, br.regions_at + br.n_regions):
        region = &w.regions[listed(w, i)]
        clean = count_clean(w, region)
        w.owner_ns[region.owner] += price(w.params.dereg, region.npages)
        if clean > 0:
            w.owner_ns[region.owner] += price(w.params.dirty, clean)
    for i in range(br.regions_at, br.regions_at + br.n_regions):
        region = &w.regions[listed(w, i)]
        if w.owner_ns[region.owner] >= 0 and w.params.revoke != REVOKE_NONE:
            timer(w, w.now + w.owner_ns[region.owner], AT_ANSWER, broken, region.owner)
            late = late or limit < w.owner_ns[region.owner]
            w.owner_ns[region.owner] = -1
    if late:
        timer(w, w.now + limit, AT_DEADLINE, broken, 0)
    return 0


cdef int64_t count_clean(World* w, Region* region) noexcept nogil:
    """Clean pages that the region's release will dirty."""
    cdef int64_t n = 0, slot
    cdef int32_t i
    cdef Pin* pin
    for i in range(region.first, region.first + region.n):
        pin = &w.pins[w.region_pins[i]]
        if pin.step >= 0 and pin.slot >= 0 and pin.write and not w.files[pin.file].dax:
            for slot in range(pin.slot, pin.slot + pin.live):
                n += born(w, slot) < pin.step and w.flags[slot] & PAGE_DIRTY == 0
    return n


# -- revocation -------------------------------------------------------------------------------------------------------

cdef bint touches(World* w, Region* region, Break* br) noexcept nogil:
    cdef int32_t i, p
    if not br.ranged:
        return True                         # nobody knows what lies outside of an unknown range
    for i in range(region.first, region.first + region.n):
        p = w.region_pins[i]
        if w.pins[p].slot >= 0 and w.pins[p].file == br.file and overlaps(&w.pins[p], br.lo, br.hi):
            return True
    return False


cdef int revoke(World* w, int32_t r, int32_t broken, int reason, bint for_good) except -1 nogil:
    """Take a live MR from its owner: its pins drop, and remote accesses through it fail from now on."""
    cdef Break* br = break_at(w, broken)
    cdef Region* region = &w.regions[r]
    cdef RevocationRow revocation
    cdef Pin* pin
    cdef int32_t i, p
    cdef int op = w.rows.op[br.row]
    cdef bint outside = not touches(w, region, br)
    revocation.ts = w.now
    revocation.npages = region.npages
    revocation.reason = REVOKED_COLLATERAL if outside and reason == REVOKED_LEASE_BREAK else reason
    revocation.op = op
    revocation.task = region.task
    revocation.breaker = br.task
    revocation.file = br.file
    revocation.region = r
    push(&w.revocations, &revocation, sizeof(revocation))
    charge(w, REVOKED_MRS, 1)
    charge(w, COLLATERAL_MRS, outside)
    region.state = REGION_REVOKED
    w.lost = True
    region.lease_break = -1 if for_good else broken
    for i in range(region.first, region.first + region.n):
        p = w.region_pins[i]
        pin = &w.pins[p]
        if outside and pin.slot >= 0 and pin.step >= 0 and pin.live > 0:
            conflict(w, COLLATERAL_REVOKE, op, pin.file, index_of(w, pin.slot), pin.live, p, r, br.task)
        drop_pin(w, p, DROP_REVOKED if pin.write else DROP_CLEAN, op, br.task)
    return 0


cdef bint must_answer(World* w, Break* br, int32_t broken, int32_t owner) noexcept nogil:
    """A holder, while it still holds; who goes with the holders, if any of them had to be revoked."""
    cdef int64_t i
    cdef Region* region
    cdef bint holder = False, broke = False
    for i in range(br.regions_at, br.regions_at + br.n_holders):
        region = &w.regions[listed(w, i)]
        if region.owner == owner:
            holder = True
            if region.state == REGION_LIVE:
                return True
        broke = broke or region.state == REGION_LIVE or (region.state == REGION_REVOKED and region.lease_break == broken)
    return broke and not holder


cdef int on_answer(World* w, int32_t broken, int32_t owner) except -1 nogil:
    """The owner has stopped its remote side and deregisters, unless the recording showed it do so already."""
    cdef Break* br = break_at(w, broken)
    cdef int64_t i
    cdef int32_t r
    if not must_answer(w, br, broken, owner):
        return 0
    for i in range(br.regions_at, br.regions_at + br.n_regions):
        r = listed(w, i)
        if w.regions[r].owner == owner and w.regions[r].state == REGION_LIVE:
            revoke(w, r, broken, REVOKED_LEASE_BREAK, False)
            if br.over:
                reregister_at(w, r, broken, max(w.now, br.op_done))
    return 0


# -- time-out ---------------------------------------------------------------------------------------------------------

cdef bint unanswered(World* w, Break* br) noexcept nogil:
    cdef int64_t i
    if br.over or w.tasks[br.task].mode != BLOCKED or w.tasks[br.task].last != br.row:
        return False
    for i in range(br.pins_at, br.pins_at + br.n_pins):
        if outlives(w, listed(w, i), br.step):
            return True
    return False


cdef int on_deadline(World* w, int32_t broken) except -1 nogil:
    cdef Break* br = break_at(w, broken)
    cdef int op = w.rows.op[br.row]
    if not unanswered(w, br):
        return 0
    report_break(w, LEASE_BREAK_TIMEOUT, br)
    if w.params.revoke != REVOKE_NONE and w.params.on_timeout == TIMEOUT_FAIL_IO:
        return fail_io(w, broken)
    if w.params.revoke != REVOKE_NONE and w.params.on_timeout == TIMEOUT_KILL:
        return kill_holders(w, broken)
    report(w, LEASE_ZOMBIE, op, br.file, br.lo, br.hi, HELD_LONG, br.task)
    return watch_pages(w, br.task, br.lo, br.hi, HELD_LONG)


cdef int fail_io(World* w, int32_t broken) except -1 nogil:
    """The driver disassociates the contexts of those who did not answer: all their MRs are gone for good, none that was revoked
    comes back, and none can be registered any more."""
    cdef Break* br = break_at(w, broken)
    cdef int64_t i
    cdef int32_t r, holder
    for i in range(br.regions_at, br.regions_at + br.n_holders):
        holder = listed(w, i)
        if w.regions[holder].state != REGION_LIVE:
            continue
        for r in range(w.n_regions):
            if w.regions[r].owner == w.regions[holder].owner and w.regions[r].device == w.regions[holder].device:
                w.regions[r].torn_down = True
                if w.regions[r].state == REGION_LIVE:
                    revoke(w, r, broken, REVOKED_FAIL_IO, True)
                elif w.regions[r].state == REGION_REVOKED:
                    w.regions[r].lease_break = -1
    return 0


cdef int kill_holders(World* w, int32_t broken) except -1 nogil:
    cdef Break* br = break_at(w, broken)
    cdef int64_t i
    cdef int32_t holder
    for i in range(br.regions_at, br.regions_at + br.n_holders):
        holder = listed(w, i)
        if w.regions[holder].state == REGION_LIVE:
            kill(w, w.regions[holder].owner, broken)
    return 0


cdef int kill(World* w, int32_t owner, int32_t broken) except -1 nogil:
    """The process dies: every pin it has drops, its MRs are gone, and none of its threads does anything any more."""
    cdef Break* br = break_at(w, broken)
    cdef int64_t i
    cdef int32_t p, r, t
    for i in range(br.pins_at, br.pins_at + br.n_pins):
        p = listed(w, i)
        if outlives(w, p, br.step) and w.regions[w.pins[p].region].owner == owner and w.pins[p].live > 0:
            conflict(w, KILLED, w.rows.op[br.row], br.file, index_of(w, w.pins[p].slot), w.pins[p].live, p, -1, br.task)
    charge(w, KILLED_TASKS, 1)
    for t in range(w.n_tasks):
        if w.tasks[t].owner == owner:
            if w.tasks[t].mode == BLOCKED:
                leave_queue(w, t)
                stop_waiting(w, t)
            if w.tasks[t].block_first >= 0:
                finish_stall(w, t, False)
            w.tasks[t].mode = GONE
    for r in range(w.n_regions):
        if w.regions[r].owner == owner and w.regions[r].state == REGION_LIVE:
            revoke(w, r, broken, REVOKED_KILL, True)
    for p in range(w.n_pins):
        if w.pins[p].step >= 0 and w.tasks[w.pins[p].task].owner == owner:
            drop_pin(w, p, DROP_CLEAN, w.rows.op[br.row], br.task)
    return pass_on_of_dead(w)


cdef int on_lease_del(World* w, int32_t row) except -1 nogil:
    """A holder gives up its lease. What it still pins has none: who wants the pages cannot ask for them any more."""
    cdef int32_t owner = w.tasks[w.rows.task[row]].owner, p
    if w.rows.file[row] < 0 or not w.policy.admit & ADMIT_NEED_LEASE:
        return 0
    p = w.files[w.rows.file[row]].pins
    while p >= 0:
        if w.pins[p].longterm and w.tasks[w.pins[p].task].owner == owner:
            report_pin(w, LEASE_ZOMBIE, w.rows.op[row], p, HELD_LONG, w.rows.task[row])
        p = w.pins[p].after
    return 0
