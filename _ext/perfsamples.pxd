# How the samples of an event are laid out, and the parts that tables are made of.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

cdef enum:
    HEAD       # what stands at fixed places: up to the period
    CHAIN      # the callchain's addresses
    RAW        # what the tracepoint wrote
    MIDDLE     # weight, data_src, transaction
    TAIL       # phys_addr, cgroup, data_page_size, code_page_size
    PARTS


# How samples of an event are laid out, and the trailer of all other records.
cdef struct Layout:
    uint64_t sample_type
    uint64_t read_format
    uint64_t branch_type
    uint32_t user_registers      # how many are dumped
    uint32_t interrupt_registers
    int32_t id_at                # places in a sample, from its header on; -1: it has none
    int32_t tid_at
    int32_t time_at
    int32_t cpu_at
    uint32_t head_bytes
    int32_t trailer_time_at      # places in the trailer; -1: it has none
    int32_t trailer_cpu_at
    int32_t trailer_id_at
    uint32_t trailer_bytes
    int32_t groups[5]            # of the parts; -1: the samples do not have it
    bint big_endian


cdef struct Piece:
    const uint8_t *data
    uint32_t bytes


cdef bint locate(const Layout *layout, const uint8_t *record, uint32_t size, Piece *pieces) noexcept nogil
cdef first_of(list places)
