"""What lowering hands on: columns of numbers and words, put into the declared schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from replay import schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay.stored import Stored

OP_CODE = {op: code for code, op in enumerate(schema.OPS)}

# Operations whose range is pages that really take part. A truncate's, an fsync's or a mapping's range only selects among them.
TOUCHING_OPS = frozenset(
    {
        "pin",
        "unpin",
        "remote_write",
        "remote_read",
        "dirty",
        "wb_start",
        "wb_end",
        "wb_wait",
        "cache_add",
        "cache_del",
        "reclaim",
        "migrate",
    }
)


@dataclass(slots=True)
class EventTotals:
    """What the catalog tells of a trace's events, and in how many files they are."""

    files: int = 1
    rows: int = 0
    ts_first: int | None = None
    ts_last: int | None = None
    operations: dict[str, int] = field(default_factory=dict)

    def add(self, operations: Sequence[int], times: Sequence[int]) -> None:
        """Count events, so many of each operation, whose first and last time are among these."""
        self.rows += sum(operations)
        known = [ts for ts in (self.ts_first, self.ts_last) if ts is not None]
        self.ts_first = min((*times, *known), default=None)
        self.ts_last = max((*times, *known), default=None)
        for op, count in zip(schema.OPS, operations, strict=False):
            if count:
                self.operations[op] = self.operations.get(op, 0) + count


class Part(Protocol):
    """Events that follow each other, some at a time. Each part may be made in a thread of its own."""

    def tables(self, *, lasting: bool) -> Iterator[pa.Table]:
        """Tables that follow each other; unless they are to be `lasting`, each may be overwritten by the next."""


@dataclass(frozen=True, slots=True)
class Whole:
    """Events that are there already."""

    table: pa.Table

    def tables(self, *, lasting: bool) -> Iterator[pa.Table]:
        yield self.table


@dataclass(frozen=True)
class Canonical:
    """The lowered trace: its events, in parts that follow each other, and once they have all been taken the other tables by name."""

    parts: Sequence[Part]
    entities: Callable[[], dict[str, pa.Table]]
    totals: EventTotals

    @cached_property
    def tables(self) -> dict[str, pa.Table]:
        """Every table of schema.TRACE_TABLES by name, held in memory."""
        events = [table for part in self.parts for table in part.tables(lasting=True)]
        return {"events": pa.concat_tables([schema.EVENTS.arrow_schema().empty_table(), *events]), **self.entities()}


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one column: numbers, or codes into `words`; `null` is true where there is no value (a negative code is none either)."""

    data: NDArray[Any]
    null: NDArray[np.bool_] | None = None
    words: Sequence[str] | None = None

    def arrow(self, type_: pa.DataType) -> pa.Array:
        """The values as Arrow; without its functions, since a short ingest would import them for nothing else."""
        if self.words is None:
            return _array(_of_type(self.data, self.null, np.dtype(type_.to_pandas_dtype())), self.null)
        if not pa.types.is_dictionary(type_):
            return pa.array([self.words[code] if code >= 0 else None for code in self.data.tolist()], type_)
        codes = _array(self.data.astype(np.int32, copy=False), self.data < 0)
        return pa.DictionaryArray.from_arrays(codes, pa.array(self.words, pa.string()))

    def stored(self, how: Stored) -> NDArray[Any]:
        """The numbers that are stored where the column does not lie in Parquet as it is."""
        if self.words is None:
            null, values = self.null, self.data
        else:
            places = np.array([*(how.words.index(known) for known in self.words), -1], np.int32)
            null, values = self.data < 0, places[self.data]
        numbers = how.number(values).astype(how.type)
        return numbers if null is None else np.where(null, numbers.dtype.type(how.none), numbers)

    def named(self) -> Column:
        """A column of words that has the empty one where there is none."""
        known = [*(self.words or ()), ""]
        return Column(np.where(self.data < 0, len(known) - 1, self.data), words=known)

    def compact(self) -> Column:
        """The same with those words only that occur: a file of many parts would repeat the others in each."""
        if self.words is None:
            return self
        used = np.zeros(len(self.words) + 1, bool)
        used[self.data] = True  # a negative code is the last
        kept = np.flatnonzero(used[:-1])
        codes = np.full(len(used), -1, np.int32)
        codes[kept] = np.arange(len(kept), dtype=np.int32)
        return Column(codes[self.data], words=[self.words[code] for code in kept.tolist()])


def _of_type(data: NDArray[Any], null: NDArray[np.bool_] | None, wanted: np.dtype[Any]) -> NDArray[Any]:
    """The same numbers; OverflowError if one that is not NULL has no room in the wanted type."""
    if data.dtype == wanted:
        return data
    known = data if null is None else np.where(null, np.zeros(1, data.dtype), data)
    converted = known.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(converted, known):
        raise OverflowError(f"numbers that are no {wanted}")
    return converted


def _array(data: NDArray[Any], null: NDArray[np.bool_] | None) -> pa.Array:
    """An array of these very values; `pa.array` would copy them, and takes several times as long for a mask."""
    nulls = 0 if null is None else int(np.count_nonzero(null))
    valid = pa.py_buffer(np.packbits(~null, bitorder="little")) if null is not None and nulls else None
    held = np.packbits(data, bitorder="little") if data.dtype == np.bool_ else np.ascontiguousarray(data)
    return pa.Array.from_buffers(pa.from_numpy_dtype(data.dtype), len(data), [valid, pa.py_buffer(held)], nulls)


def numbers(values: list[Any], type_: Any) -> Column:
    """A column of numbers or truth values of which None is NULL."""
    null = np.array([value is None for value in values], bool)
    return Column(np.array([0 if value is None else value for value in values], type_), null)


def words(values: list[str | None], codes: dict[str, int] | None = None) -> Column:
    """A dictionary-encoded column; words in order of appearance, numbered on from those in `codes`."""
    codes = {} if codes is None else codes
    data: NDArray[np.int32] = np.array([-1 if value is None else codes.setdefault(value, len(codes)) for value in values], np.int32)
    return Column(data, words=list(codes))


def table(declared: schema.Table, columns: Mapping[str, Column], rows: int) -> pa.Table:
    """A table in the declared schema, as it is stored; columns that are not given are all NULL."""
    unknown = set(columns) - {column.name for column in declared.columns}
    if unknown:
        raise KeyError(f"{declared.name} has no column {sorted(unknown)}")
    target = declared.arrow_schema()
    given = {**columns, **_stored(declared, columns, rows)}
    arrays = [
        given[name].arrow(type_) if name in given else nulls(rows, type_) for name, type_ in zip(target.names, target.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=target)


def _stored(declared: schema.Table, columns: Mapping[str, Column], rows: int) -> dict[str, Column]:
    """The columns that hold those that do not lie in Parquet as they are."""
    names: dict[str, Column] = {}
    held: dict[str, NDArray[Any]] = {}
    for column in declared.columns:
        how, told = column.stored, columns.get(column.name)
        if how is not None and how.type == "string":
            names[how.name] = (told or words([None] * rows)).named()
        elif how is not None:
            numbers = how.none if told is None else told.stored(how)
            held[how.name] = held.get(how.name, np.zeros(rows, how.type)) | numbers
            if how.beyond:
                held[how.name] = np.where(held[how.name] >= 0, held[how.name] - held[how.beyond], 0)
    return names | {name: Column(values) for name, values in held.items()}


def nulls(rows: int, type_: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(type_):
        return pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()), pa.array([], pa.string()))
    return pa.nulls(rows, type_)


def values_of(column: Column, missing: int) -> NDArray[np.int64]:
    data = column.data.astype(np.int64, copy=False)
    return data if column.null is None else np.where(column.null, missing, data)


def is_op(op: NDArray[Any], *ops: str) -> NDArray[np.bool_]:
    wanted = np.zeros(256, bool)
    wanted[[OP_CODE[name] for name in ops]] = True
    return looked_up(wanted, op)


def looked_up(table: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """Bytes by number, from a table of 256: `table[codes]`, several times faster where the numbers are bytes too."""
    if codes.dtype != np.uint8:
        found: NDArray[Any] = table[codes]
        return found
    return np.frombuffer(codes.tobytes().translate(table.tobytes()), table.dtype)
