from libc.stdint cimport int32_t, int64_t, uint8_t

from replay._ext.hashing cimport PairMap


# Which file a row means, where its key may mean several: those of a group, or the later ones of an inode number that was used
# again. Groups are numbered by key, and each file of one inode number knows the first; -1 for none.
cdef class Settling:
    cdef PairMap last
    cdef const int32_t[::1] group_of_key
    cdef const int32_t[::1] group_of_file
    cdef const int32_t[::1] first_of_file
    cdef const uint8_t[::1] by_device
    cdef int64_t[::1] latest

    cdef int64_t settle(self, int32_t key, int op, int64_t index, int64_t file) except? -2 nogil
