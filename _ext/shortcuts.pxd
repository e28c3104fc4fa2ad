from libc.stdint cimport int32_t, uint16_t

from replay._ext.world cimport N_PAGE_FLAGS, REGION_REFUSED, ROW_SHORT, World

cdef enum:
    CLOSER = 32768         # instead of flags: the row needs a closer look


cdef inline bint take_shortcut(World* w, int32_t row) noexcept nogil:
    """Do what the row does, if the table tells; it is not run again after a wait."""
    cdef int32_t slot = w.rows.slot[row], region = w.rows.subject[row]
    cdef uint16_t effect
    if not w.rows.flags[row] & ROW_SHORT or (region >= 0 and w.regions[region].state >= REGION_REFUSED):
        return False
    effect = w.effects[w.rows.op[row] * N_PAGE_FLAGS + w.flags[slot]]
    if effect & CLOSER:
        return False
    w.flags[slot] = effect
    return True


cdef int find_effects(World* w) except -1 nogil
cdef void walk(World* w) noexcept nogil
