from libc.stdint cimport int32_t, int64_t, uint8_t

from replay._ext.history cimport History
from replay._ext.world cimport Rows

cdef class Trace:
    cdef dict arrays                 # keeps what the pointers point to
    cdef History history             # keeps what the rows point to
    cdef Rows rows
    cdef int32_t n_tasks, n_owners, n_files, n_pins, n_regions
    cdef int64_t n_slots, n_runs
    cdef const int32_t* task_owner
    cdef const uint8_t* task_kworker
    cdef const int64_t* file_slot
    cdef const int64_t* file_nslots
    cdef const uint8_t* file_dax
    cdef const uint8_t* file_memory
    cdef const int64_t* pin_slot
    cdef const int64_t* pin_npages
    cdef const int32_t* pin_file
    cdef const int32_t* pin_region
    cdef const int32_t* pin_task
    cdef const uint8_t* pin_write
    cdef const uint8_t* pin_longterm
    cdef const uint8_t* pin_preexisting
    cdef const uint8_t* pin_released # its release is recorded
    cdef const int32_t* region_task
    cdef const int32_t* region_device
    cdef const uint8_t* region_write
    cdef const int32_t* region_first # its pins: region_pins[region_first[r] : region_first[r + 1]]
    cdef const int32_t* region_pins
    cdef const int32_t* first_row    # of each task, -1
    cdef const int32_t* last_row     # of each process, -1
    cdef const int64_t* run_slot
    cdef const int64_t* run_index
    cdef const int32_t* run_at       # see world.pxd
    cdef int64_t n_reuses
    cdef const int32_t* reuse_row    # block_alloc rows that take blocks which pages gave up
    cdef const int64_t* reuse_slot
    cdef const int64_t* reuse_npages

    cdef point(self)
