"""Raw tables to the words of the in-order pass: one array per word over all mapped records of a batch, and their order."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replay._ext.identity import STEPS
from replay.ingest.slots import INDEX_END
from replay.ingest.sources import Mapping, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Word: type, and the value that says "none".
WORDS: dict[str, tuple[type[np.generic], int]] = {
    "dev": (np.int64, -1),
    "ino": (np.uint64, 0),
    "name": (np.int32, -1),
    "index": (np.int64, -1),
    "npages": (np.int64, -1),
    "a": (np.int64, -1),
    "b": (np.int64, -1),
    "c": (np.int64, -1),
    "d": (np.int64, -1),
}
_STEP_CODE = {name: code for code, name in enumerate(STEPS)}
_PAGE_SHIFT = 12


@dataclass(slots=True)
class Names:
    """Backing devices' names, numbered in order of appearance."""

    codes: dict[str, int] = field(default_factory=dict)

    def encode(self, column: pa.Array) -> NDArray[np.int32]:
        values = column.dictionary_encode() if pa.types.is_string(column.type) else column
        known = [-1 if name is None else self.codes.setdefault(name, len(self.codes)) for name in values.dictionary.to_pylist()]
        indices = pc.fill_null(values.indices, len(known)).to_numpy(zero_copy_only=False)
        codes: NDArray[np.int32] = np.array([*known, -1], np.int32)[indices]
        return codes


def gather(tables: Dict[tuple[str, str], tuple[Mapping, pa.RecordBatch]], names: Names) -> dict[str, NDArray[Any]]:
    """The arguments of `feed`: columns over all records, table after table, and the order of their positions by seq."""
    tables = {name: (mapping, _selected(mapping, batch)) for name, (mapping, batch) in tables.items()}
    rows = sum(batch.num_rows for _, batch in tables.values())
    words: dict[str, NDArray[Any]] = {word: np.empty(rows, type_) for word, (type_, _) in WORDS.items()}
    words |= {
        "step": np.empty(rows, np.uint8),
        "weak": np.empty(rows, np.uint8),
        "seq": np.empty(rows, np.int64),
        "ts": np.empty(rows, np.int64),
    }
    words |= {"cpu": np.empty(rows, np.int32), "tid": np.empty(rows, np.int32)}
    at = 0
    for mapping, batch in tables.values():
        place = slice(at, at + batch.num_rows)
        _fill(mapping, batch, names, {word: values[place] for word, values in words.items()})
        at += batch.num_rows
    words["order"] = _order(words["seq"])
    return words


def _fill(mapping: Mapping, batch: pa.RecordBatch, names: Names, words: dict[str, NDArray[Any]]) -> None:
    words["step"][:] = _STEP_CODE[mapping.step]
    words["weak"][:] = mapping.weak
    numeric, texts = _usable(batch.schema)
    actor = mapping.actor if mapping.actor in numeric else "common_pid"
    for own, column in (("seq", "seq"), ("ts", "ts"), ("cpu", "cpu"), ("tid", actor)):
        words[own][:] = _numbers(batch, column) if column in numeric else 0
    for word, (_, none) in WORDS.items():
        source = mapping.words.get(word)
        usable = texts if word == "name" else numeric
        name = next((field for field in source.fields if field in usable), None) if source else None
        if source is None or (name is None and source.rule not in {"constant", "order", "folio"}):
            words[word][:] = none
        elif word == "name":
            words[word][:] = names.encode(batch.column(name))
        elif name is None:
            words[word][:] = source.constant
        else:
            _apply(source, name, batch, words[word], numeric)


def _usable(schema: pa.Schema) -> tuple[frozenset[str], frozenset[str]]:
    """Columns that are numbers, and those that are strings: a file may declare a field of any name as anything."""
    numeric = frozenset(column.name for column in schema if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type))
    texts = frozenset(
        column.name
        for column in schema
        if pa.types.is_string(column.type) or (pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type))
    )
    return numeric, texts


def _selected(mapping: Mapping, batch: pa.RecordBatch) -> pa.RecordBatch:
    if mapping.only is None:
        return batch
    name, bits = mapping.only
    if name not in _usable(batch.schema)[0]:
        return batch.slice(0, 0)
    return batch.filter(pa.array(_numbers(batch, name).astype(np.uint64) & np.uint64(bits) != 0))


def _numbers(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    column = batch.column(name)
    if column.null_count:
        column = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _apply(source: Source, name: str, batch: pa.RecordBatch, into: NDArray[Any], numeric: frozenset[str]) -> None:
    values = _numbers(batch, name)
    if source.rule == "plain":
        into[:] = values.view(into.dtype) if values.dtype.itemsize == into.dtype.itemsize else values
        return
    values = values.view(np.int64) if values.dtype == np.uint64 else values.astype(np.int64, copy=False)
    more = next((field for field in source.more if field in numeric), None)
    other = None if more is None else _numbers(batch, more)
    other = None if other is None else other.view(np.int64) if other.dtype == np.uint64 else other.astype(np.int64)
    into[:] = RULES[source.rule](values, other)


def _page(values: NDArray[np.int64], _: Any) -> NDArray[np.int64]:
    bad = (values < 0) | (values >= INDEX_END)
    return np.where(bad, -1, values) if bad.any() else values


def _errno(values: NDArray[np.int64], _: Any) -> NDArray[np.int64]:
    unsigned = (values >= 1 << 31) & (values < 1 << 32)
    return np.where(unsigned, values - (1 << 32), values)


def _order_pages(values: NDArray[np.int64], _: Any) -> NDArray[np.int64]:
    return np.left_shift(1, np.clip(values, 0, 51)) if values.any() else np.ones(len(values), np.int64)


def _folio_pages(values: NDArray[np.int64], orders: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return np.ones(len(values), np.int64) if orders is None else _order_pages(np.where(values != 0, orders, 0), None)


def _first_page(values: NDArray[np.int64], _: Any) -> NDArray[np.int64]:
    return np.where(values < 0, -1, values >> _PAGE_SHIFT)


def _whole_first(values: NDArray[np.int64], _: Any) -> NDArray[np.int64]:
    return np.where(values < 0, -1, (values >> _PAGE_SHIFT) + (values & 4095 != 0))


def _end(values: NDArray[np.int64], lengths: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Byte offset after the range; lengths are clipped to what a file can hold."""
    lengths = np.zeros_like(values) if lengths is None else lengths
    return values + np.clip(lengths, 0, np.iinfo(np.int64).max - np.maximum(values, 0))


def _covering(values: NDArray[np.int64], lengths: NDArray[np.int64] | None) -> NDArray[np.int64]:
    end = _end(values, lengths)
    pages = (end >> _PAGE_SHIFT) + (end & 4095 != 0) - (values >> _PAGE_SHIFT)
    return np.where((values < 0) | (pages <= 0), -1, pages)


def _whole(values: NDArray[np.int64], lengths: NDArray[np.int64] | None) -> NDArray[np.int64]:
    pages = (_end(values, lengths) >> _PAGE_SHIFT) - _whole_first(values, None)
    return np.where(values < 0, -1, np.maximum(pages, 0))


def _distance(values: NDArray[np.int64], ends: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The probe's byte range is inclusive; LLONG_MAX as its end means to the end of the file."""
    if ends is None:
        return np.full(len(values), -1, np.int64)
    pages = (ends >> _PAGE_SHIFT) - (values >> _PAGE_SHIFT) + 1
    return np.where((ends == np.iinfo(np.int64).max) | (values < 0) | (pages <= 0), -1, pages)


def _device(major: NDArray[np.int64], minor: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return major << 20 | (0 if minor is None else minor & 0xFFFFF)


def _shared(flags: NDArray[np.int64], _: Any) -> NDArray[np.int64]:
    return np.where(flags & 1, 8, 0)


def _clone_flags(process: NDArray[np.int64], parent: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return np.where(process == parent, 0x10000, 0) if parent is not None else np.full(len(process), -1)


RULES = {
    "page": _page,
    "errno": _errno,
    "order": _order_pages,
    "folio": _folio_pages,
    "first_page": _first_page,
    "whole_first": _whole_first,
    "covering": _covering,
    "whole": _whole,
    "distance": _distance,
    "device": _device,
    "shared": _shared,
    "clone_flags": _clone_flags,
}


def _order(seq: NDArray[np.int64]) -> NDArray[np.int32]:
    """Positions in order of seq. Its values are nearly consecutive, so they are placed rather than sorted."""
    if not len(seq):
        return np.zeros(0, np.int32)
    first, span = int(seq.min()), int(seq.max()) - int(seq.min()) + 1
    if span > 8 * len(seq) + 1024:
        return np.argsort(seq, kind="stable").astype(np.int32)
    place = np.full(span, -1, np.int32)
    place[seq - first] = np.arange(len(seq), dtype=np.int32)
    return place[place >= 0]
