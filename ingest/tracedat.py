"""The container of a trace.dat file: its header, options and formats, and where each CPU's ring buffer pages are.

Formats: trace-cmd.dat.v6(5) and trace-cmd.dat.v7(5); what they leave open is as in trace-cmd's lib/trace-cmd/trace-input.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from replay.errors import TraceError
from replay.ingest.bytecursor import ByteCursor
from replay.ingest.formats import Format
from replay.ingest.options import Option, Options, TimeShift, read_option
from replay.ingest.sections import (
    COMPRESSIONS,
    SECTION_HEADER_BYTES,
    Allowance,
    Section,
    most_metadata_bytes,
    open_section,
    section_header,
)
from replay.ingest.tracemeta import read_cmdlines, read_event_formats, read_formats, read_ftrace_formats, read_header_info

MAGIC = b"\x17\x08\x44tracing"
MAX_PAGE_BYTES = 1 << 24
MAX_CPUS = 1 << 16
MAX_OPTIONS_SECTIONS = 256
_STRINGS = 15  # the id of the section of strings


@dataclass(frozen=True, slots=True)
class CpuData:
    """Bytes [offset, offset + size) of the file; compressed ones are chunks, others are pages."""

    cpu: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Buffer:
    """A ring buffer (tracing instance)."""

    name: str
    page_bytes: int
    compressed: bool
    cpus: tuple[CpuData, ...]


@dataclass(slots=True)
class Container:
    """What the metadata of a trace.dat says."""

    path: str
    version: int = 0
    compression: str = "none"
    big_endian: bool = False
    page_bytes: int = 0
    long_bytes: int = 8
    header_bytes: int = 16
    clock: str = ""
    uname: str | None = None
    cpus: int = 0
    cmdlines: dict[int, str] = field(default_factory=dict)
    tgids: dict[int, int] = field(default_factory=dict)
    formats: list[Format] = field(default_factory=list)
    unparsed_formats: int = 0
    buffers: list[Buffer] = field(default_factory=list)
    tsc_mult: int = 0
    tsc_shift: int = 0
    offset_ns: int = 0
    time_shift: TimeShift | None = None
    overruns: dict[int, int] = field(default_factory=dict)
    missing_bytes: int = 0


def read_container(path: str, data: memoryview) -> Container:
    container, cursor = _begin(path, data)
    if container.version == 6:
        _read_v6(container, cursor)
    else:
        _read_v7(container, cursor)
    _check_disjoint(container)
    return container


def read_overruns(path: str, data: memoryview) -> dict[int, int]:
    """Events that each CPU had no room for; with as little as possible of the file, since who has just recorded it wants to know."""
    container, cursor = _begin(path, data)
    if container.version == 6:
        _read_v6(container, cursor)
    else:
        _use_options(container, _read_all_options_v7(container, cursor, Allowance(path, most_metadata_bytes(len(data))))[0])
    return container.overruns


def _begin(path: str, data: memoryview) -> tuple[Container, ByteCursor]:
    """The head of the file, with the cursor behind it."""
    cursor = ByteCursor(path, data)
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise TraceError(path, 0, "not a trace.dat file" if len(data) else "the file is empty")
    cursor.at = len(MAGIC)
    version = cursor.string("the file version", 16)
    if version not in ("6", "7"):
        raise cursor.error(f"trace.dat version {version!r} is not supported (6 and 7 are)")
    order = cursor.number(1, "the byte order")
    if order > 1:
        raise cursor.error(f"expected byte order 0 or 1, found {order}")
    cursor.big_endian = order == 1
    cursor.number(1, "the size of a long")  # of the recorder's user space; the kernel's is in header_page
    return Container(path, int(version), page_bytes=_page_bytes(cursor), big_endian=cursor.big_endian), cursor


def _page_bytes(cursor: ByteCursor) -> int:
    size = cursor.number(4, "the page size")
    if size < 256 or size > MAX_PAGE_BYTES or size & (size - 1):
        raise cursor.error(f"a page size of {size} bytes cannot be right")
    return size


def _read_v6(container: Container, cursor: ByteCursor) -> None:
    read_formats(container, cursor)
    read_cmdlines(container, cursor)
    container.cpus = _cpu_count(cursor)
    options = Options()
    has_clock = _read_flyrecord(container, cursor, options, "")
    if has_clock:
        text = cursor.text(cursor.number(8, "the size of the trace clock"), "the trace clock")
        container.clock = _selected(text) or "local"
    _use_options(container, options)
    for name, offset in options.buffers_v6:
        cursor.go(offset, f"buffer {name!r}")
        _read_flyrecord(container, cursor, Options(), name)


def _read_flyrecord(container: Container, cursor: ByteCursor, options: Options, name: str) -> bool:
    """Options and places of the CPUs' data of one version 6 buffer; True if the trace clock follows."""
    kind = cursor.text(10, "the kind of data")
    if kind.startswith("options"):
        while (option := cursor.number(2, "an option")) != Option.DONE:
            read_option(options, option, cursor.part(cursor.number(4, "the size of an option"), "an option"), version=6)
        if options.cpus is not None:
            container.cpus = options.cpus
        kind = cursor.text(10, "the kind of data")
    if kind.startswith("latency"):
        raise cursor.error("a latency trace holds text, no events")
    if kind != "flyrecord":
        raise cursor.error(f"expected trace data, found {kind!r}")
    if sum(len(buffer.cpus) for buffer in container.buffers) + container.cpus > MAX_CPUS:
        raise cursor.error(f"more than {MAX_CPUS} CPUs in all buffers cannot be right")
    cpus = []
    for cpu in range(container.cpus):
        offset, size = cursor.number(8, "a CPU's offset"), cursor.number(8, "a CPU's size")
        cpus.append(CpuData(cpu, offset, size))
    container.buffers.append(Buffer(name, container.page_bytes, False, tuple(cpus)))
    return options.has_clock


def _read_v7(container: Container, cursor: ByteCursor) -> None:
    allowance = Allowance(cursor.path, most_metadata_bytes(len(cursor.data)))
    options, tail = _read_all_options_v7(container, cursor, allowance)
    _use_options(container, options)
    for kind, read in (
        (Option.HEADER_INFO, read_header_info),
        (Option.FTRACE_EVENTS, read_ftrace_formats),
        (Option.EVENT_FORMATS, read_event_formats),
        (Option.CMDLINES, read_cmdlines),
    ):
        offset = options.sections.get(kind)
        if offset is None:
            if kind == Option.HEADER_INFO:
                raise TraceError(cursor.path, None, "the file has no header section")
            continue
        section = open_section(cursor, offset, container.compression, allowance)
        if section.id != kind:
            raise TraceError(cursor.path, offset, f"expected section {kind}, found section {section.id}")
        read(container, section.cursor)
    _read_buffers_v7(container, cursor, options, allowance)
    container.missing_bytes = _missing_bytes(cursor, tail)


def _read_all_options_v7(container: Container, cursor: ByteCursor, allowance: Allowance) -> tuple[Options, int]:
    """Every options section, and where the last one of them in the file is."""
    container.compression = cursor.string("the name of the compression", 64)
    cursor.string("the version of the compression", 256)
    if container.compression not in COMPRESSIONS:
        raise cursor.error(f"compression {container.compression!r} is not supported ({', '.join(COMPRESSIONS)} are)")
    options = Options()
    seen: set[int] = set()
    following = cursor.number(8, "the offset of the options")
    tail = 0
    while following:
        if following in seen:
            raise TraceError(cursor.path, following, "the options sections form a loop")
        if len(seen) >= MAX_OPTIONS_SECTIONS:
            raise TraceError(cursor.path, following, f"more than {MAX_OPTIONS_SECTIONS} options sections")
        seen.add(following)
        section = open_section(cursor, following, container.compression, allowance)
        if section.id != Option.DONE:
            raise TraceError(cursor.path, following, f"expected an options section, found section {section.id}")
        tail = max(tail, following)
        following = _read_options_v7(options, section)
    if options.cpus is not None:
        container.cpus = options.cpus
    return options, tail


def _missing_bytes(cursor: ByteCursor, at: int) -> int:
    """What a file lacks that was cut behind its last options: sections follow each other up to the end of the file.

    The last one holds the strings that the sections' descriptions point to.
    """
    last = len(cursor.data)
    has_strings = False
    while at < last:
        if last - at < SECTION_HEADER_BYTES:
            return SECTION_HEADER_BYTES - (last - at)
        section, described, size = section_header(cursor, at)
        if last - at - SECTION_HEADER_BYTES < size:
            return size - (last - at - SECTION_HEADER_BYTES)
        has_strings = has_strings or section == _STRINGS or not described
        at += SECTION_HEADER_BYTES + size
    return 0 if has_strings else SECTION_HEADER_BYTES


def _read_options_v7(options: Options, section: Section) -> int:
    """The offset of the next options section, 0 after the last."""
    while True:
        option = section.cursor.number(2, "an option")
        data = section.cursor.part(section.cursor.number(4, "the size of an option"), "an option")
        if option == Option.DONE:
            return data.number(8, "the offset of the next options")
        read_option(options, option, data, version=7)


def _read_buffers_v7(container: Container, cursor: ByteCursor, options: Options, allowance: Allowance) -> None:
    for buffer in options.buffers_v7:
        section = open_section(cursor, buffer.offset, "none", allowance, header_only=True)
        size = buffer.page_bytes or container.page_bytes
        if size > MAX_PAGE_BYTES or size <= container.header_bytes:
            raise TraceError(cursor.path, buffer.offset, f"a page size of {size} bytes cannot be right")
        cpus = tuple(sorted((CpuData(*where) for where in buffer.cpus), key=lambda data: data.cpu))
        if any(data.cpu >= MAX_CPUS for data in cpus):
            raise TraceError(cursor.path, buffer.offset, f"CPU {cpus[-1].cpu} cannot be right")
        compressed = section.compressed and container.compression != "none"
        container.buffers.append(Buffer(buffer.name, size, compressed, cpus))
        container.clock = container.clock or buffer.clock
    if not container.buffers:
        what = "a latency trace holds text, no events" if options.text_buffers else "the file has no trace data"
        raise TraceError(cursor.path, None, what)
    container.cpus = max(container.cpus, *(data.cpu + 1 for buffer in container.buffers for data in buffer.cpus), 0)
    container.buffers.sort(key=lambda buffer: buffer.name != "")  # the top buffer first, others in the file's order


def _use_options(container: Container, options: Options) -> None:
    container.uname = options.uname
    container.clock = _selected(options.clock) or container.clock
    container.tsc_mult, container.tsc_shift = options.tsc_mult, options.tsc_shift
    container.offset_ns = options.offset_ns
    container.time_shift = options.time_shift
    container.overruns = options.overruns
    container.tgids = options.tgids
    if container.tsc_shift > 32:
        raise TraceError(container.path, None, f"a TSC shift of {container.tsc_shift} cannot be right")


def _selected(clocks: str) -> str:
    """The clock in brackets, as tracefs trace_clock shows it."""
    match = re.search(r"\[([\w-]{1,64})\]", clocks)
    return match[1] if match else ""


def _cpu_count(cursor: ByteCursor) -> int:
    count = cursor.number(4, "the number of CPUs")
    if count > MAX_CPUS:
        raise cursor.error(f"{count} CPUs cannot be right")
    return count


def _check_disjoint(container: Container) -> None:
    """Data that belongs to two CPUs would let a small file decode to any size."""
    places = sorted((c.offset, c.size) for buffer in container.buffers for c in buffer.cpus if c.size)
    for (offset, size), (following, _) in pairwise(places):
        if following - offset < size:
            raise TraceError(container.path, following, "the data of two CPUs overlap")
