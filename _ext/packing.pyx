"""Rows of the in-order pass in few bytes, while they wait for the end of the trace.

A row is told by its operation, a u16 that says which fields differ from what was expected, and each difference as a signed
number of seven bits a byte. Expected are the time and seq of the row before, and the other fields of the last row of the same
operation: about seven bytes a row instead of 64.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from replay._ext.memory cimport bytes_between, wrap_shift, wrap_subtract
from replay._ext.rows cimport Row
from replay._ext.unpacking cimport MOST_BYTES, Expected, Unpacking, next_row, start

cdef enum:
    SEQ = 0
    TS = 1


cdef inline uint8_t *_put(uint8_t *at, uint64_t difference) noexcept nogil:
    """A signed number, its sign in the lowest bit, seven bits a byte."""
    cdef uint64_t left = wrap_shift(difference, 1) ^ (~<uint64_t>0 if difference >> 63 else 0)
    while left >= 128:
        at[0] = <uint8_t>(left & 127 | 128)
        at += 1
        left >>= 7
    at[0] = <uint8_t>left
    return at + 1


cdef inline uint8_t *_differ(uint8_t *at, uint32_t *differing, uint64_t *last, int field, uint64_t value) noexcept nogil:
    """The field's difference from what was expected, if there is any."""
    if value == last[field]:
        return at
    differing[0] |= <uint32_t>1 << field
    at = _put(at, wrap_subtract(value, last[field]))
    last[field] = value
    return at


cdef class Packer:
    """Packs rows as they come, until they are taken as a chunk."""

    def __dealloc__(self):
        free(self.packed)

    cdef int add(self, const Row *rows, size_t count) except -1 nogil:
        cdef size_t i
        for i in range(count):
            if self.capacity - self.used < MOST_BYTES:
                self._enlarge()
            self.used += _pack(&self.expected, &rows[i], self.packed + self.used)
        self.rows += <int64_t>count
        return 0

    cdef int _enlarge(self) except -1 nogil:
        cdef size_t larger = 2 * self.capacity + (1 << 16)
        cdef uint8_t *moved = <uint8_t *>realloc(self.packed, larger)
        if moved == NULL:
            with gil:
                raise MemoryError
        self.packed, self.capacity = moved, larger
        return 0

    def take(self):
        """The rows added since the last time, packed."""
        cdef bytes packed = <bytes>self.packed[:self.used] if self.used else b""
        memset(&self.expected, 0, sizeof(Expected))
        self.used, self.rows = 0, 0
        return packed


cdef inline size_t _pack(Expected *expected, const Row *row, uint8_t *packed) noexcept nogil:
    """Write a row; gives its bytes. Fields are numbers that change little from row to row."""
    cdef uint64_t *last = expected.fields[row.op]
    cdef uint8_t *at = packed + 3
    cdef uint32_t differing = 0
    last[SEQ], last[TS] = expected.seq, expected.ts
    expected.seq, expected.ts = <uint64_t>row.seq, <uint64_t>row.ts
    at = _differ(at, &differing, last, 0, <uint64_t>row.seq)
    at = _differ(at, &differing, last, 1, <uint64_t>row.ts)
    at = _differ(at, &differing, last, 2, <uint64_t>row.index)
    at = _differ(at, &differing, last, 3, <uint64_t>row.npages)
    at = _differ(at, &differing, last, 4, <uint64_t>row.value)
    at = _differ(at, &differing, last, 5, <uint64_t><int64_t>row.tid)
    at = _differ(at, &differing, last, 6, <uint64_t><int64_t>row.file)
    at = _differ(at, &differing, last, 7, <uint64_t><int64_t>row.mr)
    at = _differ(at, &differing, last, 8, <uint64_t><int64_t>row.pin)
    at = _differ(at, &differing, last, 9, <uint64_t><int64_t>row.cpu)
    at = _differ(at, &differing, last, 10, row.flags)
    at = _differ(at, &differing, last, 11, row.source | <uint64_t>row.confidence << 8)
    at = _differ(at, &differing, last, 12, row.touches)
    packed[0], packed[1], packed[2] = row.op, differing & 255, differing >> 8
    return <size_t>bytes_between(packed, at)


def unpack(const uint8_t[::1] packed not None, Py_ssize_t count):
    """So many rows that were packed, as bytes of struct Row."""
    cdef Unpacking source
    cdef Py_ssize_t i
    cdef bytearray rows = bytearray(count * sizeof(Row))
    cdef Row *row = <Row *><char *>rows
    start(&source, packed)
    for i in range(count):
        next_row(&source, &row[i])
    return rows
