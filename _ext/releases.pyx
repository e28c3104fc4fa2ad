"""Releases of memory regions, as far as the task that releases has come.

ib_umem_release unpins the pages of a region one after the other and dirties those that are clean. That takes time, in which
another task may meet pages that are pinned still. The nested unpins and the pages that the task dirties show how far it is.
All unpin rows stand at the beginning of the release, before the rows of the pages that it dirties, until that turns out too
early: where another task met the file and the releasing task then shows that it had not come further than some page, the
rows of the pages from there on are undone and stand where it shows that it goes on.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from replay._ext.hashing cimport get, put
from replay._ext.ops cimport OP_MR_DEREG
from replay._ext.pincalls cimport end_part
from replay._ext.remote cimport leave
from replay._ext.rows cimport FLAG_WRITE, OP_NOTHING, PATCH_NPAGES, PATCH_OP, Pin, Region, Row, told
from replay._ext.state cimport COUNT_RELEASES_UNKNOWN, Members, Record, Release, State, Task

cdef enum:
    # include/linux/err.h: pointers above this are negative error numbers.
    MAX_ERRNO = 4095
    # How many pins of other files are looked through for a page that the release may dirty.
    WINDOW = 32


cdef int release(State state, Task *task, Record *record) except -1 nogil:
    """ib_umem_release: from here on the region is gone and its pins end."""
    cdef int64_t found
    cdef int32_t number
    cdef size_t i
    cdef Row *row
    cdef Region *region
    cdef Pin *pin
    if record.a == 0 or -MAX_ERRNO <= record.a < 0:
        return 0
    found = get(&state.region_of, <uint64_t>record.a, 0)
    if found < 0:
        state.counts[COUNT_RELEASES_UNKNOWN] += 1
        number = state.add_region()
        region = &state.regions[number]
        region.umem, region.tid, region.file, region.index = <uint64_t>record.a, task.tid, -1, -1
        region.ts_reg, region.preexisting = -1, 1
    else:
        number = <int32_t>found
        put(&state.region_of, <uint64_t>record.a, 0, -1)
        leave(state, number)
    task.releasing = number
    memset(&task.release, 0, sizeof(Release))
    for i in range(state.members[number].used):
        pin = &state.pins[state.members[number].pins[i]]
        task.release.total += pin.npages
        if pin.file >= 0:
            state.move(task, state.keys[pin.file].ino)
    _end_pins(state, task, record, state.members[number].used)
    region = &state.regions[number]
    region.ts_dereg = record.ts
    row = state.emit(record, OP_MR_DEREG)
    row.mr, row.file, row.index = number, region.file, region.index
    row.npages = region.npages if region.file >= 0 else -1
    row.flags = told(FLAG_WRITE, region.write)
    return 0


cdef int _end_pins(State state, Task *task, Record *record, size_t until) except -1 nogil:
    """Unpin rows for the region's pins, or the rest of them, before the place `until`."""
    cdef Members *members = &state.members[task.releasing]
    cdef Release *at = &task.release
    cdef int32_t number
    while at.ended < until:
        number = members.pins[at.ended]
        end_part(state, record, number, at.part, state.pins[number].npages - at.part, state.regions[task.releasing].write)
        if at.part > 0:
            at.parted, at.begin = at.ended, at.part
        at.ended += 1
        at.part = 0
    return 0


cdef int _take_back(State state, Task *task) except -1 nogil:
    """Undo the rows of pages that the release had not come to: those behind `done`, as far as the records account for."""
    cdef Members *members = &state.members[task.releasing]
    cdef Release *at = &task.release
    cdef Pin *pin
    cdef int64_t begin
    at.disturbed = False
    while at.ended > at.cursor and state.afford():
        at.ended -= 1
        at.part = at.done - at.base if at.ended == at.cursor else 0
        begin = at.begin if at.ended == at.parted else 0
        pin = &state.pins[members.pins[at.ended]]
        pin.ts_unpin = -1
        if at.part > begin:
            state.patch(pin.row, PATCH_NPAGES, at.part - begin)
        else:
            state.patch(pin.row, PATCH_OP, OP_NOTHING)
    return 0


cdef int _come_to(State state, Task *task, Record *record, int64_t done) except -1 nogil:
    """The task shows that the first `done` of the region's pages are released."""
    cdef Members *members = &state.members[task.releasing]
    cdef Release *at = &task.release
    cdef Pin *pin = NULL
    if at.disturbed:
        _take_back(state, task)
    at.done = max(at.done, min(done, at.total))
    while at.cursor < members.used:
        pin = &state.pins[members.pins[at.cursor]]
        if at.done - at.base < pin.npages:
            break
        at.base += pin.npages
        at.cursor += 1
    _end_pins(state, task, record, at.cursor)
    if at.cursor < members.used:
        if at.ended == at.cursor and at.done - at.base > at.part:
            _end_pins(state, task, record, at.cursor + 1)
        if pin.file >= 0:
            state.move(task, state.keys[pin.file].ino)
    return 0


cdef int unpinning(State state, Task *task, Record *record) except -1 nogil:
    """An unpin within the release begins: the pages that those before it named are released."""
    _come_to(state, task, record, task.release.told)
    task.release.told = min(task.release.told + max(record.npages, 0), task.release.total)
    return 0


cdef int meets(State state, Task *task, Record *record) except -1 nogil:
    """Another task meets the file while the release is, perhaps, under way."""
    cdef Record own = record[0]
    own.tid = task.tid
    task.release.disturbed = True
    if task.release.told < task.release.total:
        return 0
    return _end_pins(state, task, &own, state.members[task.releasing].used)     # nothing more may come


cdef int finish(State state, Task *task, Record *record) except -1 nogil:
    """The task goes on to something else."""
    if task.releasing >= 0:
        _end_pins(state, task, record, state.members[task.releasing].used)
    task.releasing = -1
    return 0


cdef int32_t dirtied(State state, Task *task, Record *record) except -2 nogil:
    """The region whose release dirties this page, or -1. Pages come in the order of the region's pins, so the search begins where the
    release is; a page of the region's file that it does not hold shows that the release is over."""
    cdef Members *members = &state.members[task.releasing]
    cdef size_t seen, place = task.release.cursor
    cdef int64_t base = task.release.base
    cdef Pin *pin
    cdef bint same_file = False
    for seen in range(members.used):
        if place >= members.used:
            place, base = 0, -1
        pin = &state.pins[members.pins[place]]
        if pin.file >= 0 and state.keys[pin.file].ino == record.ino:
            same_file = True
            if pin.index <= record.index < pin.index + pin.npages:
                if base >= 0:
                    _come_to(state, task, record, base + record.index - pin.index + 1)
                return task.releasing
        elif not same_file and seen > WINDOW:
            return -1
        if base >= 0:
            base += pin.npages
        place += 1
    if same_file:
        finish(state, task, record)
    return -1
