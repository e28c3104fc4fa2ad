# Address spaces over time: which file page lies at a user address.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t


cdef enum:
    MAP_NONE          # no known mapping
    MAP_SHARED_FILE
    MAP_PRIVATE_FILE
    MAP_ANONYMOUS

cdef enum:
    SOURCE_KEY        # told by the event's own file identity; graded once the whole trace is known
    SOURCE_DIRECT
    SOURCE_MAPPING
    SOURCE_INHERITED
    SOURCE_ANONYMOUS
    SOURCE_IOVA
    SOURCE_COOCCURRENCE
    SOURCE_UNRESOLVED


cdef struct Segment:
    uint64_t start
    uint64_t end
    int64_t pgoff
    int32_t key
    int32_t kind


# Mapped ranges without overlap, in address order.
cdef struct Segments:
    Segment *items
    size_t used
    size_t capacity


# An address space as far as tasks can be told apart; spaces of one group descend from one another by fork.
cdef struct Space:
    Segments own       # mapped by its tasks
    Segments base      # what it was copied from, as of then
    int32_t group


cdef struct Group:
    Segments all
    int64_t last_exit_ts
    int32_t executed


cdef struct Found:
    uint64_t end      # the answer holds up to here
    int64_t index
    int32_t key
    int32_t kind
    int32_t source


# How sure an identity is, per cent: a rule of design, not a measurement.
cdef inline uint8_t confidence_of(int source) noexcept nogil:
    if source == SOURCE_MAPPING:
        return 90
    if source == SOURCE_INHERITED or source == SOURCE_ANONYMOUS:
        return 60
    return 0


# The end of so many pages from an address on, at most the last page of the address space.
cdef inline uint64_t end_of(uint64_t addr, int64_t npages) noexcept nogil:
    if npages <= 0:
        return addr
    if <uint64_t>npages > (~<uint64_t>0 - addr) >> 12:
        return ~<uint64_t>4095
    return addr + (<uint64_t>npages << 12)


# Pages that hold so many bytes; a length that is no length holds none.
cdef inline int64_t pages_of(int64_t size) noexcept nogil:
    return (size >> 12) + ((size & 4095) != 0) if size > 0 else 0


cdef class AddressSpaces:
    cdef Space *spaces
    cdef size_t used
    cdef size_t capacity
    cdef Group *groups
    cdef size_t groups_used
    cdef size_t groups_capacity
    cdef size_t copied        # segments of one space to another

    cdef int32_t new_space(self, int32_t parent) except -1 nogil
    cdef int32_t _new_group(self) except -1 nogil
    cdef int map_range(self, int32_t space, Segment segment) except -1 nogil
    cdef int precede(self, int32_t space, Segment segment) except -1 nogil
    cdef int copy_base(self, int32_t space, int32_t parent) except -1 nogil
    cdef int32_t exec_space(self, int32_t space, bint mapped) except -1 nogil
    cdef Found resolve(self, int32_t space, uint64_t addr, uint64_t end) noexcept nogil
