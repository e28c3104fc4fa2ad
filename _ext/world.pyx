"""The memory of one replay: allocated at its start, grown as outcomes come, freed at its end."""

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t

from replay._ext.decisions cimport N_METRICS, PROPAGATE_INODE, WB_BOUNCE
from replay._ext.ops cimport N_OPS
from replay._ext.world cimport (
    Buffer, File, InodeLock, N_BINS, N_PAGE_FLAGS, Pin, Region, Slot, Task, World, born,
)

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <sys/mman.h>
    /* Pages of 2 MB, where the kernel has them: a fault for each 4 KB costs more than what is done with them. */
    static void ask_for_large_pages(void *data, size_t size) {
    #ifdef MADV_HUGEPAGE
        uintptr_t begin = ((uintptr_t)data + 4095) & ~(uintptr_t)4095, end = ((uintptr_t)data + size) & ~(uintptr_t)4095;
        if (begin < end && size >= ((size_t)4 << 20))
            madvise((void *)begin, end - begin, MADV_HUGEPAGE);
    #endif
    }
    """
    void ask_for_large_pages(void *data, size_t size) noexcept nogil


cdef void* resized(void* data, int64_t n, size_t size) except NULL nogil:
    """Memory for n items, the old ones among them."""
    cdef void* grown = realloc(data, <size_t>n * size)
    if grown == NULL:
        with gil:
            raise MemoryError(f"{n} outcome rows of {size} bytes")
    ask_for_large_pages(grown, <size_t>n * size)
    return grown


cdef int push(Buffer* buffer, const void* item, size_t size) except -1 nogil:
    """Append one item; 0, or MemoryError."""
    cdef int64_t room = 256 if buffer.room == 0 else buffer.room * 2
    if buffer.n == buffer.room:
        buffer.data = resized(buffer.data, room, size)
        buffer.room = room
    memcpy(<char*>buffer.data + buffer.n * <int64_t>size, item, size)
    buffer.n += 1
    return 0


cdef void* zeros(int64_t n, size_t size) except? NULL nogil:
    cdef void* data = calloc(<size_t>(n if n > 0 else 1), size)
    if data == NULL:
        with gil:
            raise MemoryError(f"{n} items of {size} bytes")
    ask_for_large_pages(data, <size_t>n * size)
    return data


cdef int allocate(World* w) except -1 nogil:
    """Make what the sizes in `w` ask for; pins, regions, files and tasks are filled in by the caller."""
    w.flags = <uint16_t*>zeros(w.n_slots, sizeof(uint16_t))
    w.slots = <Slot*>zeros(w.n_slots, sizeof(Slot))
    w.holders = <int32_t*>zeros(w.n_slots, sizeof(int32_t))
    if w.policy.writeback == WB_BOUNCE:
        w.bounced = <int64_t*>zeros(w.n_slots, sizeof(int64_t))
    w.pins = <Pin*>zeros(w.n_pins, sizeof(Pin))
    w.effects = <uint16_t*>zeros(N_OPS * N_PAGE_FLAGS, sizeof(uint16_t))
    w.regions = <Region*>zeros(w.n_regions, sizeof(Region))
    w.files = <File*>zeros(w.n_files, sizeof(File))
    w.tasks = <Task*>zeros(w.n_tasks, sizeof(Task))
    w.waiting = <int32_t*>zeros(w.n_tasks, sizeof(int32_t))
    w.mark = <int32_t*>zeros(w.n_regions, sizeof(int32_t))
    w.forked = <int32_t*>zeros(w.n_owners, sizeof(int32_t))
    for i in range(w.n_owners):
        w.forked[i] = -1
    w.owner_ns = <int64_t*>zeros(w.n_owners, sizeof(int64_t))
    if w.n_reuses > 0:
        w.freed = <int32_t*>zeros(w.n_slots, sizeof(int32_t))
    if w.params.propagate == PROPAGATE_INODE:
        w.locks = <InodeLock*>zeros(w.n_files, sizeof(InodeLock))
    if w.period > 0:
        w.cleaned_at = <int64_t*>zeros(w.n_slots, sizeof(int64_t))
    w.bins = <uint64_t*>zeros(N_METRICS * N_BINS * 2, sizeof(uint64_t))
    return 0


cdef bint was_accessed(World* w, int64_t slot) noexcept nogil:
    """Whether the device, at its assumed rate, has written the page since it was last written back, through any region.

    The page must be pinned. A region's accesses come one period after the other from its registration on, and go through its
    pages in their order, again and again.
    """
    cdef int32_t p = w.files[w.pins[w.holders[slot]].file].pins
    cdef Pin* pin
    while p >= 0:
        pin = &w.pins[p]
        if pin.write and pin.region >= 0 and born(w, slot) < pin.step and pin.slot <= slot and slot < pin.slot + pin.live:
            if in_region(w, p, slot):
                return True
        p = pin.after
    return False


cdef bint in_region(World* w, int32_t p, int64_t slot) noexcept nogil:
    """The same for the accesses through the region of one pin."""
    cdef Region* region = &w.regions[w.pins[p].region]
    cdef int64_t place = 0, n = 0, before, after
    cdef int32_t i, other
    for i in range(region.first, region.first + region.n):
        other = w.region_pins[i]
        if other == p:
            place = n + slot - w.pins[p].slot
        n += w.pins[other].live
    before = max(0, w.cleaned_at[slot] - region.since) // w.period
    after = max(0, w.now - region.since) // w.period
    return (before + n - 1 - place) // n < (after + n - 1 - place) // n


cdef void release(World* w) noexcept nogil:
    free(w.flags)
    free(w.effects)
    free(w.slots)
    free(w.holders)
    free(w.bounced)
    free(w.pins)
    free(w.regions)
    free(w.files)
    free(w.tasks)
    free(w.waiting)
    free(w.mark)
    free(w.owner_ns)
    free(w.forked)
    free(w.bins)
    free(w.heap.at)
    free(w.breaks.data)
    free(w.arena.data)
    free(w.locks)
    free(w.cleaned_at)
    free(w.queues.data)
    free(w.holds.data)
    free(w.freed)
    free(w.links.data)
    free(w.stalls.data)
    free(w.refusals.data)
    free(w.revocations.data)
