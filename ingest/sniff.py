"""Which format a file has, from its first bytes; names are never trusted."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass

from replay.errors import TraceError
from replay.ingest.perfdirectory import MAGICS as PERF_MAGICS
from replay.ingest.perfdirectory import files_of

# Documentation/trace-cmd.dat.v7.5.txt: the file begins with 0x17 0x08 0x44 "tracing".
TRACECMD_MAGIC = b"\x17\x08\x44tracing"
_HEAD_BYTES = 1 << 16
_LEAST_TEXT = 4
# How tracefs and trace-cmd report begin; other text is told by its lines.
_TEXT_HEADS = (b"# tracer: ", b"cpus=", b"version = ")
_BOM = b"\xef\xbb\xbf"
_NO_TID = re.compile(rb"^ *\S.*? (?:\[\d+\] +)?\d+\.\d{6,9}: +(?:\d+ +)?[^\s:]+:[^\s:]+: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Known:
    """A format that we recognise and do not read, and what the user can do."""

    magic: bytes
    name: str
    hint: str


_OTHERS = (
    _Known(b"PERFFILE", "a perf.data file of the first version", "record with perf of Linux 3.2 or later"),
    _Known(b"\x28\xb5\x2f\xfd", "compressed with zstd as a whole", "decompress it first: zstd -d"),
    _Known(b"\x1f\x8b", "compressed with gzip as a whole", "decompress it first: gzip -d"),
    _Known(b"\xfd7zXZ\0", "compressed with xz as a whole", "decompress it first: xz -d"),
    _Known(b"PAR1", "a Parquet file", "ingest reads traces; query Parquet with DuckDB"),
)


def sniff(path: str) -> str:
    """Return "tracecmd", "perf", "text" or "jsonl"; TraceError for everything else."""
    head = _read_head(path)
    if not head:
        raise TraceError(path, 0, "the file is empty: no trace")
    if head.startswith(TRACECMD_MAGIC):
        return "tracecmd"
    if TRACECMD_MAGIC.startswith(head):
        raise TraceError(path, len(head), "cut off within the magic of a trace.dat")
    if head.startswith(PERF_MAGICS):
        return "perf"
    if head.startswith(b'{"replay_state"'):
        raise TraceError(path, 0, "this is the state beside a trace", hint="ingest reads it with the trace")
    if head.removeprefix(_BOM).lstrip()[:1] == b"{":
        return "jsonl"
    for known in _OTHERS:
        if head.startswith(known.magic):
            raise TraceError(path, 0, f"this is {known.name}", hint=known.hint)
    if head.startswith(_TEXT_HEADS) or _is_text(head):
        return "text"
    if _NO_TID.search(head):
        hint = "print it again: perf script --ns -F comm,pid,tid,cpu,time,event,trace"
        raise TraceError(path, 0, "perf script output without thread ids", hint=hint)
    expected = "expected a trace.dat, perf.data, a trace as text or events.jsonl"
    raise TraceError(path, 0, f"no trace in a known format: begins with {_show(head)}; {expected}")


def _is_text(head: bytes) -> bool:
    """Whether a line of it is an event as tracefs, trace-cmd report or perf script print it."""
    import numpy as np

    from replay.ingest.graphtext import is_graph
    from replay.ingest.textsurvey import dialect

    return dialect(np.frombuffer(head, np.uint8)) is not None or is_graph(head)


def _read_head(path: str) -> bytes:
    try:
        path = files_of(path)[0]
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise TraceError(path, None, "this is a directory, not a trace")
        if not stat.S_ISREG(mode):
            raise TraceError(path, None, "not a regular file; a trace is read twice, so a pipe will not do")
        with open(path, "rb") as file:
            return file.read(_HEAD_BYTES)
    except ValueError as error:
        if isinstance(error, TraceError):
            raise
        raise TraceError(path, None, "not a file name") from None
    except OSError as error:
        raise TraceError(path, None, (error.strerror or "cannot be read").lower()) from None


def _show(head: bytes) -> str:
    """The first bytes, printable: text as text, anything else in hex."""
    text = head[:20].decode("ascii", "replace")
    printable = text[: next((end for end, char in enumerate(text) if not char.isprintable()), len(text))]
    return repr(printable) if len(printable) >= _LEAST_TEXT else head[:8].hex(" ")
