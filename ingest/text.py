"""Reads traces that tools printed: tracefs trace and trace_pipe, trace-cmd report, perf script; plain and latency format.

The text is read twice. The first pass learns what it holds: dialect, tasks, losses, and the shape of each event, since a
column's type is known only when all of its values are. The second gives batches of raw tables, in the order of the lines.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from replay._ext import textlines
from replay.errors import ReplayError, TraceError
from replay.ingest.graphtext import TRACER, as_report, is_graph
from replay.ingest.losses import Losses
from replay.ingest.records import EventName, Progress, RawBatch, TraceInfo
from replay.ingest.textshapes import Matches, Payloads, Shape, texts
from replay.ingest.textsurvey import HARMLESS, SAMPLE_BYTES, Lines, Survey, dialect, learn, payloads_of, whole_lines, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Records of perf that hold their time once more; without one they tell of what was there before.
_TIMED = frozenset({("perf", "fork"), ("perf", "exit")})
_BUFFER_TYPE = pa.dictionary(pa.int32(), pa.string())


@dataclass(slots=True)
class TextReader:
    """An open text. `batches` may be called again, and then counts the losses again from zero."""

    info: TraceInfo
    data: NDArray[np.uint8]
    survey: Survey
    losses: Losses = field(default_factory=Losses)

    def batches(self, progress: Progress | None = None) -> Generator[RawBatch]:
        self.losses.counts.clear()
        self.losses.totals.clear()
        survey = self.survey
        for name, count, cpu in survey.losses:
            self.losses.add(name, count, cpu=cpu)
        end = whole_lines(self.data)
        for name, count in (
            ("unparsed_lines", survey.unparsed),
            ("truncated_bytes", len(self.data) - end),
            ("timestamps_microseconds", survey.coarse),
            ("timestamps_backwards", survey.backwards),
        ):
            if count:
                self.losses.add(name, count)
        seq = 0
        for lines, at in windows(self.data, survey.scanner, None):
            if survey.scanner.grammar == textlines.PERF:
                # perf's account of what was there before has no time of its own.
                untimed = lines["ts"] == 0
                lines["ts"][untimed], lines["decimals"][untimed] = survey.first_ts, 0
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
        payloads = payloads_of(self.data, lines)
        found = shape.match(payloads)
        misfits = np.flatnonzero(found.matched == 0)
        if not shape.known or not len(misfits):
            return {shape.key: self._table(shape, lines, seq, payloads, found)}
        self.losses.add("unparsed_payloads", len(misfits))
        tables = {}
        fits = np.flatnonzero(found.matched)
        if len(fits):
            payloads = payloads_of(self.data, lines[fits])
            tables[shape.key] = self._table(shape, lines[fits], seq[fits], payloads, shape.match(payloads))
        payloads = payloads_of(self.data, lines[misfits])
        own = [*self._own(lines[misfits], seq[misfits]), texts(payloads)]
        tables["text", shape.key[1]] = pa.RecordBatch.from_arrays(own, schema=_schema([("text", pa.string())]))
        return tables

    def _table(self, shape: Shape, lines: Lines, seq: NDArray[np.int64], payloads: Payloads, found: Matches) -> pa.RecordBatch:
        arrays, misfits = shape.arrays(payloads, found)
        if misfits:
            self.losses.add("undecodable_fields", misfits)
        fields = shape.fields()
        if shape.key in _TIMED:
            fields.append(("time", pa.uint64()))
            arrays.append(pa.array(np.where(lines["decimals"] == 0, 0, lines["ts"]).astype(np.uint64)))
        return pa.RecordBatch.from_arrays([*self._own(lines, seq), *arrays], schema=_schema(fields))

    def _own(self, lines: Lines, seq: NDArray[np.int64]) -> list[pa.Array]:
        buffers = pa.DictionaryArray.from_arrays(pa.array(lines["buffer"] + 1, pa.int32()), pa.array(self.info.buffers, pa.string()))
        columns = [pa.array(np.ascontiguousarray(lines[name])) for name in ("ts", "cpu", "tid")]
        return [pa.array(seq, pa.int64()), columns[0], columns[1], buffers, columns[2]]


def open_text(path: str | os.PathLike[str]) -> TextReader:
    """Learn what a text holds. TraceError if no line of it is an event in a known format."""
    data = _map(path)
    head = data[:SAMPLE_BYTES].tobytes()
    graph = is_graph(head) and (head.startswith(TRACER) or dialect(data) is None)
    if graph:
        data = as_report(os.fspath(path), data)
    grammar = dialect(data)
    if grammar is None:
        raise _unrecognised(path, data)
    survey = learn(data, textlines.Scanner(data, grammar))
    if not survey.lines:
        raise _unrecognised(path, data)
    buffers = [survey.scanner.buffer(number).decode("utf-8", "replace") for number in range(survey.scanner.buffer_count)]
    precision = "counts" if survey.unscaled else "microseconds" if survey.coarse else "nanoseconds"
    info = TraceInfo(
        path=os.fspath(path),
        format="tracefs text, function_graph" if graph else _format_name(grammar, survey, data),
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
    head = data[:SAMPLE_BYTES].tobytes()
    offset = 0
    for number, line in enumerate(head.split(b"\n"), 1):
        if line.strip() and not line.startswith(HARMLESS):
            shown = "".join(char if char.isprintable() else "." for char in line[:40].decode("ascii", "replace"))
            return TraceError(
                path, offset, f"line {number}: expected an event such as 'task-1 [000] 1.000000: event: ...', found {shown!r}"
            )
        offset += len(line) + 1
    return TraceError(path, min(offset, len(data)), "no event in the whole text")
