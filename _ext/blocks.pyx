"""The `free` decision: blocks of pages that are still pinned. Busy ones cannot be used before the last pin drops: an
allocation that the recording satisfied with them takes others, or fails where there are none. Else they are reused, and
on a DAX file the device then writes into another file's data.
"""

from libc.stdint cimport int32_t, int64_t

from replay._ext.decisions cimport ENOSPC_INDUCED, HELD_BLOCK_SECONDS, REUSE_WHILE_PINNED
from replay._ext.ops cimport OP_BLOCK_ALLOC
from replay._ext.outcomes cimport change, conflict, index_of, run_end
from replay._ext.world cimport HELD, Hold, Link, Pin, World, born, matches, push


cdef inline bint covers(World* w, Pin* pin, int64_t slot) noexcept nogil:
    return pin.step > born(w, slot) and pin.slot <= slot and slot < pin.slot + pin.live


cdef int64_t uniform_end(World* w, int32_t file, int64_t lo, int64_t hi) noexcept nogil:
    """The end of the run from lo on whose pages are held by exactly the same pins."""
    cdef int64_t end = lo + 1
    cdef int32_t p = w.files[file].pins
    cdef Pin* pin
    while end < hi and born(w, end) == born(w, lo):
        end += 1
    while p >= 0:
        pin = &w.pins[p]
        if lo < pin.slot:
            end = min(end, pin.slot)
        elif lo < pin.slot + pin.live:
            end = min(end, pin.slot + pin.live)
        p = pin.after
    return end


cdef int keep(World* w, int32_t file, int64_t lo, int64_t npages, bint busy) except -1 nogil:
    """One hold for `npages` pages from lo on, tied to each pin that holds them."""
    cdef Hold hold
    cdef Link link
    cdef int32_t p = w.files[file].pins
    cdef int64_t slot
    hold.npages = npages
    hold.lent = 0
    hold.remaining = 0
    hold.pin = -1
    hold.busy = busy
    link.hold = <int32_t>w.holds.n
    while p >= 0:
        if covers(w, &w.pins[p], lo):
            link.after = w.pins[p].holds
            w.pins[p].holds = <int32_t>w.links.n
            push(&w.links, &link, sizeof(link))
            hold.remaining += 1
            hold.pin = p
        p = w.pins[p].after
    push(&w.holds, &hold, sizeof(hold))
    if w.freed != NULL:
        for slot in range(lo, lo + npages):
            w.freed[slot] = <int32_t>w.holds.n
    if busy:
        change(w, &w.held, HELD_BLOCK_SECONDS, npages)
    return 0


cdef int hold_blocks(World* w, int32_t file, int64_t lo, int64_t hi, bint busy) except -1 nogil:
    """The pinned pages of [lo, hi) lose their place in the file: their blocks stay busy from now on, or may be reused."""
    cdef int64_t slot = lo, end
    if not busy and w.freed == NULL:
        return 0
    while slot < hi:
        if not matches(w, slot, HELD):
            slot += 1
            continue
        end = uniform_end(w, file, slot, hi)
        keep(w, file, slot, end - slot, busy)
        slot = end
    return 0


cdef void drop_holds(World* w, int32_t pin) noexcept nogil:
    """The pin has dropped: blocks that only it still kept busy become free."""
    cdef int32_t link = w.pins[pin].holds
    cdef Link* links = <Link*>w.links.data
    cdef Hold* hold
    while link >= 0:
        hold = &(<Hold*>w.holds.data)[links[link].hold]
        hold.remaining -= 1
        if hold.remaining == 0 and hold.busy:
            w.reserve += hold.lent
            change(w, &w.held, HELD_BLOCK_SECONDS, -hold.npages)
        link = links[link].after
    w.pins[pin].holds = -1


cdef inline Hold* held_block(World* w, int64_t slot) noexcept nogil:
    """The hold of the page's freed block while a pin of it lives, else NULL."""
    cdef Hold* hold
    if w.freed[slot] == 0:
        return NULL
    hold = &(<Hold*>w.holds.data)[w.freed[slot] - 1]
    return hold if hold.remaining > 0 else NULL


cdef int take_blocks(World* w, int32_t row, Hold* hold, int64_t lo, int64_t n) except -1 nogil:
    """An allocation takes the blocks that n pages from lo on gave up."""
    cdef Pin* pin = &w.pins[hold.pin]
    cdef int64_t lent = 0
    if not hold.busy:
        if w.files[pin.file].dax:
            conflict(w, REUSE_WHILE_PINNED, OP_BLOCK_ALLOC, pin.file, index_of(w, lo), n, hold.pin, -1, w.rows.task[row])
        return 0
    lent = min(n, w.reserve)
    w.reserve -= lent
    hold.lent += lent
    if lent < n:
        conflict(w, ENOSPC_INDUCED, OP_BLOCK_ALLOC, pin.file, index_of(w, lo + lent), n - lent, hold.pin, -1, w.rows.task[row])
    return 0


cdef int on_block_alloc(World* w, int32_t row) except -1 nogil:
    cdef int64_t first = 0, last = w.n_reuses, middle, slot, start, stop, end
    cdef Hold* hold
    while first < last:
        middle = (first + last) // 2
        if w.reuse_row[middle] < row:
            first = middle + 1
        else:
            last = middle
    while first < w.n_reuses and w.reuse_row[first] == row:
        slot = w.reuse_slot[first]
        end = slot + w.reuse_npages[first]
        while slot < end:
            hold = held_block(w, slot)
            start = slot
            stop = min(run_end(w, start), end)
            slot += 1
            if hold != NULL:
                while slot < stop and held_block(w, slot) == hold:
                    slot += 1
                take_blocks(w, row, hold, start, slot - start)
            for stop in range(start, slot):
                w.freed[stop] = 0
        first += 1
    return 0
