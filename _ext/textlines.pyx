"""Splits trace text into event lines: who, where, when, which event, and where its payload lies. Nothing is copied.

    TASK     [BUFFER: ]    COMM-PID  [(TGID)] [CPU] [FLAGS] SECONDS.FRACTION: EVENT: PAYLOAD     tracefs, trace-cmd report
    LATENCY  [BUFFER: ]COMM-PID  CPUFLAGS SECONDS.FRACTION: or  USECSus MARK: EVENT: PAYLOAD     the same in latency format
    PERF     [COMM] PID[/TID] [[CPU]] [MISC] SECONDS.FRACTION: [PERIOD] SYSTEM:EVENT: PAYLOAD    perf script

(kernel/trace/trace_output.c trace_print_context; trace-cmd lib/trace-read.c; tools/perf/builtin-script.c.) A command may hold
spaces, colons, dashes and brackets but only 15 bytes, too few for a prefix of its own: the leftmost full prefix is the right one.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memset

TASK = 0
LATENCY = 1
PERF = 2

NAMED = 0
ENTER = 1
EXIT = 2
FUNCTION = 3
OTHER = 4
"""How an event is written: by name; as `sys_x(arguments)`; as `sys_x -> result`; as `function <-caller`; otherwise."""

MOST_NAMES = 4096
"""Distinct event names that a scanner takes in; lines of any further one are not parsed."""

cdef enum:
    TASK_GRAMMAR = 0
    LATENCY_GRAMMAR = 1
    PERF_GRAMMAR = 2
    NAME_CAPACITY = 4096
    SLOTS = 8192
    PREFIX_BYTES = 320
    COMM_COLUMN = 16
    LATENCY_COLUMN = 8
    NAME_BYTES = 255
    COUNTS = 255
    PAYLOAD_BYTES = 1 << 30

cdef enum:
    NAMED_FORM = 0
    ENTER_FORM = 1
    EXIT_FORM = 2
    FUNCTION_FORM = 3
    OTHER_FORM = 4

cdef enum Stop:
    AT_END = 0
    AT_NEW_NAME = 1
    AT_FULL = 2

# Decimals of a timestamp that is a count and not in seconds.
UNSCALED = COUNTS
NEW_NAME = AT_NEW_NAME
END = AT_END


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


cdef bint timestamp(Text *text, Line *line, bint count_allowed) noexcept nogil:
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
        if not count_allowed or whole >> 63:
            return False
        line.decimals = COUNTS
        line.ts = <int64_t> whole
    if not take(text, 58):
        return False
    return text.at == text.end or is_blank(text.data[text.at])


cdef bint relative_timestamp(Text *text, Line *line) noexcept nogil:
    """USECSus MARK: where the mark tells a delay (kernel/trace/trace_output.c lat_print_timestamp)."""
    cdef uint64_t whole
    if not number(text, 15, &whole) or not take(text, 117) or not take(text, 115):
        return False
    if text.at < text.end and text.data[text.at] != 58:
        text.at += 1
    line.ts = <int64_t> (whole * 1000)
    line.decimals = 6
    return take(text, 58)


cdef bint after_pid(Text *text, Line *line) noexcept nogil:
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
    if not take(text, 91) or not number(text, 5, &value) or not take(text, 93):
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


cdef bint after_pid_latency(Text *text, Line *line) noexcept nogil:
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


cdef void split_comm(const Text *whole, int64_t dash, int column, Line *line, int64_t *buffer_end) noexcept nogil:
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


cdef bint task_prefix(Text *text, Line *line, bint latency, int64_t *buffer_end) noexcept nogil:
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


cdef bint after_perf_pid(Text *text, Line *line) noexcept nogil:
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
        if not number(text, 5, &value) or not take(text, 93):
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


cdef bint perf_prefix(Text *text, Line *line) noexcept nogil:
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


cdef bint starts(const Text *text, const char *word, int size) noexcept nogil:
    return text.end - text.at >= size and memcmp(text.data + text.at, word, size) == 0


cdef int event_name(Text *text, Name *name) noexcept nogil:
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


cdef class Names:
    """Numbers names in order of appearance; a name is kept as its first place in the text."""

    cdef const uint8_t *data
    cdef Name names[NAME_CAPACITY]
    cdef int32_t slots[SLOTS]
    cdef readonly int count

    def __cinit__(self):
        self.count = 0
        memset(self.slots, 0xFF, sizeof(self.slots))

    cdef int find(self, const Name *name, bint *is_new) noexcept nogil:
        """The number of a name, -1 if there is no room for one more."""
        cdef uint32_t mix = 2166136261u ^ name.kind
        cdef int32_t i, known
        is_new[0] = False
        for i in range(name.size):
            mix = (mix ^ self.data[name.at + i]) * 16777619u
        mix ^= mix >> 15
        while True:
            mix &= SLOTS - 1
            known = self.slots[mix]
            if known < 0:
                break
            if self.names[known].size == name.size and self.names[known].kind == name.kind:
                if memcmp(self.data + self.names[known].at, self.data + name.at, name.size) == 0:
                    return known
            mix += 1
        if self.count == NAME_CAPACITY:
            return -1
        is_new[0] = True
        self.slots[mix] = self.count
        self.names[self.count] = name[0]
        self.count += 1
        return self.count - 1


cdef class Scanner:
    """Scans one text by one grammar. Events and buffers get numbers in order of appearance.

    `scan` stops behind a line with a new event so that the caller can say with `set_multiline` whether its payload may span lines.
    """

    cdef const uint8_t[::1] view
    cdef Names events
    cdef Names buffers
    cdef int grammar
    cdef readonly int64_t unparsed
    """Lines so far that are neither events nor parts of one nor notes."""
    cdef readonly int64_t first_unparsed
    """Where the first of them begins, or -1."""

    def __cinit__(self, const uint8_t[::1] data not None, int grammar):
        self.view = data
        self.grammar = grammar
        self.events = Names()
        self.buffers = Names()
        self.unparsed = 0
        self.first_unparsed = -1
        if data.shape[0] > 0:
            self.events.data = &data[0]
            self.buffers.data = &data[0]

    def reset(self):
        """Forget how many lines were not parsed; numbers of events and buffers stay."""
        self.unparsed = 0
        self.first_unparsed = -1

    def event(self, int number):
        """(kind, name) of an event."""
        if not 0 <= number < self.events.count:
            raise IndexError(number)
        cdef Name *name = &self.events.names[number]
        return name.kind, bytes(self.view[name.at : name.at + name.size])

    def buffer(self, int number):
        if not 0 <= number < self.buffers.count:
            raise IndexError(number)
        cdef Name *name = &self.buffers.names[number]
        return bytes(self.view[name.at : name.at + name.size])

    @property
    def event_count(self):
        return self.events.count

    @property
    def buffer_count(self):
        return self.buffers.count

    def set_multiline(self, int number):
        if not 0 <= number < self.events.count:
            raise IndexError(number)
        self.events.names[number].multiline = 1

    def scan(self, int64_t begin, int64_t end, Line[::1] lines not None, int64_t count, int64_t[:, ::1] notes not None):
        """Scan the lines of [begin, end) behind the first `count` of `lines`; (why it stopped, where to go on, lines, notes).

        Notes are lines that tell about the trace, as [begin, end) of each.
        """
        cdef int64_t at = begin, noted = 0
        cdef int stop = AT_END
        if begin < 0 or end > self.view.shape[0] or notes.shape[1] != 2 or not 0 <= count <= lines.shape[0]:
            raise ValueError("not a part of the text")
        with nogil:
            while at < end and stop == AT_END:
                if noted == notes.shape[0]:
                    stop = AT_FULL
                else:
                    at = self.line(at, end, lines, &count, notes, &noted, &stop)
        return stop, at, count, noted

    cdef int64_t line(
        self, int64_t at, int64_t end, Line[::1] lines, int64_t *count, int64_t[:, ::1] notes, int64_t *noted, int *stop
    ) noexcept nogil:
        """Take one line; where the next one begins."""
        cdef const uint8_t *data = &self.view[0]
        cdef const uint8_t *newline = <const uint8_t *> memchr(data + at, 10, end - at)
        cdef int64_t line_end = newline - data if newline != NULL else end
        cdef int64_t following = line_end + 1 if newline != NULL else end
        cdef Text text
        cdef Line line
        cdef Name name
        cdef int64_t buffer_end = -1
        cdef bint is_new = False, found
        while line_end > at and (data[line_end - 1] == 13 or is_blank(data[line_end - 1])):
            line_end -= 1
        text.data, text.at, text.end = data, at, line_end
        if self.grammar == PERF_GRAMMAR:
            found = perf_prefix(&text, &line)
        else:
            found = task_prefix(&text, &line, self.grammar == LATENCY_GRAMMAR, &buffer_end)
        if found:
            name.multiline = 0
            name.kind = <uint8_t> event_name(&text, &name)
            line.event = self.events.find(&name, &is_new)
            found = line.event >= 0 and text.end - text.at < PAYLOAD_BYTES
        if found and count[0] == lines.shape[0]:
            # Only here, so that a full table still takes in what belongs to its last event.
            stop[0] = AT_FULL
            return at
        if not found:
            self.other_line(at, line_end, lines, count[0], notes, noted)
            return following
        line.buffer = -1
        line.at, line.payload_at, line.payload_bytes = at, text.at, <int32_t> (text.end - text.at)
        if is_new:
            stop[0] = AT_NEW_NAME
        if buffer_end >= 0:
            name.at, name.size, name.kind = at, <int32_t> (buffer_end - at), 0
            while name.size > 0 and is_blank(data[name.at]):
                name.at, name.size = name.at + 1, name.size - 1
            line.buffer = self.buffers.find(&name, &is_new)
        lines[count[0]] = line
        count[0] += 1
        return following

    cdef void other_line(
        self, int64_t at, int64_t end, Line[::1] lines, int64_t count, int64_t[:, ::1] notes, int64_t *noted
    ) noexcept nogil:
        """A line that is no event: nothing, a note, a stack frame, or more of the event before it."""
        cdef Text text
        cdef Line *last
        text.data, text.at, text.end = &self.view[0], at, end
        if at == end:
            return
        if count:
            last = &lines[count - 1]
            if self.events.names[last.event].multiline and not starts(&text, b"CPU:", 4) and end - last.payload_at < PAYLOAD_BYTES:
                last.payload_bytes = <int32_t> (end - last.payload_at)
                return
            if text.data[at] == 9 or starts(&text, b" => ", 4) or starts(&text, b"=> ", 3):
                return
        if text.data[at] == 35 or starts(&text, b"CPU", 3) or starts(&text, b"cpus=", 5) or starts(&text, b"version = ", 10):
            notes[noted[0], 0], notes[noted[0], 1] = at, end
            noted[0] += 1
            return
        if self.unparsed == 0:
            self.first_unparsed = at
        self.unparsed += 1
