"""Which pages are touched: one pass over rows, whatever their order."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free

from replay._ext.hashing cimport PairMap, bytes_of, get, put, room
from replay._ext.memory cimport wrap_shift
from replay._ext.ops cimport OP_PIN
from replay._ext.rows cimport FLAG_WEAK, Row, told

INDEX_END = 1 << 51
"""loff_t ends at 2^63 - 1: no page of a file has a higher number than this (include/linux/fs.h, MAX_LFS_FILESIZE)."""

cdef enum:
    WEAK_SHIFT = 32

cdef int64_t END = INDEX_END
cdef uint64_t ALL = ~<uint64_t>0


cdef class PageBits:
    """A set of pages of files: short ranges as a bitmap, long ones as they come."""

    def __cinit__(self, const uint8_t[::1] touching=None):
        """`touching` says of each of 256 operations whether its range is pages that take part; needed by `touch` only."""
        self.last_at = -1
        if touching is not None:
            for op in range(256):
                self.touching[op] = touching[op]

    def __dealloc__(self):
        free(self.chunks)
        free(self.places.entries)
        free(self.ranges)

    def add(self, const int64_t[::1] file, const int64_t[::1] begin, const int64_t[::1] npages):
        """Put ranges into the set; none may be empty, negative or beyond INDEX_END."""
        cdef Py_ssize_t i
        with nogil:
            for i in range(file.shape[0]):
                self._add(file[i], begin[i], npages[i])

    cdef int touch(self, Row *rows, size_t count) except -1 nogil:
        """Put in what rows touch, and mark those rows. Files are file keys, in rows that may be dropped later (FLAG_WEAK) with
        operation + 1 in their upper half."""
        cdef size_t i
        cdef Row *row
        cdef bint weak
        for i in range(count):
            row = &rows[i]
            weak = row.flags & told(FLAG_WEAK, True) != 0
            self.met[weak][row.op] = 1
            if not self.touching[row.op] or row.file < 0 or row.index < 0 or row.npages <= 0:
                continue
            # A pin call that returned an error holds no page.
            if row.npages >= END or row.index >= END - row.npages or (row.op == OP_PIN and row.pin < 0):
                continue
            row.touches = 1
            self._add(row.file | (<int64_t>row.op + 1) << WEAK_SHIFT if weak else row.file, row.index, row.npages)
        return 0

    def superseded(self):
        """Operations of which both weak rows and others were met."""
        return [op for op in range(256) if self.met[0][op] and self.met[1][op]]

    cdef int _add(self, int64_t file, int64_t begin, int64_t npages) except -1 nogil:
        cdef int64_t number, low, high, end = begin + npages
        if npages > CHUNK_PAGES:
            self.ranges = <Run *>room(self.ranges, self.ranges_used, &self.ranges_capacity, sizeof(Run))
            self.ranges[self.ranges_used].file = file
            self.ranges[self.ranges_used].begin, self.ranges[self.ranges_used].end = begin, end
            self.ranges_used += 1
            return 0
        while begin < end:
            number = begin >> CHUNK_BITS
            if self.last_at < 0 or number != self.last_number or file != self.last_file:
                self.last_at = self._chunk(file, number)
                self.last_file, self.last_number = file, number
            low, high = begin & (CHUNK_PAGES - 1), min(end - (number << CHUNK_BITS), CHUNK_PAGES)
            if high == low + 1:
                self.chunks[self.last_at].words[low >> 6] |= <uint64_t>1 << (low & 63)
            else:
                _fill(&self.chunks[self.last_at], low, high)
            begin = (number + 1) << CHUNK_BITS
        return 0

    cdef int64_t _chunk(self, int64_t file, int64_t number) except -1 nogil:
        cdef int64_t at = get(&self.places, <uint64_t>file, <uint64_t>number)
        if at >= 0:
            return at
        self.chunks = <Chunk *>room(self.chunks, self.used, &self.capacity, sizeof(Chunk))
        at = <int64_t>self.used
        self.chunks[at].file, self.chunks[at].number = file, number
        self.used += 1
        put(&self.places, <uint64_t>file, <uint64_t>number, at)
        return at

    def runs(self):
        """The set as bytes of struct Run: runs of pages, those of a chunk in order, in no order of chunks, and the long ranges."""
        cdef size_t at
        cdef Run *runs = NULL
        cdef size_t runs_used = 0, capacity = 0
        try:
            for at in range(self.used):
                runs = _runs(&self.chunks[at], runs, &runs_used, &capacity)
            return bytes_of(self.ranges, self.ranges_used * sizeof(Run)) + bytes_of(runs, runs_used * sizeof(Run))
        finally:
            free(runs)


cdef void _fill(Chunk *chunk, int64_t low, int64_t high) noexcept nogil:
    """Set the bits [low, high) of a chunk."""
    cdef int64_t word
    cdef uint64_t bits
    for word in range(low >> 6, (high + 63) >> 6):
        bits = ALL
        if word == low >> 6:
            bits &= wrap_shift(ALL, low & 63)
        if word == high >> 6:
            bits &= ~wrap_shift(ALL, high & 63)
        chunk.words[word] |= bits


cdef Run *_runs(const Chunk *chunk, Run *runs, size_t *used, size_t *capacity) except NULL nogil:
    """Append the runs of a chunk."""
    cdef int64_t bit = 0, begin = -1
    cdef uint64_t word
    runs = <Run *>room(runs, used[0], capacity, sizeof(Run))
    while bit <= CHUNK_PAGES:
        word = chunk.words[bit >> 6] if bit < CHUNK_PAGES else 0
        if bit & 63 == 0 and bit < CHUNK_PAGES and word == (0 if begin < 0 else ALL):
            bit += 64
            continue
        if word >> (bit & 63) & 1:
            if begin < 0:
                begin = bit
        elif begin >= 0:
            runs = <Run *>room(runs, used[0], capacity, sizeof(Run))
            runs[used[0]].file = chunk.file
            runs[used[0]].begin, runs[used[0]].end = (chunk.number << CHUNK_BITS) + begin, (chunk.number << CHUNK_BITS) + bit
            used[0] += 1
            begin = -1
        bit += 1
    return runs
