from libc.stdint cimport int16_t, int32_t, uint8_t, uint32_t

cdef enum:
    MOST_WORDS = 512
    SLOTS = 1024       # a power of two, so that no more than half of them are taken
    MOST_BYTES = 32768
    FULL = -1


cdef struct Words:
    uint32_t begins[MOST_WORDS + 1]   # of each word in the text
    uint32_t hashes[MOST_WORDS]
    int16_t slots[SLOTS]              # numbers of words, found by hash; -1 where there is none


cdef class Vocabulary:
    cdef Words *known
    cdef uint8_t *text
    cdef uint32_t capacity
    cdef readonly int32_t count

    cdef int32_t number_of(self, const uint8_t *word, uint32_t size) except -2 nogil
    cdef uint32_t size_of(self, int32_t number) noexcept nogil
    cdef int prepare(self) except -1 nogil
    cdef int append(self, const uint8_t *word, uint32_t size) except -1 nogil
