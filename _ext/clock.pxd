"""Ring buffer times to the times that trace-cmd report shows (timestamp_calc in trace-cmd's trace-input.c).

Every step is arithmetic modulo 2^64, as there, so that hostile numbers give wrong times and nothing worse.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef struct Sample:
    uint64_t time
    int64_t offset
    uint64_t scaling
    uint64_t fraction        # < 64


cdef struct Clock:
    uint64_t mult            # of a TSC; 0: no conversion
    uint32_t shift           # <= 32
    uint64_t offset
    Sample *samples          # of a guest's clock against its host's; times ascend
    uint32_t sample_count
    bint interpolate


cdef inline uint64_t corrected(uint64_t ts, const Sample *low, const Sample *high, bint interpolate) noexcept nogil:
    cdef int64_t correction = low.offset, product
    cdef uint64_t delta = high.time - low.time, size
    if interpolate and delta != 0 and delta < (<uint64_t> 1 << 63):
        product = <int64_t> ((ts - low.time) * (<uint64_t> high.offset - <uint64_t> low.offset) + delta // 2)
        size = <uint64_t> 0 - <uint64_t> product if product < 0 else <uint64_t> product
        size = size // delta
        correction = <int64_t> (<uint64_t> low.offset + (<uint64_t> 0 - size if product < 0 else size))
    return ((ts * low.scaling) >> low.fraction) + <uint64_t> correction


cdef inline uint64_t host_time(const Clock *clock, uint64_t ts) noexcept nogil:
    cdef uint32_t count = clock.sample_count, low = 0, high, middle
    if count == 1:
        return ts + <uint64_t> clock.samples[0].offset
    if count == 2 or ts <= clock.samples[0].time:
        low = 0
    elif ts >= clock.samples[count - 1].time:
        low = count - 2
    else:
        high = count - 1
        while high - low > 1:
            middle = low + (high - low) // 2
            if clock.samples[middle].time <= ts:
                low = middle
            else:
                high = middle
    return corrected(ts, &clock.samples[low], &clock.samples[low + 1], clock.interpolate)


cdef inline uint64_t nanoseconds(const Clock *clock, uint64_t ts) noexcept nogil:
    cdef uint64_t low, high
    if clock.sample_count != 0:
        ts = host_time(clock, ts)
    if clock.mult != 0:
        # As libtracecmd's mul_u64_u32_shr, which drops bits of the low half that a wider product would carry.
        low = <uint32_t> ts
        high = ts >> 32
        ts = ((low * clock.mult) >> clock.shift) + ((high * clock.mult) << (<uint32_t> 32 - clock.shift))
    return ts + clock.offset
