# Small growing containers for the compiled core, usable without the GIL.

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from replay._ext.memory cimport prefetch, wrap_multiply


cdef struct Entry:
    uint64_t a
    uint64_t b
    int64_t value
    int64_t taken


# A map from two words to a non-negative number; absent keys read as -1. Open addressing, at most half full.
cdef struct PairMap:
    Entry *entries
    size_t mask
    size_t used


cdef inline size_t _mix(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t h = wrap_multiply(a ^ wrap_multiply(b, <uint64_t>0x9E3779B97F4A7C15), <uint64_t>0xFF51AFD7ED558CCD)
    return <size_t>(h ^ (h >> 29))


cdef inline Entry *_find(PairMap *table, uint64_t a, uint64_t b) noexcept nogil:
    cdef size_t place = _mix(a, b) & table.mask
    while table.entries[place].taken and (table.entries[place].a != a or table.entries[place].b != b):
        place = (place + 1) & table.mask
    return &table.entries[place]


# Ask the memory for where a key is, or will be.
cdef inline void fetch(PairMap *table, uint64_t a, uint64_t b) noexcept nogil:
    if table.entries != NULL:
        prefetch(&table.entries[_mix(a, b) & table.mask])


cdef inline int64_t get(PairMap *table, uint64_t a, uint64_t b) noexcept nogil:
    if table.entries == NULL:
        return -1
    cdef Entry *entry = _find(table, a, b)
    return entry.value if entry.taken else -1


cdef inline int put(PairMap *table, uint64_t a, uint64_t b, int64_t value) except -1 nogil:
    if table.entries == NULL or 2 * table.used > table.mask:
        _enlarge(table)
    cdef Entry *entry = _find(table, a, b)
    if not entry.taken:
        entry.a, entry.b, entry.taken = a, b, 1
        table.used += 1
    entry.value = value
    return 0


cdef inline int _enlarge(PairMap *table) except -1 nogil:
    cdef PairMap larger
    cdef size_t place
    larger.mask = 1023 if table.entries == NULL else 2 * table.mask + 1
    larger.used = table.used
    larger.entries = <Entry *>calloc(larger.mask + 1, sizeof(Entry))
    if larger.entries == NULL:
        with gil:
            raise MemoryError
    if table.entries != NULL:
        for place in range(table.mask + 1):
            if table.entries[place].taken:
                _find(&larger, table.entries[place].a, table.entries[place].b)[0] = table.entries[place]
        free(table.entries)
    table[0] = larger
    return 0


# Room for one more item of `size` bytes at position `used`: returns the array, moved if need be. New room is zeroed.
cdef inline void *room(void *items, size_t used, size_t *capacity, size_t size) except NULL nogil:
    cdef size_t larger
    cdef void *moved
    if used < capacity[0]:
        return items
    larger = 2 * capacity[0] if capacity[0] else 64
    moved = realloc(items, larger * size)
    if moved == NULL:
        with gil:
            raise MemoryError
    memset(<char *>moved + capacity[0] * size, 0, (larger - capacity[0]) * size)
    capacity[0] = larger
    return moved


# A copy of items for Python, which knows their struct as a numpy dtype.
cdef inline bytearray bytes_of(const void *items, size_t size):
    cdef bytearray copied = bytearray(size)
    if size:
        memcpy(<char *>copied, items, size)
    return copied
