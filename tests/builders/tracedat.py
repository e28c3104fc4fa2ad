"""Makes small trace.dat files of versions 6 and 7, from ring buffer entries up.

Written from trace-cmd.dat.v6(5), trace-cmd.dat.v7(5) and the kernel's ring buffer layout, without the reader's help.
`order` is struct's: "<" for a little-endian recorder, ">" for a big-endian one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

COMMON = (
    "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
    "\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
    "\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
    "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
)


_LONG = {4: "I", 8: "Q"}


def format_text(name: str, number: int, fields: Sequence[tuple[str, int, int, int]]) -> str:
    """fields are (declaration, offset, size, signed)."""
    lines = "".join(f"\tfield:{what};\toffset:{at};\tsize:{size};\tsigned:{signed};\n" for what, at, size, signed in fields)
    return f'name: {name}\nID: {number}\nformat:\n{COMMON}{lines}\nprint fmt: "field:x;offset:0;size:1;"\n'


def payload(number: int, pid: int, rest: bytes = b"", order: str = "<") -> bytes:
    return struct.pack(order + "HBBi", number, 0, 0, pid) + rest


def _head_word(kind: int, delta: int, order: str) -> bytes:
    """Bit fields `type_len:5, time_delta:27`, which compilers lay out from the end that the byte order begins with."""
    delta &= (1 << 27) - 1
    return struct.pack(order + "I", kind << 27 | delta if order == ">" else kind | delta << 5)


def data(delta: int, body: bytes, order: str = "<") -> bytes:
    """A data entry, in the short form where it fits."""
    body += b"\0" * (-len(body) % 4)
    if 4 <= len(body) <= 28 * 4:
        return _head_word(len(body) // 4, delta, order) + body
    return long_data(delta, body, order)


def long_data(delta: int, body: bytes, order: str = "<") -> bytes:
    """A data entry whose length stands in a word of its own; the length need not be a multiple of 4, the space taken is."""
    return _head_word(0, delta, order) + struct.pack(order + "I", len(body) + 4) + body + b"\0" * (-len(body) % 4)


def discarded(delta: int, length: int, order: str = "<") -> bytes:
    return _head_word(29, delta, order) + struct.pack(order + "I", length) + b"\xee" * (length - 4)


def end_of_page() -> bytes:
    return struct.pack("<I", 29)


def time_extend(delta: int, order: str = "<") -> bytes:
    return _head_word(30, delta, order) + struct.pack(order + "I", delta >> 27)


def absolute(ts: int, order: str = "<") -> bytes:
    return _head_word(31, ts, order) + struct.pack(order + "I", ts >> 27 & 0xFFFFFFFF)


def page(
    ts: int,
    entries: bytes,
    *,
    lost: int | None = None,
    page_bytes: int = 4096,
    long_bytes: int = 8,
    commit: int | None = None,
    order: str = "<",
) -> bytes:
    """lost: None for none, 0 for an unknown number, else a stored number."""
    flags = len(entries) if commit is None else commit
    tail = b""
    if lost is not None:
        flags |= 1 << 31
        if lost:
            flags |= 1 << 30
            tail = struct.pack(order + _LONG[long_bytes], lost)
    head = struct.pack(order + "Q" + _LONG[long_bytes], ts, flags)
    body = head + entries + tail
    assert len(body) <= page_bytes
    return body + b"\0" * (page_bytes - len(body))


@dataclass(frozen=True, slots=True)
class Instance:
    """A ring buffer: the pages of each CPU."""

    name: str
    cpus: Sequence[bytes]


def _header_page(long_bytes: int, page_bytes: int) -> bytes:
    return (
        "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
        f"\tfield: local_t commit;\toffset:8;\tsize:{long_bytes};\tsigned:1;\n"
        "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
        f"\tfield: char data;\toffset:{8 + long_bytes};\tsize:{page_bytes - 8 - long_bytes};\tsigned:1;\n"
    ).encode()


def _sized(text: bytes, width: int = 8, order: str = "<") -> bytes:
    return struct.pack(order + _LONG[width], len(text)) + text


@dataclass(frozen=True, slots=True)
class Trace:
    """What goes into a file. formats are (system, text); options are (id, bytes)."""

    formats: Sequence[tuple[str, str]]
    instances: Sequence[Instance]
    options: Sequence[tuple[int, bytes]] = ()
    clock: str = "global"
    cmdlines: str = "17 pinload\n"
    page_bytes: int = 4096
    long_bytes: int = 8
    order: str = "<"

    def pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.order + layout, *values)

    def sized(self, text: bytes, width: int = 8) -> bytes:
        return _sized(text, width, self.order)

    def header_info(self) -> bytes:
        return (
            b"header_page\0"
            + self.sized(_header_page(self.long_bytes, self.page_bytes))
            + b"header_event\0"
            + self.sized(b"# compressed entry header\n")
        )

    def ftrace_formats(self) -> bytes:
        texts = [text.encode() for system, text in self.formats if system == "ftrace"]
        return self.pack("I", len(texts)) + b"".join(map(self.sized, texts))

    def event_formats(self) -> bytes:
        systems = sorted({system for system, _ in self.formats} - {"ftrace"})
        body = self.pack("I", len(systems))
        for system in systems:
            texts = [text.encode() for owner, text in self.formats if owner == system]
            body += system.encode() + b"\0" + self.pack("I", len(texts)) + b"".join(map(self.sized, texts))
        return body

    def clocks(self) -> bytes:
        return f"local [{self.clock}] counter".encode() + b"\0" if self.clock != "local" else b"[local] global\0"


def _head(trace: Trace, version: int) -> bytes:
    return (
        b"\x17\x08\x44tracing"
        + f"{version}".encode()
        + b"\0"
        + bytes([trace.order == ">", trace.long_bytes])
        + trace.pack("I", trace.page_bytes)
    )


def _option(trace: Trace, number: int, body: bytes) -> bytes:
    return trace.pack("HI", number, len(body)) + body


def version_6(trace: Trace) -> bytes:
    top, *others = trace.instances
    head = _head(trace, 6) + trace.header_info() + trace.ftrace_formats() + trace.event_formats()
    head += trace.sized(b"", 4) + trace.sized(b"", 4) + trace.sized(trace.cmdlines.encode()) + trace.pack("I", len(top.cpus))
    clock = trace.sized(trace.clocks())
    named = [_option(trace, 3, trace.pack("Q", 0) + other.name.encode() + b"\0") for other in others]
    fixed = b"options  \0" + b"".join(_option(trace, *option) for option in trace.options) + _option(trace, 4, b"")
    size = len(head) + len(fixed) + sum(map(len, named)) + 2
    size += 10 + 16 * len(top.cpus) + len(clock)
    descriptions = []
    for other in others:
        descriptions.append(size)
        size += 10 + 16 * len(other.cpus)
    data_at = -(-size // trace.page_bytes) * trace.page_bytes
    places, body = {}, b""
    for instance in trace.instances:
        table = b"flyrecord\0"
        for pages in instance.cpus:
            table += trace.pack("QQ", data_at + len(body), len(pages))
            body += pages
        places[instance.name] = table
    named = [_option(trace, 3, trace.pack("Q", at) + other.name.encode() + b"\0") for other, at in zip(others, descriptions, strict=True)]
    file = head + fixed + b"".join(named) + trace.pack("H", 0) + places[top.name] + clock
    file += b"".join(places[other.name] for other in others)
    assert len(file) == size
    return file + b"\0" * (data_at - size) + body


def compress(name: str, plain: bytes) -> bytes:
    return zlib.compress(plain) if name == "zlib" else bytes(pa.Codec("zstd").compress(plain))


def _section(trace: Trace, number: int, body: bytes, compression: str) -> bytes:
    flags = 0
    if compression != "none":
        packed = compress(compression, body)
        body, flags = trace.pack("II", len(packed), len(body)) + packed, 1
    return trace.pack("HHIQ", number, flags, 0, len(body)) + body


def chunked(name: str, pages: bytes, chunk_bytes: int, order: str = "<") -> bytes:
    chunks = [pages[at : at + chunk_bytes] for at in range(0, len(pages), chunk_bytes)]
    body = struct.pack(order + "I", len(chunks))
    for chunk in chunks:
        packed = compress(name, chunk)
        body += struct.pack(order + "II", len(packed), len(chunk)) + packed
    return body


def version_7(trace: Trace, compression: str = "none", *, chunk_pages: int = 3) -> bytes:
    file = bytearray(_head(trace, 7) + compression.encode() + b"\0" + b"1.0\0")
    options_at = len(file)
    file += bytes(8)
    options = b"".join(_option(trace, *option) for option in trace.options) + _option(trace, 4, trace.clocks())
    for number, body in (
        (16, trace.header_info()),
        (17, trace.ftrace_formats()),
        (18, trace.event_formats()),
        (21, trace.sized(trace.cmdlines.encode())),
    ):
        options += _option(trace, number, trace.pack("Q", len(file)))
        file += _section(trace, number, body, compression)
    for instance in trace.instances:
        section_at = len(file)
        file += trace.pack("HHIQ", 3, int(compression != "none"), 0, 0)
        file += bytes(-len(file) % trace.page_bytes)
        table = b""
        for cpu, pages in enumerate(instance.cpus):
            body = pages if compression == "none" or not pages else chunked(compression, pages, chunk_pages * trace.page_bytes, trace.order)
            table += trace.pack("IQQ", cpu, len(file), len(body))
            file += body
        strings = instance.name.encode() + b"\0" + trace.clock.encode() + b"\0"
        options += _option(trace, 3, trace.pack("Q", section_at) + strings + trace.pack("II", trace.page_bytes, len(instance.cpus)) + table)
    struct.pack_into(trace.order + "Q", file, options_at, len(file))
    options += _option(trace, 0, trace.pack("Q", 0))
    return bytes(file + _section(trace, 0, options, "none"))
