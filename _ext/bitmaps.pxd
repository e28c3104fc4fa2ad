# Arrow's bitmaps from truth values by row.

from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #include <stdint.h>
    /* Exchange rows and columns of 32 x 32 bits: blocks of 16, then of 8, and so on, change places across the diagonal. */
    static inline void transpose_32(uint32_t *rows) {
        uint32_t mask = 0xFFFF, moved;
        int block, row;
        for (block = 16; block; block >>= 1, mask ^= mask << block)
            for (row = 0; row < 32; row = (row + block + 1) & ~block) {
                moved = (rows[row] >> block ^ rows[row + block]) & mask;
                rows[row + block] ^= moved;
                rows[row] ^= moved << block;
            }
    }
    """
    void transpose_32(uint32_t *rows) noexcept nogil
