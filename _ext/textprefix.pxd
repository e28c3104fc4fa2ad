# The grammar of an event line's beginning, and how tools write the name of its event.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

cdef enum:
    PREFIX_BYTES = 320
    COMM_COLUMN = 16
    LATENCY_COLUMN = 8
    NAME_BYTES = 255
    CPUS = 65536
    COUNTS = 255
    NAMED_FORM = 0
    ENTER_FORM = 1
    EXIT_FORM = 2
    FUNCTION_FORM = 3
    OTHER_FORM = 4
    RECORD_FORM = 5


cdef packed struct Line:
    int64_t at
    int64_t ts
    int64_t payload_at
    int64_t comm_at
    int32_t payload_bytes
    int32_t cpu
    int32_t tid
    int32_t tgid
    int32_t event
    int32_t buffer
    uint8_t comm_bytes
    uint8_t decimals


cdef struct Text:
    const uint8_t *data
    int64_t at
    int64_t end


cdef struct Name:
    int64_t at
    int32_t size
    uint8_t kind
    uint8_t multiline


cdef inline bint is_digit(uint8_t byte) noexcept nogil:
    return byte >= 48 and byte <= 57


cdef inline bint is_blank(uint8_t byte) noexcept nogil:
    return byte == 32 or byte == 9


cdef inline uint8_t peek(const Text *text) noexcept nogil:
    """The next byte, 0 at the end of the line."""
    return text.data[text.at] if text.at < text.end else 0


cdef inline void skip_blanks(Text *text) noexcept nogil:
    while text.at < text.end and is_blank(text.data[text.at]):
        text.at += 1


cdef inline bint take(Text *text, uint8_t byte) noexcept nogil:
    if text.at < text.end and text.data[text.at] == byte:
        text.at += 1
        return True
    return False


cdef inline int number(Text *text, int most, uint64_t *value) noexcept nogil:
    """Take decimal digits; how many, or 0 if there is none or more than `most` (at most 19: no overflow)."""
    cdef int count = 0
    value[0] = 0
    while text.at < text.end and is_digit(text.data[text.at]):
        if count == most:
            return 0
        value[0] = value[0] * 10 + (text.data[text.at] - 48)
        count += 1
        text.at += 1
    return count


cdef inline bint skip_word(Text *text, int most) noexcept nogil:
    cdef int64_t limit = text.at + most if text.end - text.at > most else text.end
    while text.at < limit and not is_blank(text.data[text.at]):
        text.at += 1
    return text.at == text.end or is_blank(text.data[text.at])


cdef inline bint timestamp(Text *text, Line *line, bint count_allowed) noexcept nogil:
    """SECONDS.FRACTION: or COUNT: and the blanks after it."""
    cdef uint64_t whole, part
    cdef int places
    part = 0
    if not number(text, 19, &whole):
        return False
    if take(text, 46):
        places = number(text, 9, &part)
        if not places or whole > <uint64_t> 9000000000:
            return False
        line.decimals = <uint8_t> places
        while places < 9:
            part *= 10
            places += 1
        line.ts = <int64_t> (whole * <uint64_t> 1000000000 + part)
    else:
        if not count_allowed:
            return False
        line.decimals = COUNTS
        if whole >> 61:
            return False
        line.ts = <int64_t> whole
    # The replay counts with times below 2^61.
    if line.ts >> 61 or not take(text, 58):
        return False
    return text.at == text.end or is_blank(text.data[text.at])


cdef inline bint relative_timestamp(Text *text, Line *line) noexcept nogil:
    """USECSus MARK: where the mark tells a delay (kernel/trace/trace_output.c lat_print_timestamp)."""
    cdef uint64_t whole
    if not number(text, 15, &whole) or not take(text, 117) or not take(text, 115):
        return False
    if text.at < text.end and text.data[text.at] != 58:
        text.at += 1
    line.ts = <int64_t> (whole * 1000)
    line.decimals = 6
    return take(text, 58)


cdef inline bint after_pid(Text *text, Line *line) noexcept nogil:
    """[(TGID)] [CPU] [FLAGS] TIMESTAMP:"""
    cdef uint64_t value
    cdef Text kept
    skip_blanks(text)
    line.tgid = -1
    if take(text, 40):
        skip_blanks(text)
        if number(text, 9, &value):
            line.tgid = <int32_t> value
        while take(text, 45):
            pass
        if not take(text, 41):
            return False
        skip_blanks(text)
    if not take(text, 91) or not number(text, 5, &value) or value >= CPUS or not take(text, 93):
        return False
    line.cpu = <int32_t> value
    skip_blanks(text)
    kept = text[0]
    if timestamp(text, line, True):
        return True
    text[0] = kept
    if not skip_word(text, 16):
        return False
    skip_blanks(text)
    return timestamp(text, line, True)


cdef inline bint after_pid_latency(Text *text, Line *line) noexcept nogil:
    """CPUFLAGS TIMESTAMP:"""
    cdef uint64_t value
    cdef int64_t flags
    cdef Text kept
    skip_blanks(text)
    line.tgid = -1
    if not number(text, 4, &value):
        return False
    line.cpu = <int32_t> value
    flags = text.at
    if not skip_word(text, 16) or text.at - flags < 3:
        return False
    skip_blanks(text)
    kept = text[0]
    if relative_timestamp(text, line):
        return True
    text[0] = kept
    return timestamp(text, line, True)


cdef inline void split_comm(const Text *whole, int64_t dash, int column, Line *line, int64_t *buffer_end) noexcept nogil:
    """The command is right-justified in its column; what stands before the column is the name of the buffer, with a colon."""
    cdef int64_t begin = whole.at, before
    buffer_end[0] = -1
    if dash - begin > column:
        begin = dash - column
        before = begin
        while before > whole.at and is_blank(whole.data[before - 1]):
            before -= 1
        if before > whole.at + 1 and whole.data[before - 1] == 58:
            buffer_end[0] = before - 1
    while begin < dash and is_blank(whole.data[begin]):
        begin += 1
    line.comm_at = begin
    line.comm_bytes = <uint8_t> (dash - begin)


cdef inline bint task_prefix(Text *text, Line *line, bint latency, int64_t *buffer_end) noexcept nogil:
    cdef Text whole = text[0]
    cdef Text rest = text[0]
    cdef uint64_t pid
    cdef int64_t dash = text.at
    cdef int64_t limit = text.at + PREFIX_BYTES if text.end - text.at > PREFIX_BYTES else text.end
    while True:
        dash += 1
        while dash < limit and whole.data[dash] != 45:
            dash += 1
        if dash >= limit:
            return False
        rest.at = dash + 1
        if not number(&rest, 9, &pid):
            continue
        line.tid = <int32_t> pid
        if (after_pid_latency(&rest, line) if latency else after_pid(&rest, line)):
            split_comm(&whole, dash, LATENCY_COLUMN if latency else COMM_COLUMN, line, buffer_end)
            text.at = rest.at
            return True


cdef inline bint after_perf_pid(Text *text, Line *line) noexcept nogil:
    """[/TID] [[CPU]] [MISC] TIMESTAMP: [PERIOD]"""
    cdef uint64_t value
    cdef Text kept
    line.tgid = -1
    line.cpu = -1
    if take(text, 47):
        line.tgid = line.tid
        if not number(text, 9, &value):
            return False
        line.tid = <int32_t> value
    if not is_blank(peek(text)):
        return False
    skip_blanks(text)
    if take(text, 91):
        if not number(text, 5, &value) or value >= CPUS or not take(text, 93):
            return False
        line.cpu = <int32_t> value
        skip_blanks(text)
    if not is_digit(peek(text)):
        # -F +misc: a few letters.
        if not skip_word(text, 8):
            return False
        skip_blanks(text)
    if not timestamp(text, line, False):
        return False
    skip_blanks(text)
    kept = text[0]
    if not (number(text, 19, &value) and is_blank(peek(text))):
        text[0] = kept
    return True


cdef inline bint perf_prefix(Text *text, Line *line) noexcept nogil:
    cdef Text rest = text[0]
    cdef uint64_t pid
    cdef int64_t at = text.at, comm = text.at, last
    cdef int64_t limit = text.at + PREFIX_BYTES if text.end - text.at > PREFIX_BYTES else text.end
    while comm < limit and is_blank(rest.data[comm]):
        comm += 1
    at = comm
    while at < limit:
        rest.at = at
        if number(&rest, 9, &pid):
            line.tid = <int32_t> pid
            if after_perf_pid(&rest, line):
                last = at
                while last > comm and is_blank(rest.data[last - 1]):
                    last -= 1
                line.comm_at = comm
                line.comm_bytes = <uint8_t> (last - comm if last - comm < 255 else 255)
                text.at = rest.at
                return True
        while at < limit and not is_blank(rest.data[at]):
            at += 1
        while at < limit and is_blank(rest.data[at]):
            at += 1
    return False


cdef inline bint starts(const Text *text, const char *word, int size) noexcept nogil:
    return text.end - text.at >= size and memcmp(text.data + text.at, word, size) == 0


cdef inline int event_name(Text *text, Name *name) noexcept nogil:
    """Take the event's name, and leave the text at its payload; how the event is written."""
    cdef int64_t at, begin
    cdef int kind = OTHER_FORM
    skip_blanks(text)
    if starts(text, b"(+", 2):
        # trace-cmd report --ts-diff
        at = text.at + 2
        while at < text.end and is_digit(text.data[at]):
            at += 1
        if at < text.end and text.data[at] == 41:
            text.at = at + 1
            skip_blanks(text)
    begin = text.at
    name.at, name.size = begin, 0
    at = begin
    if starts(text, b"PERF_RECORD_", 12):
        at += 12
        while at < text.end and at - begin < NAME_BYTES and (65 <= text.data[at] <= 90 or is_digit(text.data[at]) or text.data[at] == 95):
            at += 1
        name.at, name.size = begin + 12, <int32_t> (at - begin - 12)
        text.at = at
        skip_blanks(text)
        return RECORD_FORM
    while at < text.end and not is_blank(text.data[at]) and at - begin <= NAME_BYTES:
        if text.data[at] == 58 and at > begin and (at + 1 == text.end or is_blank(text.data[at + 1])):
            name.size = <int32_t> (at - begin)
            text.at = at + 1
            skip_blanks(text)
            return NAMED_FORM
        if text.data[at] == 40 and starts(text, b"sys_", 4) and at - begin > 4:
            name.at, name.size = begin + 4, <int32_t> (at - begin - 4)
            text.at = at + 1
            if text.end > text.at and text.data[text.end - 1] == 41:
                text.end -= 1
            return ENTER_FORM
        at += 1
    if text.end - at >= 4 and memcmp(text.data + at, b" -> ", 4) == 0 and starts(text, b"sys_", 4) and at - begin > 4:
        name.at, name.size = begin + 4, <int32_t> (at - begin - 4)
        text.at = at + 4
        return EXIT_FORM
    if text.end - at >= 3 and memcmp(text.data + at, b" <-", 3) == 0:
        kind = FUNCTION_FORM
    return kind
