"""Ring buffer times to the times that trace-cmd report shows (timestamp_calc in trace-cmd's trace-input.c).

Every step is arithmetic modulo 2^64, as there, so that hostile numbers give wrong times and nothing worse.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay._ext.memory cimport wrap_add, wrap_multiply, wrap_shift, wrap_subtract


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
    cdef uint64_t correction = <uint64_t> low.offset, product, size
    cdef uint64_t delta = wrap_subtract(high.time, low.time)
    if interpolate and delta != 0 and delta >> 63 == 0:
        product = wrap_multiply(wrap_subtract(ts, low.time), wrap_subtract(<uint64_t> high.offset, <uint64_t> low.offset))
        product = wrap_add(product, delta // 2)
        if product >> 63:
            size = wrap_subtract(0, product) // delta
            correction = wrap_subtract(correction, size)
        else:
            correction = wrap_add(correction, product // delta)
    return wrap_add(wrap_multiply(ts, low.scaling) >> low.fraction, correction)


cdef inline uint64_t host_time(const Clock *clock, uint64_t ts) noexcept nogil:
    cdef uint32_t count = clock.sample_count, low = 0, high, middle
    if count == 1:
        return wrap_add(ts, <uint64_t> clock.samples[0].offset)
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
        low = wrap_multiply(<uint32_t> ts, clock.mult) >> clock.shift
        high = wrap_shift(wrap_multiply(ts >> 32, clock.mult), <uint32_t> 32 - clock.shift)
        ts = wrap_add(low, high)
    return wrap_add(ts, clock.offset)
