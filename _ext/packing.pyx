"""Rows of the in-order pass in few bytes, while they wait for the end of the trace.

A row is told by its operation, a u16 that says which fields differ from what was expected, and each difference as a signed
number of seven bits a byte. Expected are the time and seq of the row before, and the other fields of the last row of the same
operation: about nine bytes a row instead of 64.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from replay._ext.memory cimport bytes_between, wrap_add, wrap_shift, wrap_subtract
from replay._ext.rows cimport Row

cdef enum:
    MOST_BYTES = 160   # of a packed row: 3, and 10 for each field
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


cdef struct Cursor:
    const uint8_t *at
    const uint8_t *end
    bint short               # something was asked for behind the end


cdef inline uint32_t _byte(Cursor *cursor) noexcept nogil:
    cdef uint32_t byte
    if cursor.at == cursor.end:
        cursor.short = True
        return 0
    byte = cursor.at[0]
    cursor.at += 1
    return byte


cdef inline uint64_t _number(Cursor *cursor) noexcept nogil:
    cdef uint32_t byte = _byte(cursor)
    cdef uint64_t left = byte & 127
    cdef int shift = 7
    while byte & 128 and shift < 64:
        byte = _byte(cursor)
        left |= wrap_shift(byte & 127, shift)
        shift += 7
    return (left >> 1) ^ (~<uint64_t>0 if left & 1 else 0)


def unpack(
    const uint8_t[::1] packed not None,
    int64_t[::1] seq not None,
    int64_t[::1] ts not None,
    int64_t[::1] index not None,
    int64_t[::1] npages not None,
    int64_t[::1] value not None,
    int32_t[::1] tid not None,
    int32_t[::1] file not None,
    int32_t[::1] mr not None,
    int32_t[::1] pin not None,
    int32_t[::1] cpu not None,
    uint16_t[::1] flags not None,
    uint8_t[::1] op not None,
    uint8_t[::1] source not None,
    uint8_t[::1] confidence not None,
    uint8_t[::1] touches not None,
):
    """Fill columns with the rows that were packed, as many as the columns are long."""
    cdef Expected expected
    cdef Cursor cursor
    cdef uint64_t *last
    cdef uint64_t before_seq = 0, before_ts = 0
    cdef uint32_t differing
    cdef Py_ssize_t i
    cdef int field
    memset(&expected, 0, sizeof(Expected))
    cursor.at = cursor.end = NULL
    cursor.short = False
    if packed.shape[0]:
        cursor.at = &packed[0]
        cursor.end = cursor.at + packed.shape[0]
    with nogil:
        for i in range(seq.shape[0]):
            op[i] = <uint8_t>_byte(&cursor)
            differing = _byte(&cursor)
            differing |= _byte(&cursor) << 8
            last = expected.fields[op[i]]
            last[SEQ], last[TS] = before_seq, before_ts
            field = 0
            while differing and field < N_FIELDS:
                if differing & 1:
                    last[field] = wrap_add(last[field], _number(&cursor))
                differing >>= 1
                field += 1
            if cursor.short:
                with gil:
                    raise ValueError("packed rows that end too early")
            before_seq, before_ts = last[SEQ], last[TS]
            seq[i], ts[i] = <int64_t>last[0], <int64_t>last[1]
            index[i], npages[i], value[i] = <int64_t>last[2], <int64_t>last[3], <int64_t>last[4]
            tid[i], file[i], mr[i], pin[i] = <int32_t>last[5], <int32_t>last[6], <int32_t>last[7], <int32_t>last[8]
            cpu[i], flags[i] = <int16_t>last[9], <uint16_t>last[10]
            source[i], confidence[i], touches[i] = <uint8_t>(last[11] & 255), <uint8_t>(last[11] >> 8), <uint8_t>last[12]
