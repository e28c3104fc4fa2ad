"""The first pass over a trace as text: its dialect, tasks and losses, and the shape of each event."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from replay._ext import textlines
from replay.ingest.textshapes import Payloads, Shape, is_multiline, shape_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# struct Line of _ext/textlines.pyx.
LINE = np.dtype(
    [(name, "i8") for name in ("at", "ts", "payload_at", "comm_at")]
    + [(name, "i4") for name in ("payload_bytes", "cpu", "tid", "tgid", "event", "buffer")]
    + [(name, "u1") for name in ("comm_bytes", "decimals")]
)
BATCH_LINES = 1 << 17
BATCH_BYTES = 32 << 20
_NOTES = 1 << 12
SAMPLE_BYTES = 1 << 16
_NS_DECIMALS = 9
_UNKNOWN_COMMS = frozenset({b"", b"<...>"})

# trace_pipe; trace-cmd report; the head of the trace file (kernel/trace/trace.c print_trace_line, print_event_info).
_LOST = re.compile(rb"CPU:(\d{1,5}) \[LOST (\d{1,18}) EVENTS\]")
_DROPPED = re.compile(rb"CPU:(\d{1,5}) \[(?:(\d{1,18}) )?EVENTS DROPPED\]")
_WRITTEN = re.compile(rb"# entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})\s+#P:(\d{1,5})")
_CPUS = re.compile(rb"(?:cpus=|.*#P:)(\d{1,5})\b")
HARMLESS = (b"#", b"cpus=", b"version = ", b"CPU ")

_MODIFIERS = re.compile(r"[ukhGHpPSDIWeb]*")
_LOSS_RECORDS = {("perf", "lost"): "kernel_lost_events", ("perf", "lost_samples"): "kernel_lost_samples"}

Lines = Any
"""A structured array of LINE."""


@dataclass(slots=True)
class Survey:
    """What the first pass learned."""

    scanner: textlines.Scanner
    shapes: list[Shape] = field(default_factory=list)
    shape_of_event: list[int] = field(default_factory=list)
    losses: list[tuple[str, int, int | None]] = field(default_factory=list)
    comms: dict[int, bytes] = field(default_factory=dict)
    tgids: dict[int, int] = field(default_factory=dict)
    lines: int = 0
    unparsed: int = 0
    cpus: int = 1
    coarse: int = 0
    backwards: int = 0
    first_ts: int = 0
    last_ts: int = 0
    unscaled: bool = False
    tracer: bytes = b""

    def note(self, line: bytes) -> bool:
        """Take in a line about the trace; False if it says nothing that is known."""
        lost, dropped, written = _LOST.match(line), _DROPPED.match(line), _WRITTEN.match(line)
        if lost:
            self.losses.append(("kernel_lost_events", int(lost[2]), int(lost[1])))
        elif dropped and dropped[2]:
            self.losses.append(("kernel_lost_events", int(dropped[2]), int(dropped[1])))
        elif dropped:
            self.losses.append(("kernel_lost_unknown", 1, int(dropped[1])))
        elif written:
            self.losses.append(("kernel_overruns", max(int(written[2]) - int(written[1]), 0), None))
        elif line.startswith(b"# tracer: "):
            self.tracer = line[10:]
        cpus = _CPUS.match(line)
        if cpus:
            self.cpus = max(self.cpus, int(cpus[1]))
        return bool(lost or dropped) or line.startswith(HARMLESS)


def dialect(data: NDArray[np.uint8]) -> int | None:
    """The grammar that takes most lines of the beginning, or of the whole if the beginning holds no event."""
    grammars = (textlines.TASK, textlines.LATENCY, textlines.PERF)
    lines, notes = np.zeros(1 << 10, LINE), np.zeros((_NOTES, 2), np.int64)
    size = min(len(data), SAMPLE_BYTES)
    while size:
        counts = []
        for grammar in grammars:
            scanner, at, count, stop = textlines.Scanner(data, grammar), 0, 0, textlines.NEW_NAME
            while stop == textlines.NEW_NAME:
                stop, at, count, _ = scanner.scan(at, size, lines, count, notes)
            counts.append(count)
        if any(counts):
            return grammars[int(np.argmax(counts))]
        size = min(len(data), size * 16) if size < len(data) else 0
    return None


def learn(data: NDArray[np.uint8], scanner: textlines.Scanner) -> Survey:
    survey = Survey(scanner)
    for lines, _ in windows(data, scanner, survey):
        _learn_shapes(survey, data, lines)
        _learn_tasks(survey, data, lines)
        survey.lines += len(lines)
        scaled = lines["decimals"] != textlines.UNSCALED
        survey.unscaled |= not scaled.all()
        survey.coarse += int(np.count_nonzero(lines["decimals"] < _NS_DECIMALS))
        survey.cpus = max(survey.cpus, int(lines["cpu"].max()) + 1)
        if not survey.first_ts:
            survey.first_ts = int(lines["ts"][np.argmax(lines["ts"] != 0)])
        timed = lines["ts"][lines["ts"] != 0] if scanner.grammar == textlines.PERF else lines["ts"]
        ts = np.concatenate([[survey.last_ts], timed])
        latest = np.maximum.accumulate(ts)
        survey.backwards += int(np.count_nonzero(ts < latest))
        survey.last_ts = int(latest[-1])
    survey.unparsed += scanner.unparsed
    for shape in survey.shapes:
        shape.settle()
    return survey


def windows(data: NDArray[np.uint8], scanner: textlines.Scanner, survey: Survey | None) -> Iterator[tuple[Lines, int]]:
    """Event lines in tables of bounded size, and where the text goes on after each. Takes notes for a survey."""
    end = whole_lines(data)
    notes = np.zeros((_NOTES, 2), np.int64)
    at = 0
    scanner.reset()
    while at < end:
        lines, count = np.zeros(min(BATCH_LINES, end - at), LINE), 0
        limit = at + BATCH_BYTES
        while at < end and at < limit:
            # A window ends with a line; one line may be longer than a window.
            until = end if end - at <= BATCH_BYTES else _line_end(data, at + BATCH_BYTES, end)
            stop, at, count, noted = scanner.scan(at, until, lines, count, notes)
            if survey is not None:
                for begin, finish in notes[:noted].tolist():
                    if not survey.note(data[begin : min(finish, begin + 256)].tobytes()):
                        survey.unparsed += 1
            if stop == textlines.NEW_NAME:
                number = scanner.event_count - 1
                kind, name = scanner.event(number)
                if is_multiline(*identify(scanner.grammar, kind, name)):
                    scanner.set_multiline(number)
            elif count == len(lines):
                break
        if count:
            yield lines[:count], at


def _line_end(data: NDArray[np.uint8], at: int, end: int) -> int:
    """The end of the line that holds this byte."""
    while at < end:
        hits = np.flatnonzero(data[at : at + (1 << 20)] == 10)
        if len(hits):
            return min(at + int(hits[0]) + 1, end)
        at += 1 << 20
    return end


def whole_lines(data: NDArray[np.uint8]) -> int:
    """Where the last line ends that is sure not to be cut: tools end every line."""
    for begin in range(len(data), 0, -(1 << 16)):
        hits = np.flatnonzero(data[max(begin - (1 << 16), 0) : begin] == 10)
        if len(hits):
            return max(begin - (1 << 16), 0) + int(hits[-1]) + 1
    return 0


def identify(grammar: int, kind: int, name: bytes) -> tuple[str | None, str]:
    """(system if the text tells it, event) as tracefs names it."""
    text = name.decode("utf-8", "replace")
    if kind == textlines.ENTER:
        return "syscalls", f"sys_enter_{text}"
    if kind == textlines.EXIT:
        return "syscalls", f"sys_exit_{text}"
    if kind == textlines.FUNCTION:
        return "ftrace", "function"
    if kind == textlines.RECORD:
        return "perf", text.lower()
    if kind == textlines.OTHER:
        return "text", "line"
    if grammar != textlines.PERF:
        return None, text
    system, _, event = text.partition(":")
    # An event that is no tracepoint stands by its name, with modifiers: "cycles", "cycles:ukP".
    return ("perf", text) if _MODIFIERS.fullmatch(event) else (system, event)


def _learn_shapes(survey: Survey, data: NDArray[np.uint8], lines: Lines) -> None:
    events = lines["event"]
    by_key = {shape.key: number for number, shape in enumerate(survey.shapes)}
    for number in range(len(survey.shape_of_event), survey.scanner.event_count):
        kind, name = survey.scanner.event(number)
        system, event = identify(survey.scanner.grammar, kind, name)
        rows = np.flatnonzero(events == number)
        sample = payloads_of(data, lines[rows[:1]]).payload(0) if len(rows) else b""
        shape = shape_of(event, system, sample, bare_hex=kind == textlines.ENTER)
        if shape.key not in by_key:
            by_key[shape.key] = len(survey.shapes)
            survey.shapes.append(shape)
        survey.shape_of_event.append(by_key[shape.key])
    numbers = np.array(survey.shape_of_event, np.int32)[events]
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(len(survey.shapes) + 1))
    for number, shape in enumerate(survey.shapes):
        rows = order[bounds[number] : bounds[number + 1]]
        if len(rows):
            found = shape.learn(payloads_of(data, lines[rows]))
            counter = _LOSS_RECORDS.get(shape.key)
            if counter:
                survey.losses.append((counter, int(found.values[0].sum()), None))


def _learn_tasks(survey: Survey, data: NDArray[np.uint8], lines: Lines) -> None:
    """The last name of each thread counts; "<...>" is none."""
    _, last = np.unique(lines["tid"][::-1], return_index=True)
    for line in lines[len(lines) - 1 - last]:
        comm = data[line["comm_at"] : line["comm_at"] + line["comm_bytes"]].tobytes()
        tid = int(line["tid"])
        if comm not in _UNKNOWN_COMMS:
            survey.comms[tid] = comm
        if line["tgid"] >= 0:
            survey.tgids[tid] = int(line["tgid"])


def payloads_of(data: NDArray[np.uint8], lines: Lines) -> Payloads:
    return Payloads(data, np.ascontiguousarray(lines["payload_at"]), np.ascontiguousarray(lines["payload_bytes"]))
