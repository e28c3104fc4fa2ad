"""Raw tables to the words of the in-order pass: for each word a column of a table, and whose turn it is record by record."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from replay._ext.feed import NO_TURN, WORDS
from replay._ext.identity import STEPS
from replay.ingest.slots import INDEX_END
from replay.ingest.sources import Mapping, Source

# Words whose "none" is another one than -1.
_NONE = {"ino": 0}
_STEP_CODE = {name: code for code, name in enumerate(STEPS)}
_PAGE_SHIFT = 12


@dataclass(slots=True)
class Names:
    """Backing devices' names, numbered in order of appearance."""

    codes: dict[str, int] = field(default_factory=dict)

    def encode(self, column: pa.Array) -> NDArray[np.int64]:
        values = column.dictionary_encode() if pa.types.is_string(column.type) else column
        known = [-1 if name is None else self.codes.setdefault(name, len(self.codes)) for name in values.dictionary.to_pylist()]
        indices = pc.fill_null(values.indices, len(known)).to_numpy(zero_copy_only=False)
        codes: NDArray[np.int64] = np.array([*known, -1], np.int64)[indices]
        return codes


Table = tuple[int, bool, int, list[NDArray[np.int64]]]
"""Step, weakness, number of records, and for each of WORDS its values: one per record, or one for all of them."""


def gather(tables: Dict[tuple[str, str], tuple[Mapping, pa.RecordBatch]], names: Names) -> tuple[NDArray[np.uint16], list[Table]]:
    """The arguments of `feed`."""
    chosen = [(mapping, _selected(mapping, batch)) for mapping, batch in tables.values()]
    return _turns([_long(batch, "seq") for _, batch in chosen]), [_table(mapping, batch, names) for mapping, batch in chosen]


def _table(mapping: Mapping, batch: pa.RecordBatch, names: Names) -> Table:
    numeric, texts = _usable(batch.schema)
    actor = mapping.actor if mapping.actor in numeric else "common_pid"
    own = {"seq": "seq", "ts": "ts", "cpu": "cpu", "tid": actor}
    words = []
    for word in WORDS:
        source = mapping.words.get(word)
        usable = texts if word == "name" else numeric
        name = next((field for field in source.fields if field in usable), None) if source else None
        if word in own:
            words.append(_long(batch, own[word]) if own[word] in numeric else _single(0))
        elif source is None or (name is None and source.rule not in {"constant", "order", "folio"}):
            words.append(_single(_NONE.get(word, -1)))
        elif name is None:
            words.append(_single(source.constant))
        else:
            words.append(names.encode(batch.column(name)) if word == "name" else _apply(source, name, batch, numeric))
    return _STEP_CODE[mapping.step], mapping.weak, batch.num_rows, words


def _single(value: int) -> NDArray[np.int64]:
    return np.array([value], np.int64)


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
    return batch.filter(pa.array(_long(batch, name).view(np.uint64) & np.uint64(bits) != 0))


def _long(batch: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    """A column as 64-bit words; what is unsigned keeps its bits."""
    column = batch.column(name)
    if column.null_count:
        column = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values.view(np.int64) if values.dtype == np.uint64 else values.astype(np.int64, copy=False)


def _apply(source: Source, name: str, batch: pa.RecordBatch, numeric: frozenset[str]) -> NDArray[np.int64]:
    values = _long(batch, name)
    if source.rule == "plain":
        return values
    more = next((field for field in source.more if field in numeric), None)
    return RULES[source.rule](values, None if more is None else _long(batch, more))


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


def _turns(seqs: list[NDArray[np.int64]]) -> NDArray[np.uint16]:
    """Which table holds the next record, in order of seq. Its values are nearly consecutive, so they are placed rather than sorted."""
    rows = sum(map(len, seqs))
    if not rows:
        return np.zeros(0, np.uint16)
    first, last = min(int(seq.min()) for seq in seqs if len(seq)), max(int(seq.max()) for seq in seqs if len(seq))
    if last - first < 8 * rows + 1024:
        turns = np.full(last - first + 1, NO_TURN, np.uint16)
        for table, seq in enumerate(seqs):
            turns[seq - first] = table
        if np.count_nonzero(turns != NO_TURN) == rows:
            return turns
    tables = np.repeat(np.arange(len(seqs), dtype=np.uint16), [len(seq) for seq in seqs])
    return tables[np.argsort(np.concatenate(seqs), kind="stable")]
