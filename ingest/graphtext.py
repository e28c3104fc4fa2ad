"""Text of the function_graph tracer, put into the form of `trace-cmd report`, which the scanner reads.

    # tracer: function_graph
    #      TIME        CPU  TASK/PID         DURATION                  FUNCTION CALLS
       360.774522 |   1)    sh-4802    |   0.541 us    |      fput();
       360.774530 |   1)    sh-4802    |               |      /* sched_waking: comm=cat pid=7 prio=120 target_cpu=000 */

(kernel/trace/trace_functions_graph.c.) Events stand in comments among the calls. Times are there only with the option
funcgraph-abstime, and tasks with funcgraph-proc: without it, lines that tell of a switch tell the task of a CPU.
"""

from __future__ import annotations

import mmap
import re
import tempfile
from typing import IO, TYPE_CHECKING

import numpy as np

from replay.errors import TraceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LINE = re.compile(
    rb"\s*+(?:(?P<time>\d{1,12}\.\d{6,9}) \|\s*+)?(?P<cpu>\d{1,5})\)\s++"
    rb"(?:(?P<task>[^|\n]{1,16}?-\d{1,10})\s*+\|\s++)?(?:[.\w#]{4,6}\s*+\|\s++)?"
    rb"(?P<duration>(?:[$@*#!+]\s++)?[\d.]{1,16} us\s*+)?(?:[<=>]{11}\s*+)?\|(?P<body>[^\n]*)"
)
_SWITCH = re.compile(rb"^[ \t]*+(\d{1,5})\)\s++([^|\n]{1,16}?-\d{1,10})\s++=>\s++([^|\n]{1,16}?-\d{1,10})[ \t]*+$", re.MULTILINE)
_EVENT = re.compile(rb"[A-Za-z_]\w{0,63}: ")
_NOTHING = re.compile(rb"\s*+(?:-{10,}\s*+)?")
_UNKNOWN = b"<...>-0"
TRACER = b"# tracer: function_graph"
_HEAD_BYTES = 1 << 16


def is_graph(head: bytes) -> bool:
    """Whether a text that begins like this has lines of this form."""
    return any(_LINE.match(line) for line in head[:_HEAD_BYTES].split(b"\n"))


def as_report(path: str, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The text in the other form. TraceError if it has no times."""
    text = data.data
    tasks: dict[bytes, bytes] = {}
    for switch in _SWITCH.finditer(text):
        tasks.setdefault(switch[1], switch[2])
    with tempfile.TemporaryFile(prefix="replay-") as file:
        _translate(path, text, tasks, file)
        if file.tell() == 0:
            return data[:0]
        file.flush()
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _translate(path: str, text: memoryview, tasks: dict[bytes, bytes], file: IO[bytes]) -> None:
    """`tasks` are those that run on each CPU at first."""
    for place in re.finditer(rb"[^\n]*\n?", text):
        line = place[0]
        found = _LINE.match(line)
        if found is None:
            switch = _SWITCH.match(line.rstrip(b"\n"))
            if switch:
                tasks[switch[1]] = switch[3]
            elif not _NOTHING.fullmatch(line):
                file.write(line)
        elif found["time"] is None:
            hint = "record again with the trace options funcgraph-abstime and funcgraph-proc"
            raise TraceError(path, place.start(), "a call graph without times has no place in a trace", hint=hint)
        else:
            payload = _payload(found["duration"] or b"", found["body"].rstrip())
            if payload:
                task = found["task"] or tasks.get(found["cpu"], _UNKNOWN)
                end = b"\n" if line.endswith(b"\n") else b""
                file.write(b"%s [%s] %s: %s%s" % (task, found["cpu"].zfill(3), found["time"], payload, end))


def _payload(duration: bytes, body: bytes) -> bytes:
    """Event and payload; none of the lines that mark an interrupt."""
    call = body.strip()
    if not call:
        return b""
    if call.startswith(b"/* ") and call.endswith(b" */"):
        said = call[3:-3]
        return said if _EVENT.match(said) else b"print: " + said
    kind = b"exit" if call.startswith(b"}") else b"entry"
    return b"funcgraph_%s: %s |%s" % (kind, duration.strip(), body)
