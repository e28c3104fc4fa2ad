# Which pages are touched.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from replay._ext.hashing cimport PairMap
from replay._ext.rows cimport Row

cdef enum:
    CHUNK_BITS = 12              # pages per chunk of the bitmap, as a power of two
    CHUNK_PAGES = 4096           # written out, since Cython checks no overflow in a constant
    CHUNK_WORDS = 64             # of 64 pages each


cdef struct Chunk:
    int64_t file
    int64_t number
    uint64_t words[CHUNK_WORDS]


cdef struct Run:
    int64_t file
    int64_t begin
    int64_t end


cdef class PageBits:
    cdef Chunk *chunks
    cdef size_t used
    cdef size_t capacity
    cdef PairMap places
    cdef Run *ranges
    cdef size_t ranges_used
    cdef size_t ranges_capacity
    cdef int64_t last_at, last_file, last_number
    cdef uint8_t touching[256]
    cdef uint8_t met[2][256]

    cdef int touch(self, Row *rows, size_t count) except -1 nogil
    cdef int _add(self, int64_t file, int64_t begin, int64_t npages) except -1 nogil
    cdef int64_t _chunk(self, int64_t file, int64_t number) except -1 nogil
