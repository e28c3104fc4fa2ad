"""The options of a trace.dat file: ids and layouts from trace-cmd.dat.v7(5), and trace-input.c for version 6."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum

from replay.ingest.bytecursor import ByteCursor

_SECTIONS = range(16, 22)
_MAX_CPUS = 1 << 16


class Option(IntEnum):
    """Ids of the options that are read."""

    DONE = 0
    DATE = 1
    CPUSTAT = 2
    BUFFER = 3
    TRACECLOCK = 4
    UNAME = 5
    OFFSET = 7
    CPUCOUNT = 8
    TIME_SHIFT = 12
    TSC2NSEC = 14
    HEADER_INFO = 16
    FTRACE_EVENTS = 17
    EVENT_FORMATS = 18
    CMDLINES = 21
    BUFFER_TEXT = 22
    SAVED_TGIDS = 32


@dataclass(frozen=True, slots=True)
class BufferOption:
    """A version 7 BUFFER option; cpus are (cpu, offset, size)."""

    name: str
    offset: int
    clock: str
    page_bytes: int
    cpus: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """At the guest's `time`, the host's clock was ahead by `offset`; scaling is a fixed point number."""

    time: int
    offset: int
    scaling: int
    fraction: int


@dataclass(frozen=True, slots=True)
class TimeShift:
    """How a guest's clock maps to its host's, per CPU."""

    interpolate: bool
    samples: tuple[tuple[Sample, ...], ...]


@dataclass(slots=True)
class Options:
    """What the options say; absent ones keep their defaults."""

    clock: str = ""
    has_clock: bool = False
    uname: str | None = None
    cpus: int | None = None
    offset_ns: int = 0
    tsc_mult: int = 0
    tsc_shift: int = 0
    time_shift: TimeShift | None = None
    sections: dict[int, int] = field(default_factory=dict)
    buffers_v6: list[tuple[str, int]] = field(default_factory=list)
    buffers_v7: list[BufferOption] = field(default_factory=list)
    text_buffers: int = 0
    overruns: dict[int, int] = field(default_factory=dict)
    tgids: dict[int, int] = field(default_factory=dict)


def read_option(options: Options, option: int, data: ByteCursor, *, version: int) -> None:
    """Take in one option; `data` holds just its bytes. Options that change nothing for us are skipped."""
    match option:
        case Option.DATE | Option.OFFSET:
            # DATE is in microseconds, OFFSET in nanoseconds; both are text that C's strtoll reads.
            options.offset_ns += _strtoll(data.text(data.left, "a time offset")) * (1000 if option == Option.DATE else 1)
        case Option.CPUSTAT:
            _add_overruns(options.overruns, data.text(data.left, "the statistics of a CPU"))
        case Option.BUFFER if version == 6:
            offset = data.number(8, "the offset of a buffer")
            options.buffers_v6.append((data.string("the name of a buffer"), offset))
        case Option.BUFFER:
            options.buffers_v7.append(_buffer(data))
        case Option.TRACECLOCK:
            options.clock, options.has_clock = data.text(data.left, "the trace clock"), True
        case Option.UNAME:
            options.uname = data.text(data.left, "the uname")
        case Option.SAVED_TGIDS | Option.CPUCOUNT if data.left > 8:
            # Not upstream's: the trace-cmd of gpuvis writes tracefs saved_tgids, first under the id that CPUCOUNT has now.
            lines = re.findall(r"^ *(\d{1,9}) (\d{1,9})$", data.text(data.left, "the thread groups"), re.MULTILINE)
            options.tgids |= {int(tid): int(tgid) for tid, tgid in lines}
        case Option.CPUCOUNT:
            options.cpus = data.number(4, "the number of CPUs")
            if options.cpus > _MAX_CPUS:
                raise data.error(f"{options.cpus} CPUs cannot be right")
        case Option.TIME_SHIFT if data.left >= 16:
            options.time_shift = _time_shift(data)
        case Option.TSC2NSEC if data.left >= 16:
            options.tsc_mult = data.number(4, "the TSC multiplier")
            options.tsc_shift = data.number(4, "the TSC shift")
        case Option.BUFFER_TEXT:
            options.text_buffers += 1
        case _ if option in _SECTIONS and data.left >= 8:
            options.sections[option] = data.number(8, "the offset of a section")


def _strtoll(text: str) -> int:
    match = re.match(r"\s*([+-]?)(0[xX][0-9a-fA-F]{1,16}|\d{1,19})", text)
    if match is None:
        return 0
    digits = match[2]
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits.startswith("0") and digits.isdigit() and max(digits) < "8" else 10
    return int(digits, base) * (-1 if match[1] == "-" else 1)


def _add_overruns(overruns: dict[int, int], text: str) -> None:
    """tracefs per_cpu/cpu*/stats: what the ring buffer lost of each kind."""
    cpu = re.search(r"^CPU: (\d{1,5})$", text, re.MULTILINE)
    lost = re.findall(r"^(?:overrun|commit overrun|dropped events): (\d{1,18})$", text, re.MULTILINE)
    if cpu and lost:
        overruns[int(cpu[1])] = overruns.get(int(cpu[1]), 0) + sum(map(int, lost))


def _buffer(data: ByteCursor) -> BufferOption:
    offset = data.number(8, "the offset of a buffer")
    name, clock = data.string("the name of a buffer"), data.string("the clock of a buffer")
    page_bytes = data.number(4, "the page size of a buffer")
    count = data.number(4, "the number of CPUs of a buffer")
    if count > _MAX_CPUS:
        raise data.error(f"{count} CPUs cannot be right")
    cpus = tuple((data.number(4, "a CPU"), data.number(8, "a CPU's offset"), data.number(8, "a CPU's size")) for _ in range(count))
    return BufferOption(name, offset, clock, page_bytes, cpus)


def _time_shift(data: ByteCursor) -> TimeShift:
    data.number(8, "the peer's trace id")
    flags = data.number(4, "the flags of a time shift")
    count = data.number(4, "the number of CPUs of a time shift")
    if count > _MAX_CPUS:
        raise data.error(f"{count} CPUs cannot be right")
    columns: list[list[list[int]]] = []
    for _ in range(count):
        samples = data.number(4, "the number of time samples")
        if samples > data.left // 24:
            raise data.error(f"{samples} time samples do not fit")
        columns.append([[data.number(8, "a time sample") for _ in range(samples)] for _ in range(3)])
    has_fractions = data.left > 0
    cpus = []
    for times, offsets, scalings in columns:
        fractions = [data.number(8, "a time sample") if has_fractions else 0 for _ in times]
        if max(fractions, default=0) > 63:
            raise data.error("a scaling of a time sample cannot be right")
        rows = sorted(zip(times, offsets, scalings, fractions, strict=True), key=lambda row: row[0])
        firsts = [row for i, row in enumerate(rows) if i == 0 or row[0] != rows[i - 1][0]]
        cpus.append(tuple(Sample(time, _signed(ahead), scaling, fraction) for time, ahead, scaling, fraction in firsts))
    return TimeShift(bool(flags & 1), tuple(cpus))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
