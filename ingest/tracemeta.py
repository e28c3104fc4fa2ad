"""The metadata that both versions of trace.dat and perf's tracing data have: page layout, event formats, command lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from replay.ingest.formats import parse_format

if TYPE_CHECKING:
    from replay.ingest.bytecursor import ByteCursor
    from replay.ingest.tracedat import Container


def read_formats(container: Container, cursor: ByteCursor) -> None:
    """The sections with which a version 6 file begins, and which perf's tracing data has too."""
    read_header_info(container, cursor)
    read_ftrace_formats(container, cursor)
    read_event_formats(container, cursor)
    cursor.take(cursor.number(4, "the size of kallsyms"), "kallsyms")
    cursor.take(cursor.number(4, "the size of the printk formats"), "the printk formats")


def read_header_info(container: Container, cursor: ByteCursor) -> None:
    """tracefs events/header_page tells the kernel's long (the commit field) and where the page's data begins."""
    for name in ("header_page", "header_event"):
        if cursor.string("the header", 64) != name:
            raise cursor.error(f"expected {name}")
        text = cursor.text(cursor.number(8, f"the size of {name}"), name)
        if name == "header_event":
            return
        places = {m[1]: (int(m[2]), int(m[3])) for m in re.finditer(r"\b(\w{1,64});\s*offset:(\d{1,9});\s*size:(\d{1,9});", text)}
        commit, pages = places.get("commit"), places.get("data")
        if places.get("timestamp") != (0, 8) or commit not in ((8, 4), (8, 8)) or pages is None or pages[0] != sum(commit):
            raise cursor.error("a ring buffer page layout that is not known")
        container.long_bytes, container.header_bytes = commit[1], pages[0]


def read_ftrace_formats(container: Container, cursor: ByteCursor) -> None:
    for _ in range(cursor.number(4, "the number of ftrace formats")):
        _read_format(container, cursor, "ftrace")


def read_event_formats(container: Container, cursor: ByteCursor) -> None:
    for _ in range(cursor.number(4, "the number of event systems")):
        system = cursor.string("the name of an event system")
        for _ in range(cursor.number(4, "the number of event formats")):
            _read_format(container, cursor, system)


def _read_format(container: Container, cursor: ByteCursor, system: str) -> None:
    text = cursor.text(cursor.number(8, "the size of an event format"), "an event format")
    parsed = parse_format(text, system, long_bytes=container.long_bytes)
    if parsed is None:
        container.unparsed_formats += 1
    else:
        container.formats.append(parsed)


def read_cmdlines(container: Container, cursor: ByteCursor) -> None:
    text = cursor.text(cursor.number(8, "the size of the command lines"), "the command lines")
    for line in text.split("\n"):
        tid, _, comm = line.strip().partition(" ")
        if tid.isascii() and tid.isdigit() and len(tid) < 11:
            container.cmdlines[int(tid)] = comm
