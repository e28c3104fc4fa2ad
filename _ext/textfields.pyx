"""Matches the payloads of one event against a pattern, and takes its fields as numbers or as places in the text.

A pattern is a list of steps, each (what, column, literal's begin, literal's size): a literal must stand here, a number is
read here, or a string goes on to the next literal. There is no backtracking: a payload is read once from left to right.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from replay._ext.memory cimport bytes_between

LITERAL = 0
INTEGER = 1
HEX = 2
OCTAL = 3
POINTER = 4
DEVICE = 5
BYTES_TO_PAGES = 6
STRING = 7
GUESS = 8
"""INTEGER is decimal, or hex after 0x; HEX needs no 0x; DEVICE is MAJOR,MINOR or MAJOR:MINOR, or a number; STRING ends
before the step's literal, or at the end; GUESS is a string of which only is noted whether it is an integer."""

IS_INTEGER = 1
IS_NEGATIVE = 2
IS_BIG = 4
IS_WORD = 8
"""What GUESS saw: integers, negative ones, ones of 2^63 and more, anything else."""

cdef enum:
    LITERAL_STEP = 0
    INTEGER_STEP = 1
    HEX_STEP = 2
    OCTAL_STEP = 3
    POINTER_STEP = 4
    DEVICE_STEP = 5
    PAGES_STEP = 6
    STRING_STEP = 7
    GUESS_STEP = 8
    IS_AN_INTEGER = 1
    IS_A_NEGATIVE = 2
    IS_A_BIG = 4
    IS_A_WORD = 8
    MINOR_BITS = 20
    PAGE_SHIFT = 12
    MOST_RETRIES = 16


cdef struct Text:
    const uint8_t *data
    int64_t at
    int64_t end


cdef inline bint literal(Text *text, const uint8_t *word, int32_t size) noexcept nogil:
    """Take a literal. A blank at its end may have been cut from the end of the line."""
    cdef int32_t i
    for i in range(size):
        if text.at >= text.end:
            return i > 0 and i == size - 1 and word[i] == 32
        if text.data[text.at] != word[i]:
            return False
        text.at += 1
    return True


cdef inline bint digits(Text *text, int base, uint64_t *value) noexcept nogil:
    """Take at least one digit; False if there is none, or the number needs more than 64 bits."""
    cdef uint64_t total = 0
    cdef int64_t begin = text.at
    cdef int digit
    cdef uint8_t byte
    while text.at < text.end:
        byte = text.data[text.at]
        if 48 <= byte <= 57:
            digit = byte - 48
        elif 97 <= byte <= 102:
            digit = byte - 87
        elif 65 <= byte <= 70:
            digit = byte - 55
        else:
            break
        if digit >= base:
            break
        if total > (<uint64_t> 0xFFFFFFFFFFFFFFFF - digit) // base:
            return False
        total = total * base + digit
        text.at += 1
    value[0] = total
    return text.at > begin


cdef inline bint prefixed(Text *text) noexcept nogil:
    if text.end - text.at > 2 and text.data[text.at] == 48 and text.data[text.at + 1] == 120:
        text.at += 2
        return True
    return False


cdef inline bint integer(Text *text, uint64_t *value, bint *negative) noexcept nogil:
    negative[0] = text.at < text.end and text.data[text.at] == 45
    if negative[0]:
        text.at += 1
        if not digits(text, 10, value) or value[0] > <uint64_t> 1 << 63:
            return False
        if value[0]:
            value[0] = ~(value[0] - 1)
        return True
    return digits(text, 16 if prefixed(text) else 10, value)


cdef inline bint device(Text *text, uint64_t *value) noexcept nogil:
    """A dev_t: MAJOR and MINOR, or both in one number."""
    cdef uint64_t minor
    cdef bint negative
    cdef bint bracket = text.at < text.end and text.data[text.at] == 40
    if bracket:
        text.at += 1
    if not integer(text, value, &negative) or negative:
        return False
    if text.at < text.end and (text.data[text.at] == 58 or text.data[text.at] == 44) and not text_ends(text, text.at + 1):
        text.at += 1
        if not integer(text, &minor, &negative) or negative or value[0] >= 1 << 12 or minor >= 1 << MINOR_BITS:
            return False
        value[0] = value[0] << MINOR_BITS | minor
    if bracket:
        if text.at >= text.end or text.data[text.at] != 41:
            return False
        text.at += 1
    return True


cdef inline bint text_ends(const Text *text, int64_t at) noexcept nogil:
    return at >= text.end or text.data[at] == 32


cdef inline bint pointer(Text *text, uint64_t *value) noexcept nogil:
    if text.end - text.at >= 5 and memcmp(text.data + text.at, b"(nil)", 5) == 0:
        text.at += 5
        value[0] = 0
        return True
    if text.end - text.at >= 6 and memcmp(text.data + text.at, b"(null)", 6) == 0:
        text.at += 6
        value[0] = 0
        return True
    prefixed(text)
    return digits(text, 16, value)


cdef inline int64_t find(const Text *text, const uint8_t *word, int32_t size) noexcept nogil:
    """Where the literal begins at or after the current place; -1 if nowhere."""
    cdef int64_t at = text.at
    cdef const uint8_t *hit
    while text.end - at >= size:
        hit = <const uint8_t *> memchr(text.data + at, word[0], text.end - at - size + 1)
        if hit == NULL:
            return -1
        at = bytes_between(text.data, hit)
        if memcmp(hit, word, size) == 0:
            return at
        at += 1
    return -1


cdef uint8_t guess(const uint8_t *data, int64_t begin, int64_t end) noexcept nogil:
    """What a value looks like. A decimal number with leading zeros may be octal or anything: a word."""
    cdef Text text
    cdef uint64_t value
    cdef bint negative
    text.data, text.at, text.end = data, begin, end
    if end - begin >= 2 and data[begin] == 48 and data[begin + 1] != 120:
        return IS_A_WORD
    if not integer(&text, &value, &negative) or text.at != end:
        return IS_A_WORD
    return IS_AN_INTEGER | (IS_A_NEGATIVE if negative else IS_A_BIG if value >> 63 else 0)


cdef bint take_number(Text *text, int32_t what, uint64_t *value) noexcept nogil:
    cdef bint negative
    # Formats pad numbers with blanks.
    while text.at < text.end and text.data[text.at] == 32:
        text.at += 1
    if what == HEX_STEP:
        prefixed(text)
        return digits(text, 16, value)
    if what == OCTAL_STEP:
        return digits(text, 8, value)
    if what == POINTER_STEP:
        return pointer(text, value)
    if what == DEVICE_STEP:
        return device(text, value)
    if not integer(text, value, &negative):
        return False
    if what == PAGES_STEP:
        value[0] >>= PAGE_SHIFT
    return True


cdef bint match_one(
    Text *text, const int32_t[:, ::1] steps, const uint8_t *literals, bint whole, int64_t row,
    int64_t[:, ::1] values, int32_t[:, ::1] sizes
) noexcept nogil:
    """Go through the steps. Where one fails, the last string goes on to a further place of its literal, a few times."""
    cdef int64_t i = 0, begin = 0, stop = 0, string = -1
    cdef int32_t what, column
    cdef int left = 0
    cdef uint64_t value = 0
    cdef bint done
    while True:
        if i == steps.shape[0]:
            if text.at == text.end or (not whole and not is_word(text.data[text.at])):
                return True
            done = False
        else:
            what, column = steps[i, 0], steps[i, 1]
            if what == STRING_STEP or what == GUESS_STEP:
                string, begin, left = i, text.at, MOST_RETRIES
                done = to_literal(text, literals + steps[i, 2], steps[i, 3])
                stop = text.at
                if done and column >= 0:
                    values[column, row], sizes[column, row] = begin, <int32_t> (text.at - begin)
            elif what == LITERAL_STEP:
                done = literal(text, literals + steps[i, 2], steps[i, 3])
            else:
                done = take_number(text, what, &value)
                if done and column >= 0:
                    values[column, row] = <int64_t> value
        if done:
            i += 1
            continue
        if string < 0 or string == i or steps[string, 3] == 0 or left == 0:
            return False
        left -= 1
        i, column = string, steps[string, 1]
        text.at = stop + 1
        if not to_literal(text, literals + steps[i, 2], steps[i, 3]):
            return False
        stop = text.at
        if column >= 0:
            values[column, row], sizes[column, row] = begin, <int32_t> (stop - begin)
        i += 1


cdef inline bint to_literal(Text *text, const uint8_t *word, int32_t size) noexcept nogil:
    cdef int64_t end = find(text, word, size) if size else text.end
    if end < 0:
        return False
    text.at = end
    return True


cdef inline bint is_word(uint8_t byte) noexcept nogil:
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 95


def match(
    const uint8_t[::1] data not None, const int64_t[::1] begins not None, const int32_t[::1] lengths not None,
    const int32_t[:, ::1] steps not None, const uint8_t[::1] literals not None, bint whole,
    int64_t[:, ::1] values not None, int32_t[:, ::1] sizes not None, uint8_t[:, ::1] present not None,
    uint8_t[::1] seen not None, uint8_t[::1] matched not None,
):
    """Match every payload that is not yet matched; how many were.

    Fills, per column of the pattern and row: `values` (a number, or where a string begins), `sizes` of strings, and
    `present`; and per column what GUESS saw. `whole`: the pattern must tell the payload up to its end.
    """
    cdef int64_t row, rows = begins.shape[0], found = 0
    cdef int64_t i
    cdef int32_t column
    cdef Text text
    check(data, begins, lengths, steps, literals, values, sizes, present, seen, matched)
    if rows == 0:
        return 0
    with nogil:
        for row in range(rows):
            if matched[row]:
                continue
            text.data, text.at, text.end = &data[0], begins[row], begins[row] + lengths[row]
            if match_one(&text, steps, &literals[0], whole, row, values, sizes):
                matched[row] = 1
                found += 1
                for i in range(steps.shape[0]):
                    column = steps[i, 1]
                    if steps[i, 0] == LITERAL_STEP or column < 0:
                        continue
                    present[column, row] = 1
                    if steps[i, 0] == GUESS_STEP:
                        seen[column] |= guess(text.data, values[column, row], values[column, row] + sizes[column, row])
    return found


cdef int check(
    const uint8_t[::1] data, const int64_t[::1] begins, const int32_t[::1] lengths, const int32_t[:, ::1] steps,
    const uint8_t[::1] literals, int64_t[:, ::1] values, int32_t[:, ::1] sizes, uint8_t[:, ::1] present,
    uint8_t[::1] seen, uint8_t[::1] matched,
) except -1:
    cdef int64_t rows = begins.shape[0], columns = values.shape[0], i
    if lengths.shape[0] != rows or matched.shape[0] != rows or steps.shape[1] != 4 or literals.shape[0] == 0:
        raise ValueError("tables of different lengths")
    if values.shape[1] != rows or sizes.shape[1] != rows or present.shape[1] != rows:
        raise ValueError("tables of different lengths")
    if sizes.shape[0] != columns or present.shape[0] != columns or seen.shape[0] != columns:
        raise ValueError("tables of different widths")
    for i in range(steps.shape[0]):
        if steps[i, 1] >= columns or steps[i, 2] < 0 or steps[i, 3] < 0 or literals.shape[0] - steps[i, 2] < steps[i, 3]:
            raise ValueError("a step outside of its tables")
    for i in range(rows):
        if begins[i] < 0 or lengths[i] < 0 or data.shape[0] - begins[i] < lengths[i]:
            raise ValueError("a payload outside of the text")
    return 0


def copy(
    const uint8_t[::1] data not None, const int64_t[::1] begins not None, const int32_t[::1] lengths not None,
    int32_t[::1] offsets not None, uint8_t[::1] out not None,
):
    """Copy strings one after the other into `out`, and say in `offsets` where each begins; whether all is ASCII."""
    cdef int64_t row, rows = begins.shape[0], at = 0, i
    cdef uint8_t every = 0
    if lengths.shape[0] != rows or offsets.shape[0] != rows + 1:
        raise ValueError("tables of different lengths")
    for row in range(rows):
        if begins[row] < 0 or lengths[row] < 0 or data.shape[0] - begins[row] < lengths[row] or out.shape[0] - at < lengths[row]:
            raise ValueError("a string outside of the text")
        offsets[row] = <int32_t> at
        if lengths[row]:
            memcpy(&out[at], &data[begins[row]], lengths[row])
        at += lengths[row]
    offsets[rows] = <int32_t> at
    for i in range(at):
        every |= out[i]
    return every < 128
