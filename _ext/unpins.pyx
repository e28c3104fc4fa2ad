"""Unpins outside of memory regions: of a call's pages at once, and page by page.

unpin_user_pages and its like run in the task that pinned and tell no more than how many pages they let go of. Since Linux 6.3
direct IO pins its buffers and lets go of each page with unpin_user_page, or of each folio with unpin_user_folio, when the block
layer is done: in an interrupt or a worker. Of a page of a file those tell which it is, and that decides, whatever task it is.
A bio's pages are released in the order in which they were pinned, so a pin gets shorter from its first page on.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

from replay._ext.addresses cimport SOURCE_UNRESOLVED
from replay._ext.hashing cimport get, put
from replay._ext.memory cimport wrap_subtract
from replay._ext.ops cimport OP_UNPIN
from replay._ext.pincalls cimport end_part, end_pin
from replay._ext.rows cimport FLAG_DIRTY, Pin, Row, told
from replay._ext.state cimport COUNT_UNPINS_UNMATCHED, HELD_PAGES, KEY_DEVICE, FileKey, Held, Loose, Record, State, Task

cdef enum:
    # How many of a task's live pin calls are compared with an unpin's number of pages.
    UNPIN_WINDOW = 32
    # How many pins of a part of a file are compared with a page that is let go.
    PAGE_WINDOW = 256
    # Pages of the largest folio that is looked for.
    FOLIO_PAGES = 2048
    # include/linux/trace_events.h: TRACE_FLAG_HARDIRQ, TRACE_FLAG_SOFTIRQ.
    IN_INTERRUPT = 0x18
    # include/linux/page-flags.h: what a mapping's low bits say of pages that belong to no file, and compound_head's of all but a folio's first.
    MAPPING_FLAGS = 3
    IS_TAIL = 1
    PAGE_STRUCT = 64    # sizeof(struct page)
    # An address of the kernel's has at least so many bits set above; a mapping that has not is none.
    ADDRESS_BITS = 56


cdef int32_t _live(State state, int32_t *link) noexcept nogil:
    """The call that the link leads to, or the next that still holds pages; -1 if none. Those before it are taken out."""
    while link[0] >= 0 and not state.loose[link[0]].left and state.loose[link[0]].next >= 0:
        link[0] = state.loose[link[0]].next
    return link[0] if link[0] >= 0 and state.loose[link[0]].left else -1


cdef int unpin(State state, Task *task, Record *record) except -1 nogil:
    """A probe that names pages by kernel pointers only: outside of regions it ends the task's oldest pin call of as many pages, or parts
    of its oldest call."""
    cdef int32_t *link = &task.first_call
    cdef int32_t number
    cdef int seen
    cdef int64_t left = record.npages
    cdef Row *row
    if task.registering >= 0:
        return 0
    for seen in range(UNPIN_WINDOW):
        number = _live(state, link)
        if number < 0:
            break
        if state.loose[number].left == record.npages:
            state.loose[number].left = left = 0
            _end_call(state, record, &state.loose[number])
            break
        link = &state.loose[number].next
    while left > 0:
        number = _live(state, &task.first_call)
        if number < 0:
            break
        left -= _let_go(state, record, number, left)
    if left > 0:
        state.counts[COUNT_UNPINS_UNMATCHED] += 1
        row = state.emit(record, OP_UNPIN)
        row.npages, row.source = left, SOURCE_UNRESOLVED
        if record.a >= 0:
            row.flags |= told(FLAG_DIRTY, record.a != 0)
    return 0


cdef int64_t _let_go(State state, Record *record, int32_t number, int64_t npages) except -1 nogil:
    """At most so many pages of the call are let go; how many it were."""
    cdef Loose *call = &state.loose[number]
    cdef int64_t taken = min(npages, call.left)
    call.left -= taken
    if not call.left:
        _end_call(state, record, call)
    return taken


cdef int _end_call(State state, Record *record, Loose *call) except -1 nogil:
    """End the call's pins. Others may have been made while it ran."""
    cdef int32_t number
    for number in range(call.first_pin, call.end_pin):
        if state.pins[number].tid == record.tid and state.pins[number].ts_unpin < 0:
            end_pin(state, record, number, record.a != 0 if record.a >= 0 else -1)
    return 0


cdef int unpin_page(State state, Task *task, Record *record) except -1 nogil:
    """Pages of one folio are let go, one after the other or as many as the record tells."""
    cdef int64_t left = max(1, min(record.npages, FOLIO_PAGES)), begin = record.index, end = begin + max(left, min(record.c, FOLIO_PAGES))
    cdef int32_t number
    if not _of_file(record):
        return _unpin_anonymous(state, task, record, left)
    if record.d != -1:
        begin += _place_in_folio(record)
        end = begin + 1
    while left > 0:
        number = _find(state, record, begin, end)
        if number < 0:
            state.counts[COUNT_UNPINS_UNMATCHED] += 1
            break
        left -= _shorten(state, record, &state.held[number], begin, end, left)
    return 0


cdef bint _of_file(Record *record) noexcept nogil:
    """Whether the page tells its file: of others the probe's inode is what was in the buffer before."""
    if not record.ino or record.index < 0:
        return False
    return record.a == -1 or (record.a >> ADDRESS_BITS == -1 and not record.a & MAPPING_FLAGS)


cdef int64_t _place_in_folio(Record *record) noexcept nogil:
    """Which page of its folio the record names: c is its address, d that of the first one, with a bit that says so."""
    cdef uint64_t head = <uint64_t>record.d & ~<uint64_t>IS_TAIL
    return <int64_t>min(wrap_subtract(<uint64_t>record.c, head) // PAGE_STRUCT, <uint64_t>FOLIO_PAGES)


cdef int _unpin_anonymous(State state, Task *task, Record *record, int64_t left) except -1 nogil:
    """io_uring lets go of registered buffers like this, in the task that unregisters them; interrupts could be about any task's."""
    cdef int32_t *link = &task.first_call
    cdef int32_t number
    cdef int seen
    cdef Record own = record[0]
    if record.b < 0 or record.b & IN_INTERRUPT or task.registering >= 0:
        return 0
    own.a = 0
    for seen in range(UNPIN_WINDOW):
        number = _live(state, link)
        if number < 0 or left <= 0:
            break
        if state.pins[state.loose[number].first_pin].longterm and state.pins[state.loose[number].first_pin].file < 0:
            left -= _let_go(state, &own, number, left)
        link = &state.loose[number].next
    return 0


cdef int32_t _find(State state, Record *record, int64_t begin, int64_t end) except -2 nogil:
    """The pin that holds a page of the range, of several the one whose turn that page is, of these the oldest; -1 if there is none."""
    cdef int64_t place, front
    cdef int32_t number, before, found = -1, other = -1
    cdef int seen = 0
    cdef Held *held
    cdef Pin *pin
    for place in range(max(begin // HELD_PAGES - 1, 0), (end - 1) // HELD_PAGES + 1):
        before, number = -1, <int32_t>get(&state.held_at, record.ino, <uint64_t>place)
        while number >= 0 and seen < PAGE_WINDOW:
            held = &state.held[number]
            pin = &state.pins[held.pin]
            if pin.ts_unpin >= 0:
                if before >= 0:
                    state.held[before].next = held.next
                else:
                    put(&state.held_at, record.ino, <uint64_t>place, held.next)
            else:
                seen += 1
                before = number
                front = pin.index + held.released
                if not _same_device(state, record, &state.keys[pin.file]):
                    pass
                elif begin <= front < end:
                    if found < 0 or number < found:
                        found = number
                elif front < end and begin < pin.index + pin.npages and (other < 0 or number < other):
                    other = number
            number = held.next
    return found if found >= 0 else other


cdef bint _same_device(State state, Record *record, FileKey *key) noexcept nogil:
    return record.dev < 0 or key.kind != KEY_DEVICE or key.place == record.dev


cdef int64_t _shorten(State state, Record *record, Held *held, int64_t begin, int64_t end, int64_t npages) except -1 nogil:
    """At most so many of the range's pages are let go of by the pin; how many it were. What comes before its turn counts with the last."""
    cdef Pin *pin = &state.pins[held.pin]
    cdef int64_t front = pin.index + held.released, left = pin.npages - held.released - held.early
    cdef int64_t taken = min(npages, left, end - max(begin, front))
    if begin <= front:
        held.part, held.ts = held.released, record.ts
        end_part(state, record, held.pin, held.released, pin.npages - held.released if taken == left else taken, False)
        held.released += taken
    else:
        held.early += taken
        if taken == left:
            end_pin(state, record, held.pin, False)
    state.loose[held.call].left = max(0, state.loose[held.call].left - taken)
    return taken
