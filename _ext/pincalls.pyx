"""Pin calls: from user addresses to file pages, as far as the call has come.

A call takes its pages in order, those that are mapped and writable without an event, and faults in for writing what is not
(mm/gup.c). Another task may meet pages that are pinned already. A page that the task faults or dirties shows how far the call is.
What takes long in a fault comes before its page is dirty; behind, only throttling does, and that is told. So between two
such pages, and between the call and the first, the kernel is nearly all of the time in the fault of the later one, and those
before it are pinned. Which one that is shows when it is dirty, or all were pinned when the call returns: until then a row
that another task's event calls for is as long as its pin may be at most.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

from replay._ext.addresses cimport (
    MAP_ANONYMOUS,
    MAP_NONE,
    MAP_PRIVATE_FILE,
    MAP_SHARED_FILE,
    SOURCE_UNRESOLVED,
    Found,
    confidence_of,
    end_of,
)
from replay._ext.hashing cimport get, put, room
from replay._ext.ops cimport OP_PIN, OP_UNPIN
from replay._ext.rows cimport (
    FLAG_DIRTY,
    FLAG_LONGTERM,
    FLAG_WRITE,
    OP_NOTHING,
    PATCH_ADDR,
    PATCH_NPAGES,
    PATCH_OP,
    PATCH_PIN,
    PATCH_RESULT,
    Pin,
    Region,
    Row,
    told,
)
from replay._ext.state cimport (
    COUNT_BEGINS_UNPAIRED,
    COUNT_ENDS_UNPAIRED,
    COUNT_PIN_CALLS,
    COUNT_PINS_UNRESOLVED,
    HELD_PAGES,
    Held,
    Loose,
    Members,
    Record,
    State,
    Task,
)

cdef enum:
    FOLL_WRITE = 1
    # How many of the mappings that a pin call spans are looked at for the page that it dirties.
    MAPPINGS_OF_A_CALL = 8


cdef Found look_up(State state, Task *task, uint64_t addr, uint64_t end, int64_t gup_flags) noexcept nogil:
    """As AddressSpaces.resolve, with what the pin finds there: a private mapping pinned for writing is copied first, hence anonymous."""
    cdef Found found = state.spaces.resolve(task.space, addr, end)
    if found.kind == MAP_PRIVATE_FILE and gup_flags & FOLL_WRITE:
        found.kind = MAP_ANONYMOUS
    if found.kind != MAP_SHARED_FILE and found.kind != MAP_PRIVATE_FILE:
        found.key = -1
        found.index = -1
    return found


cdef int pin_call(State state, Task *task, Record *record) except -1 nogil:
    cdef Found found
    if task.pinning:
        state.counts[COUNT_BEGINS_UNPAIRED] += 1
        _drop_taken(state, task, record)
    task.pinning = task.pin_moves_on = True
    task.pin_shown = task.pin_taken = 0
    task.pin_first = -1
    task.pin_addr = <uint64_t>record.a & ~<uint64_t>4095
    task.pin_npages = record.b
    task.pin_flags = record.c
    found = look_up(state, task, task.pin_addr, end_of(task.pin_addr, task.pin_npages), task.pin_flags)
    return state.move(task, state.keys[found.key].ino) if found.key >= 0 else 0


cdef int64_t _place(State state, Task *task, Record *record) noexcept nogil:
    """How many pages of the call lie before the record's page; -1 if the call does not pin it."""
    cdef uint64_t addr = task.pin_addr, end = end_of(task.pin_addr, task.pin_npages)
    cdef int seen
    cdef Found found
    for seen in range(MAPPINGS_OF_A_CALL):
        if addr >= end:
            break
        found = look_up(state, task, addr, end, task.pin_flags)
        if found.key >= 0 and state.keys[found.key].ino == record.ino:
            if found.index <= record.index < found.index + <int64_t>((found.end - addr) >> 12):
                return <int64_t>((addr - task.pin_addr) >> 12) + record.index - found.index
        addr = found.end
    return -1


cdef int pin_page(State state, Task *task, Record *record, bint dirtied) except -1 nogil:
    """The task faults or dirties a page of its call: those before are pinned."""
    cdef int64_t place = _place(state, task, record)
    if place < 0:
        return 0
    settle(state, task, place)
    task.pin_shown = max(task.pin_shown, place)
    task.pin_moves_on = dirtied
    return state.move(task, record.ino)


cdef int pins_so_far(State state, Task *task, Record *record) except -1 nogil:
    """Another task's event meets the file in the middle of a call: make the pins that are there by now."""
    cdef Record own = record[0]
    own.tid = task.tid
    if task.pin_guess.npages:
        return 0
    if task.pin_first < 0:
        task.pin_first = <int32_t>state.pins_used
    if task.pin_shown > task.pin_taken:
        pin_pages(state, task, &own, task.pin_addr + (<uint64_t>task.pin_taken << 12), task.pin_shown - task.pin_taken, task.pin_flags)
        task.pin_taken = task.pin_shown
    return _guess(state, task, &own) if task.pin_moves_on else 0


cdef int _guess(State state, Task *task, Record *record) except -1 nogil:
    """A row for the pages from here on, as many as there may be; it becomes a pin once it is known how many."""
    cdef uint64_t addr = task.pin_addr + (<uint64_t>task.pin_taken << 12), end = end_of(task.pin_addr, task.pin_npages)
    cdef Found found
    if addr >= end:
        return 0
    found = look_up(state, task, addr, end, task.pin_flags)
    if found.key >= 0 and state.keys[found.key].ino == record.ino:
        _pin_row(state, task, record, addr, <int64_t>((min(found.end, end) - addr) >> 12), &found, &task.pin_guess).pin = 0
        task.pin_guess_row = state.latest()
    return 0


cdef int settle(State state, Task *task, int64_t npages) except -1 nogil:
    """So many pages of the call were pinned when the guess was made, if one was."""
    cdef int64_t right = max(0, min(npages - task.pin_taken, task.pin_guess.npages))
    cdef int64_t row = task.pin_guess_row
    if right:
        state.patch(row, PATCH_PIN, <int64_t>state.pins_used)
        if right < task.pin_guess.npages:
            state.patch(row, PATCH_NPAGES, right)
            state.patch(row, PATCH_RESULT, right)
        task.pin_guess.npages = right
        _hold(state, &task.pin_guess)
        task.pin_taken += right
        task.pin_shown = max(task.pin_shown, task.pin_taken)
    elif task.pin_guess.npages:
        state.patch(row, PATCH_OP, OP_NOTHING)
    task.pin_guess.npages = 0
    return 0


cdef int _drop_taken(State state, Task *task, Record *record) except -1 nogil:
    """A call that failed, or returned fewer pages than it seemed to take, holds none of those made so far."""
    cdef size_t number
    cdef Pin *pin
    settle(state, task, 0)
    if task.pin_taken:
        for number in range(<size_t>task.pin_first, state.pins_used):
            pin = &state.pins[number]
            if pin.tid == task.tid and pin.mr == task.registering and pin.ts_unpin < 0:
                end_pin(state, record, <int32_t>number, False)
                if pin.mr >= 0:
                    state.members[pin.mr].used -= 1
                    if pin.file >= 0:
                        state.regions[pin.mr].npages -= pin.npages
    task.pin_taken = 0
    return 0


cdef int pin_return(State state, Task *task, Record *record) except -1 nogil:
    cdef int64_t npages = record.a, taken
    cdef int32_t first
    cdef Row *row
    cdef Found found
    if not task.pinning:
        state.counts[COUNT_ENDS_UNPAIRED] += 1
        return 0
    task.pinning = False
    state.counts[COUNT_PIN_CALLS] += 1
    if npages > 0:
        if 0 < task.pin_npages < npages:
            npages = task.pin_npages
        first = task.pin_first if task.pin_first >= 0 else <int32_t>state.pins_used
        settle(state, task, npages)
        if npages < task.pin_taken:
            _drop_taken(state, task, record)
        taken = task.pin_taken
        if npages > taken:
            pin_pages(state, task, record, task.pin_addr + (<uint64_t>taken << 12), npages - taken, task.pin_flags)
        return _remember_call(state, task, npages, first) if task.registering < 0 else 0
    _drop_taken(state, task, record)
    found = look_up(state, task, task.pin_addr, end_of(task.pin_addr, max(task.pin_npages, 1)), task.pin_flags)
    row = state.emit(record, OP_PIN)
    _describe(state, task, row, &found)
    row.npages = task.pin_npages
    state.patch(state.latest(), PATCH_RESULT, npages)
    state.patch(state.latest(), PATCH_ADDR, <int64_t>task.pin_addr)
    return 0


cdef int _describe(State state, Task *task, Row *row, Found *found) except -1 nogil:
    cdef bint write = task.pin_flags & FOLL_WRITE
    row.file, row.index = found.key, found.index
    row.source, row.confidence = found.source, confidence_of(found.source)
    row.mr = task.registering
    if task.registering >= 0:
        # Up to Linux 6.1 ib_umem_get always asked for FOLL_WRITE (drivers/infiniband/core/umem.c): the region's own access decides.
        write = state.regions[task.registering].write
    row.flags |= told(FLAG_WRITE, write)
    row.flags |= told(FLAG_LONGTERM, task.registering >= 0 or (task.pin_flags & state.longterm_flag) != 0)
    return 0


cdef int pin_pages(State state, Task *task, Record *record, uint64_t addr, int64_t npages, int64_t flags) except -1 nogil:
    """A pin and its row for each contiguous file range; ranges of anonymous and of unknown memory are pins without a file."""
    cdef uint64_t end = end_of(addr, npages), begin
    cdef Found found, following
    cdef Pin pin
    cdef Row *row
    cdef bint unresolved = False
    while addr < end:
        begin = addr
        found = look_up(state, task, addr, end, flags)
        addr = min(found.end, end)
        while addr < end:
            if not state.afford():
                found.key, found.index, found.kind, found.source = -1, -1, MAP_NONE, SOURCE_UNRESOLVED
                addr = end
                break
            following = look_up(state, task, addr, end, flags)
            if following.kind != found.kind or following.source != found.source or following.key != found.key:
                break
            if found.key >= 0 and following.index != found.index + <int64_t>((addr - begin) >> 12):
                break
            addr = min(following.end, end)
        unresolved |= found.source == SOURCE_UNRESOLVED
        row = _pin_row(state, task, record, begin, <int64_t>((addr - begin) >> 12), &found, &pin)
        row.pin = _hold(state, &pin)
    state.counts[COUNT_PINS_UNRESOLVED] += unresolved
    return 0


cdef Row *_pin_row(
    State state, Task *task, Record *record, uint64_t addr, int64_t npages, Found *found, Pin *pin
) except NULL nogil:
    """A pin and its row, which is the latest."""
    cdef Row *row = state.emit(record, OP_PIN)
    _describe(state, task, row, found)
    row.npages, row.value = npages, npages
    state.patch(state.latest(), PATCH_ADDR, <int64_t>addr)
    pin.ts_pin, pin.ts_unpin, pin.row, pin.held = record.ts, -1, state.latest(), -1
    pin.index, pin.npages, pin.addr = found.index, npages, addr
    pin.mr, pin.tid, pin.file = task.registering, task.tid, found.key
    pin.write = (row.flags & told(FLAG_WRITE, True)) == told(FLAG_WRITE, True)
    pin.longterm = (row.flags & told(FLAG_LONGTERM, True)) == told(FLAG_LONGTERM, True)
    pin.source, pin.confidence = row.source, row.confidence
    return row


cdef int32_t _hold(State state, Pin *pin) except -1 nogil:
    """Give the pin a number, and to its region if it has one."""
    cdef int32_t number = state.add_pin()
    cdef Members *members
    state.pins[number] = pin[0]
    if pin.mr >= 0:
        members = &state.members[pin.mr]
        members.pins = <int32_t *>room(members.pins, members.used, &members.capacity, sizeof(int32_t))
        members.pins[members.used] = number
        members.used += 1
        _widen(&state.regions[pin.mr], pin)
    return number


cdef int _widen(Region *region, Pin *pin) noexcept nogil:
    """A region is described by the range of the first file that it pins, and by all its file pages."""
    if pin.file < 0:
        return 0
    if region.file < 0:
        region.file, region.index = pin.file, pin.index
    region.npages = min(region.npages + pin.npages, <int64_t>1 << 52)
    return 0


cdef int _remember_call(State state, Task *task, int64_t npages, int32_t first) except -1 nogil:
    """Queue a call outside of any region, for the unpin that will name no more than a number of pages."""
    cdef Loose *call
    cdef int32_t number = <int32_t>state.loose_used, at
    state.loose = <Loose *>room(state.loose, state.loose_used, &state.loose_capacity, sizeof(Loose))
    state.loose_used += 1
    call = &state.loose[number]
    call.npages = call.left = npages
    call.first_pin, call.end_pin, call.next = first, <int32_t>state.pins_used, -1
    for at in range(first, call.end_pin):
        if state.pins[at].tid == task.tid and state.pins[at].mr < 0 and state.pins[at].file >= 0 and state.pins[at].ts_unpin < 0:
            _keep_held(state, at, number)
    if task.last_call >= 0 and task.first_call >= 0:
        state.loose[task.last_call].next = number
    else:
        task.first_call = number
    task.last_call = number
    return 0


cdef int _keep_held(State state, int32_t pin, int32_t call) except -1 nogil:
    """Remember where in its file the pin begins, for the unpins that will name its pages."""
    cdef int32_t number = <int32_t>state.held_used
    cdef uint64_t ino = state.keys[state.pins[pin].file].ino, place = <uint64_t>(state.pins[pin].index // HELD_PAGES)
    cdef Held *held
    state.held = <Held *>room(state.held, state.held_used, &state.held_capacity, sizeof(Held))
    state.held_used += 1
    state.pins[pin].held = number
    held = &state.held[number]
    held.pin, held.call, held.next = pin, call, <int32_t>get(&state.held_at, ino, place)
    return put(&state.held_at, ino, place, number)


cdef int end_pin(State state, Record *record, int32_t number, int dirty) except -1 nogil:
    """All that the pin still holds is let go."""
    cdef int64_t skip = state.held[state.pins[number].held].released if state.pins[number].held >= 0 else 0
    return end_part(state, record, number, skip, state.pins[number].npages - skip, dirty)


cdef int end_part(State state, Record *record, int32_t number, int64_t skip, int64_t npages, int dirty) except -1 nogil:
    """So many of the pin's pages, from `skip` on, are let go; with its last one the pin ends."""
    cdef Row *row = state.emit(record, OP_UNPIN)
    cdef Pin *pin = &state.pins[number]
    if npages >= pin.npages - skip:
        pin.ts_unpin = record.ts
    pin.row = state.latest()
    row.pin, row.mr, row.file, row.npages = number, pin.mr, pin.file, npages
    row.index = pin.index + skip if pin.file >= 0 else -1
    row.source, row.confidence = pin.source, pin.confidence
    row.flags = told(FLAG_WRITE, pin.write) | told(FLAG_LONGTERM, pin.longterm)
    if dirty >= 0:
        row.flags |= told(FLAG_DIRTY, dirty)
    return 0
