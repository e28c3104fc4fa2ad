"""Numbers read from bytes of any alignment and of either byte order, and arithmetic that must not be checked.

The debug build has Cython treat every wrap as an error, and pointer differences as numbers of another type: where a wrap
is meant, or pointers are subtracted, C does it.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint64_t wrap_add(uint64_t a, uint64_t b) { return a + b; }
    static inline uint64_t wrap_subtract(uint64_t a, uint64_t b) { return a - b; }
    static inline uint64_t wrap_multiply(uint64_t a, uint64_t b) { return a * b; }
    static inline uint64_t wrap_shift(uint64_t a, uint32_t bits) { return bits < 64 ? a << bits : 0; }
    static inline int64_t bytes_between(const uint8_t *begin, const uint8_t *end) { return end - begin; }
    static inline uint16_t read_16(const uint8_t *at) { uint16_t value; memcpy(&value, at, 2); return value; }
    static inline uint32_t read_32(const uint8_t *at) { uint32_t value; memcpy(&value, at, 4); return value; }
    static inline uint64_t read_64(const uint8_t *at) { uint64_t value; memcpy(&value, at, 8); return value; }
    static inline uint16_t word_16(const uint8_t *at, int big_endian) { return big_endian ? __builtin_bswap16(read_16(at)) : read_16(at); }
    static inline uint32_t word_32(const uint8_t *at, int big_endian) { return big_endian ? __builtin_bswap32(read_32(at)) : read_32(at); }
    static inline uint64_t word_64(const uint8_t *at, int big_endian) { return big_endian ? __builtin_bswap64(read_64(at)) : read_64(at); }
    static inline void swap_items(uint8_t *data, int64_t count, uint32_t item_bytes) {
        int64_t i;
        if (item_bytes == 2)
            for (i = 0; i < count; i++) { uint16_t v = word_16(data + 2 * i, 1); memcpy(data + 2 * i, &v, 2); }
        else if (item_bytes == 4)
            for (i = 0; i < count; i++) { uint32_t v = word_32(data + 4 * i, 1); memcpy(data + 4 * i, &v, 4); }
        else if (item_bytes == 8)
            for (i = 0; i < count; i++) { uint64_t v = word_64(data + 8 * i, 1); memcpy(data + 8 * i, &v, 8); }
    }
    /* sum[0] is the lower half of a sum, sum[1] the upper one. */
    static inline void add_product(uint64_t *sum, uint64_t a, uint64_t b) {
        unsigned __int128 whole = ((unsigned __int128)sum[1] << 64 | sum[0]) + (unsigned __int128)a * b;
        sum[0] = (uint64_t)whole;
        sum[1] = (uint64_t)(whole >> 64);
    }
    /* GCC takes a function that only prefetches for one without effect, and drops calls of it; the empty statement has one. */
    static inline void prefetch(const void *address) { __asm__ volatile("" : : "r"(address)); __builtin_prefetch(address); }
    """
    void add_product(uint64_t *sum, uint64_t a, uint64_t b) noexcept nogil
    void prefetch(const void *address) noexcept nogil
    uint16_t word_16(const uint8_t *, bint big_endian) noexcept nogil
    uint32_t word_32(const uint8_t *, bint big_endian) noexcept nogil
    uint64_t word_64(const uint8_t *, bint big_endian) noexcept nogil
    void swap_items(uint8_t *data, int64_t count, uint32_t item_bytes) noexcept nogil
    uint64_t wrap_add(uint64_t, uint64_t) noexcept nogil
    uint64_t wrap_subtract(uint64_t, uint64_t) noexcept nogil
    uint64_t wrap_multiply(uint64_t, uint64_t) noexcept nogil
    uint64_t wrap_shift(uint64_t, uint32_t) noexcept nogil
    int64_t bytes_between(const uint8_t *begin, const uint8_t *end) noexcept nogil
    uint16_t read_16(const uint8_t *) noexcept nogil
    uint32_t read_32(const uint8_t *) noexcept nogil
    uint64_t read_64(const uint8_t *) noexcept nogil
