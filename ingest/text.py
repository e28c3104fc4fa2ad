"""Reads traces that tools printed: tracefs trace and trace_pipe, trace-cmd report, perf script; plain and latency format.

The text is read twice. The first pass learns what it holds: dialect, tasks, losses, and the shape of each event, since a
column's type is known only when all of its values are. The second gives batches of raw tables, in the order of the lines.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from replay._ext import textlines
from replay.errors import ReplayError, TraceError
from replay.ingest.losses import Losses
from replay.ingest.records import EventName, Progress, RawBatch, TraceInfo
from replay.ingest.textshapes import Payloads, Shape, is_multiline, shape_of, texts

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
_SAMPLE_BYTES = 1 << 16
_NS_DECIMALS = 9
_BUFFER_TYPE = pa.dictionary(pa.int32(), pa.string())
_UNKNOWN_COMMS = frozenset({b"", b"<...>"})

# trace_pipe; trace-cmd report; the head of the trace file (kernel/trace/trace.c print_trace_line, print_event_info).
_LOST = re.compile(rb"CPU:(\d{1,5}) \[LOST (\d{1,18}) EVENTS\]")
_DROPPED = re.compile(rb"CPU:(\d{1,5}) \[(?:(\d{1,18}) )?EVENTS DROPPED\]")
_WRITTEN = re.compile(rb"# entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})\s+#P:(\d{1,5})")
_CPUS = re.compile(rb"(?:cpus=|.*#P:)(\d{1,5})\b")
_HARMLESS = (b"#", b"cpus=", b"version = ", b"CPU ")

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
        return bool(lost or dropped) or line.startswith(_HARMLESS)


@dataclass(slots=True)
class TextReader:
    """An open text. `batches` may be called again, and then counts the losses again from zero."""

    info: TraceInfo
    data: NDArray[np.uint8]
    survey: Survey
    losses: Losses = field(default_factory=Losses)

    def batches(self, progress: Progress | None = None) -> Iterator[RawBatch]:
        self.losses.counts.clear()
        self.losses.totals.clear()
        survey = self.survey
        for name, count, cpu in survey.losses:
            self.losses.add(name, count, cpu=cpu)
        end = _whole_lines(self.data)
        for name, count in (
            ("unparsed_lines", survey.unparsed),
            ("truncated_bytes", len(self.data) - end),
            ("timestamps_microseconds", survey.coarse),
            ("timestamps_backwards", survey.backwards),
        ):
            if count:
                self.losses.add(name, count)
        seq = 0
        for lines, at in _windows(self.data, survey.scanner, None):
            yield self._batch(lines, seq)
            seq += len(lines)
            if progress:
                progress(at, end)

    def _batch(self, lines: Lines, seq: int) -> RawBatch:
        numbers = np.array(self.survey.shape_of_event, np.int32)[lines["event"]]
        order = np.argsort(numbers, kind="stable")
        bounds = np.searchsorted(numbers[order], np.arange(len(self.survey.shapes) + 1))
        tables: dict[EventName, pa.RecordBatch] = {}
        for number, shape in enumerate(self.survey.shapes):
            rows = order[bounds[number] : bounds[number + 1]]
            if len(rows):
                tables |= self._tables(shape, lines[rows], rows + seq)
        return RawBatch(tables)

    def _tables(self, shape: Shape, lines: Lines, seq: NDArray[np.int64]) -> dict[EventName, pa.RecordBatch]:
        """The event's table; and, of lines that do not have its form, one that holds their text."""
        payloads = _payloads(self.data, lines)
        found = shape.match(payloads)
        misfits = np.flatnonzero(found.matched == 0)
        if not shape.known or not len(misfits):
            return {shape.key: self._table(shape, lines, seq, payloads, found)}
        self.losses.add("unparsed_payloads", len(misfits))
        tables = {}
        fits = np.flatnonzero(found.matched)
        if len(fits):
            payloads = _payloads(self.data, lines[fits])
            tables[shape.key] = self._table(shape, lines[fits], seq[fits], payloads, shape.match(payloads))
        payloads = _payloads(self.data, lines[misfits])
        own = [*self._own(lines[misfits], seq[misfits]), texts(payloads)]
        tables["text", shape.key[1]] = pa.RecordBatch.from_arrays(own, schema=_schema([("text", pa.string())]))
        return tables

    def _table(self, shape: Shape, lines: Lines, seq: NDArray[np.int64], payloads: Payloads, found: Any) -> pa.RecordBatch:
        arrays, misfits = shape.arrays(payloads, found)
        if misfits:
            self.losses.add("undecodable_fields", misfits)
        return pa.RecordBatch.from_arrays([*self._own(lines, seq), *arrays], schema=_schema(shape.fields()))

    def _own(self, lines: Lines, seq: NDArray[np.int64]) -> list[pa.Array]:
        buffers = pa.DictionaryArray.from_arrays(pa.array(lines["buffer"] + 1, pa.int32()), pa.array(self.info.buffers, pa.string()))
        columns = [pa.array(np.ascontiguousarray(lines[name])) for name in ("ts", "cpu", "tid")]
        return [pa.array(seq, pa.int64()), columns[0], columns[1], buffers, columns[2]]


def open_text(path: str | os.PathLike[str]) -> TextReader:
    """Learn what a text holds. TraceError if no line of it is an event in a known format."""
    data = _map(path)
    grammar = dialect(data)
    if grammar is None:
        raise _unrecognised(path, data)
    survey = _learn(data, textlines.Scanner(data, grammar))
    if not survey.lines:
        raise _unrecognised(path, data)
    buffers = [survey.scanner.buffer(number).decode("utf-8", "replace") for number in range(survey.scanner.buffer_count)]
    precision = "counts" if survey.unscaled else "microseconds" if survey.coarse else "nanoseconds"
    info = TraceInfo(
        path=os.fspath(path),
        format=_format_name(grammar, survey, data),
        clock=f"not told, {precision}",
        uname=None,
        cpus=survey.cpus,
        cmdlines={tid: comm.decode("utf-8", "replace") for tid, comm in survey.comms.items()},
        tgids=survey.tgids,
        clock_unit="counts" if survey.unscaled else "ns",
        buffers=("", *buffers),
    )
    return TextReader(info, data, survey)


def _map(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise TraceError(path, 0, "the file is empty")
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except OSError as error:
        raise ReplayError(error.strerror or str(error), where=str(path)) from error


def dialect(data: NDArray[np.uint8]) -> int | None:
    """The grammar that takes most lines of the beginning, or of the whole if the beginning holds no event."""
    grammars = (textlines.TASK, textlines.LATENCY, textlines.PERF)
    lines, notes = np.zeros(1 << 10, LINE), np.zeros((_NOTES, 2), np.int64)
    size = min(len(data), _SAMPLE_BYTES)
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


def _learn(data: NDArray[np.uint8], scanner: textlines.Scanner) -> Survey:
    survey = Survey(scanner)
    for lines, _ in _windows(data, scanner, survey):
        _learn_shapes(survey, data, lines)
        _learn_tasks(survey, data, lines)
        survey.lines += len(lines)
        scaled = lines["decimals"] != textlines.UNSCALED
        survey.unscaled |= not scaled.all()
        survey.coarse += int(np.count_nonzero(lines["decimals"] < _NS_DECIMALS))
        survey.cpus = max(survey.cpus, int(lines["cpu"].max()) + 1)
        ts = np.concatenate([[survey.last_ts], lines["ts"]])
        latest = np.maximum.accumulate(ts)
        survey.backwards += int(np.count_nonzero(ts < latest))
        survey.last_ts = int(latest[-1])
    survey.unparsed += scanner.unparsed
    for shape in survey.shapes:
        shape.settle()
    return survey


def _windows(data: NDArray[np.uint8], scanner: textlines.Scanner, survey: Survey | None) -> Iterator[tuple[Lines, int]]:
    """Event lines in tables of bounded size, and where the text goes on after each. Takes notes for a survey."""
    end = _whole_lines(data)
    notes = np.zeros((_NOTES, 2), np.int64)
    at = 0
    scanner.reset()
    while at < end:
        lines, count = np.zeros(BATCH_LINES, LINE), 0
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
                if is_multiline(event_name(kind, name)[1]):
                    scanner.set_multiline(number)
            elif count == BATCH_LINES:
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


def _whole_lines(data: NDArray[np.uint8]) -> int:
    """Where the last line ends that is sure not to be cut: tools end every line."""
    for begin in range(len(data), 0, -(1 << 16)):
        hits = np.flatnonzero(data[max(begin - (1 << 16), 0) : begin] == 10)
        if len(hits):
            return max(begin - (1 << 16), 0) + int(hits[-1]) + 1
    return 0


def event_name(kind: int, name: bytes) -> tuple[str | None, str]:
    """(system if told, event) as tracefs names it."""
    text = name.decode("utf-8", "replace")
    if kind == textlines.ENTER:
        return "syscalls", f"sys_enter_{text}"
    if kind == textlines.EXIT:
        return "syscalls", f"sys_exit_{text}"
    if kind == textlines.FUNCTION:
        return "ftrace", "function"
    if kind == textlines.OTHER:
        return "text", "line"
    return None, text


def _learn_shapes(survey: Survey, data: NDArray[np.uint8], lines: Lines) -> None:
    events = lines["event"]
    by_key = {shape.key: number for number, shape in enumerate(survey.shapes)}
    for number in range(len(survey.shape_of_event), survey.scanner.event_count):
        kind, name = survey.scanner.event(number)
        system, event = event_name(kind, name)
        rows = np.flatnonzero(events == number)
        sample = _payloads(data, lines[rows[:1]]).payload(0) if len(rows) else b""
        shape = _perf_shape(event, sample) if system is None and ":" in event else None
        shape = shape or shape_of(event, system, sample, bare_hex=kind == textlines.ENTER)
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
            shape.learn(_payloads(data, lines[rows]))


def _perf_shape(event: str, sample: bytes) -> Shape:
    system, _, name = event.partition(":")
    return shape_of(name, system, sample)


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


def _payloads(data: NDArray[np.uint8], lines: Lines) -> Payloads:
    return Payloads(data, np.ascontiguousarray(lines["payload_at"]), np.ascontiguousarray(lines["payload_bytes"]))


def _schema(fields: list[tuple[str, pa.DataType]]) -> pa.Schema:
    own = [("seq", pa.int64()), ("ts", pa.int64()), ("cpu", pa.int32()), ("buffer", _BUFFER_TYPE), ("common_pid", pa.int32())]
    return pa.schema([*own, *fields])


def _format_name(grammar: int, survey: Survey, data: NDArray[np.uint8]) -> str:
    if grammar == textlines.PERF:
        return "perf script text"
    latency = ", latency format" if grammar == textlines.LATENCY else ""
    head = data[:64].tobytes()
    if survey.tracer or head.startswith(b"#"):
        return f"tracefs text{latency}"
    return f"{'trace-cmd report' if head.startswith((b'cpus=', b'version = ')) else 'trace'} text{latency}"


def _unrecognised(path: str | os.PathLike[str], data: NDArray[np.uint8]) -> TraceError:
    head = data[:_SAMPLE_BYTES].tobytes()
    offset = 0
    for number, line in enumerate(head.split(b"\n"), 1):
        if line.strip() and not line.startswith(_HARMLESS):
            shown = "".join(char if char.isprintable() else "." for char in line[:40].decode("ascii", "replace"))
            return TraceError(
                path, offset, f"line {number}: expected an event such as 'task-1 [000] 1.000000: event: ...', found {shown!r}"
            )
        offset += len(line) + 1
    return TraceError(path, min(offset, len(data)), "no event in the whole text")
