# Arrow's bitmaps from truth values by row.

from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #include <stdint.h>
    /* Blocks of so many rows and columns change places across the diagonal. */
    static inline void exchange(uint32_t *rows, int block, uint32_t mask) {
        int group, row;
        for (group = 0; group < 32; group += 2 * block)
            for (row = group; row < group + block; row++) {
                uint32_t moved = (rows[row] >> block ^ rows[row + block]) & mask;
                rows[row + block] ^= moved;
                rows[row] ^= moved << block;
            }
    }
    /* Exchange rows and columns of 32 x 32 bits. */
    static inline void transpose_32(uint32_t *rows) {
        exchange(rows, 16, 0x0000FFFF);
        exchange(rows, 8, 0x00FF00FF);
        exchange(rows, 4, 0x0F0F0F0F);
        exchange(rows, 2, 0x33333333);
        exchange(rows, 1, 0x55555555);
    }
    """
    void transpose_32(uint32_t *rows) noexcept nogil
