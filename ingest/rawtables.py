"""Raw tables: from an event's format to an Arrow schema, and from collected rows to a record batch of that schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay._ext import columns
from replay._ext.rowgroups import RowGroups
from replay._ext.vocabulary import Vocabulary
from replay.ingest.formats import Field, Format
from replay.ingest.losses import Losses
from replay.ingest.records import OWN_COLUMNS, EventName

_INTEGERS = {
    (1, True): pa.int8(),
    (2, True): pa.int16(),
    (4, True): pa.int32(),
    (8, True): pa.int64(),
    (1, False): pa.uint8(),
    (2, False): pa.uint16(),
    (4, False): pa.uint32(),
    (8, False): pa.uint64(),
}
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
Words = np.ndarray[tuple[int], np.dtype[np.uint32]]
Job = tuple[int, int, int]
"""What columns.scalars takes: kind, offset, width."""

_OWN_JOBS: tuple[Job, ...] = ((columns.SEQ, 0, 8), (columns.TS, 0, 8), (columns.CPU, 0, 4), (columns.BUFFER, 0, 4))
_WORDS_TYPE = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class StreamNames:
    """What a stream number of the merge stands for."""

    cpus: np.ndarray[tuple[int], np.dtype[np.int32]]
    buffers: np.ndarray[tuple[int], np.dtype[np.int32]]
    buffer_names: pa.Array


@dataclass(frozen=True, slots=True)
class Part:
    """Fields whose places count from where the rows of a group of the store begin."""

    group: int
    fields: tuple[Field, ...]


class Texts:
    """The words of a column of texts so far, as the trace has them and as strings."""

    def __init__(self) -> None:
        self.vocabulary = Vocabulary()
        self.strings = pa.array([], pa.string())

    def words(self) -> pa.Array:
        if len(self.strings) != self.vocabulary.count:
            self.strings = pa.array([word.decode("utf-8", "replace") for word in self.vocabulary.words()], pa.string())
        return self.strings

    def forget(self) -> None:
        self.vocabulary.clear()
        self.strings = self.strings.slice(0, 0)


@dataclass(frozen=True, slots=True)
class RawTable:
    """How the records of one event type become columns. Row n of every part is of the same record."""

    key: EventName
    parts: tuple[Part, ...]
    schema: pa.Schema
    types: tuple[pa.DataType, ...]
    jobs: tuple[tuple[Job, ...], ...]
    texts: tuple[Texts, ...]

    def batch(self, store: RowGroups, rows: int, streams: StreamNames, losses: Losses) -> pa.RecordBatch:
        arrays: list[pa.Array] = []
        types, texts = iter(self.types), iter(self.texts)
        for part, jobs in zip(self.parts, self.jobs, strict=True):
            numbers = _numbers(store, part.group, jobs, rows, streams)
            if not arrays:
                arrays += [pa.Array.from_buffers(next(types), rows, [None, next(numbers)]) for _ in ("seq", "ts", "cpu")]
                arrays.append(pa.DictionaryArray.from_buffers(next(types), rows, [None, next(numbers)], streams.buffer_names))
            spent: Words | None = None
            for field in part.fields:
                kind = next(types)
                if not field.scalar:
                    spent = np.zeros(rows, np.uint32) if spent is None else spent
                    if field.text:
                        arrays.append(_texts(store, part.group, field, rows, spent, losses, next(texts)))
                    else:
                        arrays.append(_lists(store, part.group, field, kind, rows, spent, losses))
                elif field.boolean:
                    arrays.append(pa.Array.from_buffers(kind, rows, [None, _bits(np.frombuffer(next(numbers), np.uint8))]))
                else:
                    arrays.append(pa.Array.from_buffers(kind, rows, [None, next(numbers)]))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def raw_table(key: EventName, parts: Sequence[Part]) -> RawTable:
    """Columns that are never NULL say so, which makes them a fifth cheaper to write."""
    own = [("seq", pa.int64()), ("ts", pa.int64()), ("cpu", pa.int32()), ("buffer", _WORDS_TYPE)]
    taken = {field.name for part in parts for field in part.fields}
    names = set(OWN_COLUMNS)
    fields = []
    for part in parts:
        for field in part.fields:
            name = field.name
            while name in names or (name != field.name and name in taken):
                name += "_field"
            names.add(name)
            fields.append(pa.field(name, _field_type(field), nullable=not field.scalar))
    schema = pa.schema([*(pa.field(name, kind, nullable=False) for name, kind in own), *fields])
    jobs = [tuple((columns.FIELD, field.offset, field.bytes) for field in part.fields if field.scalar) for part in parts]
    jobs[0] = (*_OWN_JOBS, *jobs[0])
    texts = tuple(Texts() for part in parts for field in part.fields if field.text)
    return RawTable(key, tuple(parts), schema, tuple(schema.types), tuple(jobs), texts)


def unique_formats(formats: Sequence[Format]) -> list[Format]:
    """One format per event id, the last of an id as in libtraceevent; events of one name are told apart by their id."""
    names: set[tuple[str, str]] = set()
    unique = []
    for form in {form.id: form for form in formats}.values():
        name = form.name
        while (form.system, name) in names:
            name = f"{name}_{form.id}"
        names.add((form.system, name))
        unique.append(form if name == form.name else Format(form.system, name, form.id, form.fields))
    return unique


def _field_type(field: Field) -> pa.DataType:
    if field.text:
        return _WORDS_TYPE
    if field.boolean:
        return pa.bool_()
    integer = _INTEGERS[field.item_bytes, field.signed]
    return pa.list_(integer) if field.array else integer


def _numbers(store: RowGroups, group: int, jobs: Sequence[Job], rows: int, streams: StreamNames) -> Iterator[pa.Buffer]:
    """Columns of scalar values, in memory that they share: most tables of a batch have few rows, and each column its overhead."""
    ends = list(accumulate((columns.column_bytes(rows, width) for _, _, width in jobs), initial=0))
    filled = np.empty(ends[-1], np.uint8)
    columns.scalars(store, group, jobs, streams.cpus, streams.buffers, filled)
    data = pa.py_buffer(filled)
    for begin, (_, _, width) in zip(ends, jobs, strict=False):
        yield data.slice(begin, rows * width)


def _texts(store: RowGroups, group: int, field: Field, rows: int, spent: Words, losses: Losses, texts: Texts) -> pa.Array:
    """A column of strings, which repeat themselves; where there are too many different ones, each is a word of its own."""
    codes = np.empty(rows, np.int32)
    for _ in range(2):
        nulls = columns.words(store, group, *_where(field), texts.vocabulary, codes, spent)
        if nulls >= 0:
            strings = texts.words()
            break
        texts.forget()
    else:
        nulls, offsets, data, valid, ascii_only = _copied(store, group, field, rows, spent)
        codes = np.where(valid, np.arange(rows, dtype=np.int32), np.int32(-1))
        strings = pa.Array.from_buffers(pa.binary(), rows, [None, offsets, data])
        if not ascii_only:
            strings = pa.array([word.decode("utf-8", "replace") for word in strings.to_pylist()], pa.string())
        strings = strings.view(pa.string())
    present = None
    if nulls:
        losses.add("undecodable_fields", nulls)
        present = _bits(codes >= 0)
    return pa.DictionaryArray.from_buffers(_WORDS_TYPE, rows, [present, pa.py_buffer(codes)], strings, null_count=nulls)


def _lists(store: RowGroups, group: int, field: Field, kind: pa.DataType, rows: int, spent: Words, losses: Losses) -> pa.Array:
    nulls, offsets, data, valid, _ = _copied(store, group, field, rows, spent)
    present = None
    if nulls:
        losses.add("undecodable_fields", nulls)
        present = _bits(valid)
    inner = pa.Array.from_buffers(kind.value_type, data.size // field.item_bytes, [None, data])
    return pa.Array.from_buffers(kind, rows, [present, offsets], null_count=nulls, children=[inner])


def _copied(store: RowGroups, group: int, field: Field, rows: int, spent: Words) -> tuple[int, pa.Buffer, pa.Buffer, Bytes, bool]:
    """Values of any length: how many have none, where each begins, their bytes, which are valid, whether all is ASCII."""
    where = (*_where(field), field.item_bytes, field.text)
    begins = np.empty(rows + 1, np.int32)
    valid = np.empty(rows, np.uint8)
    items, nulls = columns.measure(store, group, *where, begins, valid, spent)
    data = np.empty(items * field.item_bytes, np.uint8)
    ascii_only = columns.copy(store, group, *where, begins, data)
    return nulls, pa.py_buffer(begins), pa.py_buffer(data), valid, ascii_only


def _where(field: Field) -> tuple[int, int, int]:
    return int(field.place), field.offset, field.bytes if field.place == 0 else 0


def _bits(values: NDArray[Any]) -> pa.Buffer:
    """One bit for each value, set where it is not 0."""
    return pa.py_buffer(np.packbits(values, bitorder="little"))
