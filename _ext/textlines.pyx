"""Splits trace text into event lines: who, where, when, which event, and where its payload lies. Nothing is copied.

    TASK     [BUFFER: ]    COMM-PID  [(TGID)] [CPU] [FLAGS] SECONDS.FRACTION: EVENT: PAYLOAD     tracefs, trace-cmd report
    LATENCY  [BUFFER: ]COMM-PID  CPUFLAGS SECONDS.FRACTION: or  USECSus MARK: EVENT: PAYLOAD     the same in latency format
    PERF     [COMM] PID[/TID] [[CPU]] [MISC] SECONDS.FRACTION: [PERIOD] SYSTEM:EVENT: PAYLOAD    perf script

(kernel/trace/trace_output.c trace_print_context; trace-cmd lib/trace-read.c; tools/perf/builtin-script.c.) A command may hold
spaces, colons, dashes and brackets but only 15 bytes, too few for a prefix of its own: the leftmost full prefix is the right one.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcmp, memset

from replay._ext.memory cimport bytes_between, wrap_multiply
from replay._ext.textprefix cimport COUNTS, Line, Name, Text, event_name, is_blank, perf_prefix, starts, task_prefix

TASK = 0
LATENCY = 1
PERF = 2

NAMED = 0
ENTER = 1
EXIT = 2
FUNCTION = 3
OTHER = 4
RECORD = 5
"""How an event is written: by name; as `sys_x(arguments)`; as `sys_x -> result`; as `function <-caller`; otherwise; and
perf's own records, PERF_RECORD_X."""

MOST_NAMES = 4096
"""Distinct event names that a scanner takes in; lines of any further one are not parsed."""

cdef enum:
    TASK_GRAMMAR = 0
    LATENCY_GRAMMAR = 1
    PERF_GRAMMAR = 2
    NAME_CAPACITY = 4096
    SLOTS = 8192
    PAYLOAD_BYTES = 1073741824

cdef enum Stop:
    AT_END = 0
    AT_NEW_NAME = 1
    AT_FULL = 2

# Decimals of a timestamp that is a count and not in seconds.
UNSCALED = COUNTS
NEW_NAME = AT_NEW_NAME
END = AT_END


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
        cdef uint64_t mix = <uint64_t> 2166136261 ^ name.kind
        cdef int32_t i, known
        is_new[0] = False
        for i in range(name.size):
            mix = wrap_multiply(mix ^ self.data[name.at + i], <uint64_t> 1099511628211)
        mix ^= mix >> 29
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
    cdef readonly int grammar
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
        cdef int64_t line_end = bytes_between(data, newline) if newline != NULL else end
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
            if line.event < 0 or text.end - text.at >= PAYLOAD_BYTES:
                self.unparsed_line(at)
                return following
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
        self.unparsed_line(at)

    cdef void unparsed_line(self, int64_t at) noexcept nogil:
        if self.unparsed == 0:
            self.first_unparsed = at
        self.unparsed += 1
